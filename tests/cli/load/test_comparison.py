"""Two load runs compared, in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from greenws.cli.load.comparison import Difference, compare, format_comparison, read_earlier
from greenws.cli.load.report import to_json
from tests.cli.load.reports import make_report


def test_differences_are_told_in_words() -> None:
    earlier = make_report()
    earlier["options"]["connections"] = 7
    earlier["options"]["duration"] = 1.5
    earlier["began"] = "2026-11-27T14:00:00+00:00"
    lines = format_comparison(earlier, make_report(scale=1.5)).splitlines()
    assert lines[0] == "compared with the run of 2026-11-27 14:00:00 UTC:"
    assert [" ".join(line.split()) for line in lines[1:5]] == [
        "connected 3 -> 3 the same",
        "failed 0 -> 0 the same",
        "messages a second 100/s -> 100/s the same",
        "latency p50 50.0 ms -> 75.2 ms 50 % longer",
    ]
    assert [" ".join(line.split()) for line in lines[-2:]] == [
        "connections 7 -> 3 another option",
        "duration 1.5 -> 3 another option",
    ]


@pytest.mark.parametrize(
    ("before", "now", "text", "verdict"),
    [
        (10, 10, "the same", ""),
        (100, 102, "about the same", ""),
        (10, 5, "50 % shorter", "better"),
        (10, 15, "50 % longer", "worse"),
        (10, 35, "3.5 times as long", "worse"),
        (0, 5, "longer than none", "worse"),
        (5, 0, "100 % shorter", "better"),
    ],
)
def test_difference_has_a_word_and_a_verdict(
    before: float, now: float, text: str, verdict: str
) -> None:
    difference = Difference("x", before, now, " ms", False, ("longer", "shorter", "long"))
    assert (difference.describe(), difference.verdict) == (text, verdict)


def test_more_may_be_better() -> None:
    words = ("more", "fewer", "many")
    assert Difference("x", 1, 2, "", True, words).verdict == "better"
    assert Difference("x", 2, 1, "", True, words).verdict == "worse"


def test_figure_that_one_run_lacks_is_left_out() -> None:
    earlier = make_report()
    earlier["latency_ms"] = None
    names = [difference.name for difference in compare(earlier, make_report())]
    assert "latency p50" not in names and "opening p50" in names


def test_report_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    report = make_report()
    file.write_text(to_json(report))
    assert read_earlier(str(file)) == json.loads(to_json(report))


def spoil(**changes: Any) -> str:
    return to_json({**make_report(), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "{}",
        "[" * 100000,
        spoil(tool="another"),
        spoil(format=2),
        spoil(options=None),
        spoil(connections={}),
        spoil(latency_ms={"p50": "x"}),
        spoil(latency_ms={"p50": -1}),
        spoil(latency_ms={"p50": float("nan")}),
        spoil(latency_histogram_ms=[[1, 2]]),
        spoil(latency_histogram_ms=[[2, 1, 5]]),
        spoil(latency_histogram_ms=[["1", "2", 5]]),
        spoil(latency_histogram_ms=[[1, 10**300, 5]]),
        spoil(latency_ms={"p50": 10**400}),
        spoil(latency_histogram_ms=[[1, float("inf"), 5]]),
        spoil(opening_histogram_ms=None),
        "\udcff",
    ],
)
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"is no report of load --json"):
        read_earlier(str(file))


def test_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "old.json"
    file.write_text(to_json(make_report()))
    monkeypatch.setattr("greenws.cli.load.comparison._MAX_SIZE", 100)
    with pytest.raises(ValueError, match="is no report"):
        read_earlier(str(file))


def test_words_of_the_earlier_run_reach_no_terminal_raw() -> None:
    earlier = make_report()
    earlier["began"] = "\x1b[31m\n"
    earlier["options"]["message"] = "\u202e"
    text = format_comparison(earlier, make_report())
    assert "\x1b" not in text and "\u202e" not in text
