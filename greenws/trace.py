"""Tells the user's ``trace``, and the log at DEBUG, of each step of a connection."""

from __future__ import annotations

import logging
from itertools import count
from time import monotonic
from typing import Protocol

from .options import TraceCallback
from .redaction import redact_url

log: logging.Logger = logging.getLogger("greenws.websocket")

# Every connection of this process gets the next number.
_numbers = count(1)


def build_log_fields(
    url: str | None = None, connection: int | None = None, code: int | None = None
) -> dict[str, object]:
    """Build the ``extra`` of a log record. Each record of greenws has these fields, as a format
    that names one which a record lacks is an error.

    :param url: the URL of the WebSocket, without credentials; None: of several, or of none.
    :param connection: the number of the connection, if there was one.
    :param code: the close code received, or the HTTP status of a refusal, if there was one.
    """
    return {"url": url, "connection": connection, "code": code}


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

    __slots__ = ("_url", "callback", "connection", "meter")

    def __init__(self, url: str, callback: TraceCallback | None = None) -> None:
        self._url = url
        #: Called with a dict for each step, or None.
        self.callback: TraceCallback | None = callback
        #: Counts the bytes of a traced connection while the connection is open; None: nothing is
        #: counted. The counts are told before the next step, all at once: a record for each read
        #: would be one for each switch of greenlets.
        self.meter: Meter | None = None
        #: The number of the present or last connection; None: there was none.
        self.connection: int | None = None

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens now. The level of the log may change at any time."""
        return self.callback is not None or log.isEnabledFor(logging.DEBUG)

    @staticmethod
    def now() -> float:
        """Return the time, in seconds, for the durations of steps."""
        return monotonic()

    def begin(self) -> None:
        """Give the connection that begins its number."""
        self.connection = next(_numbers)

    def describe(self, code: int | None = None) -> dict[str, object]:
        """Return the fields of a log record about the present or last connection.

        :param code: as of :func:`build_log_fields`.
        """
        return build_log_fields(redact_url(self._url), self.connection, code)

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
            code = fields.get("code", fields.get("status_code"))
            extra = build_log_fields(url, self.connection)
            extra.update(code=code, stage=stage, facts=fields)
            log.debug("%s: %s %s", url, stage, facts, extra=extra)
        if self.callback is not None:
            self.callback({"stage": stage, "url": url, **fields})
