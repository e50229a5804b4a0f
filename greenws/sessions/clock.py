"""Alarms: thousands of points in time, and one timer of the loop for all of them.

A session has one alarm, for what is due first. A timer of gevent's for each would be 300 bytes,
and some microseconds whenever it is set.
"""

from __future__ import annotations

from typing import Any

from ..constants import LONGEST_WAIT, SHORTEST_WAIT
from ..native import ticks

#: gevent's event loop, and a watcher of that loop. Each kind of loop has classes of its own, and
#: gevent has no public type for any of them.
Loop = Any
Watcher = Any

# Seconds of ringing in one turn of the loop, and alarms between two looks at the time. Thousands of
# sessions that are ended at once all have their alarm rung.
_RING_TIME = 0.008
_LOOK = 8

#: The time of an alarm that is not set.
NEVER = float("inf")


def close_watcher(watcher: Watcher) -> None:
    """Stop a watcher for good, also after its loop was destroyed."""
    try:
        watcher.stop()
        watcher.close()
    except Exception:
        # The loop was destroyed, and watches nothing any more; each kind of loop has an error of
        # its own for that. gevent never frees a watcher that was started, but lets go of this.
        watcher.callback = None


class Alarm:
    """Rung by a :class:`Clock` when it is due. To be subclassed."""

    __slots__ = ("_place", "_due_at")

    def __init__(self) -> None:
        #: The time to ring, in seconds of the monotonic clock; only :class:`Clock` may change it.
        self._due_at: float = NEVER
        # The alarm's index in the clock's heap; -1: it is not set.
        self._place = -1

    def _ring(self, due: float, now: float) -> None:
        """Do what is due; called in the hub's greenlet, when the alarm is no longer set.

        :param due: the time for which it was set.
        """
        raise NotImplementedError


def _read_due(alarm: Alarm) -> float:
    return alarm._due_at


class Clock:
    """The alarms of one loop: a binary heap in which every alarm knows its place, so that setting
    an alarm again needs no search, as it would with ``heapq``.

    :param loop: gevent's loop, which is kept alive while an alarm is set.
    """

    __slots__ = ("_alarms", "_loop", "_moving", "_timer", "_timer_due")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._alarms: list[Alarm] = []
        # The alarm that is on its way to its place, and nowhere in the heap meanwhile.
        self._moving: Alarm | None = None
        self._timer: Watcher = None
        self._timer_due = NEVER

    def __len__(self) -> int:
        return len(self._alarms)

    def set(self, alarm: Alarm, due: float) -> None:
        """Have ``alarm`` rung at ``due``, instead of when it was due before; :data:`NEVER`: not at
        all.
        """
        try:
            self._set(alarm, due)
        except BaseException:
            self._mend(alarm)
            raise

    def _set(self, alarm: Alarm, due: float) -> None:
        alarms = self._alarms
        place = alarm._place
        alarm._due_at = due
        if due == NEVER:
            if place >= 0:
                self._remove(alarm)
        else:
            if place < 0:
                place = len(alarms)
                alarms.append(alarm)
            self._settle(alarm, place)
        self._arm()

    def close(self) -> None:
        """Forget all alarms: the loop is over."""
        for alarm in self._alarms:
            alarm._place = -1
            alarm._due_at = NEVER
        self._alarms.clear()
        self._stop()

    def _remove(self, alarm: Alarm) -> None:
        alarms = self._alarms
        place = alarm._place
        alarm._place = -1
        end = len(alarms) - 1
        self._moving = last = alarms[end]
        del alarms[end]
        if last is not alarm:
            self._settle(last, place)
        self._moving = None

    def _settle(self, alarm: Alarm, place: int) -> None:
        """Find the alarm's place in the heap, beginning at ``place``: a free one, or its own."""
        alarms = self._alarms
        size = len(alarms)
        self._moving = alarm
        # Move up, past alarms that are due later.
        while place > 0:
            above = (place - 1) >> 1
            other = alarms[above]
            if other._due_at <= alarm._due_at:
                break
            self._put(other, place)
            place = above
        # Or move down, past alarms that are due earlier.
        while True:
            below = 2 * place + 1
            if below >= size:
                break
            other = alarms[below]
            if below + 1 < size:
                sibling = alarms[below + 1]
                if sibling._due_at < other._due_at:
                    below += 1
                    other = sibling
            if other._due_at >= alarm._due_at:
                break
            self._put(other, place)
            place = below
        self._put(alarm, place)
        self._moving = None

    def _mend(self, alarm: Alarm) -> None:
        """Make a heap of the alarms again, after an exception in the midst of a move.

        A signal handler may raise between any two steps, and the alarms are those of all sessions.

        :param alarm: the one that was to be set or removed.
        """
        known = [*self._alarms, alarm]
        if self._moving is not None:
            known.append(self._moving)
            self._moving = None
        found = {}
        for each in known:
            each._place = -1
            if each._due_at != NEVER:
                found[id(each)] = each
        self._alarms[:] = sorted(found.values(), key=_read_due)  # which is a heap
        for place, each in enumerate(self._alarms):
            each._place = place
        self._arm()

    def _put(self, alarm: Alarm, place: int) -> None:
        self._alarms[place] = alarm
        alarm._place = place

    def _arm(self) -> None:
        """Have the timer fire in time for the first alarm. A timer that fires earlier is kept: to
        replace it costs more than to be woken once in vain.
        """
        if not self._alarms:
            self._stop()
            return
        first = self._alarms[0]
        if first._due_at < self._timer_due:
            self._stop()
            # libuv warns of anything shorter.
            seconds = max(SHORTEST_WAIT, first._due_at - ticks.precise())
            self._timer = self._loop.timer(min(seconds, LONGEST_WAIT))
            # From now on, and not from the time that the loop knows: the hub may have been held
            # since, and the timer would fire too early.
            self._timer.start(self._ring, update=True)
            self._timer_due = first._due_at

    def _stop(self) -> None:
        self._timer_due = NEVER
        timer = self._timer
        if timer is not None:
            close_watcher(timer)
            self._timer = None

    def _ring(self) -> None:
        self._stop()
        now = ticks.precise()
        alarms = self._alarms
        try:
            # No more than are set now: an alarm that is set again at once waits for the next time.
            for number in range(len(alarms)):
                if not alarms:
                    break
                if number and not number % _LOOK and ticks.precise() - now >= _RING_TIME:
                    break  # the timer fires again at once
                alarm = alarms[0]
                due = alarm._due_at
                if due > now:
                    break
                try:
                    self._remove(alarm)
                except BaseException:
                    self._mend(alarm)
                    raise
                alarm._due_at = NEVER
                alarm._ring(due, now)
        finally:
            self._arm()
