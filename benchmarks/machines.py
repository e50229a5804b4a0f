"""The machines: the published results of each, and the figures that hold on all of them.

``docs/benchmarks`` has a file for each machine. A figure in a page is a range, from the lowest
result of any round on any machine to the highest one: the best machine proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from .report import Report
from .summary import Line, Ratio, RowSummary

Range = tuple[float, float]


class NotMeasured(Exception):
    """No machine has measured a figure."""


def read_machines(folder: Path) -> list[Report]:
    """Read the results of all machines, in the order of the machines' names."""
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.json")]
    # Files of other measurements may lie beside those of machines.
    reports = [
        Report.from_json(text) for text in texts if {"machine", "rows"} <= set(json.loads(text))
    ]
    return sorted(reports, key=lambda report: report.name)


def merge(old: Report, new: Report, order: Sequence[str]) -> Report:
    """Put the rows of a run in the place of a machine's earlier ones; keep the other rows.

    :param order: the names of the rows, in their order.
    """
    rows = {row.name: row for row in (*old.rows, *new.rows)}
    names = [name for name in order if name in rows]
    return replace(
        new,
        versions={**old.versions, **new.versions},
        rows=[rows[name] for name in names],
        results={name: {**old.results, **new.results}[name] for name in names},
    )


def find_rows(reports: Iterable[Report], name: str) -> list[RowSummary]:
    """Find the summaries of a row on all machines."""
    return [row for report in reports for row in report.rows if row.name == name and row.lines]


def find_values(reports: Iterable[Report], row: str, peer: str) -> Range:
    """Find the lowest and the highest value of a peer in a row, over all rounds and machines.

    :raises NotMeasured: no machine has measured the peer.
    """
    lines = [line for found in find_rows(reports, row) for line in found.lines if line.peer == peer]
    if not lines:
        raise NotMeasured(f"{peer} in {row}")
    return min(line.low for line in lines), max(line.high for line in lines)


def find_ratios(reports: Iterable[Report], row: str, family: str) -> Range:
    """Find the lowest and the highest ratio to the best peer of a family, as the row is judged.

    :raises NotMeasured: no machine has measured a peer of the family.
    """
    found = []
    for summary in find_rows(reports, row):
        ratios = [
            ratio
            for line in summary.lines
            if line.family == family and (ratio := judged_ratio(summary, line)) is not None
        ]
        if ratios:
            found.append(min(ratios, key=lambda ratio: ratio.median))
    if not found:
        raise NotMeasured(f"{family} in {row}")
    return min(ratio.worst for ratio in found), max(ratio.best for ratio in found)


def judged_ratio(row: RowSummary, line: Line) -> Ratio | None:
    """Return the ratio that counts for the bars."""
    return line.ratio if row.basis.metric == row.metric else line.cpu_ratio


def name_machines(reports: Sequence[Report]) -> str:
    """Say in a few words which machines have been measured."""
    names = [f"{simplify(r.machine['processor'])} with {r.machine['cores']} cores" for r in reports]
    count = "one machine" if len(names) == 1 else f"{len(names)} machines"
    return f"{count}: {'; '.join(names)}"


def simplify(processor: str) -> str:
    """Shorten the name of a processor: no marks, and no frequency."""
    for mark in ("(R)", "(TM)", "(C)", " CPU", " Processor"):
        processor = processor.replace(mark, "")
    return processor.partition(" @")[0].strip()
