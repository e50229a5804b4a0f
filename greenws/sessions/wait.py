"""Waiting on gevent's hub; the opening of a connection switches only in this module.

Each call stops and closes its watchers before the call returns or raises, also if a kill or a
``gevent.Timeout`` arrives during the wait. The caller may close a descriptor right after the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gevent import get_hub, sleep
from gevent.hub import Waiter

#: The events of ``loop.io``, as bits.
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
    """Let the loop check all its descriptors and timers once.

    ``gevent.sleep(0)`` is not enough: it is a callback, and the loop runs many callbacks before the
    next check.
    """
    hub = get_hub()
    timer = hub.loop.timer(0)
    try:
        hub.wait(timer)
    finally:
        timer.close()


#: Whether :func:`let_others_catch_up` does anything.
CATCHING_UP = True


def let_others_catch_up() -> None:
    """Go on after all greenlets have run that can run in this turn of the loop.

    Greenlets that open connections together then take the next step one right after the other,
    with its code in the caches; docs/tuning.rst has the figures.
    """
    if CATCHING_UP:
        sleep(0)


def wait_any(watchers: Sequence[Any], seconds: float | None) -> Any:
    """Wait for the first of several watchers of this thread's hub.

    :param watchers: the watchers, which the caller keeps.
    :param seconds: the time limit; None: no limit.
    :returns: the watcher that fired, or None after the time limit.
    """
    hub = get_hub()
    waiter: Waiter[Any] = Waiter(hub)
    timer = None if seconds is None else hub.loop.timer(seconds)
    try:
        for watcher in watchers:
            watcher.start(waiter.switch, watcher)
        if timer is not None:
            # The time limit begins now: without an update, the loop counts from the time at which
            # the turn began, and the hub may have been held since.
            timer.start(waiter.switch, None, update=True)
        return waiter.get()
    finally:
        # If a second watcher is ready as well, its event is not lost: readiness is a level, so the
        # next wait sees the event again.
        for watcher in watchers:
            watcher.stop()
        if timer is not None:
            timer.stop()
            timer.close()
