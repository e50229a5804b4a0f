"""The time of a turn, and the order of those who have more work than fits into it.

A turn of the loop runs many sessions. Whatever they read, their work may last for :data:`TURN`
seconds together; then each pauses after its present unit of work, and waits here. In the next
turns, those who wait go on in the order of asking, as long as the turn lasts. So each of many
flooded sessions has its share, and no turn lasts longer for their number.

Nothing that a peer or a handler did before earns it anything: the clock is looked at after every
sixth unit, and after every single one while units are slow.
"""

from __future__ import annotations

from collections import deque
from time import thread_time
from typing import Any

from gevent import get_hub
from gevent.hub import Waiter

from ..native import ticks
from ..protocol.allowance import Allowance
from .clock import Loop, Watcher, close_watcher

#: Seconds of work in one turn. Beside a flooded connection, 99 of 100 round trips of 50 others have
#: to stay below 50 ms, and a round trip takes two turns or three. The clock may be 4 ms late.
TURN = 0.008
_TURN = TURN  # this second name is a C number when compiled; modules import the first

# Seconds after which a turn is over even if the thread has had the processor for less: other
# processes wanted it, or a handler blocks without work.
_LONGEST_TURN = 2 * TURN

# Seconds by which a clock has to move to show that units of work are slow. The coarse clock of the
# compiled build moves by 1 ms at least, and Python's clock with every look.
_MOVE = 0.0005

# Units of work between two looks at the clock. Six units that follow the 12 ms of a turn and of a
# late clock have to stay below 50 ms: a unit of 6 ms is no frame of the protocol but a handler.
_MAX_GRANT = 6


class Rota(Allowance):
    """The turns of one loop, shared by its sessions. All parsers ask it for grants.

    :param loop: gevent's loop.
    :param is_told: whether the owner calls :meth:`begin_turn` for each turn.
    """

    __slots__ = (
        "_began",
        "_began_work",
        "_grant",
        "_is_told",
        "_looked",
        "_loop",
        "_timer",
        "_waiting",
    )

    def __init__(self, loop: Loop, is_told: bool) -> None:
        self._loop = loop
        self._is_told = is_told
        self._timer: Watcher = None
        self._waiting: deque[Waiter[Any]] = deque()
        # When the first one asked in this turn, and the last one; 0.0: nobody has.
        self._began = 0.0
        self._looked = 0.0
        # The processor's time of the thread when the first one asked.
        self._began_work = 0.0
        self._grant = 1

    def begin_turn(self) -> None:
        """Take note that the loop has looked at its descriptors and timers, or is about to."""
        self._began = 0.0

    def is_over(self) -> bool:
        """Whether this turn has had its time."""
        now = ticks.now()
        if self._began == 0.0:
            self._begin(now)
        return now - self._began >= _TURN and self._has_worked(now)

    def grant(self) -> int:
        now = ticks.now()
        if self._began == 0.0:
            self._begin(now)
        elif now - self._began >= _TURN and self._has_worked(now):
            self._grant = 1
            return 0
        # Twice as many each time, until the clock moves: units may have become slow.
        if now - self._looked >= _MOVE:
            self._looked = now
            self._grant = 1
        elif self._grant < _MAX_GRANT:
            self._grant = min(2 * self._grant, _MAX_GRANT)
        return self._grant

    def _has_worked(self, now: float) -> bool:
        """Whether the time of the turn went into work, and not to other processes."""
        return now - self._began >= _LONGEST_TURN or thread_time() - self._began_work >= _TURN

    def _begin(self, now: float) -> None:
        self._began = now
        self._began_work = thread_time()
        self._grant = 1
        if not self._is_told:
            self._loop.run_callback(self.begin_turn)

    def wait(self) -> None:
        """Have the calling greenlet go on in another turn."""
        waiter: Waiter[Any] = Waiter(get_hub())
        self._waiting.append(waiter)
        self._arm()
        try:
            waiter.get()
        except BaseException:
            if waiter in self._waiting:  # killed
                self._waiting.remove(waiter)
                if not self._waiting:
                    self._disarm()
            raise

    def _arm(self) -> None:
        if self._timer is None:
            # A callback would not do: the loop runs many of them before it looks at descriptors.
            self._timer = self._loop.timer(0)
            self._timer.start(self._resume)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def close(self) -> None:
        """Forget who waits, for good: the loop is over, and nobody goes on."""
        self._waiting.clear()
        timer, self._timer = self._timer, None
        if timer is not None:
            close_watcher(timer)

    def _resume(self) -> None:
        self._disarm()
        self._began = 0.0
        waiting = self._waiting
        try:
            # No more than wait now: one that pauses again has had its time.
            for _ in range(len(waiting)):
                if not waiting or self.is_over():
                    break
                waiting.popleft().switch(None)
        finally:
            if waiting:
                self._arm()
