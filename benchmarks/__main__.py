"""The command: ``python -m benchmarks [--quick] [--only ROW] [--peers A,B] [--rounds N]``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from . import machine
from .chart import to_svg
from .open_network import Unavailable, run_far_server
from .peers import Peer, find_peers
from .report import Report, format_value, format_verdict, to_rst
from .rows import ROWS, Row, find_rows
from .runner import ROOT, Pace, Server, run_row, run_server
from .summary import Results, RowSummary, summarize

#: The usual pace, and a pace that ends in two minutes on two cores.
PACE = Pace(rounds=5, seconds=1.0, warmup=0.3)
QUICK = Pace(rounds=2, seconds=0.3, warmup=0.1, connections=500)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks, and return the exit status; 0: no bar is missed."""
    options = parse(arguments)
    try:
        rows = find_rows(options.only)
        if options.quick and not options.only:
            rows = [row for row in rows if row.link is None]
        peers = find_peers(options.peers.split(",") if options.peers else None)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    pace = choose_pace(options)
    report = new_report(pace, peers, options.judge)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(report, rows, peers, pace, is_short=options.quick and not options.peers)
    except KeyboardInterrupt:
        show_progress("")
        print("interrupted; writing the complete rows")
    write(report, folder)
    return int(any(bar.holds is False for row in report.rows for bar in row.bars))


def choose_pace(options: argparse.Namespace) -> Pace:
    """Return the pace that the options ask for."""
    pace = QUICK if options.quick else PACE
    seconds = options.seconds or pace.seconds
    return Pace(
        rounds=options.rounds or pace.rounds,
        seconds=seconds,
        warmup=min(pace.warmup, seconds),
        connections=options.connections or pace.connections,
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run greenws beside its peers; write a table, JSON and a chart.",
        epilog=f"Rows: {', '.join(row.name for row in ROWS)}. Exit code 1: a bar is missed.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run for two minutes: shorter, and only the bars' peers",
    )
    parser.add_argument("--only", action="append", metavar="ROW", help="run this row (repeatable)")
    parser.add_argument("--peers", metavar="A,B", help="run only these peers, by name or family")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default: {PACE.rounds}")
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help=f"time of one measurement; default: {PACE.seconds}",
    )
    parser.add_argument("--connections", type=int, metavar="N", help="most connections of any row")
    parser.add_argument(
        "--judge",
        choices=["time", "cpu"],
        default="time",
        help="judge rates by messages a second, or by CPU time a message (for a busy machine)",
    )
    parser.add_argument(
        "--output",
        default=str(ROOT / "build" / "benchmarks"),
        metavar="FOLDER",
        help="default: build/benchmarks",
    )
    return parser.parse_args(arguments)


def new_report(pace: Pace, peers: list[Peer], judged_by: str) -> Report:
    """Begin a report."""
    distributions = [peer.distribution for peer in peers if peer.distribution]
    # No peer requires zlib-ng, but greenws deflates with zlib-ng if installed.
    distributions += ["uvloop", "gevent", "zlib-ng"]
    return Report(
        date=time.strftime("%Y-%m-%d"),
        machine=machine.describe(),
        versions=machine.find_versions(list(dict.fromkeys(distributions))),
        build=find_build(),
        server="",
        pace=asdict(pace),
        judged_by=judged_by,
        is_pinned=machine.is_pinnable(),
    )


def find_build() -> str:
    """Ask a fresh process which implementation of greenws it imports."""
    code = "import greenws; print('compiled core' if greenws.COMPILED else 'pure Python build')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def run(report: Report, rows: list[Row], peers: list[Peer], pace: Pace, is_short: bool) -> None:
    """Run the rows, and print each complete row.

    :param is_short: whether to run only the peers named in bars and aims.
    """
    with tempfile.TemporaryDirectory() as folder, run_server(Path(folder)) as server:
        report.server = server.loop
        for number, row in enumerate(rows, 1):
            if not server.suits(row):
                print(f"{row.name}: skipped, because trustme is not installed")
                continue
            taking_part = [p for p in peers if not is_short or p.family in row.judges]
            place = f"[{number}/{len(rows)}] {row.name}"
            try:
                results, failures = run_where(row, taking_part, server, pace, place, Path(folder))
            except Unavailable as error:
                print(f"{row.name}: skipped, because {error}")
                continue
            summary = summarize(row, taking_part, results, failures, report.judged_by == "cpu")
            report.rows.append(summary)
            report.results[row.name] = results
            show_progress("")
            print_row(summary)


def run_where(
    row: Row, peers: list[Peer], server: Server, pace: Pace, place: str, folder: Path
) -> tuple[Results, dict[str, str]]:
    """Run a row with the server that is near, or at the other end of the row's link.

    :raises Unavailable: the link cannot be had here.
    """
    if row.link is None:
        return run_row(row, peers, server, pace, place, show_progress)
    with run_far_server(row.link, folder) as passage:
        done = run_row(row, peers, passage.server, pace, place, show_progress)
    show_progress("")
    print(f"{row.name}: {passage.describe()}")
    return done


def show_progress(text: str) -> None:
    """Replace the line of progress on a terminal; elsewhere, do nothing."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text[:100]}")
        sys.stderr.flush()


def print_row(row: RowSummary) -> None:
    """Print a summary of a row."""
    values = ", ".join(f"{line.peer} {format_value(line.value, row.unit)}" for line in row.lines)
    print(f"{row.title}: {values}")
    for bar in row.bars:
        print(f"    bar {format_verdict(bar, row.unit)}")
    if row.aim is not None:
        print(f"    aim {format_verdict(row.aim, row.unit)}")
    for name, why in row.failures.items():
        print(f"    {name} failed: {why}")
    sys.stdout.flush()


def write(report: Report, folder: Path) -> None:
    """Write the table, the JSON and the chart."""
    for name, text in (
        ("benchmarks.rst", to_rst(report)),
        ("benchmarks.json", report.to_json()),
        ("benchmarks.svg", to_svg(report)),
    ):
        folder.joinpath(name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    sys.exit(main())
