"""What a session reads: whether there may be something, and when to let the loop look."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.pure import load_pure

# The compiled build hides what only sessions call: the twin has the same source.
twin: Any = load_pure("sessions.inbox")

NOTHING = -1
BURST = 16


class Watcher:
    def __init__(self, fileno: int, events: int) -> None:
        self.told: list[Any] = [(fileno, events)]

    def start(self, callback: Any) -> None:
        self.told.append(callback)

    def stop(self) -> None:
        self.told.append("stop")

    def close(self) -> None:
        self.told.append("close")


class Loop:
    def __init__(self) -> None:
        self.watchers: list[Watcher] = []

    def io(self, fileno: int, events: int) -> Watcher:
        self.watchers.append(Watcher(fileno, events))
        return self.watchers[-1]


class Transport:
    """A transport that has what the test gives it: bytes, None (nothing yet), or an error."""

    def __init__(
        self,
        *pieces: bytes | OSError | None,
        has_buffered: bool = False,
        is_buffering: bool = False,
    ) -> None:
        self.pieces = list(pieces)
        self.is_buffering = is_buffering
        self.has_buffered = has_buffered
        self.is_paused = False

    def fileno(self) -> int:
        return 7

    def recv_into(self, buffer: memoryview, size: int) -> int | None:
        piece = self.pieces.pop(0) if self.pieces else None
        if isinstance(piece, OSError):
            raise piece
        if piece is None:
            return None
        assert len(piece) <= size
        buffer[: len(piece)] = piece
        return len(piece)


def open_inbox(transport: Transport) -> tuple[Any, Watcher]:
    inbox, loop = twin.Inbox(), Loop()
    inbox.open(transport, loop)
    return inbox, loop.watchers[0]


def read(inbox: Any) -> tuple[int, bytes]:
    buffer = bytearray(64)
    size = inbox.read(memoryview(buffer), 64)
    return size, bytes(buffer[: max(size, 0)])


def test_new_one_has_nothing() -> None:
    inbox = twin.Inbox()
    assert inbox.transport is None
    assert inbox.is_dry and not inbox.has_bytes()
    assert read(inbox) == (NOTHING, b"")
    inbox.unwatch()
    inbox.close()


def test_bytes_are_read_until_there_are_none() -> None:
    inbox, _ = open_inbox(Transport(b"one", None, b"two"))
    assert inbox.is_dry  # nothing is known of a descriptor before it was read
    assert read(inbox) == (3, b"one")
    assert not inbox.is_dry
    assert read(inbox) == (NOTHING, b"")
    assert inbox.is_dry
    assert read(inbox) == (3, b"two")
    assert not inbox.is_dry


def test_end_of_the_stream_is_zero_and_dry() -> None:
    inbox, _ = open_inbox(Transport(b"one", b""))
    read(inbox)
    assert read(inbox) == (0, b"")
    assert inbox.is_dry


def test_broken_connection_raises() -> None:
    inbox, _ = open_inbox(Transport(ConnectionResetError("reset")))
    with pytest.raises(ConnectionResetError):
        read(inbox)


def test_only_a_transport_that_buffers_is_asked_for_bytes_of_its_own() -> None:
    plain, _ = open_inbox(Transport(b"one", has_buffered=True))
    read(plain)
    assert not plain.has_bytes()
    buffering, _ = open_inbox(Transport(b"one", None, has_buffered=True, is_buffering=True))
    assert buffering.has_bytes()  # read before it was handed over: with a proxy's answer, say
    read(buffering)
    assert buffering.has_bytes()
    read(buffering)  # it has none, whatever it says: a part of a TLS record, say
    assert not buffering.has_bytes()


def test_closed_one_has_no_bytes() -> None:
    inbox, watcher = open_inbox(Transport(b"one", has_buffered=True, is_buffering=True))
    read(inbox)
    inbox.close()
    inbox.close()
    assert not inbox.has_bytes()
    assert read(inbox) == (NOTHING, b"")
    assert watcher.told[1:] == ["stop", "close"]


# Watching


def callback() -> None: ...


def test_watcher_stays_started_from_wait_to_wait() -> None:
    inbox, watcher = open_inbox(Transport())
    for _ in range(3):
        inbox.watch(callback, False)
    assert watcher.told == [(7, 1), callback]
    inbox.unwatch()
    inbox.watch(callback, False)
    assert watcher.told[2:] == ["stop", callback]


def test_watcher_of_libuv_is_started_for_every_wait() -> None:
    inbox, watcher = open_inbox(Transport())
    for _ in range(3):
        inbox.watch(callback, True)
    assert watcher.told[1:] == [callback] * 3


# The turn of the loop


def test_burst_of_reads_ends() -> None:
    inbox, _ = open_inbox(Transport())
    for _ in range(3):
        assert [inbox.take_burst() for _ in range(BURST + 1)] == [False] * BURST + [True]


def test_wait_ends_a_burst() -> None:
    inbox, _ = open_inbox(Transport())
    for _ in range(BURST):
        inbox.take_burst()
    inbox.watch(callback, False)
    assert not inbox.take_burst()


def test_quick_large_read_has_more_looked_for_once() -> None:
    inbox, _ = open_inbox(Transport())
    assert not inbox.take_flow()
    inbox.note_handled(1000, True, 5000)
    assert inbox.take_flow()
    assert not inbox.take_flow()


def test_slow_large_read_has_not() -> None:
    inbox, _ = open_inbox(Transport())
    inbox.note_handled(1000, False, 5000)
    assert not inbox.take_flow()


def test_flow_ends_at_its_limit_and_begins_anew_after_a_wait() -> None:
    inbox, _ = open_inbox(Transport())
    flows = []
    for _ in range(6):
        inbox.note_handled(1000, True, 5000)
        flows.append(inbox.take_flow())
    assert flows == [True] * 4 + [False] * 2
    inbox.watch(callback, False)
    inbox.note_handled(1000, True, 5000)
    assert inbox.take_flow()


def test_transport_that_pauses_is_read_again_after_a_turn() -> None:
    transport = Transport(None, is_buffering=True, has_buffered=True)
    transport.is_paused = True
    inbox, _ = open_inbox(transport)
    assert read(inbox)[0] == NOTHING
    assert inbox.has_bytes()
    assert inbox.take_burst()  # the loop has its turn first
    transport.is_paused = False
    assert read(inbox)[0] == NOTHING
    assert not inbox.has_bytes()
