"""The command: ``python -m benchmarks [--quick] [--only ROW] [--peers A,B] [--rounds N]``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from . import machine
from .chart import to_svg
from .peers import Peer, find_peers
from .publish import add, publish
from .report import Report, format_stillness, format_value, format_verdict, to_rst
from .rows import ROWS, Row, find_rows
from .runner import ROOT, Measurement, Pace, run_server
from .summary import RowSummary

#: The usual pace, and a pace that ends in about two minutes on two cores.
PACE = Pace(rounds=5, seconds=1.0, warmup=0.3, most_rounds=12, steady=3, extra=300.0)
QUICK = Pace(rounds=2, seconds=0.3, warmup=0.1, most_rounds=5, steady=2, extra=30.0)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks, and return the exit status; 0: no bar is missed."""
    options = parse(arguments)
    try:
        rows = find_rows(options.only)
        peers = find_peers(options.peers.split(",") if options.peers else None)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    pace = choose_pace(options)
    report = new_report(pace, peers, options.judge, options.machine)
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(report, rows, peers, pace, is_short=options.quick and not options.peers)
    except KeyboardInterrupt:
        show_progress("")
        print("interrupted; writing the complete rows")
    write(report, folder)
    if options.publish:
        print(add(report))
        for path in publish():
            print(path)
    print(report.conclude())
    return int(report.count_bars()[1] > 0)


def choose_pace(options: argparse.Namespace) -> Pace:
    """Return the pace that the options ask for."""
    pace = QUICK if options.quick else PACE
    seconds = options.seconds or pace.seconds
    rounds = options.rounds or pace.rounds
    return replace(
        pace,
        rounds=rounds,
        seconds=seconds,
        warmup=min(pace.warmup, seconds),
        connections=options.connections or pace.connections,
        most_rounds=rounds if options.rounds else pace.most_rounds,
        steady=min(pace.steady, max(2, rounds)),
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
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help=f"exactly so many rounds; default: {PACE.rounds}, and up to {PACE.most_rounds} of a "
        "row whose figures do not stand still",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help=f"time of one measurement; default: {PACE.seconds}",
    )
    parser.add_argument("--connections", type=int, metavar="N", help="most connections of any row")
    parser.add_argument(
        "--judge",
        choices=["auto", "time", "cpu"],
        default="auto",
        help="judge rates by messages a second, by CPU time a message, or (the default) by "
        "messages a second unless others used the machine meanwhile",
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="put the rows into docs/benchmarks/<machine>.json, and write the page of figures, the "
        "chart and the figures in the pages from the files of all machines",
    )
    parser.add_argument(
        "--machine",
        metavar="NAME",
        help="the name of this machine; default: of its processor and cores",
    )
    parser.add_argument(
        "--output",
        default=str(ROOT / "build" / "benchmarks"),
        metavar="FOLDER",
        help="default: build/benchmarks",
    )
    return parser.parse_args(arguments)


def new_report(pace: Pace, peers: list[Peer], judged_by: str, name: str | None) -> Report:
    """Begin a report."""
    distributions = [peer.distribution for peer in peers if peer.distribution]
    # No peer requires zlib-ng, but greenws deflates with zlib-ng if installed.
    distributions += ["uvloop", "gevent", "zlib-ng"]
    described = machine.describe()
    build, loop = find_build()
    return Report(
        date=time.strftime("%Y-%m-%d"),
        name=name or machine.name_of(described),
        machine=described,
        versions=machine.find_versions(list(dict.fromkeys(distributions))),
        build=build,
        commit=machine.find_commit(ROOT),
        loop=loop,
        server="",
        pace=asdict(pace),
        judged_by=judged_by,
        is_pinned=machine.is_pinnable(),
    )


def find_build() -> tuple[str, str]:
    """Ask a fresh process which implementation of greenws it imports, and which loop gevent has."""
    code = (
        "import gevent, greenws\n"
        "print('compiled core' if greenws.COMPILED else 'pure Python build')\n"
        "print(type(gevent.get_hub().loop).__module__.removeprefix('gevent.'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    build, loop = done.stdout.splitlines()
    return build, loop


def run(report: Report, rows: list[Row], peers: list[Peer], pace: Pace, is_short: bool) -> None:
    """Run the rows, and print each row; run those again whose figures do not stand still.

    The further rounds come at the end, so that a burst of other work is over by then.

    :param is_short: whether to run only the peers named in bars and aims.
    """
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        # The servers run until the end, for the rows that run again.
        server = opened.enter_context(run_server(folder))
        report.server = server.loop
        measurements = []
        for number, row in enumerate(rows, 1):
            if not server.suits(row):
                print(f"{row.name}: skipped, because trustme is not installed")
                continue
            taking_part = [p for p in peers if not is_short or p.family in row.judges]
            place = f"[{number}/{len(rows)}] {row.name}"
            found = Measurement(row, taking_part, server, pace, place, report.judged_by)
            measurements.append(found)
            for _ in range(pace.rounds):
                found.run_round(show_progress)
            add_row(report, found)
        end = time.monotonic() + pace.extra
        while restless := [found for found in measurements if found.is_restless]:
            for found in restless:
                if time.monotonic() >= end:
                    return
                found.run_round(show_progress)
                add_row(report, found)


def add_row(report: Report, found: Measurement) -> None:
    """Add a row to the report, in place of its earlier summary if there is one; print the row."""
    summary = replace(found.summarize(), date=report.date, commit=report.commit)
    names = [row.name for row in report.rows]
    if summary.name in names:
        report.rows[names.index(summary.name)] = summary
    else:
        report.rows.append(summary)
    report.results[summary.name] = found.results
    show_progress("")
    print_row(summary)


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
    print(f"    judged by {row.basis}; {format_stillness(row)}")
    sys.stdout.flush()


def write(report: Report, folder: Path) -> None:
    """Write the table, the JSON and the chart."""
    for name, text in (
        ("benchmarks.rst", to_rst(report)),
        ("benchmarks.json", report.to_json()),
        ("benchmarks.svg", to_svg([report])),
    ):
        folder.joinpath(name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    sys.exit(main())
