"""A transport that tells the trace of its bytes: how many, never which."""

from __future__ import annotations

from .dial import Trace
from .transport import Transport


class MeteredTransport(Transport):
    """Counts what goes through a transport; only traced connections have one.

    :param lower: what it counts the bytes of; it belongs to this transport from here on.
    :param trace: called with ``socket_send`` and ``socket_recv``, and the ``length`` in bytes.
    """

    __slots__ = ("_lower", "_trace", "received", "sent")

    def __init__(self, lower: Transport, trace: Trace) -> None:
        self._lower = lower
        self._trace = trace
        #: Bytes so far, before encryption.
        self.sent = 0
        self.received = 0

    @property
    def totals(self) -> dict[str, int]:
        """``sent`` and ``received``, as the record of the end has them."""
        return {"sent": self.sent, "received": self.received}

    def fileno(self) -> int:
        return self._lower.fileno()

    def recv_into(self, buffer: bytearray | memoryview, size: int) -> int | None:
        count = self._lower.recv_into(buffer, size)
        if count:
            self.received += count
            self._trace("socket_recv", length=count)
        return count

    def send(self, data: bytes | bytearray | memoryview) -> int | None:
        count = self._lower.send(data)
        if count:
            self.sent += count
            self._trace("socket_send", length=count)
        return count

    def flush(self) -> bool:
        return self._lower.flush()

    @property
    def wants_write(self) -> bool:
        return self._lower.wants_write

    @property
    def has_buffered(self) -> bool:
        return self._lower.has_buffered

    def unread(self, data: bytes) -> None:
        self._lower.unread(data)

    def shutdown_write(self) -> None:
        self._lower.shutdown_write()

    def close(self) -> None:
        self._lower.close()
