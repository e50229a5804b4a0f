"""Messages in pieces, both ways."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import pytest

import greenws
from greenws import errors
from greenws.fragments import Incoming
from greenws.testing import EchoServer
from tests.connection.plain import PlainSession
from tests.support.loopback import LoopbackServer
from tests.support.peer import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    Inflater,
    RawServerPeer,
    build,
    build_close,
    build_text,
)
from tests.support.waiting import PATIENCE, wait_until


def begin(peer: RawServerPeer) -> None:
    """Accept, and wait for the word to go on."""
    peer.accept()
    peer.expect(TEXT, b"go")


# Sending


@pytest.mark.parametrize("session_class", [greenws.GeventSession, PlainSession])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    "chunks",
    [
        ["one ", "zwäi ", "", "three"],
        [b"one", bytearray(b"two"), memoryview(b"three")],
        [""],
        [b""],
    ],
)
def test_chunks_arrive_as_one_message(chunks: Any, compress: bool, session_class: Any) -> None:
    with EchoServer() as server:
        options: Any = {"session_class": session_class, "compress": compress}
        with greenws.connect(server.url, **options) as connection:
            for pieces in (chunks, iter(chunks), (chunk for chunk in chunks)):
                connection.send_stream(pieces)
                empty: Any = "" if isinstance(chunks[0], str) else b""
                assert connection.receive(PATIENCE) == empty.join(chunks)
            connection.send("and on")
            assert connection.receive(PATIENCE) == "and on"


def test_no_chunk_is_no_message(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        connection.send_stream([])
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


def test_each_chunk_leaves_as_it_comes() -> None:
    seen: list[tuple[int, bytes, bool]] = []

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        while True:
            frame = peer.read_frame()
            if frame.opcode == CLOSE:
                peer.send(build(CLOSE, frame.payload))
                return
            seen.append((frame.opcode, frame.payload, frame.fin))

    def chunks() -> Iterator[bytes]:
        for number in range(3):
            yield bytes([number])
            wait_until(lambda number=number: len(seen) > number)  # type: ignore[misc]

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        connection.send_stream(chunks())
        wait_until(lambda: len(seen) == 4)
    assert seen == [(2, b"\0", False), (0, b"\1", False), (0, b"\2", False), (0, b"", True)]


def test_control_frames_go_between_and_messages_wait_behind(server: EchoServer) -> None:
    going = gevent.event.Event()

    def chunks() -> Iterator[str]:
        yield "one "
        assert going.wait(PATIENCE)
        yield "two"

    with greenws.connect(server.url) as connection:
        sending = gevent.spawn(connection.send_stream, chunks())
        gevent.sleep(0)
        others = [
            gevent.spawn(connection.send, "text"),
            gevent.spawn(connection.send, b"binary"),
            gevent.spawn(connection.send_json, 1),
            gevent.spawn(connection.send_stream, ["str", "eam"]),
            gevent.spawn(connection.request, "request", _is_request),
        ]
        killed = gevent.spawn(connection.send, "never")
        gevent.sleep(0.01)
        killed.kill()
        assert connection.ping(PATIENCE) > 0
        assert not any(other.dead for other in others)
        going.set()
        gevent.joinall([sending, *others], timeout=PATIENCE, raise_error=True)
        got = [connection.receive(PATIENCE) for _ in range(5)]
        assert got[0] == "one two"
        assert sorted(map(str, got[1:])) == ["1", "b'binary'", "stream", "text"]


def _is_request(event: Any) -> bool:
    return event.name == "text" and event.text == "request"


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        ("text", TypeError),
        (b"bytes", TypeError),
        (5, TypeError),
        ({"a": 1}, TypeError),
        (["a", b"b"], TypeError),
        ((b"a", "b"), TypeError),
        ([1], TypeError),
        (iter([None]), TypeError),
        (iter(["\ud800"]), ValueError),
    ],
)
def test_wrong_chunks_are_errors_of_the_call(
    chunks: Any, error: type[Exception], server: EchoServer
) -> None:
    with greenws.connect(server.url) as connection:
        with pytest.raises(error):
            connection.send_stream(chunks)
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


@pytest.mark.parametrize("way", ["raises", "mixed", "kill", "timeout"])
def test_message_that_cannot_be_completed_closes_the_connection(
    way: str, server: EchoServer
) -> None:
    def chunks() -> Iterator[Any]:
        yield "one"
        if way == "raises":
            raise KeyError("mine")
        if way == "mixed":
            yield b"two"
        gevent.sleep(PATIENCE)

    connection = greenws.connect(server.url)
    if way == "kill":
        sending = gevent.spawn(connection.send_stream, chunks())
        gevent.sleep(0.01)
        sending.kill()
    else:
        expected = {"raises": KeyError, "mixed": TypeError, "timeout": gevent.Timeout}[way]
        with pytest.raises(expected), gevent.Timeout(0.05 if way == "timeout" else PATIENCE):
            connection.send_stream(chunks())
    with pytest.raises(errors.WebSocketClosed) as caught:
        connection.receive(PATIENCE)
    assert caught.value.sent_code == 1011
    with pytest.raises(errors.WebSocketClosed):
        list(connection)
    assert server.messages == []
    connection.close()


@pytest.mark.parametrize("session", [{}, {"session_class": PlainSession}], ids=["ours", "other"])
def test_chunks_cannot_send_messages_themselves(session: Any, server: EchoServer) -> None:
    def chunks() -> Iterator[str]:
        connection.send("before")
        yield "fi"
        with pytest.raises(RuntimeError, match="pieces"):
            connection.send("x")
        with pytest.raises(RuntimeError, match="pieces"):
            connection.send_stream(["x"])
        yield "ne"

    with greenws.connect(server.url, **session) as connection:
        connection.send_stream(chunks())
        assert connection.receive(PATIENCE) == "before"
        assert connection.receive(PATIENCE) == "fine"


def test_end_of_the_connection_ends_the_sending() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.read_frame()
        peer.send(build_close(4000))
        peer.read_until_end()

    def chunks() -> Iterator[bytes]:
        while True:
            yield b"x"
            gevent.sleep(0)

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        with pytest.raises(errors.WebSocketClosed) as caught:
            connection.send_stream(chunks())
        assert caught.value.code == 4000
        with pytest.raises(errors.WebSocketClosed):
            connection.send_stream(["x"])
        connection.close()
        with pytest.raises(errors.WebSocketClosed):
            connection.send_stream(["x"])


# Receiving


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("message", ["aä€𝄞" * 100_000, bytes(range(256)) * 4000, "small", b""])
def test_pieces_make_up_the_message(message: Any, compress: bool, server: EchoServer) -> None:
    with greenws.connect(server.url, compress=compress, max_size=100) as connection:
        for _ in range(3):
            connection.send(message)
            pieces = list(connection.receive_stream(PATIENCE))
            assert type(message)().join(pieces) == message
            assert len(pieces) > 1 or len(message) < 100_000
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


@pytest.mark.parametrize("max_size", [None, 8_000_000])
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_fragments_that_come_before_anybody_asks_wait(max_size: int | None, kind: int) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        for number in range(1000):
            peer.send(build(0 if number else kind, b"x" * 10_000, fin=False))
        peer.send(build(0))
        peer.echo()

    with LoopbackServer(script) as server:
        with greenws.connect(server.url, max_size=max_size) as connection:
            gevent.sleep(0.05)
            pieces = list(connection.receive_stream(PATIENCE))
            assert sum(map(len, pieces)) == 10_000_000
            assert max(map(len, pieces)) < 1_000_000
            connection.send("x")
            assert connection.receive(PATIENCE) == "x"


@pytest.mark.parametrize("max_size", [None, 1000])
def test_message_that_comes_before_anybody_asks_waits(max_size: int | None) -> None:
    size = 40_000_000

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        head = b"\x82\x7f" + size.to_bytes(8, "big")
        peer.send(head)
        for _ in range(40):
            peer.send(bytes(size // 40))
        peer.echo()

    with LoopbackServer(script) as server:
        with greenws.connect(server.url, max_size=max_size) as connection:
            gevent.sleep(0.05)
            total = 0
            for piece in connection.receive_stream(PATIENCE):
                assert len(piece) < 1_000_000
                total += len(piece)
            assert total == size
            connection.send("x")
            assert connection.receive(PATIENCE) == "x"


def test_large_message_that_comes_before_anybody_asks_is_refused_to_receive() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(BINARY, bytes(2000)))
        peer.expect(CLOSE)

    for ask in (lambda c: c.receive(PATIENCE), lambda c: c.request("x", bool)):
        with LoopbackServer(script if ask.__code__.co_names[0] == "receive" else _refuse) as server:
            connection = greenws.connect(server.url, max_size=1000)
            gevent.sleep(0.02)
            assert connection.is_open
            with pytest.raises(errors.WebSocketClosed) as caught:
                ask(connection)
            assert caught.value.sent_code == 1009


def _refuse(peer: RawServerPeer) -> None:
    peer.accept(then=build(BINARY, bytes(2000)))
    peer.expect(TEXT)
    peer.expect(CLOSE)


def test_close_before_a_large_message_is_asked_for_ends() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(BINARY, bytes(2000)))
        frame = peer.expect(CLOSE)
        peer.send(build(CLOSE, frame.payload))

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url, max_size=1000)
        gevent.sleep(0.02)
        connection.close()
        assert connection.close_code == 1000


def test_pieces_come_as_they_arrive_with_control_frames_between() -> None:
    def script(peer: RawServerPeer) -> None:
        begin(peer)
        peer.send(build(TEXT, "aä".encode()[:2], fin=False))
        peer.expect(TEXT, b"next")
        peer.send(build(PING, b"ping") + build(0, "ä€".encode()[1:], fin=False))
        peer.expect(PONG, b"ping")
        peer.expect(TEXT, b"next")
        peer.send(build(0) + build_text("after"))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        connection.send("go")
        pieces = connection.receive_stream(PATIENCE)
        assert next(pieces) == "a"
        connection.send("next")
        assert next(pieces) == "ä€"
        connection.send("next")
        assert list(pieces) == []
        assert list(pieces) == []
        assert connection.receive(PATIENCE) == "after"


def test_part_that_has_arrived_before_comes_at_once() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(BINARY, b"x" * 200_000, fin=False))
        peer.expect(TEXT, b"go")
        peer.send(build(0, b"rest"))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        gevent.sleep(0.02)
        pieces = connection.receive_stream(PATIENCE)
        got = [next(pieces)]
        while sum(map(len, got)) < 200_000:
            got.append(next(pieces))
        connection.send("go")
        assert b"".join([*got, *pieces]) == b"x" * 200_000 + b"rest"  # type: ignore[list-item]


def test_timeout_of_a_piece_leaves_the_iteration_as_it_was() -> None:
    def script(peer: RawServerPeer) -> None:
        begin(peer)
        peer.send(build(TEXT, b"one", fin=False))
        peer.expect(TEXT)
        peer.send(build(0, b"two"))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        pieces = connection.receive_stream(timeout=0.02)
        with pytest.raises(TimeoutError):
            next(pieces)
        connection.send("go")
        wait_until(lambda: connection.websocket.stream.is_joining)
        assert next(pieces) == "one"
        with pytest.raises(TimeoutError):
            next(pieces)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.005):
            next(pieces)
        connection.send("more")
        assert list(pieces) == ["two"]


def test_second_stream_while_one_runs_is_an_error(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        first = connection.receive_stream(PATIENCE)
        with pytest.raises(RuntimeError, match="receive_stream"):
            connection.receive_stream()
        connection.send("x" * 200_000)
        got = [next(first)]
        with pytest.raises(RuntimeError, match="receive_stream"):
            connection.receive_stream()
        got.extend(first)
        assert "".join(got) == "x" * 200_000  # type: ignore[arg-type]
        connection.send("y")
        assert list(connection.receive_stream(PATIENCE)) == ["y"]


@pytest.mark.parametrize("way", ["close", "collect", "never begun"])
def test_stream_that_is_left_early_is_skipped(way: str, server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        pieces = connection.receive_stream(PATIENCE)
        if way != "never begun":
            connection.send("x" * 3_000_000)
            connection.send("after")
            assert set(next(pieces)) == {"x"}
        else:
            connection.send("after")
        if way == "close":
            pieces.close()
            pieces.close()
            assert list(pieces) == []
        else:
            del pieces
            gc.collect()
        again = connection.receive_stream(PATIENCE)
        assert list(again) == ["after"]


def test_stream_that_another_greenlet_closes_ends(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        pieces = connection.receive_stream()
        waiting = gevent.spawn(list, pieces)
        gevent.sleep(0.01)
        pieces.close()
        assert waiting.get(timeout=PATIENCE) == []
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


def test_stream_waits_in_line_with_other_receivers(server: EchoServer) -> None:
    large = "y" * 200_000
    with greenws.connect(server.url) as connection:
        first = gevent.spawn(connection.receive)
        gevent.sleep(0)
        pieces = connection.receive_stream()
        second = gevent.spawn(list, pieces)
        gevent.sleep(0)
        for message in ("x" * 200_000, large, "z" * 200_000):
            connection.send(message)
        assert first.get(timeout=PATIENCE) == "x" * 200_000
        assert "".join(second.get(timeout=PATIENCE)) == large
        assert connection.receive(PATIENCE) == "z" * 200_000


def test_stream_takes_the_place_of_a_receiver_that_goes(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        first = gevent.spawn(connection.receive)
        gevent.sleep(0)
        second = gevent.spawn(list, connection.receive_stream())
        gevent.sleep(0)
        first.kill()
        connection.send("x" * 200_000)
        assert "".join(second.get(timeout=PATIENCE)) == "x" * 200_000


def test_stream_takes_what_waits_in_the_queue_first(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        connection.send("one")
        connection.send("two")
        wait_until(lambda: len(connection._reader.mailbox) == 2)
        assert list(connection.receive_stream()) == ["one"]
        assert connection.receive() == "two"


@pytest.mark.parametrize("is_begun", [False, True])
def test_end_of_the_connection_ends_the_pieces(is_begun: bool) -> None:
    def script(peer: RawServerPeer) -> None:
        begin(peer)
        if is_begun:
            peer.send(build(TEXT, b"one", fin=False))
        peer.send(build_close(4005))
        peer.expect(CLOSE)

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        connection.send("go")
        pieces = connection.receive_stream(PATIENCE)
        if is_begun:
            assert next(pieces) == "one"
        for _ in range(2):
            with pytest.raises(errors.WebSocketClosed, match="4005"):
                next(pieces)
        del pieces
        with pytest.raises(errors.WebSocketClosed, match="4005"):
            connection.receive_stream()


def test_close_in_the_midst_of_a_stream_ends(server: EchoServer) -> None:
    connection = greenws.connect(server.url)
    connection.send(bytes(5_000_000))
    pieces = connection.receive_stream(PATIENCE)
    next(pieces)
    connection.close()
    assert connection.close_code == 1000
    # What has arrived can be taken, and the message is not mistaken for a whole one.
    taken = 0
    with pytest.raises(errors.WebSocketClosed):
        for piece in pieces:
            taken += len(piece)
    assert 0 < taken < 4_000_000
    with pytest.raises(errors.WebSocketClosed):
        connection.receive_stream()


def test_wrong_timeout_of_a_stream_is_an_error_of_the_call(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        with pytest.raises(ValueError, match="timeout"):
            connection.receive_stream(timeout=-1)


def test_pieces_keep_their_connection(server: EchoServer) -> None:
    def begin_stream() -> Any:
        connection = greenws.connect(server.url)
        connection.send("x" * 1_000_000)
        return connection.receive_stream(PATIENCE)

    pieces = begin_stream()
    gc.collect()
    assert "".join(pieces) == "x" * 1_000_000
    del pieces
    server.connections[0].wait_ended(PATIENCE)


def test_stream_of_another_thread_is_refused(server: EchoServer) -> None:
    refused: list[Any] = []

    def call(*functions: Any) -> None:
        for function in functions:
            try:
                function()
            except errors.WebSocketUnavailable as error:
                refused.append(str(error))

    with greenws.connect(server.url) as connection:
        apply = gevent.get_hub().threadpool.apply
        apply(call, (connection.receive_stream, lambda: connection.send_stream(["x"])))
        holder = [connection.receive_stream()]
        apply(call, (holder[0].__next__, holder[0].close))
        assert len(refused) == 4
        assert all("another thread" in text for text in refused)
        apply(holder.clear)  # it is collected there
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


# What a stream leaves alone, and what bounds it


@pytest.mark.parametrize("is_begun", [False, True])
def test_receive_while_a_stream_runs_is_an_error(is_begun: bool, server: EchoServer) -> None:
    large = "x" * 1_000_000
    with greenws.connect(server.url) as connection:
        pieces = connection.receive_stream(PATIENCE)
        connection.send(large)
        got = [next(pieces)] if is_begun else []
        for call in (
            lambda: connection.receive(PATIENCE),
            lambda: connection.receive_json(PATIENCE),
            lambda: next(iter(connection)),
            connection.receive_stream,
        ):
            with pytest.raises(RuntimeError, match="receive_stream"):
                call()
        connection.send("after")
        assert "".join([*got, *pieces]) == large  # type: ignore[list-item]
        assert connection.receive(PATIENCE) == "after"


def test_receivers_that_came_before_the_stream_go_on(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        before = gevent.spawn(connection.receive)
        gevent.sleep(0)
        pieces = connection.receive_stream(PATIENCE)
        connection.send("one")
        connection.send("two")
        assert list(pieces) == ["two"]
        assert before.get(timeout=PATIENCE) == "one"


def test_flood_of_pieces_is_held_back_by_tcp() -> None:
    sent = [0]

    def script(peer: RawServerPeer) -> None:
        begin(peer)
        peer.send(build(BINARY, b"first", fin=False))
        piece = build(0, bytes(50_000), fin=False)
        while sent[0] < 100_000_000:
            peer.send(piece)
            sent[0] += 50_000

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        connection.send("go")
        pieces = connection.receive_stream(PATIENCE)
        assert next(pieces) == b"first"
        incoming = connection._reader.mailbox.piecemeal
        taken = 0
        for _ in range(10):
            before = -1
            while sent[0] != before:  # until the buffers of TCP are full
                before = sent[0]
                gevent.sleep(0.02)
            assert isinstance(incoming, Incoming)
            assert incoming._size < 400_000
            taken += len(next(pieces))
        assert sent[0] < 90_000_000
        connection.session.force_disconnect()  # type: ignore[union-attr]
        with pytest.raises(errors.WebSocketClosed):
            for piece in pieces:
                taken += len(piece)
        assert 400_000 < taken < sent[0]


def test_tiny_pieces_are_bounded_too() -> None:
    sent = [0]

    def script(peer: RawServerPeer) -> None:
        begin(peer)
        peer.send(build(BINARY, b"xx", fin=False))
        pieces = build(0, b"xx", fin=False) * 10_000
        for number in range(100):
            sent[0] = number
            peer.send(pieces)
        peer.send(build(0))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        connection.send("go")
        pieces = connection.receive_stream(PATIENCE)
        next(pieces)
        wait_until(lambda: sent[0] > 3)
        gevent.sleep(0.02)
        incoming = connection._reader.mailbox.piecemeal
        assert isinstance(incoming, Incoming)
        assert len(incoming._buffer) < 10_000
        assert sum(map(len, pieces)) == 2_000_000


@pytest.mark.parametrize("fin", [False, True])
def test_invalid_text_is_refused_at_once(fin: bool) -> None:
    def script(peer: RawServerPeer) -> None:
        begin(peer)
        peer.send(build(TEXT, b"good", fin=False) + build(0, b"a\xff", fin=fin))
        assert peer.expect(CLOSE).code == 1007

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        connection.send("go")
        pieces = connection.receive_stream(PATIENCE)
        assert next(pieces) == "good"
        with pytest.raises(errors.WebSocketClosed) as caught:
            next(pieces)
        assert caught.value.sent_code == 1007


def test_text_cut_short_is_refused() -> None:
    def script(peer: RawServerPeer) -> None:
        begin(peer)
        peer.send(build(TEXT, "aä".encode()[:2], fin=False) + build(0))
        assert peer.expect(CLOSE).code == 1007

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        connection.send("go")
        pieces = connection.receive_stream(PATIENCE)
        assert next(pieces) == "a"
        with pytest.raises(errors.WebSocketClosed):
            next(pieces)


def test_reply_goes_to_its_request_although_a_stream_waits() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT, b"ask")
        peer.send(build(TEXT, b"re", fin=False) + build(0, b"ply"))
        peer.send(build(TEXT, b"mes", fin=False) + build(0, b"sage", fin=False))
        peer.expect(TEXT, b"more")
        peer.send(build(0))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        pieces = connection.receive_stream(PATIENCE)
        first = gevent.spawn(next, pieces)
        gevent.sleep(0)
        reply: Any = connection.request("ask", lambda event: event.text == "reply")
        assert reply.text == "reply"
        got = first.get(timeout=PATIENCE)
        connection.send("more")
        assert got + "".join(pieces) == "message"  # type: ignore[arg-type]


def test_large_message_is_the_streams_although_a_request_waits() -> None:
    size = 6_000_000

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT, b"ask")
        for number in range(60):
            peer.send(build(0 if number else BINARY, bytes(size // 60), fin=number == 59))
        peer.send(build_text("reply"))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        pieces = connection.receive_stream(PATIENCE)
        taking = gevent.spawn(lambda: sum(map(len, pieces)))
        gevent.sleep(0)
        reply: Any = connection.request("ask", lambda event: event.name == "text", timeout=PATIENCE)
        assert reply.text == "reply"
        assert taking.get(timeout=PATIENCE) == size


def test_message_that_is_joined_for_a_receiver_that_goes_is_the_streams() -> None:
    def script(peer: RawServerPeer) -> None:
        begin(peer)
        peer.send(build(TEXT, b"one", fin=False))
        peer.expect(TEXT, b"more")
        peer.send(build(0, b"two"))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        first = gevent.spawn(connection.receive)
        gevent.sleep(0)
        pieces = connection.receive_stream(PATIENCE)
        second = gevent.spawn(next, pieces)
        gevent.sleep(0)
        connection.send("go")
        wait_until(lambda: connection.websocket.stream.is_joining)
        first.kill()
        assert second.get(timeout=PATIENCE) == "one"
        connection.send("more")
        assert list(pieces) == ["two"]


@pytest.mark.parametrize("way", ["kill", "close"])
def test_whole_message_for_a_stream_that_has_gone_meanwhile_is_the_next_ones(
    way: str, server: EchoServer
) -> None:
    with greenws.connect(server.url) as connection:
        mailbox = connection._reader.mailbox
        pieces = connection.receive_stream(PATIENCE)
        waiting = gevent.spawn(list, pieces)
        gevent.sleep(0)
        if way == "kill":
            waiting.kill(block=False)
        mailbox.put(greenws.events.Text("x"), 1)  # handed over, and the greenlet has not run
        if way == "close":
            pieces.close()
            assert waiting.get(timeout=PATIENCE) == []
        else:
            waiting.join(PATIENCE)
            pieces.close()
        assert connection.receive(PATIENCE) == "x"
        connection.send("y")
        assert connection.receive(PATIENCE) == "y"


def test_skipped_rest_of_what_was_joined_is_dropped() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(BINARY, bytes(300_000), fin=False))
        peer.expect(TEXT, b"go")
        peer.send(build(0, b"rest") + build_text("after"))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        wait_until(lambda: connection.websocket.stream.is_joining)
        pieces = connection.receive_stream(PATIENCE)
        assert len(next(pieces)) <= 65536
        pieces.close()
        connection.send("go")
        assert connection.receive(PATIENCE) == "after"


def test_text_that_was_joined_is_cut_between_characters() -> None:
    text = "aä€𝄞" * 50_000
    data = text.encode()

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(TEXT, data[:-2], fin=False))
        peer.expect(TEXT, b"go")
        peer.send(build(0, data[-2:]))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        wait_until(lambda: connection.websocket.stream.is_joining)
        gevent.sleep(0.02)
        pieces = connection.receive_stream(PATIENCE)
        got = [next(pieces)]
        connection.send("go")
        assert "".join([*got, *pieces]) == text  # type: ignore[list-item]


# Sends beside a stream


def test_sends_of_the_websocket_wait_as_well(server: EchoServer) -> None:
    going = gevent.event.Event()

    def chunks() -> Iterator[str]:
        yield "one "
        assert going.wait(PATIENCE)
        yield "two"

    with greenws.connect(server.url, compress=True) as connection:
        sending = gevent.spawn(connection.send_stream, chunks())
        gevent.sleep(0)
        others = [
            gevent.spawn(connection.websocket.send_text, "other"),
            gevent.spawn(connection.websocket.send_text, "y" * 300_000),
        ]
        gevent.sleep(0.01)
        assert not any(other.ready() for other in others)
        going.set()
        gevent.joinall([sending, *others], timeout=PATIENCE, raise_error=True)
        got = [connection.receive(PATIENCE) for _ in range(3)]
        assert got == ["one two", "other", "y" * 300_000]


def test_close_does_not_wait_for_a_stream_that_is_being_sent(server: EchoServer) -> None:
    going = gevent.event.Event()

    def chunks() -> Iterator[str]:
        yield "one"
        assert going.wait(PATIENCE)
        yield "two"

    connection = greenws.connect(server.url)
    sending = gevent.spawn(connection.send_stream, chunks())
    gevent.sleep(0)
    behind = gevent.spawn(connection.send, "behind")
    gevent.sleep(0)
    connection.close()
    assert (connection.close_code, connection.sent_code) == (1000, 1000)
    with pytest.raises(errors.WebSocketError):
        behind.get(timeout=PATIENCE)
    going.set()
    with pytest.raises(errors.WebSocketClosed):
        sending.get(timeout=PATIENCE)
    assert list(connection) == []  # the end is the user's own


def test_ping_of_the_server_is_answered_between_chunks() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT, b"one")
        peer.send(build(PING, b"hello"))
        peer.expect(PONG, b"hello")
        going.set()
        assert peer.read_frame().payload == b"two"
        assert peer.read_frame().fin
        peer.echo()

    def chunks() -> Iterator[str]:
        yield "one"
        wait_until(going.is_set)
        yield "two"

    going = gevent.event.Event()
    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        connection.send_stream(chunks())
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", [str, bytes])
def test_large_chunk_leaves_in_small_fragments(kind: Any, compress: bool) -> None:
    chunk = "aä€𝄞" * 100_000 if kind is str else bytes(range(256)) * 4000
    lengths: list[int] = []
    got: list[bytes] = []

    def script(peer: RawServerPeer) -> None:
        peer.accept(b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if compress else b"")
        while True:
            frame = peer.read_frame()
            lengths.append(len(frame.payload))
            got.append(frame.payload)
            if frame.fin:
                break
        if compress:
            got[:] = [Inflater()(Frame(1, b"".join(got), True, True))]
        peer.echo()

    with LoopbackServer(script) as server:
        with greenws.connect(server.url, compress=compress) as connection:
            connection.send_stream([chunk])
            connection.send_text("x", compress=False)
            assert connection.receive(PATIENCE) == "x"
    assert b"".join(got) == (chunk.encode() if isinstance(chunk, str) else chunk)
    assert len(lengths) > 5
    assert max(lengths) <= 256 * 1024


def test_sending_a_stream_does_not_keep_the_hub(server: EchoServer) -> None:
    turns = [0]
    check = gevent.get_hub().loop.check(ref=False)
    with greenws.connect(server.url) as connection:
        skipping = connection.receive_stream()

        def count() -> None:
            turns[0] += 1

        check.start(count)
        try:
            connection.send_stream(b"x" for _ in range(200_000))
        finally:
            check.stop()
            check.close()
        skipping.close()
    assert turns[0] > 3


def test_end_while_the_sender_waits_for_room_is_its_error() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.read_frame()
        gevent.sleep(0.05)

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        with pytest.raises((errors.WebSocketClosed, errors.TransportFail)):
            connection.send_stream(bytes(60_000) for _ in range(10_000))
        with pytest.raises(errors.WebSocketClosed):
            connection.receive(PATIENCE)
        connection.close()


@pytest.mark.parametrize("compress", [False, True])
def test_streams_are_traced_as_messages(compress: bool, server: EchoServer) -> None:
    steps: list[Any] = []

    def trace(step: Any) -> None:
        if step["stage"] in ("send_text", "send_binary", "message_text", "message_binary"):
            steps.append((step["stage"], step["length"], step.get("compressed")))

    with greenws.connect(server.url, trace=trace, compress=compress) as connection:
        connection.send_stream(["ä", "x"])
        assert list(connection.receive_stream(PATIENCE)) == ["äx"]
        connection.send_stream([bytes(1_000_000)])
        assert sum(map(len, connection.receive_stream(PATIENCE))) == 1_000_000
    assert steps == [
        ("send_text", 3, compress),
        ("message_text", 3, None),
        ("send_binary", 1_000_000, compress),
        ("message_binary", 1_000_000, None),
    ]


def test_trace_that_raises_at_the_end_of_a_stream_leaves_the_message_whole(
    server: EchoServer,
) -> None:
    def trace(step: Any) -> None:
        if step["stage"] == "send_text" and step["length"] == 6:
            raise LookupError

    with greenws.connect(server.url, trace=trace) as connection:
        with pytest.raises(LookupError):
            connection.send_stream(["one", "two"])
        assert connection.receive(PATIENCE) == "onetwo"
        connection.send("on")
        assert connection.receive(PATIENCE) == "on"


def test_messages_wait_behind_a_stream_on_a_session_of_others(server: EchoServer) -> None:
    going = gevent.event.Event()

    def chunks() -> Iterator[str]:
        yield "one "
        assert going.wait(PATIENCE)
        yield "two"

    with greenws.connect(server.url, session_class=PlainSession) as connection:
        sending = gevent.spawn(connection.send_stream, chunks())
        gevent.sleep(0)
        calls: list[Any] = [
            lambda: connection.send("text"),
            lambda: connection.send(b"binary"),
            lambda: connection.send_json(1),
            lambda: connection.send_stream(["str", "eam"]),
        ]
        others = [gevent.spawn(call) for call in calls]
        killed = gevent.spawn(connection.send, "never")
        gevent.sleep(0.01)
        killed.kill()
        assert not any(other.ready() for other in others)
        going.set()
        gevent.joinall([sending, *others], timeout=PATIENCE, raise_error=True)
        got = [connection.receive(PATIENCE) for _ in range(5)]
        assert got[0] == "one two"
        assert sorted(map(str, got[1:])) == ["1", "b'binary'", "stream", "text"]


def test_end_of_a_session_of_others_ends_those_that_wait_behind_a_stream() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.read_frame()

    def chunks() -> Iterator[str]:
        while True:
            yield "one"
            gevent.sleep(0.001)

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url, session_class=PlainSession)
        sending = gevent.spawn(connection.send_stream, chunks())
        gevent.sleep(0)
        other = gevent.spawn(connection.send, "other")
        for greenlet in (sending, other):
            with pytest.raises((errors.WebSocketClosed, OSError)):
                greenlet.get(timeout=PATIENCE)
        connection.close()


@pytest.mark.parametrize("fragments", [False, True])
def test_message_that_was_kept_back_is_joined_for_receive(fragments: bool) -> None:
    size = 6_000_000

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        if fragments:
            for number in range(60):
                peer.send(build(0 if number else BINARY, bytes(size // 60), fin=number == 59))
        else:
            peer.send(build(BINARY, bytes(size)))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        wait_until(lambda: connection.websocket.stream.is_joining)
        gevent.sleep(0.05)
        assert len(connection._reader.mailbox) == 0
        assert connection.receive(PATIENCE) == bytes(size)
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


@pytest.mark.parametrize("way", ["kill", "timeout"])
def test_receiving_greenlet_that_ends_leaves_the_connection_usable(
    way: str, server: EchoServer
) -> None:
    taken = [0]

    def take() -> None:
        for piece in connection.receive_stream():
            if way == "timeout" and not taken[0]:
                timeout.start()
            taken[0] += len(piece)
            gevent.sleep(0.001)

    timeout = gevent.Timeout(0.005)
    with greenws.connect(server.url) as connection:
        connection.send(bytes(5_000_000))
        connection.send("after")
        if way == "kill":
            taking = gevent.spawn(take)
            wait_until(lambda: taken[0])
            taking.kill()
        else:
            with contextlib.suppress(gevent.Timeout):
                take()
            timeout.close()
            del timeout
        assert taken[0] < 5_000_000
        assert connection.receive(PATIENCE) == "after"


@pytest.mark.parametrize("is_begun", [False, True])
def test_ping_timeout_does_not_count_while_pieces_wait(is_begun: bool) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        for number in range(60):
            peer.send(build(0 if number else BINARY, bytes(100_000), fin=number == 59))
        peer.echo()

    options: Any = {"ping_rate": 0.02, "ping_timeout": 0.1}
    with LoopbackServer(script) as server, greenws.connect(server.url, **options) as connection:
        pieces = connection.receive_stream(PATIENCE)
        taken = len(next(pieces)) if is_begun else 0
        gevent.sleep(0.3)
        assert connection.is_open
        assert taken + sum(map(len, pieces)) == 6_000_000


def test_timeout_before_the_first_piece_leaves_the_connection_to_others(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        with gevent.Timeout(0.01, False):
            list(connection.receive_stream())
        with pytest.raises(TimeoutError):
            connection.receive(0)
        with gevent.Timeout(0.01, False):
            list(connection.receive_stream())
        connection.send("x")
        assert list(connection.receive_stream(PATIENCE)) == ["x"]
