"""The benchmarks run and compute the right figures. No test asks how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import machine, wire
from benchmarks.basis import choose_basis
from benchmarks.chart import to_svg
from benchmarks.load import Load, add_up, read_machine
from benchmarks.peers import PEERS, find_peers
from benchmarks.report import Report, format_value, grid, to_rst
from benchmarks.rows import ROWS, Bar, Row, find_rows
from benchmarks.runner import Measurement, Pace, Server, measure, run_server
from benchmarks.server import build_block, choose_extension
from benchmarks.summary import RowSummary, summarize

ROOT = Path(__file__).parents[1]

ROW = Row("row", "a row", "receive", "rate", (Bar("picows", 2.0),), Bar("bare-socket"))
MEMORY_ROW = Row("row", "a row", "idle", "memory", (Bar("aiohttp", 1.1),), Bar(limit=10.0))


def rate(messages: int, cpu: float = 1.0) -> dict[str, float]:
    return {"messages": messages, "seconds": 1.0, "cpu": cpu}


def memory(kibibytes: int) -> dict[str, int]:
    return {"bytes": kibibytes * 1024 * 10, "connections": 10}


def sum_up(
    row: Row,
    judge: str = "time",
    load: Load | None = None,
    **results: list[dict[str, float] | None],
) -> RowSummary:
    taking_part = [peer for peer in PEERS if peer.name in results]
    return summarize(row, taking_part, dict(results), {}, judge=judge, load=load)


def load_of(others: float = 0.0, waited: float = 0.0, stolen: float = 0.0) -> Load:
    return Load(10.0, others, stolen, waited, 0.0)


def run_benchmarks(folder: Path, *rows: str) -> str:
    command = [sys.executable, "-m", "benchmarks", "--peers", "greenws,bare-socket"]
    for row in rows:
        command += ["--only", row]
    command += ["--rounds", "1", "--seconds", "0.02", "--connections", "5"]
    run = subprocess.run(
        [*command, "--output", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_command_runs_rows_and_writes_table_json_and_chart(tmp_path: Path) -> None:
    printed = run_benchmarks(tmp_path, "receive-text", "deflate-send", "echo-many")
    assert "failed" not in printed
    # The peers that the bars name did not take part.
    assert printed.splitlines()[-1].startswith("0 bars held, 0 missed; ")
    report = Report.from_json((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    assert report.name == machine.name_of(report.machine)
    assert [row.name for row in report.rows] == ["receive-text", "echo-many", "deflate-send"]
    for row in report.rows:
        assert {line.peer for line in row.lines} == {"greenws", "bare socket"}
        assert all(line.value > 0 for line in row.lines)
    table = (tmp_path / "benchmarks.rst").read_text(encoding="utf-8")
    assert table == to_rst(report)
    assert report.machine["python"] in table
    chart = (tmp_path / "benchmarks.svg").read_text(encoding="utf-8")
    assert chart == to_svg([report])
    ElementTree.fromstring(chart)


def test_ratio_is_the_median_of_the_rounds_pairs() -> None:
    row = sum_up(ROW, greenws=[rate(10), rate(40), rate(30)], picows=[rate(5), rate(10), rate(10)])
    other = next(line for line in row.lines if line.peer == "picows")
    assert other.ratio is not None
    assert (other.ratio.median, other.ratio.worst, other.ratio.best) == (3.0, 2.0, 4.0)
    assert row.bars[0].holds is True


def test_rows_of_a_group_run(tmp_path: Path) -> None:
    rows = [row.name for row in ROWS if row.subject == "greenws-group"]
    command = [sys.executable, "-m", "benchmarks", "--peers", "greenws,greenws-group"]
    for row in rows:
        command += ["--only", row]
    command += ["--rounds", "1", "--seconds", "0.02", "--connections", "50"]
    run = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert "failed" not in run.stdout
    report = Report.from_json((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    assert [row.name for row in report.rows] == rows
    for summary in report.rows:
        assert {line.peer for line in summary.lines} == {"greenws", "greenws-group"}
    closing = next(row for row in report.rows if row.name == "group-drain")
    assert closing.unit == "ms"
    assert all(line.value > 0 for line in closing.lines)


def test_ratio_of_a_cost_is_turned_round() -> None:
    row = sum_up(MEMORY_ROW, greenws=[memory(10)], aiohttp=[memory(12)])
    assert row.bars[0].reached == pytest.approx(1.2)
    assert row.bars[0].holds is True
    assert row.aim is not None
    assert row.aim.holds is True


def test_bar_counts_the_best_of_a_family() -> None:
    results = {"picows": [rate(1)], "picows+uvloop": [rate(9)]}
    row = sum_up(ROW, greenws=[rate(10)], **results)
    assert row.bars[0].reached == pytest.approx(10 / 9)
    assert row.bars[0].holds is False


def test_bar_without_its_peer_is_not_judged() -> None:
    row = sum_up(ROW, greenws=[rate(1)])
    assert row.bars[0].holds is None
    assert row.bars[0].reached is None


def test_failed_round_is_left_out() -> None:
    row = sum_up(ROW, greenws=[rate(10), rate(20)], picows=[None, rate(5)])
    assert row.bars[0].reached == pytest.approx(4.0)


def test_rates_may_be_judged_by_cpu_time() -> None:
    results = {"greenws": [rate(10, cpu=0.1)], "picows": [rate(10, cpu=0.5)]}
    assert sum_up(ROW, **results).bars[0].holds is False
    assert sum_up(ROW, "cpu", **results).bars[0].reached == pytest.approx(5.0)


def test_both_wall_time_and_cpu_time_are_kept() -> None:
    row = sum_up(ROW, greenws=[rate(10, cpu=0.1)], picows=[rate(5, cpu=0.2)])
    other = next(line for line in row.lines if line.peer == "picows")
    assert other.rate_ratio is not None and other.cpu_ratio is not None
    assert (other.rate_ratio.median, other.cpu_ratio.median) == pytest.approx((2.0, 4.0))


@pytest.mark.parametrize(
    ("load", "metric"),
    [
        (load_of(), "rate"),
        (load_of(others=0.4), "rate"),
        (load_of(others=0.6), "cpu"),
        (load_of(stolen=0.6), "cpu"),
        (load_of(waited=0.4), "cpu"),
        (None, "cpu"),
    ],
)
def test_rate_is_judged_by_cpu_time_unless_the_machine_was_quiet(
    load: Load | None, metric: str
) -> None:
    basis = choose_basis(ROW, "auto", load)
    assert basis.metric == metric
    assert ("was shared" in basis.why) is (metric == "cpu")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_says_by_what_it_is_judged(row: Row) -> None:
    shared, quiet = load_of(others=9.0), load_of()
    for basis in (choose_basis(row, "auto", load) for load in (shared, quiet, None)):
        assert basis.why
        assert basis.metric in {row.metric, "cpu"}
    if row.waits and row.metric != "p99":
        assert row.waits in choose_basis(row, "auto", shared).why


def test_load_is_added_up() -> None:
    total = add_up([load_of(others=1.0), None, load_of(others=2.0, waited=1.0)])
    assert total == Load(20.0, 3.0, 0.0, 1.0, 0.0)
    assert add_up([None, None]) is None


def test_cpu_time_of_the_machine_leaves_out_idling_and_interrupts() -> None:
    busy, stolen = read_machine("cpu  100 10 200 99999 88888 7777 6666 50 0 0\ncpu0 ...\n")
    assert busy / stolen == pytest.approx(310 / 50)


def test_figures_stand_still_when_the_last_ones_are_alike() -> None:
    calm = sum_up(
        ROW, greenws=[rate(5), rate(100), rate(101)], picows=[rate(5), rate(50), rate(50)]
    )
    assert (calm.still, calm.rounds) == (2, 3)
    # The figures are those of the rounds that were alike.
    assert calm.own is not None
    assert (calm.own.value, calm.own.low, calm.own.high) == (100.5, 100.0, 101.0)
    wild = sum_up(ROW, greenws=[rate(100), rate(80)], picows=[rate(50), rate(40)])
    assert wild.still == 0
    assert wild.own is not None
    assert wild.own.value == 90.0


def test_row_whose_peer_wavers_does_not_stand_still() -> None:
    row = sum_up(ROW, greenws=[rate(100), rate(100)], picows=[rate(50), rate(60)])
    assert row.still == 0


def test_peer_that_no_bar_names_may_waver() -> None:
    row = sum_up(ROW, greenws=[rate(100)] * 2, picows=[rate(50)] * 2, lomond=[rate(5), rate(9)])
    assert row.still == 2


class Scripted(Measurement):
    """A measurement whose clients give the scripted results, without running."""

    def __init__(self, pace: Pace, script: list[int]) -> None:
        (peer,) = find_peers(["greenws"])
        super().__init__(ROW, [peer], Server({}, "", None, 0), pace, "", "auto")
        self.script = script

    def run(self) -> list[bool]:
        restless = []
        for messages in self.script:
            self.rounds += 1
            self.results["greenws"].append(rate(messages))
            restless.append(self.is_restless)
        return restless


def test_rounds_are_repeated_until_figures_stand_still_or_the_rounds_are_spent() -> None:
    pace = Pace(1, 0.1, 0.1, most_rounds=4, steady=2)
    assert Scripted(pace, [10, 50, 51]).run() == [True, True, False]
    assert Scripted(pace, [10, 20, 30, 40]).run() == [True, True, True, False]


def test_row_whose_subject_failed_is_not_repeated() -> None:
    found = Scripted(Pace(1, 0.1, 0.1, most_rounds=9), [])
    found.failures["greenws"] = "no result"
    assert not found.is_restless


@pytest.mark.parametrize(
    ("processor", "cores", "name"),
    [
        ("Intel(R) Xeon(R) Processor", "2", "intel-xeon-model-167-2-cores"),
        ("Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz", "12", "intel-core-i7-8700k-12-cores"),
        ("AMD EPYC 7B13 64-Core Processor", "1", "amd-epyc-7b13-1-core"),
    ],
)
def test_machine_is_named_by_its_processor_and_cores(processor: str, cores: str, name: str) -> None:
    described = {"processor": processor, "kind": "family 6 model 167 stepping 1", "cores": cores}
    assert machine.name_of(described) == name


def test_summary_survives_json() -> None:
    row = sum_up(ROW, "auto", load_of(others=1.0), greenws=[rate(10)], picows=[rate(5)])
    assert RowSummary.from_json(json.loads(json.dumps(row.to_json()))) == row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_compares_with_peers_that_can(row: Row) -> None:
    families = {peer.family for peer in PEERS if row.suits(peer)}
    assert row.judges <= families


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        find_peers(["nobody"])
    with pytest.raises(ValueError, match="nothing"):
        find_rows(["nothing"])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2_345_678, "1/s", "2.35 M/s"),
        (12_345, "1/s", "12.3 k/s"),
        (9.876, "KiB", "9.88 KiB"),
        (1234.5, "ms", "1,234 ms"),
    ],
)
def test_value_is_formatted_with_three_digits(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_table_keeps_an_empty_first_cell() -> None:
    assert grid([["", "a"], ["b", ""]]).splitlines() == ["=  =", "\\  a", "=  =", "b", "=  ="]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frame_is_parsed_as_built(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    frame = wire.client_frame(wire.BINARY, payload)
    assert len(frame) == wire.client_frame_size(size)
    assert len(wire.server_frame(wire.BINARY, payload)) == wire.server_frame_size(size)
    head = wire.parse_head(frame, 0)
    assert head is not None
    assert (head[0], frame[head[1] : head[2]]) == (wire.BINARY, payload)


def test_unmask_undoes_the_mask() -> None:
    payload = b"seven b"
    masked = bytes(byte ^ b"key!"[i % 4] for i, byte in enumerate(payload))
    assert wire.unmask(masked, b"key!") == payload


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("", None),
        ("x-other", None),
        ("permessage-deflate; client_max_window_bits", ("permessage-deflate", 15)),
        (
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            ("permessage-deflate; server_max_window_bits=12", 12),
        ),
        (
            "permessage-deflate; server_max_window_bits=8; server_no_context_takeover",
            ("permessage-deflate; server_max_window_bits=8; server_no_context_takeover", 9),
        ),
        (
            "permessage-deflate; client_no_context_takeover, permessage-deflate",
            ("permessage-deflate", 15),
        ),
    ],
)
def test_server_answers_an_offer(offer: str, answer: tuple[str, int] | None) -> None:
    assert choose_extension(offer) == answer


def test_messages_without_context_are_deflated_each_for_itself() -> None:
    first, second = wire.deflate([b"the same text"] * 2, forgets=True)
    assert first == second
    assert wire.inflate_next(zlib.decompressobj(-15), second) == b"the same text"


@pytest.mark.parametrize("name", ["deflate-memory", "deflate-memory-large-alone"])
def test_weighed_connections_have_exchanged_messages(name: str, tmp_path: Path) -> None:
    (row,), (peer,) = find_rows([name]), find_peers(["greenws"])
    with run_server(tmp_path) as server:
        result = measure(peer, row, server, Pace(1, 0.1, 0.1, connections=60))
    assert result["connections"] >= 60
    # The resident set is in pages, and noisy; large messages without context leave no window.
    assert (result["bytes"] / result["connections"] > 40_000) is (name == "deflate-memory")


def test_connections_are_weighed_idle_and_at_work(tmp_path: Path) -> None:
    (row,), (peer,) = find_rows(["memory-at-work"]), find_peers(["greenws"])
    with run_server(tmp_path) as server:
        result = measure(peer, row, server, Pace(1, 0.1, 0.1, connections=100))
    assert result["connections"] == 100
    # The resident set is in pages: the bar itself needs thousands of connections.
    assert 0.5 < result["bytes"] / result["idle_bytes"] < 2


def test_conclusion_names_the_missed_bars() -> None:
    rows = [
        sum_up(ROW, greenws=[rate(30)] * 2, picows=[rate(10)] * 2),
        sum_up(replace(ROW, name="other"), greenws=[rate(15)] * 2, picows=[rate(10)] * 2),
        sum_up(replace(ROW, name="third"), greenws=[rate(15), rate(1)]),
    ]
    report = Report("", "", {}, {}, "", "", "", "", {}, rows=rows)
    assert report.conclude() == (
        "1 bar held, 1 missed: other (2 x picows: 1.5); 1 not measured; not still: third."
    )


def test_deflated_block_may_be_sent_over_and_over() -> None:
    block = build_block("json", 1024, "15")
    inflater = zlib.decompressobj(-15)
    texts = []
    for _ in range(2):
        pos = 0
        while pos < len(block):
            size, start = block[pos + 1], pos + 2
            if size == 126:
                size, start = int.from_bytes(block[pos + 2 : pos + 4], "big"), pos + 4
            pos = start + size
            texts.append(wire.inflate_next(inflater, block[start:pos]))
    half = len(texts) // 2
    assert texts[:half] == texts[half:]
    assert all("ticks" in json.loads(text) for text in texts[:64])
