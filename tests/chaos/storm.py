"""Ends connections at random instants, a few at a time, and looks for what they leave behind."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import gevent
import gevent.pool

from greenws.sessions.reactor import get_reactor
from tests.chaos.deeds import DEEDS
from tests.chaos.neighbours import Neighbour, neighbourhood
from tests.chaos.places import PLACES, slow_names
from tests.chaos.plan import Plan, Tools
from tests.chaos.victims import VICTIMS, Thrown, Victim
from tests.support.leftovers import Holdings, find_leftovers
from tests.support.waiting import PATIENCE

#: Ends between two looks at what is left.
ROUND = 100
# Ends before the first look: they fill caches and pools.
_WARM = 60
#: Seconds of a neighbour's round trip at most, its own time. Everything runs in one thread: the
#: servers, with a TLS handshake of 5 ms each, the ends, and the collector's look for garbage.
LONGEST = 1.0
#: Bytes by which the last quarter of the rounds may be larger than the one before.
GROWTH = 8 << 20
# Bytes more for each end: CPython before 3.12.8 loses 6.6 KB whenever a TLS session is read
# (issue 116810 of CPython), which each full handshake does.
_LOST_BY_PYTHON = 3000
# Seconds until a connection that only the server was to end is closed from here. Longer than any
# deadline of a victim.
_OWN_END = 2.5
# The classes of which nothing may stay.
_COUNTED = {
    "ClientProtocol",
    "ClientVictim",
    "GeventSession",
    "IterationVictim",
    "Opening",
    "Outbox",
    "Plan",
    "RunVictim",
    "SocketTransport",
    "Stream",
    "TLSTransport",
    "WebSocket",
}


@dataclass
class Result:
    """What a storm has shown."""

    ends: int = 0
    #: Ends by deed and by place.
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    #: Bytes in memory after each round.
    memory: list[int] = field(default_factory=list)
    #: Echoes of the neighbours, and their round trips in seconds, in ascending order.
    round_trips: list[float] = field(default_factory=list)
    #: Threads, descriptors and objects at the last look.
    threads: int = 0
    objects: int = 0
    #: The most connections that were under way at once.
    most: int = 0

    def percentile(self, part: float) -> float:
        """Return a percentile of the round trips, in seconds."""
        return self.round_trips[int(part * (len(self.round_trips) - 1))]


def make_plan(tools: Tools, seed: int, number: int) -> Plan:
    """Decide all about one end."""
    rng = random.Random(f"{seed}/{number}")
    return Plan(
        number=number,
        rng=rng,
        tools=tools,
        place=rng.choice(list(PLACES)),
        deed=rng.choice(list(DEEDS)),
        kind=rng.choice(list(VICTIMS)),
        is_secure=rng.random() < 0.4,
        is_compressed=rng.random() < 0.5,
    )


class Storm:
    """Many ends, beside neighbours.

    :param parallel: how many connections end at a time.
    """

    def __init__(self, tools: Tools, seed: int, parallel: int = 16) -> None:
        self.result = Result()
        self._tools = tools
        self._seed = seed
        self._parallel = parallel

    def run(self, numbers: range, neighbours: int) -> Result:
        """Run the ends of some numbers."""
        result = self.result
        hub = gevent.get_hub()
        # All threads of the pool that look names up are there from the beginning.
        hub.threadpool.map(time.sleep, [0.02] * hub.threadpool.maxsize)
        with (
            slow_names(random.Random(self._seed)),
            neighbourhood(self._tools, neighbours, self._seed) as others,
            self._no_traceback_of_the_hub(),
        ):
            # The first ends once more, uncounted.
            self._run_round(list(numbers[:_WARM]), others)
            self._rest(others)
            # The pool may end threads that have nothing to do, and start others.
            threads = max(count_threads(), hub.threadpool.maxsize + 1)
            before = Holdings()
            objects = self._count_objects()
            result.counts.clear()
            result.ends = 0
            for start in range(0, len(numbers), ROUND):
                self._run_round(list(numbers[start : start + ROUND]), others)
                self._rest(others)
                self._look(before, threads, objects, len(others))
            for neighbour in others:
                result.round_trips += neighbour.round_trips
                result.faults += neighbour.faults
        result.round_trips.sort()
        if result.round_trips and result.round_trips[-1] > LONGEST:
            result.faults.append(f"a round trip of {result.round_trips[-1] * 1000:.0f} ms")
        self._judge_memory()
        return result

    def _run_round(self, numbers: list[int], others: list[Neighbour]) -> None:
        for neighbour in others:
            neighbour.go()
        pool = gevent.pool.Pool(self._parallel)
        for number in numbers:
            pool.spawn(self._run_end, number)
            self.result.most = max(self.result.most, len(get_reactor().sessions))
        pool.join()

    def _rest(self, others: list[Neighbour]) -> None:
        for neighbour in others:
            neighbour.rest()

    def _run_end(self, number: int) -> None:
        plan = make_plan(self._tools, self._seed, number)
        try:
            with PLACES[plan.place](plan):
                self.result.faults += run_end(plan)
        except Exception as error:
            self.result.faults.append(f"{plan}: {error!r}")
        self.result.ends += 1
        self.result.counts.update([plan.deed, plan.place])

    def _look(self, before: Holdings, threads: int, objects: Counter[str], others: int) -> None:
        """See what the ends so far have left behind."""
        result = self.result
        when = f"after {result.ends} ends"
        # An iteration that was left to the collector is in a cycle, through its traceback.
        gc.collect()
        result.faults += [f"{when}: {line}" for line in find_leftovers(before)]
        result.threads = count_threads()
        if result.threads > threads:
            result.faults.append(f"{when}: {result.threads - threads} more threads")
        if len(get_reactor().sessions) != others:
            result.faults.append(f"{when}: sessions {get_reactor().sessions!r}")
        more = self._count_objects() - objects
        result.objects = more.total()
        if more:
            result.faults.append(f"{when}: objects stay: {dict(more)}")
        trim_memory()
        result.memory.append(measure_memory())

    def _count_objects(self) -> Counter[str]:
        """Count the objects that live for a connection."""
        # The callback belongs to the latest of the servers that have used the context.
        self._tools.server_context.sni_callback = None
        gc.collect()
        names = [type(thing).__name__ for thing in gc.get_objects()]
        return Counter(name for name in names if name in _COUNTED)

    def _judge_memory(self) -> None:
        # The heap comes to its size within some hundred ends.
        memory = self.result.memory
        half, last = memory[len(memory) // 2 : -len(memory) // 4], memory[-len(memory) // 4 :]
        if half and last:
            grown = median(last) - median(half)
            if grown > GROWTH + _LOST_BY_PYTHON * len(last) * ROUND:
                self.result.faults.append(f"memory has grown by {grown / 1024:.0f} KiB")

    @contextlib.contextmanager
    def _no_traceback_of_the_hub(self) -> Iterator[None]:
        """Note exceptions that only the hub has seen; those that were thrown are expected."""
        hub: Any = gevent.get_hub()
        genuine: Callable[..., object] = hub.print_exception

        def note(context: object, kind: Any, error: Any, traceback: TracebackType | None) -> None:
            if isinstance(error, (Thrown, gevent.Timeout)):
                return
            self.result.faults.append(f"only on stderr: {error!r} of {context!r}")
            genuine(context, kind, error, traceback)

        hub.print_exception = note
        try:
            yield
        finally:
            del hub.print_exception


def run_end(plan: Plan) -> list[str]:
    """Open a connection, end it, and return what is wrong."""
    victim = VICTIMS[plan.kind](plan)
    deed = DEEDS[plan.deed]
    faults: list[str] = []
    waits = plan.rng.random() < 0.7
    if plan.deed.startswith("inner_"):
        victim.inner = deed
    victim.start()
    if waits:
        plan.reached.wait(0.5)
    plan.pause()
    if not plan.deed.startswith("inner_"):
        with gevent.Timeout(PATIENCE, False):
            deed(victim)
    if not _wait_ended(victim, _OWN_END):
        victim.close()
        if not _wait_ended(victim, 1.0):
            if isinstance(victim, VICTIMS["client"]) and plan.activity != "wait":
                faults.append(f"{plan}: close() has not ended it; {victim.names[-8:]}")
            with gevent.Timeout(PATIENCE, False):
                victim.kill()
            if not _wait_ended(victim, PATIENCE):
                faults.append(f"{plan}: kill() has not ended it; {victim.names[-8:]}")
    return faults + victim.check()


def _wait_ended(victim: Victim, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not victim.has_ended:
        if time.monotonic() > end:
            return False
        gevent.sleep(0.003)
    return True


def count_threads() -> int:
    """Count the threads of this process, those of gevent's pool included."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # not Linux
        return 1


def trim_memory() -> None:
    """Give free memory back to the system, where the C library can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def measure_memory() -> int:
    """Return the bytes of this process that are in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0
