"""Busy polling: the loop polls for a moment before it sleeps, where peers answer at once.

Falling asleep and being woken takes a process 10 to 50 microseconds, most of it on the processor. A
server on the same machine may answer in 20 to 60. So where sessions are woken again and again, soon
after the loop began to wait, the loop goes on turning for a moment before it sleeps; an idle
watcher keeps it awake. Nothing else waits for that: timers, callbacks and all descriptors are seen
as in any other turn.

Busy polling has to pay, or it ends. While the loop sleeps, the time and the processor's time that a
received byte costs are measured. While the loop polls, both are measured again, and compared. If a
byte costs nearly as much time as before, or twice the processor's time, or if polls find nothing,
polling ends; the next attempt comes after four times as many short waits as the last one. So a feed
that comes at its own pace finds the loop asleep. docs/tuning.rst has the figures.
"""

from __future__ import annotations

import os
from time import monotonic, thread_time

from .clock import Watcher, close_watcher

#: The environment variable for :data:`LIMIT`, in microseconds.
VARIABLE = "GREENWS_BUSY_POLL"

# A wake within this many seconds of the last one is soon: twice the default limit, as an answer
# that a poll finds after 20 us takes up to 100 us if the process has to be woken for it.
_SOON = 200e-6
# A wait of this many seconds is a pause: what was measured before it says nothing about what comes
# now. A hundred times the default limit.
_PAUSE = 10e-3

# Busy polling is tried after this many soon wakes in a row, which are 6 ms at most. An attempt in
# vain makes it four times as many, up to the second number: 0.2 to 1.6 s.
_PATIENCE = 32
_MAX_PATIENCE = 8192

# Stop after this many empty polls in a row: 0.6 ms in vain, at the default limit.
_FAILURES = 6
# Compare the cost every this many wakes: two readings of a clock among 128 wakes.
_SAMPLE = 128

# The first comparison comes after this many wakes. So few are enough to end an attempt where bytes
# come no sooner and cost too much of the processor as well: where a network decides when they come.
_FIRST_SAMPLE = 32

# After this many wakes, sleep for _PATIENCE wakes to measure again. Short at first: one lucky
# sample must not decide. It doubles up to the second number, of which the sleeping ones are 0.4 %.
_TERM = 512
_MAX_TERM = 8192

# Busy polling goes on while a byte costs at most this multiple of what it cost sleeping: of time,
# and of the processor's time. A tenth sooner is the least that is worth it; for a wait that becomes
# three times as short, as over loopback, twice the processor's time is no bad price.
_TIME = 0.9
_PROCESSOR_TIME = 2.0


def read_limit(text: str | None) -> float:
    """Return the seconds that a value of :data:`VARIABLE` stands for.

    :raises ValueError: it is no number of microseconds.
    """
    text = (text or "").strip() or "100"
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{VARIABLE} has to be a number of microseconds, not {text!r}")
    return int(text) / 1e6


#: Seconds that the loop polls before it sleeps, at most; 0: it never does. By default 100 us: a
#: server on asyncio, on the same machine, answers within 55.
LIMIT = read_limit(os.environ.get(VARIABLE))


class BusyPoll:
    """Decides for one loop whether it polls before it sleeps.

    :param idle: an idle watcher of the loop: while it is started, the loop does not sleep.
    :param limit: seconds, see :data:`LIMIT`.
    """

    __slots__ = (
        "_cpu_at",
        "_cpu_of_byte",
        "_failures",
        "_idle",
        "_is_awake",
        "_limit",
        "_noted",
        "_patience",
        "_received_at",
        "_term",
        "_time_at",
        "_time_of_byte",
        "_wakes",
        "is_looking",
        "received",
    )

    def __init__(self, idle: Watcher, limit: float = LIMIT) -> None:
        self._idle = idle
        self._limit = limit
        #: Whether the loop polls before it sleeps.
        self.is_looking: bool = False
        #: Bytes that were received, counted here by the sessions that read them.
        self.received: int = 0
        # The idle watcher is started.
        self._is_awake = False
        # When the last session that was woken had done its work.
        self._noted = 0.0
        # Wakes since the present measurement began, and what the clocks and the count were then.
        self._wakes = 0
        self._time_at = 0.0
        self._cpu_at = 0.0
        self._received_at = 0
        # Seconds that a byte costs while the loop sleeps, by either clock.
        self._time_of_byte = 0.0
        self._cpu_of_byte = 0.0
        self._failures = 0
        self._patience = _PATIENCE
        self._term = _TERM

    def note(self) -> None:
        """Take note that a session was woken, did its work, and waits again."""
        if not self._limit:
            return
        now = monotonic()
        if self.is_looking and now - self._noted > _PAUSE:
            self.stop()
        elif self.is_looking:
            if self._is_awake:
                self._failures = 0
            else:
                self._is_awake = True
                self._idle.start(self._look)
            self._wakes += 1
            if self._wakes % _SAMPLE == 0 or self._wakes == _FIRST_SAMPLE:
                self._judge(now)
        elif now - self._noted > _SOON:
            self._wakes = 0
        elif self._wakes == self._patience:
            self._begin(now)
        else:
            if self._wakes == 0:
                self._measure(now)
            self._wakes += 1
        self._noted = now

    def stop(self) -> None:
        """Have the loop sleep, until there are many short waits again."""
        self.is_looking = False
        self._wakes = 0
        self._sleep()

    def close(self) -> None:
        """Poll no more: the loop is over."""
        self.is_looking = self._is_awake = False
        self._limit = 0.0
        close_watcher(self._idle)

    def _measure(self, now: float) -> None:
        self._wakes = 0
        self._time_at = now
        self._cpu_at = thread_time()
        self._received_at = self.received

    def _begin(self, now: float) -> None:
        count = self.received - self._received_at
        if count > 0:
            self._time_of_byte = (now - self._time_at) / count
            self._cpu_of_byte = (thread_time() - self._cpu_at) / count
            self._failures = 0
            self.is_looking = True
        self._measure(now)

    def _look(self) -> None:
        """Called by the loop in every turn that has found nothing."""
        if monotonic() - self._noted > self._limit:
            self._sleep()
            self._failures += 1
            if self._failures == _FAILURES:
                self._give_up()

    def _sleep(self) -> None:
        if self._is_awake:
            self._is_awake = False
            self._idle.stop()

    def _judge(self, now: float) -> None:
        count = self.received - self._received_at
        is_later = now - self._time_at > self._time_of_byte * count * _TIME
        is_dearer = thread_time() - self._cpu_at > self._cpu_of_byte * count * _PROCESSOR_TIME
        if self._wakes == _FIRST_SAMPLE:
            if is_later and is_dearer:
                self._give_up()
            return
        if is_later or is_dearer:
            self._give_up()
            return
        self._patience = max(self._patience // 2, _PATIENCE)
        if self._wakes >= self._term:
            self._term = min(self._term * 2, _MAX_TERM)
            self.stop()

    def _give_up(self) -> None:
        self._patience = min(self._patience * 4, _MAX_PATIENCE)
        self._term = _TERM
        self.stop()
