"""The pictures of a report: SVG, drawn by this module, so that a page needs nothing else.

Colours are classes, which the style sheet of the page gives their values. All texts are escaped
here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

# In units of the picture: two pictures beside each other fill a page of 1,100 pixels, and one fills
# a telephone at three quarters of its size.
WIDTH, HEIGHT = 520, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 14, 30

# The bars of a histogram.
_BARS = 48

# The most labels of an axis, and the width of a letter, at most.
_TICKS = 6
_LETTER = 8


@dataclass(frozen=True)
class Scale:
    """Maps values to places along an axis.

    :param low: the value at the beginning.
    :param high: the value at the end, larger than ``low``.
    """

    low: float
    high: float
    begin: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return the place of a value; what is beyond the axis is at its end."""
        value = min(max(value, self.low), self.high)
        if self.is_log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Return the round values that get a label."""
        if self.is_log:
            return _find_log_ticks(self.low, self.high)
        step = _find_step((self.high - self.low) / (_TICKS - 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def _find_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, ... that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def _find_log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= _TICKS + 2:
            break
    return ticks if len(ticks) > 1 else [low, high]


def _build_log_scale(values: Sequence[float], begin: float, end: float) -> Scale:
    """Make a scale for positive values, with some room around."""
    low, high = min(values), max(values)
    if high < low * 1.5:
        low, high = low / 1.25, high * 1.25
    return Scale(low / 1.02, high * 1.02, begin, end, is_log=True)


def _build_scale(most: float, begin: float, end: float) -> Scale:
    """Make a scale from 0, whose last label is not below the largest value."""
    step = _find_step(max(most, 1e-6) / (_TICKS - 2))
    return Scale(0.0, step * max(1, math.ceil(most / step - 1e-9)), begin, end)


class Plot:
    """One picture, to which curves and bars are added.

    :param title: what it shows, for those who cannot see it.
    """

    def __init__(self, title: str, x: Scale, y: Scale) -> None:
        self._title = title
        self._x = x
        self._y = y
        self._parts: list[str] = []

    def add_axes(
        self,
        format_x: Callable[[float], str],
        format_y: Callable[[float], str],
        x_ticks: Sequence[float] | None = None,
    ) -> None:
        """Add the labels of the axes, with lines."""
        for tick in self._y.ticks():
            y = self._y.place(tick)
            self._parts.append(
                f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
                f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{escape(format_y(tick))}</text>"
            )
        end = 0.0
        for tick in self._x.ticks() if x_ticks is None else x_ticks:
            x, label = self._x.place(tick), format_x(tick)
            self._parts.append(f'<path class="grid" d="M{x:.1f} {HEIGHT - _BOTTOM}v4"/>')
            half = len(label) * _LETTER / 2
            middle = min(x, WIDTH - half)
            if middle - half > end:  # labels do not overlap
                end = middle + half + _LETTER
                self._parts.append(
                    f'<text x="{middle:.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
                    f"{escape(label)}</text>"
                )
        self._parts.append(f'<path class="axis" d="M{_LEFT} {HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}"/>')

    def add_line(self, kind: str, points: Iterable[tuple[float, float]]) -> None:
        """Add a curve through points."""
        places = [f"{self._x.place(x):.1f} {self._y.place(y):.1f}" for x, y in points]
        if places:
            self._parts.append(f'<path class="line {kind}" d="M{"L".join(places)}"/>')

    def add_steps(
        self, kind: str, steps: Iterable[tuple[float, float, float]], is_filled: bool = False
    ) -> None:
        """Add a curve of steps: from, to, and the value in between."""
        commands: list[str] = []
        end, bottom = -1.0, self._y.place(self._y.low)
        filled: list[str] = []
        for low, high, value in steps:
            left, right, y = self._x.place(low), self._x.place(high), self._y.place(value)
            # A gap between two steps is a gap in the curve.
            commands.append(f"{'L' if left == end else 'M'}{left:.1f} {y:.1f}H{right:.1f}")
            filled.append(f"M{left:.1f} {bottom:.1f}V{y:.1f}H{right:.1f}V{bottom:.1f}z")
            end = right
        if is_filled:
            self._parts.append(f'<path class="area {kind}" d="{"".join(filled)}"/>')
        if commands:
            self._parts.append(f'<path class="line {kind}" d="{"".join(commands)}"/>')

    def add_bar(self, kind: str, low: float, high: float, value: float, title: str) -> None:
        """Add a bar, with a text that is shown where the pointer is."""
        left, right = self._x.place(low), self._x.place(high)
        top, bottom = self._y.place(value), self._y.place(self._y.low)
        # The least of values can be seen.
        top = min(top, bottom - 1)
        self._parts.append(
            f'<rect class="bar {kind}" x="{left:.1f}" y="{top:.1f}" '
            f'width="{max(0.8, right - left - 1):.1f}" height="{bottom - top:.1f}">'
            f"<title>{escape(title)}</title></rect>"
        )

    def add_mark(self, kind: str, value: float, label: str, row: int) -> None:
        """Add an upright line at a value, with a label in one of the rows at the top."""
        x, y = self._x.place(value), _TOP + 11 + 15 * row
        anchor, shift = ("end", -4) if x > WIDTH * 0.7 else ("start", 4)
        self._parts.append(
            f'<path class="mark {kind}" d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>'
            f'<text class="label" x="{x + shift:.1f}" y="{y}" text-anchor="{anchor}">'
            f"{escape(label)}</text>"
        )

    def to_svg(self) -> str:
        """Return the picture."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self._title)}">'
            + "".join(self._parts)
            + "</svg>"
        )


def find_area() -> tuple[float, float, float, float]:
    """Return the edges of the area of a picture: left, right, bottom, top."""
    return _LEFT, WIDTH - _RIGHT, HEIGHT - _BOTTOM, _TOP


def draw_histogram(
    title: str,
    ranges: Sequence[Sequence[float]],
    marks: Sequence[tuple[str, float]],
    format_time: Callable[[float], str],
) -> str:
    """Draw how many durations there are of which length.

    :param ranges: from, to, count; at least one, from short to long.
    :param marks: values that get a line, by name.
    """
    left, right, bottom, top = find_area()
    x = _build_log_scale([max(ranges[0][0], 1e-6), max(ranges[-1][1], 1e-6)], left, right)
    width = math.log(x.high / x.low) / _BARS
    counts = [0.0] * _BARS
    for low, high, count in ranges:
        middle = max((low + high) / 2, x.low)
        counts[min(_BARS - 1, max(0, int(math.log(middle / x.low) / width)))] += count
    plot = Plot(title, x, _build_scale(max(counts), bottom, top))
    plot.add_axes(format_milliseconds, format_count)
    for number, count in enumerate(counts):
        if count:
            edges = x.low * math.exp(width * number), x.low * math.exp(width * (number + 1))
            words = f"{format_time(edges[0])} to {format_time(edges[1])}: {count:,.0f}"
            plot.add_bar("a", *edges, count, words)
    for row, (name, value) in enumerate(marks):
        plot.add_mark("b", value, f"{name} {format_time(value)}", row)
    return plot.to_svg()


def draw_percentiles(
    title: str,
    ranges: Sequence[Sequence[float]],
    earlier: Sequence[Sequence[float]],
) -> str:
    """Draw which part of the durations is how long at most; each nine has the same width.

    :param ranges: as of :func:`draw_histogram`.
    :param earlier: those of an earlier run, or none.
    """
    left, right, bottom, top = find_area()
    count = sum(item[2] for item in ranges)
    nines = min(6, max(2, math.ceil(math.log10(max(count, 1)))))
    longest = max(item[1] for item in [*ranges, *earlier])
    x = Scale(0.0, float(nines), left, right)
    plot = Plot(title, x, _build_scale(longest, bottom, top))
    ticks = [0.0, math.log10(2), *map(float, range(1, nines + 1))]
    plot.add_axes(_format_nines, format_milliseconds, ticks)
    plot.add_line("old", _find_curve(earlier, nines))
    plot.add_line("a", _find_curve(ranges, nines))
    return plot.to_svg()


def _find_curve(ranges: Sequence[Sequence[float]], nines: int) -> Iterable[tuple[float, float]]:
    """Find the points of a curve: nines, and the longest duration of such a part."""
    count = sum(item[2] for item in ranges)
    seen = 0.0
    for low, high, here in ranges:
        if not seen:
            yield 0.0, low
        seen += here
        if seen >= count:
            yield min(float(nines), math.log10(count) if count > 1 else nines), high
            return
        yield min(float(nines), -math.log10(1 - seen / count)), high


def _format_nines(nines: float) -> str:
    return f"{100 - 100 / 10**nines:.6g} %"


def format_milliseconds(milliseconds: float) -> str:
    """Return a round duration in short."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.4g} s"
    return f"{milliseconds:.3g} ms"


def format_count(count: float) -> str:
    """Return a large number in short."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:g}{unit}"
    return f"{count:g}"


def format_clock(seconds: float) -> str:
    """Return a time of a run in short."""
    if seconds < 120:
        return f"{seconds:g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def build_time_plot(title: str, seconds: float, y: Scale, format_y: Callable[[float], str]) -> Plot:
    """Make a picture over the time of a run.

    :param seconds: the length of the run.
    """
    left, right, _bottom, _top = find_area()
    plot = Plot(title, Scale(0.0, seconds, left, right), y)
    plot.add_axes(format_clock, format_y)
    return plot


def build_count_scale(most: float) -> Scale:
    """Make the upright scale of a picture of counts, whose labels are whole numbers."""
    _left, _right, bottom, top = find_area()
    return _build_scale(max(most, _TICKS - 2), bottom, top)


def build_time_scale(values: Sequence[float]) -> Scale:
    """Make the upright scale of a picture of durations, which may differ a lot."""
    _left, _right, bottom, top = find_area()
    return _build_log_scale([max(value, 1e-6) for value in values], bottom, top)
