"""Who may open a connection now: at most so many at a time, and so many a second."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from .sessions import forks
from .sessions.clock import NEVER, Alarm
from .sessions.reactor import Reactor, get_reactor

# Seconds by which one that waits may be admitted late, since the hub was busy, without those behind
# it being late as well. So no second has more than a twentieth beyond the rate.
_LATENESS = 0.05

# Openings that are admitted in one go; the loop has a turn before the next ones.
_BATCH = 200


class Turn:
    """The turn of one client to open a connection. To be subclassed."""

    __slots__ = ()

    def begin(self) -> None:
        """Be told that the turn has come: a place is taken."""
        raise NotImplementedError


class Admission(Alarm):
    """A queue of turns, in order of asking, and the places for openings.

    A place is taken by :meth:`ask` or on the turn's :meth:`Turn.begin`, and given back by
    :meth:`free`; who has not got one yet leaves the queue by :meth:`withdraw`.

    :param max_connecting: the number of places; None: no limit.
    :param rate: openings a second, evenly spread; None: no limit.
    """

    __slots__ = ("_due", "_generation", "_interval", "_places", "_queue", "_reactor", "taken")

    def __init__(self, max_connecting: int | None, rate: float | None) -> None:
        Alarm.__init__(self)
        self._places = max_connecting
        self._interval = 0.0 if rate is None else 1.0 / rate
        # When the next opening may begin, in seconds of the monotonic clock.
        self._due = 0.0
        # Those that wait, each with what wakes it.
        self._queue: OrderedDict[Turn, Callable[[], object]] = OrderedDict()
        self._reactor: Reactor | None = None
        # The process in which the queue is: in a child, nobody waits any more.
        self._generation = forks.generation
        #: The places that are taken.
        self.taken: int = 0

    def __len__(self) -> int:
        return len(self._queue)

    def ask(self) -> bool:
        """Take a place, if there is one and nobody waits for it; tell whether it was taken."""
        if self._queue or not self._has_place or not self._is_due():
            return False
        self._take(0.0)
        return True

    def wait(self, turn: Turn, wake: Callable[[], object]) -> None:
        """Queue up. When the turn has come, ``turn.begin()`` is called, and then ``wake()``."""
        if self._reactor is None:
            self._reactor = get_reactor()
        if not self._queue:
            self._due = max(self._due, monotonic())  # nobody was late while nobody waited
        self._queue[turn] = wake
        self._admit()

    def withdraw(self, turn: Turn) -> None:
        """Leave the queue; idempotent."""
        if self._queue.pop(turn, None) is not None and not self._queue:
            self._come_to_rest()

    def free(self) -> None:
        """Give a place back."""
        self.taken -= 1
        self._admit()

    @property
    def _has_place(self) -> bool:
        return self._places is None or self.taken < self._places

    @property
    def _can_wake(self) -> bool:
        """Whether those that wait are of this process, and of a hub that was not destroyed."""
        reactor = self._reactor
        return (
            self._generation == forks.generation and reactor is not None and not reactor.is_over()
        )

    def _is_due(self) -> bool:
        return not self._interval or monotonic() >= self._due

    def _take(self, lateness: float) -> None:
        self.taken += 1
        if self._interval:
            self._due = max(self._due, monotonic() - lateness) + self._interval

    def reset(self) -> None:
        """Forget the hub: the next ones will ask on another one."""
        self._reactor = None
        self._due = 0.0

    def _admit(self) -> None:
        queue = self._queue
        if not queue or not self._has_place or not self._can_wake:
            return
        for _ in range(_BATCH):
            if not self._is_due():
                break
            turn, wake = queue.popitem(last=False)
            self._take(_LATENESS)
            turn.begin()
            wake()
            if not queue:
                self._come_to_rest()
                return
            if not self._has_place:
                self._set(NEVER)
                return
        self._set(self._due if self._interval else monotonic())

    def _come_to_rest(self) -> None:
        """Nobody waits any more: let go of the alarm, and of the memory of a long queue."""
        self._queue.clear()
        self._set(NEVER)

    def _set(self, due: float) -> None:
        """Have the queue looked at again at ``due``, in seconds of the monotonic clock."""
        if self._reactor is not None and self._can_wake:
            self._reactor.clock.set(self, due)

    def _ring(self, due: float, now: float) -> None:
        self._admit()
