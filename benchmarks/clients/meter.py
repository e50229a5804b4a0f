"""Meters: they are told when something was done, and end the process with a result.

A meter prints the result as JSON and ends the process on the spot, so that nothing of how a peer
tears down its connections is waited for, or measured.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
from time import perf_counter, process_time
from typing import Any, NoReturn

from .task import Task

#: How often a meter looks at the clock, in times a measurement.
LOOKS = 25


def report(**result: Any) -> NoReturn:
    """Print the result and end the process."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(0)


class Meter:
    """Counts what is done in a stretch of time, and the CPU time it takes.

    The caller counts down by itself, which is cheap, from what :meth:`lap` returned::

        left = 1
        while True:
            do_it()
            left -= 1
            if not left:
                left = meter.lap()

    :param step: what a lap is always made of; None: the meter chooses.
    """

    def __init__(self, task: Task, step: int | None = None) -> None:
        self._task = task
        self._step = step
        self._lap = step or 1
        self._count = 0
        self._phase_start: float | None = None
        self._cpu_start = 0.0
        self._is_warm = False

    def lap(self) -> int:
        """Take note of a lap; return the length of the next one."""
        now = perf_counter()
        if self._phase_start is None:  # the first one: everything is connected now
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
                self._phase_start = perf_counter()
                self._cpu_start = process_time()
            elif self._step is None:
                self._lap = min(2 * self._lap, 1000)
        elif elapsed >= self._task.seconds:
            report(
                messages=self._count,
                seconds=elapsed,
                cpu=process_time() - self._cpu_start,
                rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            )
        return self._lap


class MemoryMeter:
    """Weighs open connections: how much the resident set grows.

    A few connections are opened before :meth:`begin`, so that what is needed once is there.
    """

    #: Connections to open first.
    WARMUP = 30

    def __init__(self) -> None:
        self._before = 0

    def begin(self) -> None:
        """The connections to be weighed are opened now."""
        self._before = self._settle()

    def end(self, connections: int) -> NoReturn:
        """They are open, and idle."""
        after = self._settle()
        report(connections=connections, bytes=after - self._before, rss=after)

    @staticmethod
    def _settle() -> int:
        gc.collect()
        return _resident()


def _resident() -> int:
    """Return the bytes of this process that are in memory."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the most there ever was, which serves as long as it grows
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class RoundTrips:
    """Collects the round trips of connections that share the process with a flood.

    Where they starve, so that nobody comes to tell that the time is over, an alarm does.
    """

    #: Seconds beyond the time to measure until the alarm.
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
        """Take one that began at ``start``; return the time."""
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
        """Count the time that nobody came as a round trip of all: it is one at least."""
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
