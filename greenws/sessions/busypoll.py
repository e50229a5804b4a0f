"""Busy polling: a hub whose peers answer at once looks for a moment before it sleeps.

To fall asleep and to be woken takes a process 10 to 50 microseconds, most of it on the processor; a
server on the same machine may answer in 20 to 60. So where sessions are woken again and again, soon
after the loop began to wait, it goes on turning for a moment before it sleeps. Nothing waits for
that: timers, callbacks and all descriptors are seen as in any turn.

It has to pay. What a byte took, of time and of the processor's time, is known from the turns that
slept. If bytes do not come sooner now, or take twice as much of the processor, or if looks find
nothing, it ends, and is tried again only after four times as many short waits as before. So a
feed that comes when it comes finds the loop asleep.
"""

from __future__ import annotations

import os
from time import monotonic, thread_time

from .clock import Watcher

#: The environment variable for :data:`LIMIT`, in microseconds.
VARIABLE = "GREENWS_BUSY_POLL"

# Seconds from wake to wake that are soon. Asleep, it may take 100 µs what a look finds after 20.
_SOON = 200e-6
# Seconds that are a pause: what came before it says nothing about what comes now.
_PAUSE = 10e-3

# Wakes that came soon, in a row, until it is tried: at first and at most.
_PATIENCE = 32
_MAX_PATIENCE = 8192

# Looks in a row that find nothing until it ends; wakes from judgement to judgement.
_FAILURES = 6
_SAMPLE = 128

# Wakes until it is compared with sleep anew: at first, as chance may have had its part; at most.
_TERM = 512
_MAX_TERM = 8192

# What a byte may take, by what it takes asleep.
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


#: Seconds that a look takes at most; 0: the loop always sleeps.
LIMIT = read_limit(os.environ.get(VARIABLE))


class BusyPoll:
    """What one loop knows of its waits.

    :param idle: a watcher of the loop's; while it is started, the loop does not sleep.
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
        #: Whether the loop looks before it sleeps.
        self.is_looking: bool = False
        #: Bytes that were received; those who read them count them here.
        self.received: int = 0
        # A look is under way.
        self._is_awake = False
        # When somebody was woken last, and had been seen to.
        self._noted = 0.0
        # Wakes, asleep or looking, and what there was before them.
        self._wakes = 0
        self._time_at = 0.0
        self._cpu_at = 0.0
        self._received_at = 0
        # What a byte takes asleep.
        self._time_of_byte = 0.0
        self._cpu_of_byte = 0.0
        self._failures = 0
        self._patience = _PATIENCE
        self._term = _TERM

    def note(self) -> None:
        """Take note that somebody was woken, and waits again. Called by the loop."""
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
            if self._wakes % _SAMPLE == 0:
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
        """Sleep, until there are many short waits again."""
        self.is_looking = False
        self._wakes = 0
        self._sleep()

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
        """Be called by the loop in every turn that has found nothing."""
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
        if (
            now - self._time_at > self._time_of_byte * count * _TIME
            or thread_time() - self._cpu_at > self._cpu_of_byte * count * _PROCESSOR_TIME
        ):
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
