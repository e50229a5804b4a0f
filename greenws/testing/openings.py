"""The openings under way of one server: how long each may take, and how many there may be.

An opening is under way while the server waits for the client: in the TLS handshake, and until the
head of the request is complete. A behaviour that waits by itself in place of the upgrade, to act as
a server that stalls, is not under way.

A client that opens many connections and finishes none must not keep other clients out. So, while
the limit is reached, connections stay in the queue of the kernel, where they lose none of their own
time; and openings that have been under way for long have to go. But thousands of clients that open
at once, in this process perhaps, are no attack, and take long as well. The difference is the work:
they keep this thread busy, and clients that say nothing leave it idle. Only idle pauses count.
"""

from __future__ import annotations

from time import perf_counter, thread_time
from types import TracebackType
from typing import Any

import gevent
from gevent import get_hub

from ..errors import WebSocketClosed
from .upgrade import BadRequest
from .wire import Wire

# Seconds between two attempts to accept a connection, while there are too many openings or too few
# descriptors. Without the wait the server would spin: the listening socket stays readable.
_PAUSE = 0.05

# The part of a pause in which this thread works, if it is busy. A thousand silent openings take a
# few hundredths, and a busy thread has a fifth even on a machine with five others for each core.
_BUSY_PART = 0.15

# The number of idle pauses after which an opening has to go: half a second.
_MOST__PAUSES = 10


class Openings:
    """The openings under way of one server.

    :param timeout: the seconds that an opening may take; None: no limit.
    :param limit: the largest number of openings under way; None: no limit.
    """

    def __init__(self, timeout: float | None, limit: int | None) -> None:
        self.timeout = timeout
        self._limit = limit
        # In the order of their arrival.
        self._under_way: dict[Opening, None] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def is_full(self) -> bool:
        """Whether no more connections are to be accepted now."""
        return self._limit is not None and len(self._under_way) >= self._limit

    def begin(self, wire: Wire) -> Opening:
        """Return the opening of a connection that was accepted; it counts from now on."""
        opening = Opening(self, wire)
        self.add(opening)
        return opening

    def add(self, opening: Opening) -> None:
        """Count an opening."""
        self._under_way[opening] = None

    def discard(self, opening: Opening) -> None:
        """Count an opening no longer, if it was counted."""
        self._under_way.pop(opening, None)

    def make_room(self) -> None:
        """Pause, and then refuse the openings that keep others out."""
        start, worked = perf_counter(), thread_time()
        gevent.sleep(_PAUSE)
        if thread_time() - worked > _BUSY_PART * (perf_counter() - start):
            return
        for opening in list(self._under_way):
            opening.pauses += 1
            if opening.pauses > _MOST__PAUSES:
                opening.refuse("Too many openings are under way", 503)


class Opening:
    """The client's part of the opening of one connection. The block of ``with`` waits for it.

    Several blocks share the time of one opening. The time between them does not count.

    :raises WebSocketClosed: on leaving the block, the opening was refused meanwhile.
    """

    __slots__ = ("_left", "_openings", "_started", "_timer", "_wire", "pauses", "refusal")

    def __init__(self, openings: Openings, wire: Wire) -> None:
        #: Why the server waits no longer, or None.
        self.refusal: BadRequest | None = None
        #: The idle pauses of the server that this opening has seen.
        self.pauses: int = 0
        self._openings = openings
        self._wire = wire
        self._left = openings.timeout
        self._started = 0.0
        self._timer: Any = None

    def __enter__(self) -> Opening:
        self._openings.add(self)
        if self._left is not None:
            loop = get_hub().loop
            loop.update_now()
            self._started = loop.now()
            # libuv's timers have a resolution of a millisecond.
            self._timer = loop.timer(max(self._left, 0.001))
            self._timer.start(self._expire)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()
        if self._timer is not None:
            self._timer.close()
            self._timer = None
            assert self._left is not None
            self._left -= get_hub().loop.now() - self._started
        if exc_type is None and self.refusal is not None:
            # The bytes of the client came in the same turn as its refusal.
            raise WebSocketClosed("{}", self.refusal)

    def leave(self) -> None:
        """Let this opening count no longer."""
        self._openings.discard(self)

    def refuse(self, reason: str, status_code: int) -> None:
        """Wait no longer for the client: its connection can only be written to from now on."""
        if self.refusal is None:
            self.refusal = BadRequest(reason, status_code)
            self._wire.fail(WebSocketClosed("{}", reason))

    def _expire(self) -> None:
        self.refuse(f"The opening has taken more than {self._openings.timeout:g} s", 408)
