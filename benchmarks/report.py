"""The report: all results of a run, as JSON and as tables in reST."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .rows import METRICS
from .summary import Line, Ratio, RowSummary, Verdict

_WORDS = {True: "held", False: "missed", None: "not measured"}


@dataclass
class Report:
    """The circumstances and the results of a run.

    :param name: the name of the machine.
    :param commit: the commit that was measured, and whether files had changed; empty: unknown.
    :param loop: the event loop that gevent ran on.
    :param judged_by: ``auto``, ``time`` or ``cpu``: the option ``--judge``.
    :param note: what else a reader has to know; empty: nothing.
    """

    date: str
    name: str
    machine: dict[str, str]
    versions: dict[str, str]
    build: str
    commit: str
    loop: str
    server: str
    pace: dict[str, Any]
    judged_by: str = "auto"
    is_pinned: bool = True
    note: str = ""
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
        """Describe the machine and the run in a few lines."""
        machine = self.machine
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        pinned = "client and server on a core each" if self.is_pinned else "not pinned to cores"
        commit = f", commit {self.commit}" if self.commit else ""
        lines = [
            (
                f"{machine['processor']} ({machine['kind']}), {machine['cores']} cores, "
                f"caches {machine['caches']}, {machine['virtual']}; {machine['system']}; {pinned}."
            ),
            (
                f"{self.date}{commit}; greenws: {self.build}; {machine['python']}, gevent on "
                f"{self.loop}, server on {self.server}. {versions}."
            ),
            f"{self._describe_pace()}; {self._describe_judge()}.",
        ]
        return [*lines, self.note] if self.note else lines

    def _describe_pace(self) -> str:
        pace = self.pace
        rounds = f"{pace['rounds']}"
        if pace["most_rounds"] > pace["rounds"]:
            rounds += f" to {pace['most_rounds']}"
        return f"{rounds} rounds of {pace['seconds']:g} s"

    def _describe_judge(self) -> str:
        if self.judged_by == "auto":
            return "each row says by what it is judged"
        return "rates are judged by " + (
            "messages a second" if self.judged_by == "time" else "CPU time of a message"
        )

    def count_bars(self) -> tuple[int, int, int]:
        """Count the bars that are held, that are missed, and that are not measured."""
        found = [bar.holds for row in self.rows for bar in row.bars]
        return found.count(True), found.count(False), found.count(None)

    def conclude(self) -> str:
        """Say in one line how many bars are held, and which are missed."""
        held, missed, unknown = self.count_bars()
        text = f"{held} bar{'s' * (held != 1)} held, {missed} missed"
        if missed:
            names = [
                f"{row.name} ({bar.bar}{'' if bar.reached is None else f': {bar.reached:.3g}'})"
                for row in self.rows
                for bar in row.bars
                if bar.holds is False
            ]
            text += f": {', '.join(names)}"
        if unknown:
            text += f"; {unknown} not measured"
        restless = [row.name for row in self.rows if row.lines and row.rounds > 1 and not row.still]
        if restless:
            text += f"; not still: {', '.join(restless)}"
        return text + "."


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


def format_stillness(row: RowSummary) -> str:
    """Say of how many rounds the figures are, and whether they stood still."""
    if row.rounds == 1:
        return "one round"
    if row.still:
        return f"stood still for {row.still} of {row.rounds} rounds"
    return f"did not stand still in {row.rounds} rounds"


def to_rst(report: Report) -> str:
    """Write the whole report as reST: the bars first, then a table for each row."""
    parts = ["\n".join(report.describe()), report.conclude(), _bars_table(report.rows)]
    for row in report.rows:
        title = row_title(row)
        parts += [f"{title}\n{'~' * len(title)}", row_body(row)]
    return "\n\n".join(parts) + "\n"


def _bars_table(rows: list[RowSummary]) -> str:
    lines = [["work", "greenws", "bar: reached", "aim: reached", "judged by"]]
    for row in rows:
        bars = "; ".join(format_verdict(bar, row.unit) for bar in row.bars)
        lines.append(
            [
                row.title,
                format_value(row.own.value, row.unit) if row.own else "failed",
                bars,
                format_verdict(row.aim, row.unit) if row.aim else "",
                METRICS[row.basis.metric].title,
            ]
        )
    return grid(lines)


def row_title(row: RowSummary) -> str:
    """Return the title of the table of a row."""
    return f"{row.title}: {METRICS[row.metric].title}"


def row_body(row: RowSummary) -> str:
    """Say by what a row is judged, and draw the table of its peers."""
    metric = METRICS[row.metric]
    head = ["", metric.title, f"{row.subject} is better by", "lowest to highest"]
    other = None
    if any(line.cpu is not None for line in row.lines):
        other = "rate" if row.metric == metric.cpu else metric.cpu
        head += [METRICS[other].title, "better by", "busy"]
    lines = [head]
    ordered = sorted(row.lines, key=lambda line: line.value, reverse=metric.more_is_better)
    lines += [_row_line(line, row.metric, other) for line in ordered]
    lines += [[name, "failed"] + [""] * (len(head) - 2) for name in row.failures]
    said = [f"judged by {row.basis}", format_stillness(row), row.date]
    if row.commit:
        said.append(f"commit {row.commit}")
    parts = [f"{'; '.join(filter(None, said))}.", "", grid(lines)]
    parts += [f"\n{name}: {why}" for name, why in row.failures.items()]
    return "\n".join(parts)


def _row_line(line: Line, metric: str, other: str | None) -> list[str]:
    ratio = line.ratio
    cells = [
        line.peer,
        format_value(line.value, METRICS[metric].unit),
        _format_ratio(ratio),
        f"{ratio.worst:.2f} to {ratio.best:.2f}" if ratio else "",
    ]
    if other is not None:
        value, ratio = (
            (line.rate, line.rate_ratio) if other == "rate" else (line.cpu, line.cpu_ratio)
        )
        cells += [
            "" if value is None else format_value(value, METRICS[other].unit),
            _format_ratio(ratio),
            f"{line.busy:.0%}" if line.busy is not None else "",
        ]
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
