"""Waiting on gevent's hub; the only place where opening a connection switches.

Every watcher made here is stopped and closed again before the call returns or raises, also when
a kill or a ``gevent.Timeout`` arrives during the wait. A descriptor may be closed right after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gevent import get_hub, sleep
from gevent.hub import Waiter

from .clock import Watcher

#: Events of ``loop.io``, as bits.
READ = 1
WRITE = 2


def wait_read(fileno: int) -> None:
    """Wait until ``fileno`` is readable."""
    wait(fileno, READ)


def wait_write(fileno: int) -> None:
    """Wait until ``fileno`` is writable."""
    wait(fileno, WRITE)


def wait(fileno: int, events: int) -> None:
    """Wait for any of ``events``."""
    hub = get_hub()
    watcher = hub.loop.io(fileno, events)
    try:
        hub.wait(watcher)
    finally:
        watcher.close()


def take_turn() -> None:
    """Let the loop look at all its descriptors and timers once.

    A callback, as ``gevent.sleep(0)`` is one, would not do: the loop runs many of them before it
    looks again.
    """
    hub = get_hub()
    timer = hub.loop.timer(0)
    try:
        hub.wait(timer)
    finally:
        timer.close()


def line_up() -> None:
    """Go on when all others have come as far who can in this turn of the loop.

    Of many that open connections at once, those before the same step then take it one after the
    other, with its code in the caches: a tenth off what a connection costs, TLS or not.
    """
    sleep(0)


def wait_any(watchers: Sequence[Watcher], seconds: float | None) -> Watcher:
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
