"""The bytes of one accepted connection: reading, the queue, the end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from greenws.constants import WRITE_LIMIT
from greenws.errors import WebSocketClosed
from greenws.testing.wire import Wire
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE, wait_until

Pair = tuple[Wire, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A wire on a TCP connection over loopback, and the client's end, which does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    accepted.setblocking(False)
    client.setblocking(False)
    wire = Wire(accepted)
    yield wire, client
    wire.end()
    client.close()


def receive(client: socket.socket, size: int) -> bytes:
    """Receive so many bytes while the hub goes on."""
    received = bytearray()

    def has_everything() -> bool:
        try:
            received.extend(client.recv(1_000_000))
        except BlockingIOError:
            pass
        return len(received) >= size

    wait_until(has_everything)
    return bytes(received)


def test_read_waits_for_bytes_while_the_hub_goes_on(pair: Pair, ticking: Ticker) -> None:
    wire, client = pair
    reader = gevent.spawn(wire.read)
    ticking.wait(5)
    assert not reader.dead
    client.send(b"hello")
    assert reader.get(timeout=PATIENCE) == b"hello"


def test_read_is_empty_at_the_end_of_the_stream(pair: Pair) -> None:
    wire, client = pair
    client.shutdown(socket.SHUT_WR)
    assert wire.read() == b""


def test_read_by_two_greenlets_is_an_error(pair: Pair) -> None:
    wire, client = pair
    reader = gevent.spawn(wire.read)
    gevent.sleep(0)
    with pytest.raises(RuntimeError, match="another greenlet"):
        wire.read()
    client.send(b"for the first")
    assert reader.get(timeout=PATIENCE) == b"for the first"


def test_read_after_a_reset_is_an_error(pair: Pair) -> None:
    wire, client = pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    with pytest.raises(WebSocketClosed, match=r"receiving failed: .*reset"):
        wire.read()


def test_writes_of_one_turn_leave_together(pair: Pair) -> None:
    wire, client = pair
    wire.write(b"one, ")
    wire.write(b"two")
    with pytest.raises(BlockingIOError):
        client.recv(100)
    gevent.sleep(0)
    assert client.recv(100) == b"one, two"


def test_writes_leave_before_a_read(pair: Pair) -> None:
    wire, client = pair
    wire.write(b"question")
    client.send(b"answer")
    assert wire.read() == b"answer"
    assert client.recv(100) == b"question"


def test_flush_waits_until_the_kernel_has_everything(pair: Pair) -> None:
    wire, client = pair
    size = 8_000_000
    wire.queue.extend(bytes(size))
    flusher = gevent.spawn(wire.flush)
    gevent.sleep(0.01)
    assert not flusher.dead
    assert len(receive(client, size)) == size
    flusher.get(timeout=PATIENCE)
    assert not wire.queue


def test_writer_waits_above_the_limit(pair: Pair) -> None:
    wire, client = pair
    written = []

    def write() -> None:
        for _ in range(100):
            wire.write(bytes(WRITE_LIMIT // 4))
            written.append(len(wire.queue))

    writer = gevent.spawn(write)
    gevent.sleep(0.01)
    assert not writer.dead
    assert max(written) <= WRITE_LIMIT
    assert len(receive(client, 100 * (WRITE_LIMIT // 4))) == 100 * (WRITE_LIMIT // 4)
    writer.get(timeout=PATIENCE)


def test_end_delivers_the_queue_first(pair: Pair) -> None:
    wire, client = pair
    client.send(b"never read")
    wire.write(b"last words")
    wire.end()
    client.setblocking(True)
    assert client.recv(100) == b"last words"
    assert client.recv(100) == b""  # and no RST, although bytes were not read


def test_end_by_reset_is_one(pair: Pair) -> None:
    wire, client = pair
    wire.end(reset=True)
    wire.end()
    client.setblocking(True)
    with pytest.raises(ConnectionResetError):
        client.recv(100)


def test_end_wakes_the_reader(pair: Pair) -> None:
    wire, _client = pair
    reader: Any = gevent.spawn(wire.read)
    gevent.sleep(0)
    wire.end()
    reader.join(PATIENCE)
    assert isinstance(reader.exception, WebSocketClosed)
    assert "dropped" in str(reader.exception)


def test_nothing_is_read_or_written_after_the_end(pair: Pair) -> None:
    wire, _client = pair
    wire.end()
    assert wire.is_ended
    for function in (wire.read, lambda: wire.write(b"x"), lambda: wire.queue):
        with pytest.raises(WebSocketClosed, match="has ended"):
            function()
