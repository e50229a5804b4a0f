"""Sending: whole frames, in order, bounded, and in few system calls."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import gevent.socket
import pytest

import greenws
from greenws import errors
from tests.support.loopback import LoopbackServer as Server
from tests.support.peer import (
    BINARY,
    CLOSE,
    PONG,
    TEXT,
    Inflater,
    accept_and_stop,
    accept_and_wait,
    build,
)
from tests.support.peer import RawServerPeer as Peer
from tests.support.run import Run
from tests.support.turns import Turns
from tests.support.waiting import PATIENCE

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


class Collector:
    """A server that keeps the frames it gets, inflated, once it is let to read."""

    def __init__(self, headers: bytes = b"", waits: bool = False) -> None:
        self.frames: list[Any] = []
        self.messages: list[bytes] = []
        self._headers = headers
        self.may_read = gevent.event.Event()
        if not waits:
            self.may_read.set()

    def __call__(self, peer: Peer) -> None:
        peer.accept(self._headers)
        self.may_read.wait(PATIENCE)
        inflate = Inflater()
        while True:
            frame = peer.read_frame()
            self.frames.append(frame)
            if frame.opcode == CLOSE:
                peer.send(build(CLOSE, frame.payload))
                return
            if frame.opcode in (TEXT, BINARY):
                self.messages.append(inflate(frame))


def start(url: str, **options: Any) -> tuple[greenws.WebSocket, Run]:
    websocket = greenws.WebSocket(url, **{"proxies": {}, **options})
    run = Run(websocket.connect(ping_rate=0, poll=0))
    run.wait("ready")
    return websocket, run


@contextlib.contextmanager
def packets(script: Any) -> Iterator[tuple[Any, list[int]]]:
    """A socket to use, which keeps what each system call sends apart, and the sizes received."""
    ours, theirs = gevent.socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer = Peer(theirs)

    def serve() -> None:
        script(peer)
        theirs.close()

    server = gevent.spawn(serve)
    try:
        yield ours, peer.sizes
        server.get(timeout=PATIENCE)
    finally:
        server.kill()
        theirs.close()
        ours.close()


# Whole frames in order


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("size", [100, 40_000], ids=["small", "large"])
def test_concurrent_senders_never_collide(compress: bool, size: int) -> None:
    collector = Collector(DEFLATE if compress else b"")
    senders = 20
    count = 30

    def send(websocket: greenws.WebSocket, sender: int) -> None:
        chance = random.Random(sender)
        for number in range(count):
            filler = chance.randbytes(chance.randrange(size))
            data = b"%d %d " % (sender, number) + filler
            websocket.send_binary(data, compress=chance.random() < 0.8)
            if chance.random() < 0.3:
                gevent.sleep(0)

    with Server(collector, buffer=8192) as server:
        websocket, run = start(server.url, compress=compress, write_limit=30_000)
        gevent.joinall([gevent.spawn(send, websocket, n) for n in range(senders)], raise_error=True)
        websocket.close()
        run.join()
    seen: dict[int, int] = dict.fromkeys(range(senders), 0)
    for message in collector.messages:
        sender, number, filler = message.split(b" ", 2)
        assert int(number) == seen[int(sender)]
        seen[int(sender)] += 1
    assert seen == dict.fromkeys(range(senders), count)


def test_control_frames_go_between_messages_of_other_greenlets() -> None:
    collector = Collector()
    with Server(collector, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=10_000)
        writers = [gevent.spawn(websocket.send_binary, bytes(50_000)) for _ in range(5)]
        writers += [gevent.spawn(websocket.send_ping, b"%d" % n) for n in range(5)]
        gevent.joinall(writers, raise_error=True)
        websocket.close()
        run.join()
    assert [frame.opcode for frame in collector.frames] == [BINARY] * 5 + [9] * 5 + [CLOSE]


# Few system calls


def test_frames_of_one_turn_leave_in_one_call() -> None:
    collector = Collector()
    with packets(collector) as (sock, sizes):
        websocket, run = start("ws://packets/", socket=sock)
        sizes.clear()
        for number in range(50):
            websocket.send_text(str(number))
        websocket.close()
        run.join()
    assert len(sizes) == 1
    assert len(collector.messages) == 50


def test_frames_of_many_greenlets_in_one_turn_leave_in_one_call() -> None:
    collector = Collector()
    with packets(collector) as (sock, sizes):
        websocket, run = start("ws://packets/", socket=sock)
        sizes.clear()
        gevent.joinall([gevent.spawn(websocket.send_text, "x") for _ in range(20)])
        websocket.close()
        run.join()
    assert len(collector.messages) == 20
    assert len(sizes) <= 2  # the close frame may have a turn of its own


@pytest.mark.parametrize("number", [1, 2, 3])
def test_replies_to_the_messages_of_one_chunk_leave_in_one_call(number: int) -> None:
    got = []

    def script(peer: Peer) -> None:
        peer.accept()
        for _ in range(number):
            peer.send(b"".join(build(TEXT, b"%d" % n) for n in range(100)))
            del peer.sizes[:]
            for n in range(100):
                peer.expect(TEXT, b"%d" % n)
            got.append(len(peer.sizes))
        peer.close()

    class Replier(greenws.Client):
        def on_text(self, event: Any) -> None:
            self.send_text(event.text)

    with packets(script) as (sock, _):
        Replier("ws://packets/", socket=sock, proxies={}, ping_rate=0).run()
    assert got == [1] * number


def test_a_frame_leaves_although_the_loop_has_nothing_else_to_do() -> None:
    collector = Collector()
    with Server(collector) as server:
        websocket, run = start(server.url)
        gevent.sleep(0.02)
        began = time.monotonic()
        websocket.send_text("now")
        with gevent.Timeout(PATIENCE):
            while not collector.messages:
                gevent.sleep(0.001)
        assert time.monotonic() - began < 0.1
        run.kill()


# The high-water mark


def test_a_sender_waits_at_the_mark_and_goes_on() -> None:
    collector = Collector(waits=True)
    with Server(collector, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=50_000)

        def send() -> None:
            for _ in range(200):
                websocket.send_binary(bytes(50_000))

        sender = gevent.spawn(send)
        gevent.sleep(0.05)
        assert not sender.dead
        assert websocket.session.queued_bytes <= 110_000
        collector.may_read.set()
        sender.get(timeout=PATIENCE)
        websocket.close()
        run.join()
    assert [len(message) for message in collector.messages] == [50_000] * 200


def test_many_waiting_senders_all_go_on() -> None:
    collector = Collector(waits=True)
    with Server(collector, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=10_000)
        filler = gevent.spawn(websocket.send_binary, bytes(6_000_000))
        gevent.sleep(0.01)
        senders = [gevent.spawn(websocket.send_binary, b"x" * 9_000) for _ in range(20)]
        gevent.sleep(0.01)
        assert not any(sender.dead for sender in [filler, *senders])
        collector.may_read.set()
        gevent.joinall([filler, *senders], timeout=PATIENCE, raise_error=True)
        websocket.close()
        run.join()
    assert len(collector.messages) == 21


def test_a_wait_that_is_too_long_is_a_transport_fail_and_ends_the_connection() -> None:
    with Server(accept_and_stop, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=50_000, send_timeout=0.1)
        with pytest.raises(errors.TransportFail, match=r"nothing was taken for 0\.1 s"):
            websocket.send_binary(bytes(8_000_000))
        run.join()
    assert run.events[-1].name == "disconnected"
    assert not run.events[-1].graceful


def test_a_handler_that_waits_too_long_gets_the_transport_fail() -> None:
    caught = []

    class Sender(greenws.Client):
        def on_ready(self, event: Any) -> None:
            try:
                self.send_binary(bytes(8_000_000))
            except errors.TransportFail as error:
                caught.append(error)

    with Server(accept_and_stop, buffer=4096) as server:
        Sender(server.url, proxies={}, write_limit=50_000, send_timeout=0.1).run()
    assert len(caught) == 1


def test_all_waiting_senders_learn_that_the_connection_failed() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        gevent.sleep(0.05)
        peer.reset()

    with Server(script, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=10_000)
        senders = [gevent.spawn(websocket.send_binary, bytes(6_000_000)) for _ in range(5)]
        gevent.joinall(senders, timeout=PATIENCE)
        assert all(isinstance(sender.exception, errors.TransportFail) for sender in senders)
        run.join()


def test_sends_after_a_failure_are_refused_also_within_the_handler() -> None:
    # The iteration cannot tell: it waits for this handler.
    caught = []

    class Sender(greenws.Client):
        def on_ready(self, event: Any) -> None:
            with gevent.Timeout(PATIENCE):
                while True:
                    self.send_text("x" * 1000)
                    gevent.sleep(0.002)

        def on_error(self, error: Exception) -> None:
            caught.append(error)

    def script(peer: Peer) -> None:
        peer.accept()
        peer.expect(TEXT)
        peer.reset()

    with Server(script) as server:
        Sender(server.url, proxies={}).run()
    assert isinstance(caught[0], errors.TransportFail)


@pytest.mark.parametrize("blow", ["kill", "timeout"])
def test_a_sender_that_is_stopped_at_the_mark_leaves_the_stream_whole(blow: str) -> None:
    collector = Collector(waits=True)

    def send(websocket: greenws.WebSocket) -> None:
        if blow == "kill":
            websocket.send_binary(b"a" * 6_000_000)
        else:
            with gevent.Timeout(0.05, False):
                websocket.send_binary(b"a" * 6_000_000)

    with Server(collector, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=50_000)
        sender = gevent.spawn(send, websocket)
        gevent.sleep(0.02)
        assert not sender.dead
        if blow == "kill":
            sender.kill()
        else:
            sender.join(PATIENCE)
        collector.may_read.set()
        websocket.send_binary(b"b")
        websocket.close()
        run.join()
    assert collector.messages == [b"a" * 6_000_000, b"b"]


def test_a_send_in_the_hub_itself_is_refused_at_the_mark() -> None:
    refused = gevent.event.AsyncResult()
    collector = Collector(DEFLATE, waits=True)

    def send() -> None:
        try:
            websocket.send_text("from a callback" * 10)
        except errors.WebSocketError as error:
            refused.set(error)
        else:
            refused.set(None)

    with Server(collector, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=50_000, compress=True)
        writer = gevent.spawn(websocket.send_binary, random.Random(1).randbytes(6_000_000))
        gevent.sleep(0.01)
        gevent.get_hub().loop.run_callback(send)
        assert isinstance(refused.get(timeout=PATIENCE), errors.WebSocketUnavailable)
        collector.may_read.set()
        writer.get(timeout=PATIENCE)
        # The refused message has left no trace in the state of the compression.
        websocket.send_text("from a callback" * 10)
        websocket.close()
        run.join()
    assert collector.messages[1] == b"from a callback" * 10


# Threads


def in_thread(function: Any) -> BaseException | None:
    """Call it in another OS thread; return what it raised."""
    caught: list[BaseException | None] = [None]

    def call() -> None:
        try:
            function()
        except BaseException as error:
            caught[0] = error

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(PATIENCE)
    return caught[0]


def test_a_send_from_another_thread_is_refused() -> None:
    with Server(accept_and_wait) as server:
        websocket, run = start(server.url)
        error = in_thread(lambda: websocket.send_text("hello"))
        run.kill()
    assert isinstance(error, errors.WebSocketUnavailable)
    assert "thread" in str(error)


def test_a_close_from_another_thread_is_refused_and_changes_nothing() -> None:
    collector = Collector()
    with Server(collector) as server:
        websocket, run = start(server.url)
        assert isinstance(in_thread(websocket.close), errors.WebSocketUnavailable)
        assert isinstance(in_thread(websocket.force_disconnect), errors.WebSocketUnavailable)
        websocket.send_text("still open")
        websocket.close()
        run.join()
    assert collector.messages == [b"still open"]


def test_a_refused_send_leaves_the_compression_as_it_was() -> None:
    collector = Collector(DEFLATE)
    with Server(collector) as server:
        websocket, run = start(server.url, compress=True)
        websocket.send_text("first" * 20)
        assert in_thread(lambda: websocket.send_text("never sent" * 20)) is not None
        websocket.send_text("never sent" * 20)
        websocket.send_text("first" * 20)
        websocket.close()
        run.join()
    assert collector.messages == [b"first" * 20, b"never sent" * 20, b"first" * 20]


def test_a_thread_can_hand_a_send_to_the_hub_as_the_error_says() -> None:
    collector = Collector()
    with Server(collector) as server:
        websocket, run = start(server.url)
        loop = gevent.get_hub().loop
        assert (
            in_thread(lambda: loop.run_callback_threadsafe(websocket.send_text, "handed")) is None
        )
        with gevent.Timeout(PATIENCE):
            while not collector.messages:
                gevent.sleep(0.001)
        run.kill()
    assert collector.messages == [b"handed"]


# Answers of the session's own


def test_a_server_that_pings_without_reading_does_not_fill_the_memory() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        while True:
            peer.send(build(9, bytes(125)) * 500)

    with Server(script, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=50_000, send_timeout=0.2)
        run.join()
        assert websocket.session.queued_bytes <= 120_000
    assert run.events[-1].name == "disconnected"


def test_a_pong_carries_the_payload_of_its_ping() -> None:
    payloads = [b"", b"x", bytes(125)]

    def script(peer: Peer) -> None:
        peer.accept(then=b"".join(build(9, payload) for payload in payloads))
        for payload in payloads:
            peer.expect(PONG, payload)

    with Server(script) as server:
        websocket, run = start(server.url)
        server.join()
        run.join()


# TLS that is agreeing on new keys


class Keyless:
    """TLS without the secrecy. It takes nothing while ``is_renegotiating``, which what it reads
    next puts an end to.
    """

    session_reused = False
    session = None

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self.is_renegotiating = False

    def do_handshake(self) -> None:
        pass

    def version(self) -> str:
        return "TLSv1.2"

    def cipher(self) -> None:
        return None

    def pending(self) -> int:
        return 0

    def read(self, size: int, buffer: Any) -> int:
        data = self._incoming.read(size)
        if not data and not self._incoming.eof:
            raise ssl.SSLWantReadError
        self.is_renegotiating = False
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        if self.is_renegotiating:
            raise ssl.SSLWantReadError
        count: int = self._outgoing.write(data)
        return count

    def unwrap(self) -> None:
        pass


class KeylessContext(ssl.SSLContext):
    tls: Keyless

    def wrap_bio(self, incoming: Any, outgoing: Any, *_: Any, **options: Any) -> Any:
        self.tls = Keyless(incoming, outgoing)
        return self.tls


def test_a_renegotiation_that_stalls_is_waited_for_without_work() -> None:
    collector = Collector()
    peers: list[Peer] = []

    def script(peer: Peer) -> None:
        peers.append(peer)
        collector(peer)

    context = KeylessContext(ssl.PROTOCOL_TLS_CLIENT)
    with Server(script) as server:
        url = server.url.replace("ws:", "wss:")
        websocket, run = start(url, ssl_context=context)
        context.tls.is_renegotiating = True
        websocket.send_text("first")
        gevent.sleep(0)
        websocket.send_text("second")
        with Turns() as turns:
            gevent.sleep(0.1)
        assert turns.count < 20
        assert collector.messages == []
        peers[0].send(build(TEXT, b"keys"))
        run.wait("text")
        websocket.close()
        run.join()
    assert collector.messages == [b"first", b"second"]
