"""Messages that nobody takes: reading stops, TCP holds the server back, and nothing is lost."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

import greenws
from greenws.testing import EchoServer, replies
from tests.connection.plain import PlainSession
from tests.support.loopback import LoopbackServer
from tests.support.peer import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    RawServerPeer,
    build,
    build_close,
    build_text,
)
from tests.support.waiting import PATIENCE, wait_until


def queued(connection: greenws.Connection) -> int:
    return len(connection._reader.mailbox)


SESSIONS: Any = pytest.mark.parametrize("session_class", [greenws.GeventSession, PlainSession])


@SESSIONS
@pytest.mark.parametrize("max_queue", [1, 2, 3, 16])
def test_reading_stops_at_max_queue_and_nothing_is_lost(max_queue: int, session_class: Any) -> None:
    messages = [str(number) for number in range(500)]
    with EchoServer(replies(messages)) as server:
        options: Any = {"session_class": session_class, "max_queue": max_queue}
        with greenws.connect(server.url, **options) as connection:
            connection.send("go")
            wait_until(lambda: queued(connection) == max_queue)
            gevent.sleep(0.01)
            assert queued(connection) == max_queue
            for message in messages:
                assert connection.receive(PATIENCE) == message
                assert queued(connection) <= max_queue


def test_reading_stops_at_max_size_bytes() -> None:
    messages = [bytes([number]) * 50_000 for number in range(40)]
    with EchoServer(replies(messages)) as server:
        with greenws.connect(server.url, max_size=100_000, max_queue=1000) as connection:
            connection.send("go")
            wait_until(lambda: queued(connection) == 2)
            gevent.sleep(0.01)
            assert queued(connection) == 2
            assert [connection.receive(PATIENCE) for _ in messages] == messages


def test_small_messages_count_for_max_size_too() -> None:
    messages = ["x" * 500 for number in range(200)]
    with EchoServer(replies(messages)) as server:
        with greenws.connect(server.url, max_size=2000, max_queue=1000) as connection:
            connection.send("go")
            wait_until(lambda: queued(connection) >= 4)
            gevent.sleep(0.01)
            assert queued(connection) <= 8
            assert [connection.receive(PATIENCE) for _ in messages] == messages


def test_flood_is_held_back_by_tcp() -> None:
    sent = [0]

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        chunk = build(BINARY, bytes(10_000)) * 10
        while True:
            peer.send(chunk)
            sent[0] += 10

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url, close_timeout=0.1)
        wait_until(lambda: queued(connection) == 16)
        seen = -1
        while seen != sent[0]:  # until the buffers of the kernel are full
            seen = sent[0]
            gevent.sleep(0.05)
        assert sent[0] < 5000
        for _ in range(10_000):
            assert len(connection.receive(PATIENCE)) == 10_000
        connection.close()


def test_pings_are_answered_when_there_is_room() -> None:
    pongs: list[bytes] = []

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("x") * 20 + build(PING, b"are you there?"))
        pongs.append(peer.expect(PONG).payload)
        peer.echo()

    with LoopbackServer(script) as server:
        with greenws.connect(server.url, max_queue=4) as connection:
            wait_until(lambda: queued(connection) == 4)
            gevent.sleep(0.02)
            assert pongs == []
            for _ in range(20):
                assert connection.receive(PATIENCE) == "x"
            wait_until(lambda: pongs)
    assert pongs == [b"are you there?"]


def test_close_frame_of_the_server_is_seen_when_there_is_room() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("x") * 20 + build_close(4000))
        peer.expect(CLOSE)

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url, max_queue=4)
        wait_until(lambda: queued(connection) == 4)
        gevent.sleep(0.02)
        assert connection.is_open
        got = [connection.receive(PATIENCE) for _ in range(20)]
        assert got == ["x"] * 20
        with pytest.raises(greenws.errors.WebSocketClosed, match="4000"):
            connection.receive(PATIENCE)


@pytest.mark.parametrize("says_more", [False, True])
def test_silence_is_not_counted_against_the_server_meanwhile(says_more: bool) -> None:
    pings: list[Any] = []

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("x") * 5)
        while True:
            frame = peer.read_frame()
            if frame.opcode == CLOSE:
                peer.send(build(CLOSE, frame.payload))
                return
            pings.append(frame.payload)
            if says_more:
                peer.send(build(PONG, frame.payload))

    with LoopbackServer(script) as server:
        options: Any = {"ping_rate": 0.02, "ping_timeout": 0.1, "max_queue": 2}
        with greenws.connect(server.url, **options) as connection:
            wait_until(lambda: queued(connection) == 2)
            gevent.sleep(0.35)
            assert len(pings) > 5  # which leave meanwhile
            assert connection.is_open
            assert [connection.receive(PATIENCE) for _ in range(5)] == ["x"] * 5
            assert connection.is_open
            if not says_more:
                # From now on the silence is the server's.
                with pytest.raises(greenws.errors.WebSocketClosed, match="ping timeout"):
                    connection.receive(PATIENCE)


def test_messages_of_one_chunk_survive_reads_of_other_connections() -> None:
    # The connections share a receive buffer; what is not parsed has to be copied out of it.
    messages = [f"{number:08}" for number in range(1000)]
    with EchoServer(replies(messages)) as server, EchoServer() as other:
        with greenws.connect(server.url) as held, greenws.connect(other.url) as busy:
            held.send("go")
            wait_until(lambda: queued(held) == 16)
            got = []
            for number in range(1000):
                busy.send("y" * number)
                assert busy.receive(PATIENCE) == "y" * number
                got.append(held.receive(PATIENCE))
            assert got == messages


@pytest.mark.parametrize("session_class", [greenws.GeventSession, PlainSession])
def test_connection_that_is_held_back_can_be_collected(session_class: Any) -> None:
    with EchoServer(replies(["x"] * 100)) as server:
        connection = greenws.connect(server.url, session_class=session_class)
        connection.send("go")
        mailbox = connection._reader.mailbox
        wait_until(lambda: len(mailbox) == 16)
        del connection
        server.connections[0].wait_ended(PATIENCE)


def test_slow_receiver_does_not_keep_the_loop(ticking: Any) -> None:
    with EchoServer(replies(["x" * 60] * 3000)) as server:
        with greenws.connect(server.url) as connection:
            connection.send("go")
            for _ in range(3000):
                connection.receive(PATIENCE)
                _work()
    assert ticking.largest_gap < 0.1


def _work() -> None:
    sum(range(3000))
