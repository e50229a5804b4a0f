"""Keeps the appointments of all connections, by one greenlet."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from time import perf_counter

from gevent.event import Event

from ...sessions.wait import take_turn

# Calls in a row, after which the loop has a turn: the replies should not wait for all sends.
_IN_A_ROW = 64

#: The shortest wait, in seconds: no loop has timers of a finer grain. libuv takes less for nothing,
#: and would serve a timer that is set again and again before it looks at any descriptor.
GRAIN = 0.001

# What is called with the time of the appointment, and returns the next one; 0.0: there is none.
Call = Callable[[float], float]


class Pacer:
    """Keeps appointments, by the clock of ``perf_counter``."""

    def __init__(self) -> None:
        # The number keeps the appointments of one time in order, and calls from being compared.
        self._heap: list[tuple[float, int, Call]] = []
        self._number = 0
        self._news = Event()

    def add(self, time: float, call: Call) -> None:
        """Have ``call`` called at a time."""
        self._number += 1
        heappush(self._heap, (time, self._number, call))
        if self._heap[0][1] == self._number:
            self._news.set()

    def follow(self) -> None:
        """Keep the appointments until killed."""
        heap, news = self._heap, self._news
        calls = 0
        while True:
            news.clear()
            while heap and heap[0][0] <= perf_counter():
                time, number, call = heappop(heap)
                again = call(time)
                if again:
                    heappush(heap, (again, number, call))
                calls += 1
                if calls % _IN_A_ROW == 0:
                    take_turn()
            # A new appointment that is earlier than all others ends the wait.
            news.wait(max(GRAIN, heap[0][0] - perf_counter()) if heap else None)
