"""Ends connections in every way at random instants: ``python -m tests.chaos --ends 1000``.

Each end has a place (name lookup, TCP, proxy, TLS, upgrade, in the midst of a message, a write, a
handler, a back-off, ...) and a deed (kill, close, an exception, a reset of the server's, ...), both
by the seed. Other connections echo beside them. Nothing may be left behind, and nobody disturbed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import gevent

import greenws
from tests.chaos.plan import Tools
from tests.chaos.storm import Result, Storm, make_plan
from tests.support.authority import Authority
from tests.support.leftovers import Holdings, find_leftovers, watch_greenlets


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    :returns: 0: nothing was found; 1: something was.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--ends", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, help="the same seed gives the same ends")
    parser.add_argument("--parallel", type=int, default=16, help="how many at a time (16)")
    parser.add_argument("--neighbours", type=int, default=8, help="connections that echo (8)")
    parser.add_argument("--number", type=int, help="only this end of the seed")
    options = parser.parse_args(arguments)
    seed = options.seed
    if seed is None:
        seed = random.SystemRandom().getrandbits(32)
    numbers = range(options.ends)
    if options.number is not None:
        numbers = range(options.number, options.number + 1)
    build = "compiled" if greenws.COMPILED else "pure"
    loop = type(gevent.get_hub().loop).__module__
    print(f"{len(numbers)} ends, seed {seed}, build: {build}, loop: {loop}", flush=True)
    watch_greenlets()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        tools = Tools(authority.server_context(), authority.cafile)
        if options.number is not None:
            print(make_plan(tools, seed, options.number))
        hub = gevent.get_hub()
        hub.threadpool.apply(int)
        before = Holdings()
        result = Storm(tools, seed, options.parallel).run(numbers, options.neighbours)
        result.faults += [f"at the end: {line}" for line in find_leftovers(before)]
    _print(result, seed, time.monotonic() - begun)
    return 1 if result.faults else 0


def _print(result: Result, seed: int, seconds: float) -> None:
    for name, count in sorted(result.counts.items()):
        print(f"{name:20}{count:6}")
    if result.round_trips:
        print(
            f"{len(result.round_trips)} echoes of the neighbours, all right unless said below:"
            f" median {result.percentile(0.5) * 1000:.1f} ms,"
            f" p99 {result.percentile(0.99) * 1000:.1f} ms,"
            f" longest {result.round_trips[-1] * 1000:.1f} ms"
        )
    memory = ", ".join(f"{size >> 20}" for size in result.memory)
    print(f"MiB in memory after each round: {memory}")
    print(f"threads: {result.threads}, objects left: {result.objects}, at once: {result.most}")
    for fault in result.faults[:50]:
        print(f"FAULT {fault}")
    found = f"{len(result.faults)} faults" if result.faults else "nothing left behind"
    print(f"{result.ends} ends of seed {seed} in {seconds:.0f} s: {found}")


if __name__ == "__main__":
    sys.exit(main())
