"""The summary of a load run."""

from __future__ import annotations

from greenws.cli.load.summary import format_summary
from greenws.cli.load.tally import Portion, Tally


def test_summary_lists_the_commonest_reasons() -> None:
    tally = Tally(100, 1)
    portion = Portion()
    for number in range(12):
        portion.failures[f"reason {number}"] = number + 1
    tally.add(portion)
    lines = format_summary(tally).splitlines()
    assert lines[:3] == [
        "connected   0 of 100",
        "failed      78",
        "            12 x reason 11",
    ]
    assert lines[12] == "            3 x other reasons"
    assert lines[13] == "messages    0 of 100"


def test_summary_has_all_figures_of_a_run() -> None:
    tally = Tally(2, 2)
    portion = Portion(
        started=2,
        connected=2,
        sent=5,
        replies=4,
        others=3,
        missed=1,
        bytes_sent=2048,
        bytes_received=999,
        memory=20 * 1024,
        connect_seconds=0.5,
        message_seconds=2.0,
    )
    portion.openings.add([0.25])
    portion.latencies.add([0.00123, 0.0456, 0.789, 12.0])
    portion.delays.add([0.0])
    tally.add(portion)
    assert format_summary(tally).splitlines() == [
        "connected   2 of 2 in 0.50 s",
        "failed      0",
        "opening     p50 250 ms   p90 250 ms   p99 250 ms   p99.9 250 ms   max 250 ms",
        "messages    4 of 4 in 2.00 s",
        "rate        2 messages/s",
        "unanswered  1",
        "unsent      1 were due, and the connection had no room",
        "latency     p50 45.7 ms   p90 12.0 s   p99 12.0 s   p99.9 12.0 s   max 12.0 s",
        "late        p50 0.00 ms   p90 0.00 ms   p99 0.00 ms   p99.9 0.00 ms   max 0.00 ms",
        "others      3 messages of the server that are no replies",
        "traffic     2.0 KiB sent, 999 B received",
        "memory      10.0 KiB per connection (RSS grew by 0.0 MiB)",
    ]


def test_interrupted_run_says_so() -> None:
    tally = Tally(5, None)
    tally.interrupted_by = 2
    tally.add(Portion(started=3, replies=7, sent=7, message_seconds=1.0))
    lines = format_summary(tally).splitlines()
    assert lines[0] == "connected   0 of 5, then interrupted (3 were attempted)"
    assert lines[2] == "messages    7 in 1.00 s"
