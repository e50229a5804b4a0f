"""Promises of every session to every WebSocket, whichever library they are from.

The pairs are greenws on both sides, and greenws on one side with lomond on the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import lomond
import lomond.errors
import pytest
from lomond.session import WebsocketSession

import greenws
import greenws.errors
from tests.support.loopback import LoopbackServer
from tests.support.peer import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Inflater,
    RawServerPeer,
    accept_and_echo,
    accept_and_wait,
    build,
    build_close,
    build_text,
)
from tests.support.waiting import PATIENCE

Handler = Callable[[Any, Any], object]


@dataclass
class Pair:
    """A WebSocket and the session that drives it."""

    websocket_class: Any
    session_class: Any
    #: The module whose errors the user of the WebSocket catches.
    errors: Any

    @property
    def is_cooperative(self) -> bool:
        return self.session_class is greenws.GeventSession

    def make(self, url: str, **options: Any) -> Any:
        return self.websocket_class(url, proxies={}, **options)

    def run(self, websocket: Any, handle: Handler | None = None, **options: Any) -> list[Any]:
        """Iterate to the end. The session of lomond blocks, and gets a thread."""
        options.setdefault("ping_rate", 0)  # lomond would send a ping at once

        def follow() -> list[Any]:
            events = []
            for event in websocket.connect(session_class=self.session_class, **options):
                events.append(event)
                if handle is not None:
                    handle(websocket, event)
            return events

        with gevent.Timeout(PATIENCE):
            if self.is_cooperative:
                return follow()
            found: list[Any] = gevent.get_hub().threadpool.spawn(follow).get()
            return found


PAIRS = {
    "greenws on greenws": Pair(greenws.WebSocket, greenws.GeventSession, greenws.errors),
    "lomond on greenws": Pair(lomond.WebSocket, greenws.GeventSession, lomond.errors),
    "greenws on lomond": Pair(greenws.WebSocket, WebsocketSession, greenws.errors),
}


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    yield PAIRS[request.param]


def names(events: list[Any]) -> list[str]:
    return [event.name for event in events]


def by_name(events: list[Any], name: str) -> Any:
    return next(event for event in events if event.name == name)


def on(name: str, function: Callable[[Any], object]) -> Handler:
    """Make a handler of one kind of event; ``function`` gets the WebSocket."""

    def handle(websocket: Any, event: Any) -> None:
        if event.name == name:
            function(websocket)

    return handle


def test_events_come_in_lomonds_order(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT, b"hello")
        peer.send_text("world")
        peer.close()

    def handle(websocket: Any, event: Any) -> None:
        if event.name == "poll":
            websocket.send_text("hello")

    with LoopbackServer(script) as server:
        found = names(pair.run(pair.make(server.url), handle))
    assert found == [
        "connecting", "connected", "ready", "poll", "text", "closing", "disconnected"
    ]  # fmt: skip


def test_poll_events_keep_coming(pair: Pair) -> None:
    polls = []

    def handle(websocket: Any, event: Any) -> None:
        if event.name == "poll":
            polls.append(event)
            if len(polls) == 4:
                websocket.close()

    with LoopbackServer() as server:
        pair.run(pair.make(server.url), handle, poll=0.02)
    assert len(polls) >= 4


def test_messages_carry_their_payload(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.send(build_text("h\u00e9") + build(BINARY, b"\0\1") + build(PONG, b"pong"))
        peer.close()

    with LoopbackServer(script) as server:
        found = pair.run(pair.make(server.url))
    assert by_name(found, "text").text == "h\u00e9"
    assert bytes(by_name(found, "binary").data) == b"\0\1"
    assert bytes(by_name(found, "pong").data) == b"pong"


def test_ping_is_answered(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(PING, b"are you there"))
        peer.expect(PONG, b"are you there")
        peer.close()

    with LoopbackServer(script) as server:
        found = pair.run(pair.make(server.url))
        server.join()
    assert bytes(by_name(found, "ping").data) == b"are you there"


def test_ping_is_not_answered_without_auto_pong(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(PING, b"are you there"))
        peer.close()

    with LoopbackServer(script) as server:
        found = pair.run(pair.make(server.url), auto_pong=False)
        server.join()
    assert "ping" in names(found)


def test_pings_are_sent_at_their_rate(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        for _ in range(3):
            peer.send(build(PONG, peer.expect(PING).payload))
        peer.send(build_close(1000))
        peer.read_until_end()

    with LoopbackServer(script) as server:
        pair.run(pair.make(server.url), poll=0.02, ping_rate=0.04)
        server.join()


def test_handler_of_closing_may_still_send(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_close(1001, "bye"))
        peer.expect(TEXT, b"last words")
        assert peer.expect(CLOSE).code == 1001

    with LoopbackServer(script) as server:
        found = pair.run(
            pair.make(server.url), on("closing", lambda ws: ws.send_text("last words"))
        )
        server.join()
    closing = by_name(found, "closing")
    assert (closing.code, closing.reason) == (1001, "bye")
    assert found[-1].name == "disconnected"


def test_users_close_is_answered_with_closed(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        frame = peer.expect(CLOSE)
        assert (frame.code, frame.payload[2:]) == (1000, b"goodbye")
        peer.send(build(CLOSE, frame.payload))

    with LoopbackServer(script) as server:
        found = pair.run(pair.make(server.url), on("ready", lambda ws: ws.close()))
        server.join()
    assert names(found)[-2:] == ["closed", "disconnected"]
    assert found[-1].graceful


def test_end_comes_in_close_timeout(pair: Pair) -> None:
    with LoopbackServer(accept_and_wait) as server:
        found = pair.run(
            pair.make(server.url), on("ready", lambda ws: ws.close()), poll=0.02, close_timeout=0.1
        )
    assert found[-1].name == "disconnected"
    assert "closed" not in names(found)
    assert not found[-1].graceful


def test_refused_connection_is_a_connect_fail(pair: Pair) -> None:
    with LoopbackServer() as server:
        url = server.url
    assert names(pair.run(pair.make(url))) == ["connecting", "connect_fail"]


def test_another_status_is_rejected(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 404 Not Found\r\nX-Why: gone\r\nContent-Length: 0\r\n\r\n")

    with LoopbackServer(script) as server:
        found = pair.run(pair.make(server.url))
    assert names(found)[-2:] == ["rejected", "disconnected"]
    response = by_name(found, "rejected").response
    assert (response.status_code, response.get("x-why")) == (404, "gone")
    # lomond calls this end a graceful one.
    is_lomonds = pair is not PAIRS["greenws on greenws"]
    assert found[-1].graceful is is_lomonds
    assert ("404" in found[-1].reason) is not is_lomonds


def test_lost_connection_is_not_graceful(pair: Pair) -> None:
    with LoopbackServer(lambda peer: peer.accept()) as server:
        found = pair.run(pair.make(server.url))
    assert found[-1].name == "disconnected"
    assert not found[-1].graceful


def test_violation_is_answered_with_1002(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(3, b"no such opcode"))
        assert peer.expect(CLOSE).code == 1002

    if pair.websocket_class is lomond.WebSocket:
        pytest.skip("lomond's WebSocket has no check for it")
    with LoopbackServer(script) as server:
        found = pair.run(pair.make(server.url))
        server.join()
    assert names(found)[-2:] == ["protocol_error", "disconnected"]


def test_ping_that_is_too_long_is_never_an_exception(pair: Pair) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(PING, bytes(126)) + build_close(1000))
        peer.read_until_end()

    with LoopbackServer(script) as server:
        found = pair.run(pair.make(server.url))
    assert found[-1].name == "disconnected"


def test_session_can_be_told_to_disconnect_by_a_handler(pair: Pair) -> None:
    if not pair.is_cooperative:
        pytest.skip("lomond's session raises in the caller")
    with LoopbackServer(accept_and_wait) as server:
        found = pair.run(pair.make(server.url), on("ready", lambda ws: ws.force_disconnect()))
    assert found[-1].name == "disconnected"
    assert not found[-1].graceful


def test_session_time_counts_from_ready(pair: Pair) -> None:
    times = []

    def handle(websocket: Any, event: Any) -> None:
        if event.name in ("connecting", "connected", "poll"):
            times.append(websocket.session.session_time)
        if len(times) == 4:
            websocket.close()

    with LoopbackServer() as server:
        websocket = pair.make(server.url)
        pair.run(websocket, handle, poll=0.02)
    assert times[:2] == [0.0, 0.0]
    assert times[3] >= 0.01
    if pair.websocket_class is greenws.WebSocket:
        assert websocket.sent_close_time >= times[3]


def test_what_is_deflated_already_is_marked_so(pair: Pair) -> None:
    frames = []

    def script(peer: RawServerPeer) -> None:
        peer.accept(b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
        inflate = Inflater()
        for _ in range(3):
            frame = peer.expect(TEXT)
            frames.append((frame.rsv1, inflate(frame)))
        peer.close()

    def send(websocket: Any) -> None:
        websocket.send_text("again" * 20)
        websocket.send_text("again" * 20, compress=False)
        websocket.send_text("again" * 20)

    with LoopbackServer(script) as server:
        found = pair.run(pair.make(server.url, compress=True), on("ready", send))
        server.join()
    assert frames == [(compressed, b"again" * 20) for compressed in (True, False, True)]
    assert set(by_name(found, "ready").extensions) == {"permessage-deflate"}


def test_send_before_ready_is_refused(pair: Pair) -> None:
    refusals = []

    def send(websocket: Any) -> None:
        with pytest.raises(pair.errors.WebSocketUnavailable) as caught:
            websocket.send_text("too early")
        refusals.append(caught.value)

    with LoopbackServer(lambda peer: (peer.accept(), peer.close())) as server:
        pair.run(pair.make(server.url), on("connecting", send))
    assert len(refusals) == 1


def test_send_while_closing_is_refused(pair: Pair) -> None:
    refusals = []

    def close(websocket: Any) -> None:
        websocket.close()
        with pytest.raises(pair.errors.WebSocketClosing) as caught:
            websocket.send_text("too late")
        refusals.append(caught.value)

    with LoopbackServer() as server:
        pair.run(pair.make(server.url), on("ready", close))
    assert len(refusals) == 1


def test_send_after_the_end_is_refused(pair: Pair) -> None:
    with LoopbackServer() as server:
        websocket = pair.make(server.url)
        pair.run(websocket, on("ready", lambda ws: ws.close()))
    with pytest.raises(pair.errors.WebSocketUnavailable):
        websocket.send_text("too late")


def test_failed_send_is_a_transport_fail(pair: Pair) -> None:
    caught = []

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT)
        peer.reset()

    def send(websocket: Any) -> None:
        try:
            for _ in range(1000):
                websocket.send_text("x" * 1000)
                gevent.sleep(0.001)
        except pair.errors.WebSocketError as error:
            caught.append(error)

    if not pair.is_cooperative:
        pytest.skip("lomond's session raises an error of lomond's, also with another WebSocket")
    with LoopbackServer(script) as server:
        found = pair.run(pair.make(server.url), on("ready", send))
    assert isinstance(caught[0], pair.errors.TransportFail)
    assert re.search("reset|pipe", str(caught[0]).lower())
    assert found[-1].name == "disconnected"


def test_websocket_may_be_connected_again(pair: Pair) -> None:
    with LoopbackServer() as server:
        websocket = pair.make(server.url)
        first = names(pair.run(websocket, on("ready", lambda ws: ws.close())))
        if pair.websocket_class is lomond.WebSocket:
            websocket.reset()
        second = names(pair.run(websocket, on("ready", lambda ws: ws.close())))
        assert server.connections == 2
    assert first == second


def test_exception_of_a_handler_comes_out_and_nothing_stays_open(pair: Pair) -> None:
    def fail(websocket: Any) -> None:
        raise LookupError("of the handler")

    if not pair.is_cooperative:
        pytest.skip("lomond's session leaves its socket open")
    ended = gevent.event.Event()

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.read_until_end()
        ended.set()

    with LoopbackServer(script) as server:
        with pytest.raises(LookupError, match="of the handler"):
            pair.run(pair.make(server.url), on("ready", fail))
        assert ended.wait(PATIENCE)


def test_large_messages_go_both_ways(pair: Pair) -> None:
    sizes = [0, 1, 125, 126, 65535, 65536, 300_000]
    received = []

    def handle(websocket: Any, event: Any) -> None:
        if event.name == "binary":
            received.append(len(event.data))
        if event.name in ("ready", "binary"):
            if len(received) == len(sizes):
                websocket.close()
            else:
                websocket.send_binary(b"x" * sizes[len(received)])

    with LoopbackServer(accept_and_echo) as server:
        pair.run(pair.make(server.url), handle)
    assert received == sizes
