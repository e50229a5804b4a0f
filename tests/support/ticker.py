"""A greenlet that notices when the hub stands still."""

from __future__ import annotations

import gevent

from tests.support.stopwatch import own_time
from tests.support.waiting import PATIENCE


class Ticker:
    """Ticks every 5 ms, and remembers the longest time between two ticks.

    The time is :func:`own_time`: other processes on the machine make no gap.
    """

    #: Seconds between ticks of an idle hub.
    INTERVAL = 0.005

    def __init__(self) -> None:
        #: Ticks since the start or the last :meth:`reset`.
        self.ticks = 0
        self._largest_gap = 0.0
        self._last = own_time()
        self._greenlet = gevent.spawn(self._run)

    @property
    def largest_gap(self) -> float:
        """The longest time between two ticks so far, or since the last one, seconds."""
        return max(self._largest_gap, own_time() - self._last)

    def reset(self) -> None:
        """Forget what was measured so far."""
        self.ticks = 0
        self._largest_gap = 0.0
        self._last = own_time()

    def wait(self, ticks: int) -> None:
        """Wait until there were so many ticks since the start, or the last :meth:`reset`."""
        with gevent.Timeout(PATIENCE, AssertionError(f"only {self.ticks} ticks")):
            while self.ticks < ticks:
                gevent.sleep(self.INTERVAL)

    def stop(self) -> None:
        """End the ticking."""
        self._greenlet.kill()

    def _run(self) -> None:
        while True:
            gevent.sleep(self.INTERVAL)
            self._largest_gap = self.largest_gap
            self._last = own_time()
            self.ticks += 1
