"""Waiting for descriptors on gevent's hub; the only place where opening a connection switches.

Every watcher made here is stopped and closed again before the call returns or raises, also when
a kill or a ``gevent.Timeout`` arrives during the wait. A descriptor may be closed right after.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from gevent import get_hub
from gevent.hub import Waiter

#: Events of ``loop.io``, as bits.
READ = 1
WRITE = 2


class Deadline:
    """A point in time that several waits share.

    :param seconds: from now; None: never.
    """

    __slots__ = ("_at",)

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def remaining(self) -> float | None:
        """Seconds left, never below zero; None: there is no end."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())


def wait_read(fileno: int, deadline: Deadline | None = None) -> bool:
    """Wait until ``fileno`` is readable; False when the deadline has passed first."""
    return wait(fileno, READ, deadline)


def wait_write(fileno: int, deadline: Deadline | None = None) -> bool:
    """Wait until ``fileno`` is writable; False when the deadline has passed first."""
    return wait(fileno, WRITE, deadline)


def wait(fileno: int, events: int, deadline: Deadline | None = None) -> bool:
    """Wait for any of ``events``; False when the deadline has passed first."""
    hub = get_hub()
    watcher = hub.loop.io(fileno, events)
    try:
        seconds = None if deadline is None else deadline.remaining
        if seconds is None:
            hub.wait(watcher)
            return True
        return wait_any((watcher,), seconds) is not None
    finally:
        watcher.close()


def wait_any(watchers: Sequence[Any], seconds: float | None) -> Any:
    """Wait for the first of several watchers of this thread's hub, which stay the caller's.

    :param seconds: at most; None: as long as it takes.
    :returns: the watcher that fired, or None when the time is over.
    """
    hub = get_hub()
    waiter: Waiter[Any] = Waiter(hub)
    timer = None if seconds is None else hub.loop.timer(seconds)
    try:
        for watcher in watchers:
            watcher.start(waiter.switch, watcher)
        if timer is not None:
            timer.start(waiter.switch, None)
        return waiter.get()
    finally:
        # A second watcher that is ready as well loses nothing: readiness is a level, so the
        # next wait sees it again.
        for watcher in watchers:
            watcher.stop()
        if timer is not None:
            timer.stop()
            timer.close()
