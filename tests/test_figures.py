"""The pages tell the figures that were measured, and no others. Nothing is measured here."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.chart import to_svg
from benchmarks.claims import CLAIMS, Claim, Unclaimed, format_range, refill
from benchmarks.machines import (
    NotMeasured,
    find_ratios,
    find_values,
    merge,
    name_machines,
    read_machines,
)
from benchmarks.publish import FOLDER, add, publish, to_page
from benchmarks.report import Report
from benchmarks.rows import METRICS, ROWS, Bar, Row
from benchmarks.summary import RowSummary, summarize
from tests.test_benchmarks import PEERS, memory, rate

ROOT = Path(__file__).parents[1]
REPORTS = read_machines(ROOT / FOLDER)

#: A number with a unit of a benchmark.
FIGURE = re.compile(
    r"\b\d[\d.,]*(\s+to\s+\d[\d.,]*)?\s+(us|µs|ms|KiB|MiB|[Mk]/s|x|times|million|%)\b"
)

NAMES = [row.name for row in ROWS]
ECHO = Row("echo-many", "an echo", "echo", "cpu", (Bar("picows"),), Bar("picows", 2.0))
IDLE = Row("memory", "an idle one", "idle", "memory", (Bar("aiohttp"),), Bar(limit=1.0))


def summary_of(row: Row, judge: str = "time", **results: list[dict[str, float]]) -> RowSummary:
    taking_part = [peer for peer in PEERS if peer.name in results]
    return summarize(row, taking_part, dict(results), {}, judge=judge)


def report_of(name: str, *rows: RowSummary, **changes: object) -> Report:
    described = {
        "processor": f"Maker(R) {name.title()}(TM) CPU @ 3.00GHz",
        "kind": "family 1 model 2 stepping 3",
        "cores": "2",
        "caches": "L1d 32 KiB",
        "virtual": "virtual",
        "system": "Linux",
        "python": "CPython 3",
    }
    pace = {"rounds": 2, "most_rounds": 5, "seconds": 0.3}
    results = {row.name: {"greenws": []} for row in rows}
    report = Report(
        "2026-11-27", name, described, {}, "compiled core", "abc", "libev", "uvloop", pace
    )
    return replace(report, rows=list(rows), results=results, **changes)


SLOW = report_of(
    "slow",
    summary_of(ECHO, greenws=[rate(10, 80e-6), rate(10, 90e-6)], picows=[rate(10, 80e-6)] * 2),
    summary_of(IDLE, greenws=[memory(11)] * 2, aiohttp=[memory(12)] * 2),
)
FAST = report_of(
    "fast",
    summary_of(ECHO, greenws=[rate(10, 40e-6)] * 2, picows=[rate(10, 60e-6)] * 2),
)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.sentence[:40])
def test_page_tells_what_the_machines_measured(claim: Claim) -> None:
    text = (ROOT / claim.page).read_text(encoding="utf-8")
    measured = claim.measured(REPORTS)
    assert claim.told(text) == measured, "python -m benchmarks.publish writes the figures"


def test_readme_tells_no_figure_without_a_claim() -> None:
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    claimed = [claim.find(text).span() for claim in CLAIMS if claim.page == "README.rst"]
    for found in FIGURE.finditer(text):
        assert any(start <= found.start() and found.end() <= end for start, end in claimed), (
            f"{found[0]!r} is not in a claim"
        )


def test_page_of_figures_and_chart_are_those_of_the_files() -> None:
    folder = ROOT / FOLDER
    assert folder.joinpath("figures.rst").read_text(encoding="utf-8") == to_page(REPORTS)
    assert folder.joinpath("benchmarks.svg").read_text(encoding="utf-8") == to_svg(REPORTS)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_each_published_row_says_where_and_how_it_was_measured(report: Report) -> None:
    assert (ROOT / FOLDER / f"{report.name}.json").exists()
    for name in ("processor", "kind", "cores", "caches", "virtual", "system", "python"):
        assert report.machine[name]
    assert report.versions["gevent"]
    assert report.loop
    for row in report.rows:
        assert row.metric in METRICS
        assert row.basis.why
        assert row.date
        assert row.commit


def test_value_of_several_machines_is_a_range_over_all_rounds() -> None:
    assert find_values([SLOW, FAST], "echo-many", "greenws") == pytest.approx((4.0, 9.0))
    assert find_values([SLOW, FAST], "memory", "greenws") == pytest.approx((11.0, 11.0))


def test_ratio_of_several_machines_is_a_range_over_all_rounds() -> None:
    low, high = find_ratios([SLOW, FAST], "echo-many", "picows")
    assert (low, high) == pytest.approx((80 / 90, 1.5))


def test_ratio_is_of_the_measure_by_which_a_row_is_judged() -> None:
    row = replace(ECHO, name="receive-text", metric="rate")
    results = {"greenws": [rate(10, 1e-6)], "picows": [rate(10, 3e-6)]}
    for judge, reached in (("time", 1.0), ("cpu", 3.0)):
        report = report_of("some", summary_of(row, judge, **results))
        assert find_ratios([report], "receive-text", "picows") == pytest.approx((reached, reached))


@pytest.mark.parametrize("names", [("echo-many", "lomond"), ("connect", "greenws")])
def test_figure_that_nobody_measured_is_an_error(names: tuple[str, str]) -> None:
    with pytest.raises(NotMeasured):
        find_values([SLOW, FAST], *names)
    with pytest.raises(NotMeasured):
        find_ratios([SLOW, FAST], *names)


def test_machines_are_named_without_marks() -> None:
    assert name_machines([SLOW]) == "one machine: Maker Slow with 2 cores"
    both = "2 machines: Maker Fast with 2 cores; Maker Slow with 2 cores"
    assert name_machines([FAST, SLOW]) == both


def test_run_of_some_rows_leaves_the_others_in_the_file() -> None:
    later = replace(SLOW.rows[0], date="2027-01-01")
    merged = merge(SLOW, report_of("slow", later, date="2027-01-01"), NAMES)
    assert [(row.name, row.date) for row in merged.rows] == [
        ("echo-many", "2027-01-01"),
        ("memory", ""),
    ]
    assert set(merged.results) == {"echo-many", "memory"}
    assert merged.date == "2027-01-01"


def test_each_machine_has_its_column_and_its_bars() -> None:
    page = to_page([FAST, SLOW])
    head = next(line for line in page.splitlines() if line.startswith("work"))
    assert head.split() == ["work", "bar", "fast", "slow"]
    assert "4 µs; 1.50, held" in page
    assert "8.5 µs; 0.94, missed" in page
    # One machine has not measured the memory.
    assert "not measured" in page
    chart = to_svg([FAST, SLOW])
    ElementTree.fromstring(chart)
    assert "4 to 8.5 µs" in chart
    assert "from top to bottom: fast, slow" in chart


def test_publishing_writes_the_files_that_the_test_compares(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    for report in REPORTS:
        assert add(report, tmp_path).name == f"{report.name}.json"
        add(report, tmp_path)  # again: the rows take their own places
    (tmp_path / FOLDER / "growth.json").write_text("{}", encoding="utf-8")
    for page in {claim.page for claim in CLAIMS}:
        text = (ROOT / page).read_text(encoding="utf-8")
        for claim in CLAIMS:
            if claim.page == page:
                match = claim.find(text)
                text = f"{text[: match.start(1)]}some{text[match.end(1) :]}"
        (tmp_path / page).write_text(text, encoding="utf-8")
    for path in list(publish(tmp_path)):
        theirs = path.read_text(encoding="utf-8")
        ours = (ROOT / path.relative_to(tmp_path)).read_text(encoding="utf-8")
        assert theirs.split() == ours.split()
    stored = json.loads((tmp_path / FOLDER / f"{REPORTS[0].name}.json").read_text(encoding="utf-8"))
    assert stored["name"] == REPORTS[0].name


def test_claim_is_found_across_line_breaks() -> None:
    claim = Claim("page", "takes {} us, and {} KiB.", (lambda _: "7 to 8", lambda _: "9"))
    text = "Head\n\n- Before.\n- It takes 1\n  us, and 2\n  to 3 KiB. More.\n- After."
    assert claim.told(text) == ["1", "2 to 3"]
    written = claim.write(text, [])
    assert written == "Head\n\n- Before.\n- It takes 7 to 8 us, and 9 KiB. More.\n- After."
    assert claim.write(written, []) == written


@pytest.mark.parametrize("text", ["", "takes 1 us. takes 2 us."])
def test_claim_is_in_its_page_once(text: str) -> None:
    with pytest.raises(Unclaimed):
        Claim("page", "takes {} us.", (lambda _: "1",)).find(text)


def test_long_paragraph_is_broken_again() -> None:
    text = f"First.\n\n{'word ' * 30}end.\n\nLast."
    lines = refill(text, 10).splitlines()
    assert max(map(len, lines)) <= 105
    assert (lines[0], lines[-1], len(lines)) == ("First.", "Last.", 6)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (10.2, 10.4, "10"),
        (0.66, 1.08, "0.66 to 1.1"),
        (749.0, 803.0, "750 to 800"),
        (1234.0, 1240.0, "1,200"),
        (5.0, 5.04, "5"),
    ],
)
def test_range_has_two_digits(low: float, high: float, text: str) -> None:
    assert format_range(low, high, 2) == text
