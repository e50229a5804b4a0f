"""Publishing: from the files of the machines to the page of figures, the chart, and the claims.

``python -m benchmarks.publish`` writes them again from the files, and measures nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .chart import to_svg
from .claims import CLAIMS
from .machines import find_rows, merge, name_machines, read_machines
from .report import Report, format_value, format_verdict, grid, row_body, row_title
from .rows import ROWS
from .runner import ROOT

#: The folder of the machines' files, in a checkout.
FOLDER = "docs/benchmarks"


def add(report: Report, root: Path = ROOT) -> Path:
    """Put a run into the file of its machine, and return the path of the file."""
    path = root / FOLDER / f"{report.name}.json"
    if path.exists():
        old = Report.from_json(path.read_text(encoding="utf-8"))
        report = merge(old, report, [row.name for row in ROWS])
    path.write_text(report.to_json(), encoding="utf-8")
    return path


def publish(root: Path = ROOT) -> Iterator[Path]:
    """Write the page of figures, the chart and the figures of all claims; yield the paths."""
    reports = read_machines(root / FOLDER)
    for name, text in (("figures.rst", to_page(reports)), ("benchmarks.svg", to_svg(reports))):
        path = root / FOLDER / name
        path.write_text(text, encoding="utf-8")
        yield path
    for page in dict.fromkeys(claim.page for claim in CLAIMS):
        path = root / page
        text = path.read_text(encoding="utf-8")
        for claim in CLAIMS:
            if claim.page == page:
                text = claim.write(text, reports)
        path.write_text(text, encoding="utf-8")
        yield path


def to_page(reports: Sequence[Report]) -> str:
    """Write the page of the figures of all machines."""
    parts = [f"Measured on {name_machines(reports)}.", *_head("Machines", "-")]
    for report in reports:
        parts += [*_head(report.name, "~"), *report.describe(), "", report.conclude()]
    parts += [*_head("Bars and aims", "-"), _bars_table(reports), *_head("Rows", "-")]
    for name in (row.name for row in ROWS):
        found = find_rows(reports, name)
        if found:
            parts += _head(row_title(found[0]), "~")
        for report in reports:
            for row in find_rows([report], name):
                parts += [f"**{report.name}**: {row_body(row)}", ""]
    return "\n".join([*_head("Figures of each machine", "=")[1:], *parts]).rstrip() + "\n"


def _head(title: str, line: str) -> list[str]:
    return ["", title, line * len(title), ""]  # a blank line before each title


def _bars_table(reports: Sequence[Report]) -> str:
    """Draw the table of the bars and aims of each row, with a column for each machine."""
    lines = [["work", "bar", *(report.name for report in reports)]]
    for name in (row.name for row in ROWS):
        found = find_rows(reports, name)
        if not found:
            continue
        bars = list(dict.fromkeys(bar.bar for row in found for bar in row.bars))
        aims = list(dict.fromkeys(row.aim.bar for row in found if row.aim is not None))
        for bar in [*bars, *aims]:
            is_aim = bar not in bars
            label = f"{bar} {found[0].unit}" if bar.startswith("≤") else bar
            cells = [_find_cell(report, name, bar, is_aim) for report in reports]
            title = found[0].title if bar == bars[0] else ""
            lines.append([title, f"aim: {label}" if is_aim else label, *cells])
    return grid(lines)


def _find_cell(report: Report, name: str, bar: str, is_aim: bool) -> str:
    for row in find_rows([report], name):
        verdicts = [row.aim] if is_aim and row.aim is not None else row.bars
        for verdict in verdicts:
            if verdict.bar == bar:
                by = " (CPU time)" if row.basis.metric != row.metric else ""
                own = format_value(row.own.value, row.unit) if row.own else "failed"
                return f"{own}; {format_verdict(verdict, row.unit).rpartition(': ')[2]}{by}"
    return "not measured"


if __name__ == "__main__":
    for written in publish():
        print(written)
