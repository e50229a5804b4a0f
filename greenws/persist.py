"""Keeps a WebSocket connected, as one iteration: lomond's ``persist``.

The waits follow lomond's formula, not that of :class:`~greenws.Backoff`: code written for lomond
must keep its timing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from math import inf
from random import random
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import gevent
from gevent.event import Event as GeventEvent

from . import events
from .backoff import find_retry_after
from .constants import LONGEST_WAIT, SHORTEST_WAIT
from .options import WEBSOCKET_OPTIONS, check_option, check_seconds, refuse_option
from .sessions import forks

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .events import AnyEvent
    from .sessions.contract import SessionClass

# Seconds between two checks of a threading.Event, for which gevent cannot wait: short enough that
# nobody notices the delay, long enough that the checks cost nothing.
_THREAD_EVENT_INTERVAL = 0.05


class ExitEvent(Protocol):
    """The interface of the ``exit_event`` of :func:`greenws.persist`."""

    def wait(self, timeout: float) -> object:
        """Wait until the event is set, and return true; return false after ``timeout`` seconds."""


class Connectable(Protocol):
    """What :func:`greenws.persist` needs of ``websocket``: a :class:`greenws.WebSocket` has it."""

    # The keywords are those that persist() was given: they differ from call to call.
    def connect(self, *args: Any, **options: Any) -> Iterator[AnyEvent]:
        """Open the connection and iterate over its events."""


class PersistOptions(TypedDict, total=False):
    """What :func:`greenws.persist` passes to ``connect()`` if it was given."""

    session_class: SessionClass
    auto_pong: bool
    close_timeout: float | None


_CONNECT_OPTIONS = ("session_class", "auto_pong", "close_timeout")
_OPTIONS = (
    *("poll", "min_wait", "max_wait", "ping_rate", "ping_timeout", "exit_event"),
    *("respect_retry_after", *_CONNECT_OPTIONS),
)
_OTHERS = dict.fromkeys(WEBSOCKET_OPTIONS, "WebSocket()")


def persist(
    websocket: Connectable,
    poll: float | None = 5,
    min_wait: float = 5,
    max_wait: float = 30,
    ping_rate: float | None = 30,
    ping_timeout: float | None = None,
    exit_event: ExitEvent | None = None,
    respect_retry_after: bool = True,
    **connect_options: Unpack[PersistOptions],
) -> Iterator[AnyEvent]:
    """Keep a WebSocket connected: connect, yield its events, wait, connect again.

    A :class:`~greenws.events.BackOff` announces each wait. A wait is ``min_wait`` seconds plus a
    random time of up to ``2 ** n`` seconds after ``n`` failures, at most ``max_wait`` in all. A
    ``Retry-After`` that is longer takes the place of ``min_wait``; the random time stays.

    :param websocket: a :class:`~greenws.WebSocket`, or an object with the same ``connect``.
    :param poll: the seconds between poll events.
    :param min_wait: the shortest wait, in seconds.
    :param max_wait: the longest wait, in seconds.
    :param ping_rate: the seconds between pings; 0 for no pings.
    :param ping_timeout: the seconds without a received byte after which the server counts as
        unresponsive; None for no limit.
    :param exit_event: an event that ends the iteration, at the beginning of a wait or during a
        wait: a :class:`gevent.event.Event`, a :class:`threading.Event`, or any object with
        ``wait(timeout)``.
    :param respect_retry_after: whether the ``Retry-After`` of a rejection or of a proxy's refusal
        is a least wait.
    :param connect_options: ``session_class``, ``auto_pong`` and ``close_timeout``, which are passed
        to ``connect`` if given.
    :raises TypeError: if there is no such option, or a value has a wrong type.
    :raises ValueError: if a number is negative.
    :raises WebSocketUnavailable: by the iteration, in a child that was forked off meanwhile: it
        would connect beside its parent.
    """
    for name in connect_options:
        if name not in _CONNECT_OPTIONS:
            raise refuse_option("persist()", name, _OPTIONS, _OTHERS)
    check_option("poll", poll)
    check_option("ping_rate", ping_rate)
    check_option("ping_timeout", ping_timeout)
    check_option("close_timeout", connect_options.get("close_timeout"))
    _check_wait("min_wait", min_wait)
    _check_wait("max_wait", max_wait)
    options: dict[str, object] = {
        "poll": poll,
        "ping_rate": ping_rate,
        "ping_timeout": ping_timeout,
        **connect_options,
    }
    leave = GeventEvent() if exit_event is None else exit_event
    return _persist(websocket, min_wait, max_wait, leave, respect_retry_after, options)


def _check_wait(name: str, value: object) -> None:
    check_seconds(name, value)
    if value is None:
        raise TypeError(f"{name} must be a number of seconds")


def _persist(
    websocket: Connectable,
    min_wait: float,
    max_wait: float,
    leave: ExitEvent,
    respect_retry_after: bool,
    options: dict[str, object],
) -> Iterator[AnyEvent]:
    failures = 0
    generation = forks.generation
    while True:
        forks.check(generation)
        failures += 1
        retry_after = None
        for event in websocket.connect(**options):
            if event.name == "ready":
                failures = 0
            elif event.name in ("rejected", "connect_fail") and respect_retry_after:
                retry_after = find_retry_after(event)
            yield event
        # There is nothing to add to a wait without an end, and "inf - inf" is no number.
        room = max_wait - min_wait if min_wait < inf else 0.0
        random_part = random() * min(room, 2 ** min(failures, 64))
        delay = min_wait + random_part
        if retry_after is not None:
            delay = max(delay, retry_after + max(0.0, random_part))
        yield events.BackOff(delay)
        forks.check(generation)
        if _wait(leave, delay):
            return


def _wait(event: ExitEvent, seconds: float) -> bool:
    """Wait for ``event``, of any kind, without blocking the hub."""
    if not isinstance(event, threading.Event):
        return bool(event.wait(min(seconds, LONGEST_WAIT)))
    # The wait() of a threading.Event would block the hub, unless threading is patched.
    end = monotonic() + seconds
    while not event.is_set():
        left = end - monotonic()
        if left <= 0:
            return False
        gevent.sleep(max(SHORTEST_WAIT, min(left, _THREAD_EVENT_INTERVAL)))
    return True
