"""What a load run counts: latencies in bounded memory, and the summary."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.cli.tally import Latencies, Tally


@given(st.lists(st.floats(1e-6, 1e4), min_size=1), st.sampled_from([0, 50, 90, 99, 100]))
def test_percentile_is_right_to_one_percent(seconds: list[float], percent: int) -> None:
    latencies = Latencies()
    for value in seconds:
        latencies.add(value)
    exact = sorted(seconds)[max(0, -(-len(seconds) * percent // 100) - 1)]
    assert exact * 0.9999 <= latencies.percentile(percent) <= exact * 1.0102
    assert latencies.longest == max(seconds)


def test_latencies_take_bounded_room() -> None:
    latencies = Latencies()
    values = random.Random(1)
    for _ in range(10000):
        latencies.add(values.uniform(0.01, 0.02))
    assert len(latencies._buckets) < 100
    assert latencies.count == 10000


def test_latencies_without_a_sample_are_zero() -> None:
    assert Latencies().percentile(99) == 0


def test_latency_of_zero_is_taken() -> None:
    latencies = Latencies()
    latencies.add(0.0)
    assert latencies.percentile(50) == 0


@pytest.mark.parametrize(
    ("failures", "interrupted_by", "status"), [({}, None, 0), ({"x": 1}, None, 1), ({}, 2, 130)]
)
def test_exit_status_tells_success_failure_and_signal(
    failures: dict[str, int], interrupted_by: int | None, status: int
) -> None:
    tally = Tally(1, 1, interrupted_by=interrupted_by)
    tally.failures.update(failures)
    assert tally.exit_status == status


def test_summary_lists_the_commonest_reasons() -> None:
    tally = Tally(100, 1)
    for number in range(12):
        tally.failures[f"reason {number}"] = number + 1
    lines = tally.format_summary().splitlines()
    assert lines[:3] == [
        "connected   0 of 100",
        "failed      78",
        "            12 x reason 11",
    ]
    assert lines[12] == "            3 x other reasons"
    assert lines[13] == "messages    0 of 100"


def test_summary_has_all_figures_of_a_run() -> None:
    tally = Tally(
        2,
        2,
        started=2,
        connected=2,
        messages=4,
        connect_seconds=0.5,
        message_seconds=2.0,
        memory_before=1024,
        memory_with=1024 * 21,
    )
    for seconds in (0.00123, 0.0456, 0.789, 12.0):
        tally.latencies.add(seconds)
    assert tally.format_summary().splitlines() == [
        "connected   2 of 2 in 0.50 s",
        "failed      0",
        "messages    4 of 4 in 2.00 s",
        "rate        2 messages/s",
        "latency     p50 46.0 ms   p90 12.0 s   p99 12.0 s   max 12.0 s",
        "memory      10.0 KiB per connection (RSS grew by 0.0 MiB)",
    ]
