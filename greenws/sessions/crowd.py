"""Who runs next: greenlets that wait, and the order in which a crowd of them is resumed.

When many descriptors are readable at once, the sessions behind them run one after the other without
the hub in between: each switches to the next when it parks. That is half the switches, and with
thousands of connections most of the cost of a switch is memory that is not in the cache.
docs/tuning.rst has the figures.

A loop without a watcher that is called after all descriptors, libuv's, has no crowd. But it has a
bound as well: once a turn has lasted, the sessions that are ready go on in the next ones.
"""

from __future__ import annotations

import os
from time import thread_time
from typing import Any

from gevent import getcurrent
from greenlet import greenlet

from ..native import ticks
from .clock import Alarm, Loop, Watcher, close_watcher
from .rota import Rota

# The unbound method, so that a switch looks nothing up. gevent's Hub.switch would first ask the
# current greenlet for a switch_out(), which ours does not have.
_switch = greenlet.switch

#: The environment variable for :data:`CROWD`.
CROWD_VARIABLE = "GREENWS_CROWD"


def parse_size(text: str | None) -> int:
    """Return the size that a value of :data:`CROWD_VARIABLE` stands for.

    :raises ValueError: it is no number.
    """
    text = (text or "").strip() or "4"
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{CROWD_VARIABLE} has to be a number of sessions, not {text!r}")
    return int(text)


#: Sessions that have to be woken in one turn to make a crowd; 0: there is never one. For fewer than
#: four, the watcher at the end of a poll costs more than the crowd saves.
CROWD = parse_size(os.environ.get(CROWD_VARIABLE))

# Turns without a crowd after which the check watcher is stopped. Few, as the watcher costs a little
# in each turn; but several, as a server that answers 1,000 clients does not do so in every turn.
_MAX_CALM_TURNS = 16

# Sessions that run one after the other before the hub runs again: other watchers, and callbacks,
# wait meanwhile.
_CHAIN = 64

# Seconds of the processor that the members of a crowd have in one turn of the loop; the others go
# on in the next one. When 9,000 connections end together, one turn would last for a third of a
# second. The clock is looked at after so many members, which may all have a handler that takes a
# millisecond.
_TURN_TIME = 0.008
_LOOK = 8

# Whoever is left over costs the next poll a look at its socket: 0.3 us if that is in no cache, in
# each turn. So the turn of thousands lasts longer, by so many seconds for each, which is what an
# echo takes, up to three times as long. With 16 ms at most instead of 24, an echo among 10,000
# connections costs 10 % more.
_EACH = 0.000_008
_MAX_TURN_TIME = 3 * _TURN_TIME

# A turn is over after so many times that, even if the thread has had the processor for less: other
# processes wanted it, or handlers block without work.
_PATIENCE = 2

# Members that are woken in one turn, by watcher after watcher, before they have to make a crowd.
_BURST = 64


class Member(Alarm):
    """Has a greenlet that parks and is resumed, and an alarm. To be subclassed."""

    __slots__ = ("_crowd", "_greenlet", "_hub", "_is_listed", "_is_parked", "_is_resting")

    def __init__(self) -> None:
        Alarm.__init__(self)
        # Whether the crowd has it among those that are ready.
        self._is_listed = False
        self._hub: Any = None
        # Set when the greenlet begins to run; nothing asks for the crowd before.
        self._crowd: Crowd = None  # type: ignore[assignment]
        # The greenlet that waits, or that waited last.
        self._greenlet: Any = None
        self._is_parked = False
        # Whether it waits without a greenlet: only the hub can go on with it.
        self._is_resting = False

    def _park(self) -> None:
        """Wait, in the greenlet that calls it, until :meth:`_resume` is called."""
        self._greenlet = getcurrent()
        self._park_again()

    def _park_again(self) -> None:
        """As :meth:`_park`, for a caller that knows that its greenlet is noted as the one that
        waited last.
        """
        following = self._crowd.pick()
        self._is_parked = True
        try:
            _switch(self._hub if following is None else following._greenlet)
        finally:
            self._is_parked = False

    def _resume(self) -> None:
        """Switch to the greenlet that waits, if it does; called in the hub's greenlet.

        A member that can wait without a greenlet overrides it.
        """
        if self._is_parked:
            _switch(self._greenlet)


class Crowd:
    """The members of one hub that are ready to run.

    :param check: a watcher of the loop's that is called after those of all descriptors that a poll
        has found ready; None: the loop has none, and there is never a crowd.
    :param size: see :data:`CROWD`.
    :param rota: tells when a turn has lasted, for a loop in which there is no crowd; None: the
        members are resumed whenever they are ready.
    :param loop: gevent's loop, which a ``rota`` needs.
    """

    __slots__ = (
        "_began",
        "_began_work",
        "_calm_turns",
        "_check",
        "_is_late",
        "_loop",
        "_next",
        "_ready",
        "_rota",
        "_size",
        "_timer",
        "_turn_time",
        "_wakes",
        "is_crowded",
    )

    def __init__(
        self, check: Watcher, size: int = CROWD, rota: Rota | None = None, loop: Loop = None
    ) -> None:
        self._check = check
        self._rota = rota
        self._loop = loop
        # Whether members wait for a later turn, without a crowd; and what calls them then.
        self._is_late = False
        self._timer: Watcher = None
        self._size = size if check is not None else 0
        # Members that are ready, and which of them is the next to be resumed.
        self._ready: list[Member] = []
        self._next = 0
        # When they began to be resumed in this turn, in seconds of the monotonic clock.
        self._began = 0.0
        # The processor's time of the thread then, if there were many; and how long they may run.
        self._began_work = 0.0
        self._turn_time = _TURN_TIME
        # Members that were woken in this turn, and turns in a row without enough of them.
        self._wakes = 0
        self._calm_turns = 0
        #: Whether members are resumed only when all that are ready are known.
        self.is_crowded: bool = False

    def wake(self, member: Member) -> bool:
        """Count a member that is ready; called by the hub.

        :returns: whether the crowd resumes the member; False: the caller has to.
        """
        self._wakes += 1
        if not self.is_crowded:
            if not self._size:
                if not self._is_late and not self._may_put_off():
                    return False
            elif self._wakes <= _BURST:
                return False
            else:
                # So many in one turn: the rest of them is resumed in the next turns. Their watchers
                # fire again, so the loop does not sleep before.
                self._gather()
        if not member._is_listed:  # or it is left over from the turn before
            member._is_listed = True
            self._ready.append(member)
        return True

    def pick(self) -> Member | None:
        """Return the member to go on with when one parks; None: the hub has to go on.

        The hub resumes the first of each _CHAIN members, by :meth:`_resume_ready`, and so has its
        look in between; likewise each member that has no greenlet to switch to.
        """
        ready = self._ready
        while self._next < len(ready) and self._next % _CHAIN:
            if not self._next % _LOOK and self._is_over():
                return None
            member = ready[self._next]
            if member._is_resting:
                return None
            self._next += 1
            member._is_listed = False
            # A member that was resumed for another reason has seen what there was to see.
            if member._is_parked:
                return member
        return None

    def end_turn(self) -> None:
        """Begin, or cease, to wait until all members that are ready are known."""
        wakes = self._wakes
        self._wakes = 0
        if not self._size:
            return
        if not self.is_crowded:
            if wakes >= self._size:
                self._gather()
        elif wakes >= self._size:
            self._calm_turns = 0
        else:
            self._calm_turns += 1
            if self._calm_turns > _MAX_CALM_TURNS:
                self.disperse()

    def _gather(self) -> None:
        self.is_crowded = True
        self._calm_turns = 0
        self._check.start(self._resume_ready)

    def _is_over(self) -> bool:
        """Tell whether the members have run for long enough in this turn."""
        spent = ticks.precise() - self._began
        if spent < self._turn_time:
            return False
        if spent >= _PATIENCE * self._turn_time:
            return True
        return thread_time() - self._began_work >= self._turn_time

    def _may_put_off(self) -> bool:
        """Whether this turn has lasted, and members that are ready have to wait for another one."""
        if self._rota is None or self._wakes % _LOOK or not self._rota.is_over():
            return False
        self._is_late = True
        self._arm()
        return True

    def _arm(self) -> None:
        # Not a callback: the loop runs many of them before it looks at descriptors.
        self._timer = self._loop.timer(0)
        self._timer.start(self._resume_late)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            close_watcher(timer)

    def _resume_late(self) -> None:
        self._disarm()
        try:
            self._resume_ready()
        finally:
            # The watchers of those that are left may have been stopped by an error, which libuv
            # does; so the next turn does not depend on them.
            self._is_late = bool(self._ready)
            if self._is_late:
                self._arm()

    def disperse(self) -> None:
        """Cease to be a crowd. Members that are ready are woken again by their watchers."""
        self.clear()
        if self.is_crowded:
            self.is_crowded = False
            self._check.stop()

    def close(self) -> None:
        """Forget who is ready, for good: the loop is over."""
        self.clear()
        self.is_crowded = False
        self._size = 0
        self._rota = None
        self._is_late = False
        self._disarm()
        if self._check is not None:
            close_watcher(self._check)

    def clear(self) -> None:
        """Forget who is ready."""
        for member in self._ready:
            member._is_listed = False
        self._ready.clear()
        self._next = 0

    def _resume_ready(self) -> None:
        ready = self._ready
        if not ready:
            return
        self._began = ticks.precise()
        if len(ready) > _LOOK:
            self._began_work = thread_time()
            self._turn_time = min(_TURN_TIME + _EACH * len(ready), _MAX_TURN_TIME)
        try:
            while self._next < len(ready):
                member = ready[self._next]
                self._next += 1
                member._is_listed = False
                member._resume()
                if self._is_over():
                    break
        finally:
            # Those that are left are the first ones of the next turn, also after an exception out
            # of a member. Their watchers fire again, so that there is a next turn.
            del ready[: self._next]
            self._next = 0
