"""The chart: an SVG, drawn by this module so that no library is needed."""

from __future__ import annotations

import math
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


def to_svg(report: Report) -> str:
    """Draw a panel for each row, with a bar for each peer; the best peer comes first."""
    panels = [row for row in report.rows if row.lines]
    width = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS
    bottoms = [float(GAP + 20)] * COLUMNS
    drawn = []
    for row in panels:
        column = bottoms.index(min(bottoms))
        x = GAP + column * (width + GAP)
        drawn.append(_draw_panel(row, x, bottoms[column], width))
        bottoms[column] += HEAD_HEIGHT + BAR_HEIGHT * len(row.lines) + GAP
    described = report.describe()
    top = max(bottoms)
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


def _draw_panel(row: RowSummary, x: float, y: float, width: float) -> str:
    what, unit, more_is_better = METRICS[row.metric]
    lines = sorted(row.lines, key=lambda line: line.value, reverse=more_is_better)
    room = width - LABEL_WIDTH - VALUE_WIDTH
    longest = min(max(line.value for line in lines), _find_limit(row, more_is_better))
    hint = "more is better" if more_is_better else "less is better"
    parts = [
        f'<text class="title" x="{x:.0f}" y="{y + 10:.0f}">{escape(row.title)}</text>',
        f'<text class="note" x="{x:.0f}" y="{y + 23:.0f}">{escape(what)}, {hint}</text>',
    ]
    for number, line in enumerate(lines):
        top = y + HEAD_HEIGHT + number * BAR_HEIGHT
        length = max(1.0, room * min(line.value, longest) / longest)
        cut = " …" if line.value > longest else ""
        kind = "own" if line.peer == row.subject else "peer"
        if line.family.startswith("bare"):
            kind = "bare"
        start = x + LABEL_WIDTH
        parts += [
            (
                f'<text x="{start - 5:.0f}" y="{top + 10:.0f}" text-anchor="end">'
                f"{escape(line.peer)}</text>"
            ),
            (
                f'<rect class="{kind}" x="{start:.0f}" y="{top + 1:.0f}" width="{length:.1f}" '
                f'height="{BAR_HEIGHT - 4}"/>'
            ),
            (
                f'<text x="{start + length + 4:.0f}" y="{top + 10:.0f}">'
                f"{format_value(line.value, unit)}{cut}</text>"
            ),
        ]
    return "\n".join(parts)


def _find_limit(row: RowSummary, more_is_better: bool) -> float:
    """Find the length at which bars are cut off: one long bar would make dots of the others."""
    if more_is_better:  # the bare sockets may be far ahead
        return 3 * max(
            (line.value for line in row.lines if not line.family.startswith("bare")),
            default=math.inf,
        )
    return max((6 * line.value for line in row.lines if line.peer == row.subject), default=math.inf)


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
