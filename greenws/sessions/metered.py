"""A transport that counts its bytes, for the trace."""

from __future__ import annotations

from .transport import Transport


class MeteredTransport(Transport):
    """Counts the bytes of another transport; only traced connections have one.

    It tells nobody by itself: a trace that switches, in the middle of a read or a write, would let
    other greenlets in.

    :param lower: the transport to count; it belongs to this one from here on.
    """

    __slots__ = ("_lower", "_taken_received", "_taken_sent", "received", "sent")

    def __init__(self, lower: Transport) -> None:
        self._lower = lower
        #: Bytes so far, before encryption.
        self.sent: int = 0
        self.received: int = 0
        self._taken_sent = 0
        self._taken_received = 0

    @property
    def totals(self) -> dict[str, int]:
        """``sent`` and ``received``, as the last record of a trace shows them."""
        return {"sent": self.sent, "received": self.received}

    def take(self) -> list[tuple[str, int]]:
        """Take what was counted since the last call.

        :returns: the stages ``socket_send`` and ``socket_recv``, each with its number of bytes; a
            stage without bytes is left out.
        """
        sent, received = self.sent - self._taken_sent, self.received - self._taken_received
        self._taken_sent, self._taken_received = self.sent, self.received
        counts = [("socket_send", sent), ("socket_recv", received)]
        return [(stage, count) for stage, count in counts if count]

    def fileno(self) -> int:
        return self._lower.fileno()

    def recv_into(self, buffer: bytearray | memoryview, size: int) -> int | None:
        count = self._lower.recv_into(buffer, size)
        self.received += count or 0
        return count

    def send(self, data: bytes | bytearray | memoryview) -> int | None:
        count = self._lower.send(data)
        self.sent += count or 0
        return count

    def flush(self) -> bool:
        return self._lower.flush()

    @property
    def is_buffering(self) -> bool:
        return self._lower.is_buffering

    @property
    def wants_write(self) -> bool:
        return self._lower.wants_write

    @property
    def wants_read(self) -> bool:
        return self._lower.wants_read

    @property
    def is_paused(self) -> bool:
        return self._lower.is_paused

    @property
    def has_buffered(self) -> bool:
        return self._lower.has_buffered

    def unread(self, data: bytes) -> None:
        self._lower.unread(data)

    def shutdown_write(self) -> None:
        self._lower.shutdown_write()

    def close(self) -> None:
        self._lower.close()
