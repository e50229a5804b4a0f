"""Feeds greenws what a peer might send, a million inputs of it: ``python -m tests.fuzz``.

Frames, deflate streams, answers to the opening, chains of redirects, and the replies of HTTP and
SOCKS proxies: valid ones, damaged ones, and random ones, whole and cut to pieces. Only events and
greenws' own errors may come of them, in bounded time and memory, and the compiled build has to
agree with the pure one on each.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import warnings

import greenws
from tests.fuzz import campaign


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    :returns: 0: nothing was found; 1: something was.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--seed", type=int, help="the same seed gives the same inputs")
    parser.add_argument(
        "--target", action="append", choices=list(campaign.TARGETS), help="only these; repeatable"
    )
    parser.add_argument("--jobs", type=int, default=campaign.count_processors())
    parser.add_argument("--number", type=int, help="run this input of one target, and show it")
    options = parser.parse_args(arguments)
    warnings.simplefilter("error")
    seed = options.seed
    if seed is None:
        seed = random.SystemRandom().getrandbits(32)
    targets = options.target or list(campaign.TARGETS)
    if options.number is not None:
        if len(targets) != 1:
            parser.error("--number needs one --target")
        return _show(targets[0], seed, options.number)
    build = "compiled, and the pure twin" if greenws.COMPILED else "pure"
    print(f"{options.inputs} inputs, seed {seed}, {options.jobs} jobs, build: {build}", flush=True)
    begun = time.monotonic()
    reports = campaign.run(targets, options.inputs, seed, options.jobs)
    return _print_reports(reports, seed, time.monotonic() - begun)


def _show(name: str, seed: int, number: int) -> int:
    """Run one input in this process; an exception comes out with its traceback."""
    target = campaign.TARGETS[name]
    case = target.make(campaign.make_rng(target, seed, number))
    print("settings:", case.settings)
    for stream in case.streams:
        print(f"stream of {len(stream)} bytes:", stream)
    report = campaign.Report()
    campaign.run_input(target, seed, number, report)
    print(f"fed {report.feedings} times, digest {report.digest:016x}")
    outcome = target.run(campaign.get_builds()[0], case, [[] for _ in case.streams])
    print("outcome:", outcome)
    return 0


def _print_reports(reports: dict[str, campaign.Report], seed: int, seconds: float) -> int:
    print(f"{'target':12}{'inputs':>9}{'feedings':>10}  {'digest':16}  slowest, ms (number)")
    total = campaign.Report()
    for name, report in reports.items():
        print(
            f"{name:12}{report.inputs:9}{report.feedings:10}  {report.digest:016x}"
            f"  {report.slowest * 1000:.1f} ({report.slowest_number})"
        )
        total.merge(report)
    for kind, count in total.kinds.most_common():
        print(f"\n{count} x {kind}")
        for finding in total.findings:
            if finding.kind == kind:
                print(f"    {finding.target} {finding.number}: {finding.message}")
                print(
                    f"    python -m tests.fuzz --target {finding.target} --seed {seed}"
                    f" --number {finding.number}"
                )
    found = sum(total.kinds.values())
    words = f"{found} findings" if found else "nothing but events and our own errors"
    print(f"\n{total.inputs} inputs, {total.feedings} feedings in {seconds:.0f} s: {words}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
