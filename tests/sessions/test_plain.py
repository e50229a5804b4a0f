from __future__ import annotations

import _socket
import contextlib
import errno
import struct
import time
from collections.abc import Iterator

import pytest

from greenws.sessions.plain import SocketTransport
from tests.support.ticker import Ticker

Ends = tuple[SocketTransport, _socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = _socket.socketpair()
    transport = SocketTransport(ours)
    yield transport, theirs
    transport.close()
    theirs.close()


@contextlib.contextmanager
def connected() -> Iterator[Ends]:
    """A connection over loopback."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    ours = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    ours.connect(listener.getsockname())
    theirs = _socket.socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]
    listener.close()
    transport = SocketTransport(ours)
    try:
        yield transport, theirs
    finally:
        transport.close()
        theirs.close()


@pytest.fixture
def tcp_ends() -> Iterator[Ends]:
    with connected() as ends:
        yield ends


def fill(transport: SocketTransport) -> int:
    total = 0
    while (count := transport.send(b"x" * 65536)) is not None:
        total += count
    return total


def test_nothing_to_read_is_none(ends: Ends) -> None:
    assert ends[0].recv_into(bytearray(10), 10) is None


def test_data_is_read_up_to_size(ends: Ends) -> None:
    ends[1].send(b"abcdef")
    buffer = bytearray(10)
    assert ends[0].recv_into(buffer, 4) == 4
    assert ends[0].recv_into(memoryview(buffer)[4:], 6) == 2
    assert buffer[:6] == b"abcdef"


def test_negative_size_is_refused(ends: Ends) -> None:
    ends[1].send(b"abcdef")
    with pytest.raises(ValueError, match="negative"):
        ends[0].recv_into(bytearray(2), -1)


def test_end_is_zero(ends: Ends) -> None:
    ends[1].close()
    assert ends[0].recv_into(bytearray(1), 1) == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_data_is_sent(ends: Ends, kind: type) -> None:
    assert ends[0].send(kind(b"abc")) == 3
    assert ends[1].recv(10) == b"abc"
    assert ends[0].wants_write is False
    assert ends[0].flush() is True


def test_socket_holds_no_bytes_of_its_own(ends: Ends) -> None:
    assert not ends[0].is_buffering


def test_full_socket_is_none(ends: Ends) -> None:
    assert fill(ends[0]) > 0


def test_broken_connection_raises(ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(OSError) as caught:
        ends[0].send(b"x")
    assert caught.value.errno == errno.EPIPE


def test_unread_comes_first(ends: Ends) -> None:
    ends[1].send(b"later")
    ends[0].unread(b"cd")
    ends[0].unread(b"ab")
    assert ends[0].has_buffered
    assert ends[0].is_buffering
    buffer = bytearray(10)
    assert ends[0].recv_into(buffer, 3) == 3
    assert buffer[:3] == b"abc"
    assert ends[0].recv_into(buffer, 10) == 1
    assert buffer[:1] == b"d"
    assert not ends[0].has_buffered
    assert ends[0].recv_into(buffer, 10) == 5


def test_half_close_ends_the_peers_reading(ends: Ends) -> None:
    ends[0].shutdown_write()
    ends[0].shutdown_write()
    assert ends[1].recv(1) == b""
    ends[1].send(b"x")
    assert ends[0].recv_into(bytearray(1), 1) == 1


def test_half_close_after_the_peer_is_gone(tcp_ends: Ends) -> None:
    transport, theirs = tcp_ends
    theirs.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(OSError):
        transport.recv_into(bytearray(1), 1)
    transport.shutdown_write()


def test_closed_transport_raises(ends: Ends) -> None:
    assert ends[0].fileno() >= 0
    ends[0].close()
    ends[0].close()
    assert ends[0].fileno() == -1
    ends[0].shutdown_write()
    with pytest.raises(OSError) as caught:
        ends[0].send(b"x")
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError) as caught:
        ends[0].recv_into(bytearray(1), 1)
    assert caught.value.errno == errno.EBADF


def test_blocking_socket_is_made_non_blocking() -> None:
    ours, theirs = _socket.socketpair()
    ours.settimeout(30)
    transport = SocketTransport(ours)
    assert transport.recv_into(bytearray(1), 1) is None
    transport.close()
    theirs.close()


def test_close_does_not_linger(tcp_ends: Ends, ticking: Ticker) -> None:
    transport, theirs = tcp_ends
    dup = _socket.socket(fileno=_socket.dup(transport.fileno()))
    dup.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, struct.pack("ii", 1, 3))
    dup.close()
    fill(transport)
    started = time.monotonic()
    transport.close()
    assert time.monotonic() - started < 0.5


def test_close_still_resets_when_told_to(tcp_ends: Ends) -> None:
    transport, theirs = tcp_ends
    dup = _socket.socket(fileno=_socket.dup(transport.fileno()))
    dup.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, struct.pack("ii", 1, 0))
    dup.close()
    transport.close()
    with pytest.raises(ConnectionResetError):
        theirs.recv(1)
