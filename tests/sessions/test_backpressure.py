"""A server that does not keep up holds its writers back, and memory stays bounded."""

from __future__ import annotations

import random
import ssl
from typing import Any

import gevent
import gevent.event
import pytest

import greenws
from greenws import errors
from tests.sessions.collector import DEFLATE, Collector, start
from tests.support.loopback import LoopbackServer
from tests.support.peer import TEXT, RawServerPeer, accept_and_stop, build
from tests.support.turns import Turns
from tests.support.waiting import PATIENCE

# The high-water mark


def test_sender_waits_at_the_mark_and_goes_on() -> None:
    collector = Collector(waits=True)
    with LoopbackServer(collector, buffer=4096) as server:
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
    with LoopbackServer(collector, buffer=4096) as server:
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


def test_wait_that_is_too_long_is_a_transport_fail_and_ends_the_connection() -> None:
    with LoopbackServer(accept_and_stop, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=50_000, send_timeout=0.1)
        with pytest.raises(errors.TransportFail, match=r"nothing was taken for 0\.1 s"):
            websocket.send_binary(bytes(8_000_000))
        run.join()
    assert run.events[-1].name == "disconnected"
    assert not run.events[-1].graceful


def test_handler_that_waits_too_long_gets_the_transport_fail() -> None:
    caught = []

    class Sender(greenws.Client):
        def on_ready(self, event: Any) -> None:
            try:
                self.send_binary(bytes(8_000_000))
            except errors.TransportFail as error:
                caught.append(error)

    with LoopbackServer(accept_and_stop, buffer=4096) as server:
        Sender(server.url, proxies={}, write_limit=50_000, send_timeout=0.1).run()
    assert len(caught) == 1


def test_all_waiting_senders_learn_that_the_connection_failed() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        gevent.sleep(0.05)
        peer.reset()

    with LoopbackServer(script, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=10_000)
        senders = [gevent.spawn(websocket.send_binary, bytes(6_000_000)) for _ in range(5)]
        gevent.joinall(senders, timeout=PATIENCE)
        assert all(isinstance(sender.exception, errors.TransportFail) for sender in senders)
        run.join()


def test_sends_after_a_failure_are_refused_also_within_the_handler() -> None:
    # The iteration cannot report the failure, as it waits for this handler.
    caught = []

    class Sender(greenws.Client):
        def on_ready(self, event: Any) -> None:
            with gevent.Timeout(PATIENCE):
                while True:
                    self.send_text("x" * 1000)
                    gevent.sleep(0.002)

        def on_error(self, error: Exception) -> None:
            caught.append(error)

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT)
        peer.reset()

    with LoopbackServer(script) as server:
        Sender(server.url, proxies={}).run()
    assert isinstance(caught[0], errors.TransportFail)


@pytest.mark.parametrize("blow", ["kill", "timeout"])
def test_sender_that_is_stopped_at_the_mark_leaves_the_stream_whole(blow: str) -> None:
    collector = Collector(waits=True)

    def send(websocket: greenws.WebSocket) -> None:
        if blow == "kill":
            websocket.send_binary(b"a" * 6_000_000)
        else:
            with gevent.Timeout(0.05, False):
                websocket.send_binary(b"a" * 6_000_000)

    with LoopbackServer(collector, buffer=4096) as server:
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


def test_send_in_the_hub_itself_is_refused_at_the_mark() -> None:
    refused = gevent.event.AsyncResult()
    collector = Collector(DEFLATE, waits=True)

    def send() -> None:
        try:
            websocket.send_text("from a callback" * 10)
        except errors.WebSocketError as error:
            refused.set(error)
        else:
            refused.set(None)

    with LoopbackServer(collector, buffer=4096) as server:
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


# Answers to pings


def test_server_that_pings_without_reading_does_not_fill_the_memory() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        while True:
            peer.send(build(9, bytes(125)) * 500)

    with LoopbackServer(script, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=50_000, send_timeout=0.2)
        run.join()
        assert websocket.session.queued_bytes <= 120_000
    assert run.events[-1].name == "disconnected"


# TLS that is agreeing on new keys


class Keyless:
    """TLS without secrecy.

    While ``is_renegotiating``, it takes nothing to send. The next read ends that.
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


def test_renegotiation_that_stalls_is_waited_for_without_work() -> None:
    collector = Collector()
    peers: list[RawServerPeer] = []

    def script(peer: RawServerPeer) -> None:
        peers.append(peer)
        collector(peer)

    context = KeylessContext(ssl.PROTOCOL_TLS_CLIENT)
    with LoopbackServer(script) as server:
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
