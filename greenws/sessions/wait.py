"""Waiting on gevent's hub; the opening of a connection switches only in this module.

Each call stops and closes its watchers before the call returns or raises, also if a kill or a
``gevent.Timeout`` arrives during the wait. The caller may close a descriptor right after the call.

No wait of an opening survives a fork. The loop of a forked child goes on where the parent's loop
stood. It may have found a descriptor ready before the fork, and would resume the greenlet that
waits for the descriptor. The greenlet would read the answer that the parent waits for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from time import monotonic
from typing import Any, TypeVar

from gevent import Greenlet, get_hub, sleep
from gevent.hub import Waiter

from ..constants import LONGEST_WAIT
from . import forks
from .roster import is_in_hub

T = TypeVar("T")

#: The events of ``loop.io``, as bits.
READ = 1
WRITE = 2


# Seconds of work on many things in one turn of the loop.
_TURN_TIME = 0.005


class Interrupted(BaseException):
    """The opening is to end: its time is over, another greenlet has given up, or this process was
    forked off during a wait.

    It is no Exception, so that nothing on the way takes it for its own.
    """


def wait_read(fileno: int) -> None:
    """Wait until ``fileno`` is readable."""
    wait(fileno, READ)


def wait_write(fileno: int) -> None:
    """Wait until ``fileno`` is writable."""
    wait(fileno, WRITE)


def wait(fileno: int, events: int) -> None:
    """Wait for any of ``events``.

    :raises Interrupted: this process was forked off meanwhile.
    """
    generation = forks.generation
    hub = get_hub()
    watcher = hub.loop.io(fileno, events)
    try:
        hub.wait(watcher)
    finally:
        watcher.close()
    _queue_up()
    _check(generation)


def _queue_up() -> None:
    """Go on as a callback. The loop calls all watchers that are ready in one turn, but callbacks
    for 5 ms at most. Thousands of openings may be answered, or refused, together.
    """
    sleep(0)


def _check(generation: int) -> None:
    if generation != forks.generation:
        raise Interrupted


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


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """Iterate over thousands of things, and let the loop have a turn after every 5 ms of work.

    In the hub itself, which cannot wait, there are no turns in between.
    """
    began = monotonic()
    for item in items:
        yield item
        if monotonic() - began > _TURN_TIME and not is_in_hub():
            take_turn()
            began = monotonic()


#: Whether :func:`let_others_catch_up` does anything.
CATCHING_UP = True


def let_others_catch_up() -> None:
    """Go on after all greenlets have run that can run in this turn of the loop.

    Greenlets that open connections together then take the next step one right after the other,
    with its code in the caches; docs/tuning.rst has the figures.

    :raises Interrupted: this process was forked off meanwhile.
    """
    if CATCHING_UP:
        generation = forks.generation
        sleep(0)
        if generation != forks.generation:
            raise Interrupted


def wait_end(greenlet: Greenlet[Any, Any]) -> None:
    """Wait for the end of a greenlet.

    :raises Interrupted: this process was forked off meanwhile.
    """
    generation = forks.generation
    greenlet.join()
    _check(generation)


def wait_any(watchers: Sequence[Any], seconds: float | None) -> Any:
    """Wait for the first of several watchers of this thread's hub.

    :param watchers: the watchers, which the caller keeps.
    :param seconds: the time limit; None: no limit.
    :returns: the watcher that fired, or None after the time limit.
    :raises Interrupted: this process was forked off meanwhile.
    """
    generation = forks.generation
    hub = get_hub()
    waiter: Waiter[Any] = Waiter(hub)
    timer = None if seconds is None else hub.loop.timer(min(seconds, LONGEST_WAIT))
    try:
        for watcher in watchers:
            watcher.start(waiter.switch, watcher)
        if timer is not None:
            # The time limit begins now: without an update, the loop counts from the time at which
            # the turn began, and the hub may have been held since.
            timer.start(waiter.switch, None, update=True)
        fired = waiter.get()
    finally:
        # If a second watcher is ready as well, its event is not lost: readiness is a level, so the
        # next wait sees the event again.
        for watcher in watchers:
            watcher.stop()
        if timer is not None:
            timer.stop()
            timer.close()
    _queue_up()
    _check(generation)
    return fired
