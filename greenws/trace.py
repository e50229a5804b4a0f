"""Tells the user's ``trace``, and the log at DEBUG, of each step of a connection."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Protocol

from .options import TraceCallback
from .redaction import redact_url

log: logging.Logger = logging.getLogger("greenws.websocket")


class Meter(Protocol):
    """Something that counts the bytes of a connection."""

    def take(self) -> list[tuple[str, int]]:
        """Return a stage and a number of bytes for each direction that has moved bytes since the
        last call.
        """


class Tracer:
    """Tells of the steps of one WebSocket.

    :param url: the URL of the WebSocket, shown without credentials.
    :param callback: the user's ``trace``, or None.
    """

    __slots__ = ("_url", "callback", "meter")

    def __init__(self, url: str, callback: TraceCallback | None = None) -> None:
        self._url = url
        #: Called with a dict for each step, or None.
        self.callback: TraceCallback | None = callback
        #: Counts the bytes of a traced connection while the connection is open; None: nothing is
        #: counted. The counts are told before the next step, all at once: a record for each read
        #: would be one for each switch of greenlets.
        self.meter: Meter | None = None

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens now. The level of the log may change at any time."""
        return self.callback is not None or log.isEnabledFor(logging.DEBUG)

    @staticmethod
    def now() -> float:
        """Return the time, in seconds, for the durations of steps."""
        return monotonic()

    def tell(self, stage: str, /, **fields: object) -> None:
        """Tell of a step.

        :param stage: the name of the step.
        :param fields: facts that may be shown: no payload, no value of a header, no secret.
        """
        if not self.is_heard:
            return
        if self.meter is not None:
            for kind, length in self.meter.take():
                self._tell(kind, {"length": length})
        self._tell(stage, fields)

    def tell_message(self, stage: str, length: int) -> None:
        """Tell of a message of ``length`` bytes."""
        self.tell(stage, length=length)

    def _tell(self, stage: str, fields: dict[str, object]) -> None:
        url = redact_url(self._url)
        if log.isEnabledFor(logging.DEBUG):
            facts = " ".join(f"{name}={value!r}" for name, value in fields.items())
            log.debug("%s: %s %s", url, stage, facts)
        if self.callback is not None:
            self.callback({"stage": stage, "url": url, **fields})
