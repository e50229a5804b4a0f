"""The pictures of a report: scales, labels, and well-formed SVG."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenws.cli.load import charts
from greenws.cli.load.charts import (
    Plot,
    Scale,
    draw_histogram,
    draw_percentiles,
    format_clock,
    format_count,
    format_milliseconds,
)


def read_labels(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


@given(st.floats(1e-3, 1e6), st.floats(1.001, 1e9), st.booleans())
def test_scale_stays_within_its_places(low: float, factor: float, is_log: bool) -> None:
    scale = Scale(low, low * factor, 10, 100, is_log)
    assert scale.place(low) == pytest.approx(10)
    assert scale.place(low * factor) == pytest.approx(100)
    assert scale.place(low / 2) == pytest.approx(10)
    ticks = scale.ticks()
    assert len(ticks) <= 10
    assert all(9.9 <= scale.place(tick) <= 100.1 for tick in ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.9, 22.0, [1, 2, 5, 10, 20]),
        (0.09, 1100.0, [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]),
        (0.1, 1e7, [0.1, 1, 10, 100, 1000, 1e4, 1e5, 1e6, 1e7]),
        (1.1, 1.9, [1.1, 1.9]),
    ],
)
def test_labels_of_a_log_scale_are_round(low: float, high: float, ticks: list[float]) -> None:
    shown = Scale(low, high, 0, 100, is_log=True).ticks()
    if len(ticks) == 9:  # too many for steps of 1, 2 and 5
        assert all(math.log10(tick) % 1 < 0.5 for tick in shown) and len(shown) <= 9
    else:
        assert shown == pytest.approx(ticks)


def test_labels_of_a_linear_scale_are_round() -> None:
    assert Scale(0, 47, 0, 100).ticks() == [0, 10, 20, 30, 40]


RANGES = st.lists(
    st.tuples(st.floats(1e-3, 1e5), st.integers(1, 10**6)), min_size=1, max_size=50
).map(lambda items: sorted([low, low * 1.007, count] for low, count in items))


@settings(max_examples=30)
@given(RANGES)
def test_histogram_shows_every_duration(ranges: list[list[float]]) -> None:
    svg = draw_histogram("x", ranges, [("p50", ranges[0][1])], format_milliseconds)
    counts = [
        int((title.text or "").rpartition(": ")[2].replace(",", ""))
        for title in ElementTree.fromstring(svg).iter("title")
    ]
    assert sum(counts) == sum(count for _low, _high, count in ranges)
    assert "nan" not in svg and "inf" not in svg


@settings(max_examples=30)
@given(RANGES, RANGES)
def test_percentiles_rise_from_left_to_right(
    ranges: list[list[float]], earlier: list[list[float]]
) -> None:
    svg = draw_percentiles("x", ranges, earlier)
    curves = re.findall(r'class="line \w+" d="M([^"]+)"', svg)
    assert len(curves) == 2
    for curve in curves:
        points = [tuple(map(float, point.split())) for point in curve.split("L")]
        assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    assert {"0 %", "90 %"} <= set(read_labels(svg))


def test_single_duration_can_be_drawn() -> None:
    for svg in (
        draw_histogram("x", [[5, 5.01, 1]], [], format_milliseconds),
        draw_percentiles("x", [[5, 5.01, 1]], []),
    ):
        assert ElementTree.fromstring(svg).get("role") == "img"
    assert draw_histogram("x", [[0, 0, 1]], [], format_milliseconds).count("<rect") == 1


def test_labels_do_not_overlap() -> None:
    plot = Plot("x", Scale(0, 100, 64, 506), Scale(0, 10, 220, 14))
    plot.add_axes(lambda value: f"a long label {value:g}", str, [0, 1, 2, 50, 99, 100])
    labels = [label for label in read_labels(plot.to_svg()) if label.startswith("a long")]
    assert labels == ["a long label 0", "a long label 50", "a long label 99"]


def test_gap_between_steps_is_a_gap_in_the_curve() -> None:
    plot = Plot("x", Scale(0, 100, 0, 100), Scale(0, 10, 100, 0))
    plot.add_steps("a", [(0, 10, 5), (10, 20, 6), (50, 60, 7)], is_filled=True)
    assert 'd="M0.0 50.0H10.0L10.0 40.0H20.0M50.0 30.0H60.0"' in plot.to_svg()
    plot.add_steps("b", [])
    plot.add_line("b", [])
    assert 'class="line b"' not in plot.to_svg()


def test_words_are_escaped() -> None:
    plot = Plot('<"x">', Scale(0, 100, 0, 100), Scale(0, 10, 100, 0))
    plot.add_bar("a", 1, 2, 3, "<b>&")
    plot.add_mark("a", 90, "<i>", 0)
    plot.add_axes(lambda value: "<x>", lambda value: "<y>")
    tree = ElementTree.fromstring(plot.to_svg())
    assert tree.get("aria-label") == '<"x">'
    assert {element.tag for element in tree} == {"rect", "path", "text"}


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (format_clock, 30, "30 s"),
        (format_clock, 600, "10 min"),
        (format_clock, 9000, "2.5 h"),
        (format_count, 20, "20"),
        (format_count, 2500, "2.5k"),
        (format_count, 3e6, "3M"),
        (format_milliseconds, 0.5, "0.5 ms"),
        (format_milliseconds, 2500, "2.5 s"),
    ],
)
def test_labels_are_short(function: object, value: float, text: str) -> None:
    assert function(value) == text  # type: ignore[operator]


def test_counts_have_whole_labels() -> None:
    for most in (0, 1, 3, 7, 12345):
        scale = charts.build_count_scale(most)
        assert scale.high >= most
        assert all(tick == int(tick) for tick in scale.ticks())
