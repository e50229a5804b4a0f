"""Meters: a client tells its meter what it has done, and the meter ends the process with a result.

A meter prints the result as JSON and ends the process on the spot. So the time in which a peer
tears down its connections is not measured.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from time import perf_counter, process_time
from typing import Any, NoReturn

from ..kernel import grown, read_caches
from ..load import read_process
from .task import Task

#: The number of times in a measurement that a meter reads the clock.
LOOKS = 25


def waited() -> float:
    """Return the seconds for which this process was ready and had no core; 0: it is not known."""
    try:
        return read_process("self")[1]
    except (OSError, ValueError):
        return 0.0  # not Linux, or a kernel that does not count


def report(**result: Any) -> NoReturn:
    """Print the result and end the process."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(0)


class Meter:
    """Counts the messages of a stretch of time, and their CPU time.

    The caller itself counts down from the result of :meth:`lap`, which is cheap::

        left = 1
        while True:
            do_it()
            left -= 1
            if not left:
                left = meter.lap()

    :param step: the fixed length of each lap; None: the meter chooses the length.
    """

    def __init__(self, task: Task, step: int | None = None) -> None:
        self._task = task
        self._step = step
        self._lap = step or 1
        self._count = 0
        self._phase_start: float | None = None
        self._cpu_start = 0.0
        self._waited = 0.0
        self._is_warm = False

    def lap(self) -> int:
        """Record a lap, and return the length of the next one."""
        now = perf_counter()
        if self._phase_start is None:  # the first lap only shows that all connections are open
            self._phase_start = now
            return self._lap
        self._count += self._lap
        elapsed = now - self._phase_start
        if not self._is_warm:
            if elapsed >= self._task.warmup:
                self._is_warm = True
                if self._step is None:
                    rate = self._count / elapsed
                    self._lap = max(1, int(rate * self._task.seconds / LOOKS))
                self._count = 0
                self._waited = waited()
                self._phase_start = perf_counter()
                self._cpu_start = process_time()
            elif self._step is None:
                self._lap = min(2 * self._lap, 1000)
        elif elapsed >= self._task.seconds:
            report(
                messages=self._count,
                size=self._task.size,
                seconds=elapsed,
                cpu=process_time() - self._cpu_start,
                waited=waited() - self._waited,
                rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            )
        return self._lap


class MemoryMeter:
    """Weighs open connections by the growth of the resident set.

    The client opens a few connections before :meth:`begin`, so that modules and caches are loaded.
    A client that weighs its connections at work, too, calls :meth:`rest` while they are still idle.
    """

    #: The number of connections to open before :meth:`begin`.
    WARMUP = 30

    def __init__(self) -> None:
        self._before = 0
        self._idle: int | None = None

    def begin(self) -> None:
        """Begin: the client opens the connections to weigh after this call."""
        self._before = settle_first()

    def rest(self) -> None:
        """Weigh the connections, which are open and have exchanged nothing."""
        self._idle = settle() - self._before

    def end(self, connections: int) -> NoReturn:
        """Report: the connections are open and idle."""
        after = settle()
        idle = {} if self._idle is None else {"idle_bytes": self._idle}
        report(connections=connections, bytes=after - self._before, rss=after, **idle)


class RampMeter:
    """Weighs connections while their number grows, in the process and in the kernel.

    The client opens a few connections before :meth:`steps`, so that modules and caches are loaded.
    """

    #: The number of connections to open before the ramp.
    WARMUP = 30
    #: The largest number of connections to open at the same time.
    AT_ONCE = 50

    def __init__(self, task: Task) -> None:
        self._marks = marks_up_to(task.connections)
        self._points: list[dict[str, Any]] = []

    def steps(self) -> Iterator[int]:
        """Yield the numbers of connections to open, one after the other; then report."""
        before, caches = settle_first(), read_caches()
        opened, cpu = 0, 0.0
        for mark in self._marks:
            while opened < mark:
                count = min(self.AT_ONCE, mark - opened)
                began = process_time()
                yield count
                cpu += process_time() - began
                opened += count
            self._points.append(
                {
                    "connections": mark,
                    "bytes": settle() - before,
                    "kernel": grown(caches, read_caches(), mark),
                    "cpu": cpu,
                }
            )
        report(points=self._points, base=before)


def marks_up_to(limit: int) -> list[int]:
    """Return 10, 30, 100, 300 and so on, up to ``limit``, which is the last one."""
    marks = [base * 10**power for power in range(1, 7) for base in (1, 3)]
    return [mark for mark in marks if mark < limit] + [limit]


def settle_first() -> int:
    """Return the resident set before the first connection, in bytes.

    What start-up has freed would take the first hundreds of connections, and hide them.
    """
    gc.collect()
    _give_back()
    return settle()


def settle() -> int:
    """Collect the garbage, and return the resident set of this process, in bytes."""
    gc.collect()
    return _resident()


def _give_back() -> None:
    """Give freed memory back to the system, where the C library can (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _resident() -> int:
    """Return the resident set of this process, in bytes."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the peak, which is the current value while the process grows
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class RestMeter:
    """Counts the CPU time of connections on which nothing happens."""

    def __init__(self, task: Task) -> None:
        self._connections = task.connections
        self._began = perf_counter()
        self._cpu = process_time()

    def end(self) -> NoReturn:
        """Report, a second of a connection for a message."""
        cpu, seconds = process_time() - self._cpu, perf_counter() - self._began
        report(messages=self._connections * seconds, seconds=seconds, cpu=cpu)


class RoundTrips:
    """Collects the round trips of connections that share the process with a flood.

    If the connections starve, no call of :meth:`add` ends the measurement. An alarm ends it then.
    """

    #: The seconds from the end of the measurement to the alarm.
    PATIENCE = 5.0

    def __init__(self, task: Task) -> None:
        self._task = task
        self._seconds: list[float] = []
        self._is_warm = False
        self._start = perf_counter()
        self.flooded = 0
        signal.signal(signal.SIGALRM, self._give_up)
        signal.setitimer(signal.ITIMER_REAL, task.warmup + task.seconds + self.PATIENCE)

    def add(self, start: float) -> float:
        """Record a round trip that began at ``start``, and return the current time."""
        now = perf_counter()
        self._seconds.append(now - start)
        if self._is_warm:
            if now - self._start >= self._task.seconds:
                self._report(now - self._start)
        elif now - self._start >= self._task.warmup:
            self._is_warm = True
            self._seconds.clear()
            self.flooded = 0
            self._start = now
        return now

    def _give_up(self, number: int, frame: object) -> NoReturn:
        """Count the elapsed time as one round trip of each connection."""
        elapsed = perf_counter() - self._start
        self._seconds += [elapsed] * self._task.connections
        self._report(elapsed)

    def _report(self, elapsed: float) -> NoReturn:
        taken = sorted(self._seconds)
        report(
            messages=len(taken),
            flooded=self.flooded,
            seconds=elapsed,
            p50=taken[len(taken) // 2],
            p99=taken[int(len(taken) * 0.99)],
            worst=taken[-1],
        )
