"""Runs inputs in processes of their own, under a watchdog, and collects what goes wrong.

An input is one target, one seed and one number. It is fed whole and in pieces, to the build that is
imported and, where that pays, to its pure twin. These are findings:

- anything but events and greenws' own errors, a crash included
- an outcome that depends on the cuts, or on the build
- a broken promise (:class:`tests.fuzz.target.Violated`)
- more than ``slow`` seconds of CPU time for one feeding, or :data:`MEMORY` bytes
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import mmap
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType

from tests.fuzz.builds import get_builds
from tests.fuzz.deflate import RoundTrips, Streams
from tests.fuzz.frames import Frames, Rounds
from tests.fuzz.mutation import plan_cuts
from tests.fuzz.openings import Answers, Bodies, Locations, Redirects
from tests.fuzz.proxies import Connect, Socks
from tests.fuzz.target import Case, Outcome, Target, Violated

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Frames(),
        Rounds(),
        Streams(),
        RoundTrips(),
        Answers(),
        Redirects(),
        Locations(),
        Bodies(),
        Connect(),
        Socks(),
    )
}

# Seconds of CPU time after which an input is interrupted, and after which its process is ended, if
# it is in a loop of C.
ENDLESS = 20
_KILLED = 40
#: Bytes of address space that a process may gain. An input is below 70 KB, and inflates to 1 MiB.
MEMORY = 512 << 20
#: Bytes that may stay in memory after hundreds of inputs.
GROWTH = 48 << 20

# Inputs of one process. The first of them fill caches, and are left out of the growth.
_CHUNK = 2000
_WARM = 200
# How many findings of one kind are shown.
_SHOWN = 3


class Endless(BaseException):
    """An input that takes too long; no ``except Exception`` stops it."""


@dataclass
class Finding:
    """One input that shows a fault.

    :param kind: equal for inputs that show the same fault.
    """

    target: str
    number: int
    kind: str
    message: str


@dataclass
class Report:
    """What some inputs have shown."""

    inputs: int = 0
    feedings: int = 0
    #: The sum of a hash of each outcome: equal for equal behaviour, in any order.
    digest: int = 0
    findings: list[Finding] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_number: int = -1
    growth: int = 0

    def add(self, finding: Finding) -> None:
        self.kinds[finding.kind] += 1
        if self.kinds[finding.kind] <= _SHOWN:
            self.findings.append(finding)

    def merge(self, other: Report) -> None:
        self.inputs += other.inputs
        self.feedings += other.feedings
        self.digest = (self.digest + other.digest) % (1 << 64)
        for finding in other.findings:
            shown = sum(known.kind == finding.kind for known in self.findings)
            if shown < _SHOWN:
                self.findings.append(finding)
        self.kinds += other.kinds
        if other.slowest > self.slowest:
            self.slowest, self.slowest_number = other.slowest, other.slowest_number
        self.growth = max(self.growth, other.growth)


def make_rng(target: Target, seed: int, number: int) -> random.Random:
    """Return the source of every decision about one input."""
    return random.Random(f"{target.name}/{seed}/{number}")


def run_input(target: Target, seed: int, number: int, report: Report) -> Case:
    """Run one input; what it shows is added to ``report``.

    :raises Exception: what went wrong.
    """
    rng = make_rng(target, seed, number)
    case = target.make(rng)
    builds = get_builds()
    own, twins = builds[0], builds[1:] if target.is_compared else []
    report.inputs += 1
    first: Outcome | None = None
    plans = [plan_cuts(rng, len(stream), len(case.streams)) for stream in case.streams]
    # Each stream has a first and mostly a second plan; the last one of a short list is repeated.
    for step, cuts in enumerate(_combine(plans)):
        begun = time.process_time()
        outcome = target.run(own, case, cuts)
        report.feedings += 1
        taken = time.process_time() - begun
        if taken > report.slowest:
            report.slowest, report.slowest_number = taken, number
        if taken > target.slow:
            raise Violated("an input is fed in bounded time", f"{taken:.1f} s, cut at {cuts!r:.99}")
        if step < 2:
            for twin in twins:
                report.feedings += 1
                other = target.run(twin, case, cuts)
                if other != outcome:
                    raise Violated("both builds agree", (outcome, other, cuts))
        if first is None:
            first = outcome
            digest = hashlib.blake2b(
                repr(outcome).encode("utf-8", "backslashreplace"), digest_size=8
            )
            report.digest = (report.digest + int.from_bytes(digest.digest(), "big")) % (1 << 64)
        elif target.essence(outcome) != target.essence(first):
            raise Violated("cuts do not matter", (cuts, first, outcome))
    return case


def _combine(plans: list[Iterator[list[int]]]) -> Iterator[list[list[int]]]:
    """Yield the cuts of all streams together, until no stream has a plan left."""
    if not plans:
        yield []
        return
    current: list[list[int]] = [[] for _ in plans]
    for step in itertools.count():
        is_fresh = False
        for place, plan in enumerate(plans):
            places = next(plan, None)
            if places is not None:
                current[place], is_fresh = places, True
        if not is_fresh and step:
            return
        yield list(current)


def run_numbers(target: Target, seed: int, numbers: Sequence[int], report: Report) -> None:
    """Run inputs one after the other, and note what goes wrong."""
    for number in numbers:
        try:
            run_input(target, seed, number, report)
        except (Exception, Endless) as error:
            kind = f"{target.name}: {describe_kind(error)}"
            report.add(Finding(target.name, number, kind, describe(error)))


def describe(error: BaseException) -> str:
    """Say what an error was, and where it comes from."""
    return f"{type(error).__name__}: {error!s:.500}{_find_place(error)}"


def describe_kind(error: BaseException) -> str:
    """Return a text that is the same for errors of the same cause."""
    if isinstance(error, Violated):
        return error.promise
    return type(error).__name__ + _find_place(error)


def _find_place(error: BaseException) -> str:
    if isinstance(error, Violated):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}, {frames[-1].name})" if frames else ""


# The processes


def run(
    targets: Sequence[str], inputs: int, seed: int, jobs: int, show: bool = True
) -> dict[str, Report]:
    """Run ``inputs`` inputs, shared out to the targets by their weights.

    :returns: a report for each target.
    """
    chosen = [TARGETS[name] for name in targets]
    total = sum(target.weight for target in chosen)
    chunks: list[tuple[Target, range]] = []
    for target in chosen:
        count = max(1, inputs * target.weight // total)
        chunks += [
            (target, range(start, min(count, start + _CHUNK))) for start in range(0, count, _CHUNK)
        ]
    chunks.reverse()
    get_builds()  # imported once, for all processes
    reports = {target.name: Report() for target in chosen}
    workers: dict[Connection, _Worker] = {}
    done, last_shown = 0, time.monotonic()
    try:
        while chunks or workers:
            while chunks and len(workers) < jobs:
                worker = _Worker(*chunks.pop(), seed)
                workers[worker.receiver] = worker
            for connection in wait(list(workers)):
                worker = workers.pop(connection)  # type: ignore[arg-type]
                report, rest = worker.finish()
                reports[worker.target.name].merge(report)
                if rest:
                    chunks.append((worker.target, rest))
                done += report.inputs
                if show:
                    for finding in report.findings:
                        print(f"  {finding.target} {finding.number}: {finding.kind}", flush=True)
            if show and time.monotonic() - last_shown > 30:
                last_shown = time.monotonic()
                found = sum(sum(report.kinds.values()) for report in reports.values())
                print(f"  {done} inputs, {found} findings", file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.kill()
    return reports


class _Worker:
    """A forked process that runs some numbers of a target."""

    def __init__(self, target: Target, numbers: range, seed: int) -> None:
        self.target = target
        self.numbers = numbers
        # The number under way, which stays if the process dies of it.
        self._current = mmap.mmap(-1, 8)
        self._current[:] = numbers.start.to_bytes(8, "big")
        context = multiprocessing.get_context("fork")
        self.receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=self._work, args=(sender, seed), daemon=True)
        self._process.start()
        sender.close()

    def finish(self) -> tuple[Report, range]:
        """Return the report, and the numbers that are left after one that ended the process."""
        try:
            report: Report = self.receiver.recv()
            rest = range(0)
        except EOFError:
            self._process.join()
            name, number = self.target.name, int.from_bytes(self._current[:], "big")
            code = self._process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"status {code}"
            report = Report(inputs=number - self.numbers.start + 1)
            text = f"the process has ended by {how}"
            if how in ("SIGVTALRM", "SIGXCPU"):
                text = f"no end within {_KILLED} s of CPU time"
            report.add(Finding(name, number, f"{name}: {text}", text))
            rest = range(number + 1, self.numbers.stop)
        self._close()
        return report, rest

    def kill(self) -> None:
        self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.join()
        self._process.close()
        self.receiver.close()
        self._current.close()

    def _work(self, sender: Connection, seed: int) -> None:
        report, name = Report(), self.target.name
        signal.signal(signal.SIGPROF, _interrupt)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        warm = None
        with _limited_memory():
            for count, number in enumerate(self.numbers):
                self._current[:] = number.to_bytes(8, "big")
                signal.setitimer(signal.ITIMER_PROF, ENDLESS)
                signal.setitimer(signal.ITIMER_VIRTUAL, _KILLED)
                run_numbers(self.target, seed, [number], report)
                if count == _WARM:
                    warm = measure_memory()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if warm is not None:
            report.growth = measure_memory() - warm
            if report.growth > GROWTH:
                text = f"memory stays: {report.growth >> 20} MiB after {len(self.numbers)} inputs"
                report.add(Finding(name, self.numbers.start, f"{name}: memory stays", text))
        sender.send(report)
        sender.close()


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise Endless(f"no end within {ENDLESS} s of CPU time")


def measure_memory() -> int:
    """Return the bytes of this process that are in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Have an allocation fail that goes beyond :data:`MEMORY`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    except OSError:
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def count_processors() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
