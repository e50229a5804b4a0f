"""Time as the thread of a test has it, without that for which other processes had the processor.

A bound on wall time fails when the machine is busy. The kernel knows how long a thread was ready to
run and had to wait; without that time the bound holds on any machine, and still catches a hub that
works for too long or blocks in a system call.
"""

from __future__ import annotations

import time


def own_time() -> float:
    """Seconds of ``time.monotonic()``, less those the calling thread waited for a processor.

    Where the kernel does not tell them (only Linux does), that is ``time.monotonic()`` itself.
    """
    waited = _read_wait()
    while True:
        now = time.monotonic()
        # Another process may have come in between the two.
        again = _read_wait()
        if again == waited:
            return now - waited
        waited = again


def _read_wait() -> float:
    try:
        with open("/proc/thread-self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


class Stopwatch:
    """Measures from when it is made, on the wall and on the thread's own clock.

    A lower bound belongs to :attr:`wall`, as timers go by it; an upper one to :attr:`own`.
    """

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._own = own_time()

    @property
    def wall(self) -> float:
        """Seconds of wall time so far."""
        return time.monotonic() - self._wall

    @property
    def own(self) -> float:
        """Seconds of :func:`own_time` so far."""
        return own_time() - self._own
