"""The figures of a load run as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from greenws.cli.load.report import SecondsFile, build_report, to_json
from greenws.cli.load.tally import Point, Portion, Tally
from tests.cli.load.reports import make_report, make_tally
from tests.cli.load.settings import make_options


def test_json_has_all_figures() -> None:
    report = json.loads(to_json(make_report(failures=2)))
    assert (report["tool"], report["format"]) == ("greenws load", 1)
    assert report["connections"] == {
        "wanted": 3,
        "attempted": 3,
        "connected": 3,
        "failed": 3,
        "seconds": 0.01,
    }
    assert report["messages"] == {
        "wanted": None,
        "sent": 300,
        "replies": 300,
        "others": 0,
        "unsent": 0,
        "seconds": 3.0,
        "per_second": 100.0,
    }
    assert report["bytes"] == {"sent": 21000, "received": 19800}
    assert report["failures"] == [{"reason": "<b>refused</b>\x1b[31m\n\u202e", "count": 3}]
    latency = report["latency_ms"]
    assert list(latency) == ["p50", "p90", "p99", "p99.9", "max", "min", "mean"]
    assert 50 <= latency["p50"] <= 50.4 and latency["max"] == 100 and latency["mean"] == 50.5
    assert sum(count for _low, _high, count in report["latency_histogram_ms"]) == 300
    assert [point["second"] for point in report["series"]] == [0, 1, 2]
    assert report["series"][0]["latency_ms"]["max"] == 100
    assert [point["open"] for point in report["series"]] == [2, 1, 1]


def test_json_tells_no_text_that_may_be_a_secret() -> None:
    options = make_options(
        template='{"token": "secret-1"}',
        client={"headers": [("Authorization", "secret-2")], "compress": True},
        think=(0.5, 1.0),
        expect="token",
    )
    text = to_json(build_report(Tally(3, 2), options, "ws://h/"))
    assert "secret" not in text
    described: dict[str, Any] = json.loads(text)["options"]
    assert described["compress"] is True
    assert (described["think"], described["expect"]) == ("0.5-1", "field")
    assert described["message"] == "own, 21 bytes"


def test_report_of_nothing_can_be_written() -> None:
    tally = Tally(3, 2)
    tally.finish()
    report = json.loads(to_json(build_report(tally, make_options(), "ws://h/")))
    assert (report["latency_ms"], report["failures"], report["series"]) == (None, [], [])


def test_csv_has_a_line_for_each_second() -> None:
    stream = io.StringIO()
    file = SecondsFile(stream)
    for point in make_tally().series:
        file.add(point)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert [row["second"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["opening_max_ms"] == "4" and rows[1]["opening_max_ms"] == ""
    assert rows[1]["max_ms"] == "100" and 50 <= float(rows[1]["p50_ms"]) <= 50.4
    assert (rows[2]["sent"], rows[2]["bytes_sent"], rows[2]["open"]) == ("100", "7000", "3")


def test_second_without_messages_has_no_latencies() -> None:
    stream = io.StringIO()
    SecondsFile(stream).add(Point(0, 1, 5, Portion()))
    (row,) = csv.DictReader(io.StringIO(stream.getvalue()))
    assert (row["open"], row["p50_ms"], row["max_ms"], row["opening_p50_ms"]) == ("5", "", "", "")
