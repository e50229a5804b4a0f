"""The chart: an SVG, drawn by this module so that no library is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from xml.sax.saxutils import escape

from .report import Report, format_value
from .rows import METRICS
from .summary import RowSummary

WIDTH = 860
#: The number of columns of panels.
COLUMNS = 2
BAR_HEIGHT = 15
HEAD_HEIGHT = 30
GAP = 22
LABEL_WIDTH = 138
VALUE_WIDTH = 68
#: The width of a value that is a range over several machines.
RANGE_WIDTH = 112

_STYLE = """
text { font: 11px "DejaVu Sans", Verdana, sans-serif; fill: #24292f }
.title { font-weight: bold; font-size: 12px }
.note { fill: #57606a; font-size: 10px }
.peer { fill: #a9b7c6 } .own { fill: #1a7f4b } .bare { fill: #e3cf9d }
.back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #e4e8ec } .note { fill: #a7b0b9 } .back { fill: #16191d }
.peer { fill: #566779 } .own { fill: #38b478 } .bare { fill: #8a7438 }
}
"""


def to_svg(reports: Sequence[Report]) -> str:
    """Draw a panel for each row, with a bar for each peer and machine; the best peer is first."""
    names = list(dict.fromkeys(row.name for report in reports for row in report.rows if row.lines))
    width = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS
    bottoms = [float(GAP + 20)] * COLUMNS
    drawn = []
    for name in names:
        panel = _Panel([find_row(report, name) for report in reports])
        column = bottoms.index(min(bottoms))
        drawn.append(panel.draw(GAP + column * (width + GAP), bottoms[column], width))
        bottoms[column] += panel.height + GAP
    top = max(bottoms)
    described = [line for report in reports for line in report.describe()]
    if len(reports) > 1:
        order = ", ".join(report.name for report in reports)
        described.insert(0, f"The bars of a peer, from top to bottom: {order}.")
    notes = [
        f'<text class="note" x="{GAP}" y="{top + 13 * number:.0f}">{escape(line)}</text>'
        for number, line in enumerate(wrap(described, 150))
    ]
    height = top + 13 * len(notes) + 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img">\n<title>greenws and its peers</title>\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect class="back" width="{WIDTH}" height="{height:.0f}"/>\n'
        f'<text class="title" x="{GAP}" y="{GAP}">greenws beside its peers</text>\n'
        + "\n".join([*drawn, *notes])
        + "\n</svg>\n"
    )


def find_row(report: Report, name: str) -> RowSummary | None:
    """Find a row of a machine; None: the machine has not measured it."""
    return next((row for row in report.rows if row.name == name and row.lines), None)


class _Panel:
    """The panel of a row: for each peer a group of bars, one for each machine.

    :param rows: the row on each machine; None: the machine has not measured it.
    """

    def __init__(self, rows: Sequence[RowSummary | None]) -> None:
        found = [row for row in rows if row is not None]
        self._row = found[0]
        self._metric = METRICS[self._row.metric]
        # The values of each peer, machine by machine.
        self._values: dict[str, list[float | None]] = {}
        self._families = {line.peer: line.family for row in found for line in row.lines}
        for peer in self._families:
            self._values[peer] = [_value_on(row, peer) for row in rows]
        self._count = len(rows)
        self._by_cpu = any(row.basis.metric != row.metric for row in found)
        self._bar_height = (BAR_HEIGHT - 4) if len(rows) == 1 else max(4, 14 // len(rows))
        self._group_height = self._bar_height * len(rows) + 4

    @property
    def height(self) -> int:
        return HEAD_HEIGHT + self._group_height * len(self._values)

    def draw(self, x: float, y: float, width: float) -> str:
        """Draw the panel with its left upper corner at ``x`` and ``y``."""
        metric = self._metric
        hint = "more is better" if metric.more_is_better else "less is better"
        note = f"{metric.title}, {hint}"
        if self._by_cpu:
            note += f"; judged by {METRICS[metric.cpu].title}"
        parts = [
            f'<text class="title" x="{x:.0f}" y="{y + 10:.0f}">{escape(self._row.title)}</text>',
            f'<text class="note" x="{x:.0f}" y="{y + 23:.0f}">{escape(note)}</text>',
        ]
        ordered = sorted(self._values, key=self._middle, reverse=metric.more_is_better)
        room = width - LABEL_WIDTH - (RANGE_WIDTH if self._count > 1 else VALUE_WIDTH)
        for number, peer in enumerate(ordered):
            top = y + HEAD_HEIGHT + number * self._group_height
            parts += self._draw_peer(peer, x + LABEL_WIDTH, top, room)
        return "\n".join(parts)

    def _draw_peer(self, peer: str, start: float, top: float, room: float) -> list[str]:
        longest = self._find_longest()
        kind = "own" if peer == self._row.subject else "peer"
        if self._families[peer].startswith("bare"):
            kind = "bare"
        base = top + self._group_height / 2 + 2.5
        parts = [
            (f'<text x="{start - 5:.0f}" y="{base:.0f}" text-anchor="end">{escape(peer)}</text>')
        ]
        end = start
        for number, value in enumerate(self._values[peer]):
            if value is None:
                continue
            length = max(1.0, room * min(value, longest) / longest)
            end = max(end, start + length)
            y = top + 1 + number * self._bar_height
            parts.append(
                f'<rect class="{kind}" x="{start:.0f}" y="{y:.0f}" '
                f'width="{length:.1f}" height="{self._bar_height - (self._count > 1)}"/>'
            )
        values = self._measured(peer)
        unit = self._metric.unit
        ends = [format_value(value, unit) for value in (min(values), max(values))]
        if ends[0].split()[1:] == ends[1].split()[1:]:
            ends[0] = ends[0].split()[0]  # the unit is told once
        if ends[1].startswith(f"{ends[0]} "):
            ends = ends[1:]
        cut = " …" if max(values) > longest else ""
        parts.append(f'<text x="{end + 4:.0f}" y="{base:.0f}">{" to ".join(ends)}{cut}</text>')
        return parts

    def _measured(self, peer: str) -> list[float]:
        return [value for value in self._values[peer] if value is not None]

    def _middle(self, peer: str) -> float:
        return fmean(self._measured(peer))

    def _find_longest(self) -> float:
        """Find the length at which bars are cut off: one long bar would make dots of the others."""
        highest = max(max(self._measured(peer)) for peer in self._values)
        if self._metric.more_is_better:  # the bare sockets may be far ahead
            shown = [p for p in self._values if not self._families[p].startswith("bare")]
            factor = 3
        else:
            shown = [peer for peer in self._values if peer == self._row.subject]
            factor = 6
        return min(highest, max((factor * max(self._measured(p)) for p in shown), default=math.inf))


def _value_on(row: RowSummary | None, peer: str) -> float | None:
    if row is None:
        return None
    return next((line.value for line in row.lines if line.peer == peer), None)


def wrap(lines: list[str], width: int) -> list[str]:
    """Break lines that are longer than ``width`` characters."""
    wrapped = []
    for line in lines:
        words = line.split(" ")
        current = words[0]
        for word in words[1:]:
            if len(current) + 1 + len(word) > width:
                wrapped.append(current)
                current = word
            else:
                current += " " + word
        wrapped.append(current)
    return wrapped
