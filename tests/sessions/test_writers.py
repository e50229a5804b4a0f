"""Writers of one connection never collide: their frames are whole, in order and in few calls.

What happens when the server does not keep up is in ``test_backpressure.py``.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest

import greenws
from greenws import errors
from tests.sessions.collector import DEFLATE, Collector, start
from tests.support.loopback import LoopbackServer
from tests.support.peer import BINARY, CLOSE, PONG, TEXT, RawServerPeer, accept_and_wait, build
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE, wait_until


@contextlib.contextmanager
def packets(script: Any) -> Iterator[tuple[Any, list[int]]]:
    """A socket that keeps the bytes of each call apart, and the sizes that were received."""
    ours, theirs = gevent.socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer = RawServerPeer(theirs)

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

    with LoopbackServer(collector, buffer=8192) as server:
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
    with LoopbackServer(collector, buffer=4096) as server:
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

    def script(peer: RawServerPeer) -> None:
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


def test_frame_leaves_although_the_loop_has_nothing_else_to_do() -> None:
    collector = Collector()
    with LoopbackServer(collector) as server:
        websocket, run = start(server.url)
        gevent.sleep(0.02)
        stopwatch = Stopwatch()
        websocket.send_text("now")
        wait_until(lambda: collector.messages)
        assert stopwatch.own < 0.1
        run.kill()


def test_pong_carries_the_payload_of_its_ping() -> None:
    payloads = [b"", b"x", bytes(125)]

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=b"".join(build(9, payload) for payload in payloads))
        for payload in payloads:
            peer.expect(PONG, payload)

    with LoopbackServer(script) as server:
        websocket, run = start(server.url)
        server.join()
        run.join()


# Threads


def in_thread(function: Any) -> BaseException | None:
    """Call the function in another OS thread, and return the exception that it raised."""
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


def test_send_from_another_thread_is_refused() -> None:
    with LoopbackServer(accept_and_wait) as server:
        websocket, run = start(server.url)
        error = in_thread(lambda: websocket.send_text("hello"))
        run.kill()
    assert isinstance(error, errors.WebSocketUnavailable)
    assert "thread" in str(error)


def test_close_from_another_thread_is_refused_and_changes_nothing() -> None:
    collector = Collector()
    with LoopbackServer(collector) as server:
        websocket, run = start(server.url)
        assert isinstance(in_thread(websocket.close), errors.WebSocketUnavailable)
        assert isinstance(in_thread(websocket.force_disconnect), errors.WebSocketUnavailable)
        websocket.send_text("still open")
        websocket.close()
        run.join()
    assert collector.messages == [b"still open"]


def test_refused_send_leaves_the_compression_as_it_was() -> None:
    collector = Collector(DEFLATE)
    with LoopbackServer(collector) as server:
        websocket, run = start(server.url, compress=True)
        websocket.send_text("first" * 20)
        assert in_thread(lambda: websocket.send_text("never sent" * 20)) is not None
        websocket.send_text("never sent" * 20)
        websocket.send_text("first" * 20)
        websocket.close()
        run.join()
    assert collector.messages == [b"first" * 20, b"never sent" * 20, b"first" * 20]


def test_thread_can_hand_a_send_to_the_hub_as_the_error_says() -> None:
    collector = Collector()
    with LoopbackServer(collector) as server:
        websocket, run = start(server.url)
        loop = gevent.get_hub().loop
        assert (
            in_thread(lambda: loop.run_callback_threadsafe(websocket.send_text, "handed")) is None
        )
        wait_until(lambda: collector.messages)
        run.kill()
    assert collector.messages == [b"handed"]
