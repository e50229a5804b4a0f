"""The two halves of a session whose messages and bytes are counted."""

from __future__ import annotations

from ..protocol.frame import Payload
from ..protocol.slices import Steps
from ..protocol.traffic import Traffic
from .inbox import Inbox
from .lifecycle import Lifecycle
from .outbox import Outbox
from .transport import Transport


class CountedInbox(Inbox):
    """The reading half, which counts the bytes.

    :param traffic: where to count.
    """

    __slots__ = ("_traffic",)

    def __init__(self, traffic: Traffic) -> None:
        Inbox.__init__(self)
        self._traffic = traffic

    def read(self, view: memoryview, size: int) -> int:
        count = Inbox.read(self, view, size)
        if count > 0:
            self._traffic.bytes_received += count
        return count


class CountedOutbox(Outbox):
    """The sending half, which counts messages when they are queued, and bytes when they have left.

    :param traffic: where to count; the others as of :class:`~.outbox.Outbox`.
    """

    __slots__ = ("_traffic",)

    def __init__(
        self, traffic: Traffic, life: Lifecycle, write_limit: int, send_timeout: float | None
    ) -> None:
        Outbox.__init__(self, life, write_limit, send_timeout)
        self._traffic = traffic

    def put(self, opcode: int, payload: Payload, rsv1: bool) -> None:
        Outbox.put(self, opcode, payload, rsv1)
        if opcode < 8:
            self._traffic.messages_sent += 1

    def put_steps(self, opcode: int, steps: Steps, rsv1: bool) -> None:
        Outbox.put_steps(self, opcode, steps, rsv1)
        self._traffic.messages_sent += 1

    def _hand_over(self, transport: Transport) -> bool:
        before = self._taken
        try:
            return Outbox._hand_over(self, transport)
        finally:
            self._traffic.bytes_sent += self._taken - before
