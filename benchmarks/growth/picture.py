"""The picture: a panel for each curve, on two axes of powers, as an SVG without any library."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from ..chart import wrap
from .results import CurveResults, Growth, format_quantity

WIDTH = 860
COLUMNS = 2
GAP = 22
#: The height of the head of a panel, of its plot, and of the labels below.
HEAD, PLOT, FOOT = 34, 150, 20
#: The width of the labels on the left.
LEFT = 46
#: The least height of a plot, as a ratio: noise is not to look like a mountain.
LEAST_SPAN = 8.0

_STYLE = """
text { font: 11px "DejaVu Sans", Verdana, sans-serif; fill: #24292f }
.title { font-weight: bold; font-size: 12px }
.note { fill: #57606a; font-size: 10px }
.back { fill: #ffffff } .grid { stroke: #e3e7eb; stroke-width: 1 }
.line { fill: none; stroke-width: 1.6 }
.own { stroke: #1a7f4b } .peer { stroke: #6b7f95 } .bare { stroke: #b98a1f; stroke-dasharray: 5 3 }
.line.own { stroke-width: 2.4 }
.dot.own { fill: #1a7f4b } .dot.peer { fill: #6b7f95 } .dot.bare { fill: #b98a1f }
.dot { stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #e4e8ec } .note { fill: #a7b0b9 } .back { fill: #16191d } .grid { stroke: #2c333a }
.own { stroke: #38b478 } .peer { stroke: #8fa3b8 } .bare { stroke: #d3a83f }
.dot.own { fill: #38b478 } .dot.peer { fill: #8fa3b8 } .dot.bare { fill: #d3a83f }
}
"""


def to_svg(growth: Growth) -> str:
    """Draw all curves."""
    panels = growth.panels()
    width = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS
    top = GAP + 14
    drawn = []
    for number, curve in enumerate(panels):
        x = GAP + number % COLUMNS * (width + GAP)
        y = top + number // COLUMNS * (HEAD + PLOT + FOOT + GAP)
        drawn.append(Panel(curve, x, y, width).draw())
    bottom = top + math.ceil(len(panels) / COLUMNS) * (HEAD + PLOT + FOOT + GAP)
    notes = [
        f'<text class="note" x="{GAP}" y="{bottom + 13 * number:.0f}">{escape(line)}</text>'
        for number, line in enumerate(wrap(growth.describe(), 150))
    ]
    height = bottom + 13 * len(notes) + 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img">\n<title>What a message and a connection '
        f"cost as their size and number grow</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="back" width="{WIDTH}" height="{height:.0f}"/>\n'
        f'<text class="title" x="{GAP}" y="{GAP}">'
        "greenws: cost and growth; all axes are logarithmic</text>\n"
        + "\n".join([*drawn, *notes])
        + "\n</svg>\n"
    )


class Panel:
    """One curve of all its peers."""

    def __init__(self, curve: CurveResults, x: float, y: float, width: float) -> None:
        self._curve = curve
        self._x, self._y, self._width = x, y, width
        self._lines = {peer: curve.line(peer) for peer in curve.values}
        quantities = sorted({quantity for line in self._lines.values() for quantity in line})
        self._quantities = quantities
        values = [value for line in self._lines.values() for value in line.values() if value > 0]
        self._low, self._high = find_span(values)

    def draw(self) -> str:
        """Draw the axes, then the lines: greenws's last, above the others."""
        curve = self._curve
        parts = [
            text("title", self._x, self._y + 10, f"{curve.title}, {curve.unit}"),
            *self._draw_values(),
            *self._draw_quantities(),
            *self._draw_legend(),
        ]
        for peer in sorted(self._lines, key=lambda peer: kind_of(peer) == "own"):
            parts += self._draw_line(peer)
        return "\n".join(parts)

    def _draw_values(self) -> list[str]:
        parts = []
        for value in find_ticks(self._low, self._high):
            y = self._find_y(value)
            parts += [
                f'<path class="grid" d="M{self._x + LEFT:.1f} {y:.1f}H{self._right:.1f}"/>',
                text("note", self._x + LEFT - 5, y + 3, f"{value:,.6g}", "end"),
            ]
        return parts

    def _draw_quantities(self) -> list[str]:
        parts = []
        curve = self._curve
        step = math.ceil(len(self._quantities) / 7)
        bottom = self._y + HEAD + PLOT
        for number, quantity in enumerate(self._quantities):
            if (len(self._quantities) - 1 - number) % step:
                continue
            x = self._find_x(quantity)
            parts += [
                f'<path class="grid" d="M{x:.1f} {self._y + HEAD:.1f}V{bottom:.1f}"/>',
                text("note", x, bottom + 13, format_quantity(quantity, curve.of), "middle"),
            ]
        return parts

    def _draw_legend(self) -> list[str]:
        """Name the peers, in a line above the plot."""
        parts = []
        x, y = self._x, self._y + 25
        for peer in self._lines:
            parts += [
                f'<path class="line {kind_of(peer)}" d="M{x:.1f} {y - 4:.1f}h18"/>',
                text("note", x + 23, y, peer),
            ]
            x += 45 + 6 * len(peer)
        return parts

    def _draw_line(self, peer: str) -> list[str]:
        kind = kind_of(peer)
        points = [
            (self._find_x(quantity), self._find_y(value))
            for quantity, value in sorted(self._lines[peer].items())
            if value > 0
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dots = [
            f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in points
        ]
        return [f'<polyline class="line {kind}" points="{path}"/>', *dots]

    @property
    def _right(self) -> float:
        return self._x + self._width

    def _find_x(self, quantity: int) -> float:
        first, last = self._quantities[0], self._quantities[-1]
        share = math.log(quantity / first) / math.log(last / first) if last > first else 0.5
        return self._x + LEFT + 14 + share * (self._width - LEFT - 40)

    def _find_y(self, value: float) -> float:
        share = math.log(value / self._low) / math.log(self._high / self._low)
        return self._y + HEAD + PLOT * (1 - share)


def text(kind: str, x: float, y: float, words: str, anchor: str = "start") -> str:
    """Write words at a point."""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def kind_of(peer: str) -> str:
    """Return the class of a peer's line."""
    if peer.startswith("bare"):
        return "bare"
    return "own" if peer.startswith("greenws") else "peer"


def find_span(values: list[float]) -> tuple[float, float]:
    """Find the ends of an axis: a little beyond the values, and never too near each other."""
    if not values:
        return 1.0, LEAST_SPAN
    low, high = min(values) / 1.15, max(values) * 1.15
    missing = LEAST_SPAN / (high / low)
    if missing > 1:
        low, high = low / math.sqrt(missing), high * math.sqrt(missing)
    return low, high


def find_ticks(low: float, high: float) -> list[float]:
    """Find round values between the ends of an axis: 1, 2 and 5, or powers of ten alone."""
    decades = math.log10(high / low)
    factors = (1, 2, 5) if decades < 2.2 else (1,)
    step = max(1, round(decades / 5)) if decades >= 2.2 else 1
    first = math.floor(math.log10(low))
    ticks = [
        factor * 10.0**power
        for power in range(first, math.ceil(math.log10(high)) + 1)
        for factor in factors
        if power % step == 0
    ]
    return [tick for tick in ticks if low <= tick <= high]
