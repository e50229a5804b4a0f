"""The command: ``python -m benchmarks.growth [--quick] [--only CURVE] [--rounds N]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import greenws

from .. import machine
from ..__main__ import find_build, show_progress
from ..kernel import read_limits
from ..peers import Peer, find_peers
from ..report import format_value
from ..runner import ROOT, ClientFailure, Pace, Server, measure, run_server
from .curves import CURVES, Curve, find_curves
from .million import million_tables
from .picture import to_svg
from .results import CurveResults, Growth, curve_table

#: The usual pace, and a pace that ends in six minutes on two cores.
PACE = Pace(rounds=5, seconds=0.6, warmup=0.2)
QUICK = Pace(rounds=2, seconds=0.2, warmup=0.1)


def main(arguments: list[str] | None = None) -> int:
    """Measure the curves, and return the exit status."""
    options = parse(arguments)
    try:
        curves = find_curves(options.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    chosen = QUICK if options.quick else PACE
    pace = Pace(
        rounds=options.rounds or chosen.rounds,
        seconds=options.seconds or chosen.seconds,
        warmup=min(chosen.warmup, options.seconds or chosen.warmup),
    )
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    growth = new_growth(pace, curves)
    try:
        run(growth, curves, pace, options.largest)
    except KeyboardInterrupt:
        show_progress("")
        print("interrupted; writing what there is")
    write(growth, folder, f"growth-{options.machine}")
    return int(any(curve.failures for curve in growth.curves))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description="Measure costs while sizes and numbers grow; write a picture, tables and JSON.",
        epilog=f"Curves: {', '.join(curve.name for curve in CURVES)}.",
    )
    parser.add_argument("--quick", action="store_true", help="run for six minutes")
    parser.add_argument("--only", action="append", metavar="CURVE", help="(repeatable)")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default: {PACE.rounds}")
    parser.add_argument("--seconds", type=float, metavar="S", help="time of one measurement")
    parser.add_argument(
        "--largest",
        type=int,
        metavar="N",
        help="the largest quantity of any curve: connections, connects under way, or bytes",
    )
    parser.add_argument(
        "--machine", default=machine.name_of(machine.describe()), help="the name in names of files"
    )
    parser.add_argument(
        "--output",
        default=str(ROOT / "build" / "benchmarks"),
        metavar="FOLDER",
        help="default: build/benchmarks",
    )
    return parser.parse_args(arguments)


def new_growth(pace: Pace, curves: list[Curve]) -> Growth:
    """Begin a report."""
    names = {name for curve in curves for name in curve.peers}
    distributions = [peer.distribution for peer in find_peers(names) if peer.distribution]
    return Growth(
        date=time.strftime("%Y-%m-%d"),
        machine=machine.describe(),
        versions=machine.find_versions(list(dict.fromkeys([*distributions, "gevent", "uvloop"]))),
        build=" on ".join(find_build()),
        server="",
        pace=asdict(pace),
        is_pinned=machine.is_pinnable(),
        limits=read_limits(),
        ping_rate=float(greenws.Client("ws://localhost/").ping_rate or 0),
    )


def run(growth: Growth, curves: list[Curve], pace: Pace, largest: int | None) -> None:
    """Measure the curves one after the other, and print each."""
    machine.raise_file_limit()
    with tempfile.TemporaryDirectory() as folder, run_server(Path(folder)) as server:
        growth.server = server.loop
        for number, curve in enumerate(curves, 1):
            results = CurveResults(curve.name, curve.title, curve.unit, curve.of, curve.is_drawn)
            growth.curves.append(results)
            place = f"[{number}/{len(curves)}] {curve.name}"
            run_curve(results, curve, server, pace, largest, place)
            show_progress("")
            print_curve(results)


def run_curve(
    results: CurveResults,
    curve: Curve,
    server: Server,
    pace: Pace,
    largest: int | None,
    place: str,
) -> None:
    """Measure a curve: at each quantity every client in turn, then all of it again."""
    peers = [peer for name in curve.peers for peer in find_peers([name])]
    quantities = curve.points(min(curve.largest, largest or curve.largest))
    for number in range(1, pace.rounds + 1):
        for quantity in quantities:
            for peer in peers:
                if peer.name not in results.failures:
                    show_progress(
                        f"{place}: round {number} of {pace.rounds}: {quantity:,}: {peer.name}"
                    )
                    run_point(results, curve, peer, quantity, server, pace)


def run_point(
    results: CurveResults, curve: Curve, peer: Peer, quantity: int, server: Server, pace: Pace
) -> None:
    """Measure one point of one client. A client that fails does not run again."""
    try:
        result = measure(peer, curve.row(quantity), server, curve.pace(pace, quantity))
    except ClientFailure as error:
        results.failures[peer.name] = f"at {quantity:,}: {error}"
    else:
        results.add(peer.name, quantity, result)


def print_curve(curve: CurveResults) -> None:
    """Print a line for each client."""
    print(f"{curve.title}:")
    for peer in curve.values:
        points = curve.line(peer).items()
        shown = ", ".join(f"{format_value(value, curve.unit)} ({at:,})" for at, value in points)
        print(f"    {peer}: {shown}")
    for name, why in curve.failures.items():
        print(f"    {name} failed {why}")
    sys.stdout.flush()


def to_rst(growth: Growth, name: str) -> str:
    """Write the picture, the paper, and all curves as tables."""
    title = f"Growth: figures of {growth.machine['processor']}"
    parts = [
        f"{title}\n{'=' * len(title)}",
        "\n".join(growth.describe()),
        (
            f".. figure:: {name}.svg\n"
            "   :alt: What a message and a connection cost as their size and number grow\n"
            "   :figclass: wide"
        ),
        million_tables(growth),
        *(curve_table(curve) for curve in growth.panels()),
    ]
    return "\n\n".join(parts) + "\n"


def write(growth: Growth, folder: Path, name: str) -> None:
    """Write the tables, the JSON and the picture."""
    for suffix, text in (
        ("rst", to_rst(growth, name)),
        ("json", growth.to_json()),
        ("svg", to_svg(growth)),
    ):
        path = folder / f"{name}.{suffix}"
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    sys.exit(main())
