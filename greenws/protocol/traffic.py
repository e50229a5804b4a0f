"""Counts of messages and bytes, for many connections together.

Connections that nobody counts have a plain :class:`~.stream.Stream`, which does not ask for each
message whether somebody counts. The others have a subclass of it. The two halves of a session do
ask, for each read and each message that is sent.
"""

from __future__ import annotations

from ..constants import MAX_MESSAGE_SIZE
from ..events import AnyEvent
from .stream import Stream


class Traffic:
    """What connections have sent and received so far."""

    __slots__ = ("bytes_received", "bytes_sent", "messages_received", "messages_sent")

    def __init__(self) -> None:
        #: Text and binary messages; pings, pongs and close frames are none.
        self.messages_sent: int = 0
        self.messages_received: int = 0
        #: Bytes before encryption: openings, and frames with their heads.
        self.bytes_sent: int = 0
        self.bytes_received: int = 0


class CountedStream(Stream):
    """A parser of a client's that counts the messages, also those of which nobody wants an event.

    :param traffic: where to count.
    :param max_size: as of :class:`~.stream.Stream`.
    """

    __slots__ = ("_traffic",)

    def __init__(self, traffic: Traffic, max_size: int | None = MAX_MESSAGE_SIZE) -> None:
        Stream.__init__(self, True, max_size)
        self._traffic = traffic

    def _emit_text(self, text: str, length: int) -> AnyEvent | None:
        self._traffic.messages_received += 1
        return Stream._emit_text(self, text, length)

    def _emit_binary(self, payload: bytes) -> AnyEvent | None:
        self._traffic.messages_received += 1
        return Stream._emit_binary(self, payload)
