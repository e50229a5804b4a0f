"""The report: all results of a run, as JSON and as tables in reST."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .rows import METRICS
from .summary import Line, Ratio, RowSummary, Verdict

#: What the CPU time is that of, beside a metric.
_CPU_OF = {"rate": "message", "throughput": "megabyte"}
_WORDS = {True: "holds", False: "misses", None: "not measured"}


@dataclass
class Report:
    """The circumstances and the results of a run.

    :param judged_by: ``time`` or ``cpu``: the measure by which rates are judged.
    """

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    build: str
    server: str
    pace: dict[str, Any]
    judged_by: str = "time"
    is_pinned: bool = True
    rows: list[RowSummary] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        data = {**vars(self), "rows": [row.to_json() for row in self.rows]}
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read a report that :meth:`to_json` has written."""
        data = json.loads(text)
        data["rows"] = [RowSummary.from_json(row) for row in data["rows"]]
        return cls(**data)

    def describe(self) -> list[str]:
        """Describe the run in a few lines."""
        machine = self.machine
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        pinned = "client and server on a core each" if self.is_pinned else "not pinned to cores"
        return [
            (
                f"{self.date}; {machine['python']}; {machine['system']}; {machine['processor']}, "
                f"{machine['cores']} cores; {pinned}."
            ),
            f"greenws: {self.build}. {versions}. Server on {self.server}.",
            f"{self.pace['rounds']} rounds of {self.pace['seconds']:g} s; rates are judged by "
            + ("messages a second." if self.judged_by == "time" else "CPU time a message."),
        ]


def format_value(value: float, unit: str) -> str:
    """Format a value with three significant digits, and its unit."""
    if unit == "1/s":
        for factor, letter in ((1e6, "M"), (1e3, "k")):
            if value >= factor:
                return f"{value / factor:.3g} {letter}/s"
        return f"{value:.3g} /s"
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def format_verdict(verdict: Verdict, unit: str) -> str:
    """Format a bar, the reached value, and the verdict."""
    if verdict.reached is None:
        return f"{verdict.bar}: not measured"
    if verdict.bar.startswith("≤"):
        return f"{verdict.bar} {unit}: {verdict.reached:.3g}, {_WORDS[verdict.holds]}"
    return f"{verdict.bar}: {verdict.reached:.2f}, {_WORDS[verdict.holds]}"


def to_rst(report: Report) -> str:
    """Write the whole report as reST: the bars first, then a table for each row."""
    parts = ["\n".join(report.describe()), _bars_table(report.rows)]
    parts += [_row_table(row) for row in report.rows]
    return "\n\n".join(parts) + "\n"


def _bars_table(rows: list[RowSummary]) -> str:
    lines = [["work", "greenws", "bar: reached", "aim: reached"]]
    for row in rows:
        own = [line.value for line in row.lines if line.peer == row.subject]
        bars = "; ".join(format_verdict(bar, row.unit) for bar in row.bars)
        lines.append(
            [
                row.title,
                format_value(own[0], row.unit) if own else "failed",
                bars,
                format_verdict(row.aim, row.unit) if row.aim else "",
            ]
        )
    return grid(lines)


def _row_table(row: RowSummary) -> str:
    what, _, more_is_better = METRICS[row.metric]
    title = f"{row.title}: {what}"
    head = ["", what, f"{row.subject} is better by", "lowest to highest"]
    if row.metric in _CPU_OF:
        head += [f"CPU a {_CPU_OF[row.metric]}", "better by"]
    if row.metric in _CPU_OF or row.metric == "cpu":
        head += ["busy"]
    lines = [head]
    ordered = sorted(row.lines, key=lambda line: line.value, reverse=more_is_better)
    lines += [_row_line(line, row.metric) for line in ordered]
    lines += [[name, "failed"] + [""] * (len(head) - 2) for name in row.failures]
    parts = [title, "~" * len(title), "", grid(lines)]
    parts += [f"\n{name}: {why}" for name, why in row.failures.items()]
    return "\n".join(parts)


def _row_line(line: Line, metric: str) -> list[str]:
    ratio = line.ratio
    cells = [
        line.peer,
        format_value(line.value, METRICS[metric][1]),
        _format_ratio(ratio),
        f"{ratio.worst:.2f} to {ratio.best:.2f}" if ratio else "",
    ]
    if metric in _CPU_OF:
        cells += [
            format_value(line.cpu, "µs") if line.cpu is not None else "",
            _format_ratio(line.cpu_ratio),
        ]
    if metric in _CPU_OF or metric == "cpu":
        cells.append(f"{line.busy:.0%}" if line.busy is not None else "")
    return cells


def _format_ratio(ratio: Ratio | None) -> str:
    return f"{ratio.median:.2f} x" if ratio else ""


def grid(lines: list[list[str]]) -> str:
    """Draw a simple table of reST; the first line is the head of the table."""
    # A line with an empty first cell would continue the line above.
    cells = [
        [cell or ("\\" if not number else "") for number, cell in enumerate(line)] for line in lines
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    drawn = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([rule, drawn[0], rule, *drawn[1:], rule])
