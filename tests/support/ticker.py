"""A greenlet that notices when the hub stands still."""

from __future__ import annotations

import time

import gevent


class Ticker:
    """Ticks every 5 ms, and remembers the longest time between two ticks."""

    #: Seconds between ticks of an idle hub.
    INTERVAL = 0.005

    def __init__(self) -> None:
        #: Ticks since the start, or the last :meth:`reset`.
        self.ticks = 0
        self._largest_gap = 0.0
        self._last = time.perf_counter()
        self._greenlet = gevent.spawn(self._run)

    @property
    def largest_gap(self) -> float:
        """The longest time between ticks so far, seconds; one that still lasts counts."""
        return max(self._largest_gap, time.perf_counter() - self._last)

    def reset(self) -> None:
        """Forget what was measured, to begin with the part of interest."""
        self.ticks = 0
        self._largest_gap = 0.0
        self._last = time.perf_counter()

    def stop(self) -> None:
        """End the ticking."""
        self._greenlet.kill()

    def _run(self) -> None:
        while True:
            gevent.sleep(self.INTERVAL)
            self._largest_gap = self.largest_gap
            self._last = time.perf_counter()
            self.ticks += 1
