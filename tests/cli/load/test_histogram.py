"""Distributions of durations: bounded memory, percentiles exact to 0.8 %, and merging."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.cli.load.histogram import Histogram, find_edge

DURATIONS = st.lists(st.floats(1e-6, 1e4), min_size=1)


def collect(seconds: list[float]) -> Histogram:
    histogram = Histogram()
    histogram.add(seconds)
    return histogram


@given(DURATIONS, st.sampled_from([0, 50, 90, 99, 99.9, 100]))
def test_percentile_is_right_to_a_part_in_128(seconds: list[float], percent: float) -> None:
    histogram = collect(seconds)
    rank = max(1, -(-len(seconds) * int(percent * 10) // 1000))
    exact = sorted(seconds)[rank - 1]
    assert exact * 0.9999 <= histogram.percentile(percent) <= exact * (1 + 1 / 128) * 1.0001
    assert histogram.longest == max(seconds)
    assert histogram.shortest == min(seconds)
    assert histogram.mean == pytest.approx(sum(seconds) / len(seconds))


@given(DURATIONS, DURATIONS)
def test_merged_parts_are_as_the_whole(some: list[float], others: list[float]) -> None:
    merged, whole = collect(some), collect([*some, *others])
    merged.merge(collect(others))
    assert merged.buckets == whole.buckets
    assert (merged.count, merged.longest, merged.shortest) == (
        whole.count,
        whole.longest,
        whole.shortest,
    )
    assert merged.total == pytest.approx(whole.total)


@given(DURATIONS)
def test_ranges_hold_all_durations_in_order(seconds: list[float]) -> None:
    ranges = list(collect(seconds).ranges())
    assert sum(count for _low, _high, count in ranges) == len(seconds)
    for low, high, _count in ranges:
        assert low < high <= low * (1 + 1 / 128)
        assert any(low * 0.9999 <= value <= high * 1.0001 for value in seconds)
    assert ranges == sorted(ranges)


def test_memory_does_not_grow_with_the_number_of_durations() -> None:
    values = random.Random(1)
    histogram = collect([values.uniform(0.01, 0.02) for _ in range(10000)])
    assert len(histogram.buckets) <= 130
    assert histogram.count == 10000


def test_nothing_is_zero() -> None:
    histogram = Histogram()
    histogram.add([])
    histogram.merge(Histogram())
    assert (histogram.percentile(99), histogram.mean, list(histogram.ranges())) == (0, 0, [])
    histogram.merge(collect([0.5]))
    assert histogram.shortest == 0.5


def test_duration_of_zero_is_taken() -> None:
    assert collect([0.0]).percentile(50) == 0


def test_each_power_of_two_has_128_buckets_of_one_width() -> None:
    (bucket,) = collect([0.5]).buckets
    edges = [find_edge(bucket + number) for number in range(129)]
    assert (edges[0], edges[128]) == (0.5, 1.0)
    assert {after - before for before, after in itertools.pairwise(edges)} == {0.5 / 128}
