"""From ``connect`` to ready or rejected: headers, request, answer, redirect."""

from __future__ import annotations

from typing import Any

import lomond
import lomond.events
import pytest

from greenws import WebSocket, errors, events
from greenws.protocol.handshake import accept_for
from greenws.protocol.response import Response
from greenws.testing import EchoServer
from tests.support.streams import frame
from tests.websocket.driving import URL, Session, SessionWithoutEnd, answer, connect, names, open_up

# add_header and the request


def test_header_added_is_sent() -> None:
    websocket = WebSocket(URL)
    websocket.add_header(b"X-A", b"b")
    connect(websocket)
    assert b"\r\nX-A: b\r\n" in websocket.build_request()


@pytest.mark.parametrize("pair", [("X-A", b"b"), (b"X-A", "b"), (None, b""), (b"X", bytearray())])
def test_header_added_of_another_type_is_a_type_error(pair: Any) -> None:
    with pytest.raises(TypeError):
        WebSocket(URL).add_header(*pair)
    with pytest.raises(TypeError):
        lomond.WebSocket(URL, proxies={}).add_header(*pair)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-A", b"b\r\nX-B: c"),
        (b"X-A", b"b\n"),
        (b"X-A", b"\0"),
        (b"X\r\nA", b"b"),
        (b"X A", b"b"),
        (b"", b"b"),
        (b"X\0", b"b"),
        (b"Connection", b"close"),
    ],
)
def test_header_added_that_would_break_the_request_is_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        WebSocket(URL).add_header(name, value)


def test_header_added_is_sent_with_every_request() -> None:
    websocket = WebSocket(URL)
    websocket.add_header(b"X-A", b"b")
    for _ in range(2):
        connect(websocket)
        assert websocket.build_request().count(b"X-A: b\r\n") == 1


def test_request_has_the_headers_of_lomonds() -> None:
    ours = WebSocket("ws://example.org:8080/a?b", protocols=["x", "y"], agent="me", compress=True)
    theirs = lomond.WebSocket(
        "ws://example.org:8080/a?b", proxies={}, protocols=["x", "y"], agent="me", compress=True
    )
    connect(ours)

    def parse(request: bytes) -> tuple[bytes, dict[bytes, bytes]]:
        lines = request.split(b"\r\n")
        return lines[0], dict(line.split(b": ", 1) for line in lines[1:-2])

    first, headers = parse(ours.build_request())
    their_first, their_headers = parse(theirs.build_request())
    assert first == their_first
    for name, value in their_headers.items():
        if name not in (b"Sec-WebSocket-Key", b"Sec-WebSocket-Extensions"):
            assert headers[name] == value
    assert headers.keys() >= their_headers.keys()


def test_request_without_a_connection_is_an_error() -> None:
    websocket = WebSocket(URL)
    open_up(websocket)
    with pytest.raises(errors.WebSocketUnavailable):
        websocket.build_request()


# connect, iteration, reset


def test_connect_passes_its_options_to_the_session() -> None:
    websocket = WebSocket(URL)
    run = websocket.connect(Session, 1, 2, 3, False, 4)
    assert list(run) == []
    assert isinstance(websocket.session, Session)
    assert websocket.session.websocket is websocket
    assert websocket.session.options == {
        "poll": 1,
        "ping_rate": 2,
        "ping_timeout": 3,
        "auto_pong": False,
        "close_timeout": 4,
    }


@pytest.mark.parametrize("name", ["poll", "ping_rate", "ping_timeout", "close_timeout"])
def test_connect_refuses_an_impossible_number(name: str) -> None:
    websocket = WebSocket(URL)
    for value in (-1, -0.001, float("nan")):
        with pytest.raises(ValueError, match=name):
            websocket.connect(**{name: value})
    with pytest.raises(TypeError, match=name):
        websocket.connect(**{name: "5"})
    assert websocket.session is None


def test_iterating_over_the_websocket_connects() -> None:
    with EchoServer() as server:
        websocket = WebSocket(server.url)
        seen = []
        for event in websocket:
            seen.append(event.name)
            if event.name == "ready":
                websocket.close()
    assert seen == ["connecting", "connected", "ready", "poll", "closed", "disconnected"]


def test_each_connection_has_a_state_of_its_own() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    websocket.close()
    assert websocket.is_closing
    other = connect(websocket)
    assert other is not session
    assert websocket.is_active
    assert not websocket.is_ready
    assert websocket.sent_close_time is None


def test_reset_forgets_the_connection() -> None:
    websocket = WebSocket(URL)
    open_up(websocket)
    websocket.close()
    websocket.reset()
    assert websocket.session is None
    assert websocket.is_active
    assert websocket.sent_close_time is None


def test_leaving_the_block_closes_the_session() -> None:
    websocket = WebSocket(URL)
    with websocket as entered:
        assert entered is websocket
        session = open_up(websocket)
    assert session.calls == ["close"]
    with WebSocket(URL):
        pass


def test_iteration_dropped_late_does_not_end_the_next_one() -> None:
    with EchoServer() as server:
        websocket = WebSocket(server.url)
        iteration = websocket.connect()
        for event in iteration:
            if event.name == "ready":
                break
        iteration = websocket.connect()  # the name drops the first one here
        seen = []
        for event in iteration:
            seen.append(event.name)
            if event.name == "ready":
                websocket.close()
        assert seen[-2:] == ["closed", "disconnected"]
        server.wait_idle()


def test_second_iteration_raises_and_touches_nothing() -> None:
    with EchoServer() as server:
        websocket = WebSocket(server.url, proxies={})
        first = websocket.connect(poll=0)
        for event in first:
            if event.name == "ready":
                break
        second = websocket.connect(poll=0)
        with pytest.raises(RuntimeError, match="connected already"):
            next(second)
        with pytest.raises(RuntimeError, match="connected already"):
            websocket.reset()
        websocket.send_text("still here")
        assert next(first).name == "text"
        websocket.close()
        assert [event.name for event in first] == ["closed", "disconnected"]
        assert len(server.connections) == 1
        # It has ended, and no longer counts.
        for event in websocket.connect(poll=0):
            if event.name == "ready":
                websocket.close()


@pytest.mark.parametrize("steps", [1, 2])
def test_second_iteration_raises_while_the_first_one_is_opening(steps: int) -> None:
    with EchoServer() as server:
        websocket = WebSocket(server.url, proxies={})
        first = websocket.connect(poll=0)
        names = [next(first).name for _ in range(steps)]
        with pytest.raises(RuntimeError, match="connected already"):
            next(websocket.connect())
        for event in first:
            names.append(event.name)
            if event.name == "ready":
                websocket.close()
        assert names == ["connecting", "connected", "ready", "closed", "disconnected"]


def test_iteration_that_was_replaced_before_its_first_step_raises() -> None:
    with EchoServer() as server:
        websocket = WebSocket(server.url, proxies={})
        first = websocket.connect()
        second = websocket.connect(poll=0)
        assert next(second).name == "connecting"
        with pytest.raises(RuntimeError, match="since"):
            next(first)
        for event in second:
            if event.name == "ready":
                websocket.close()
        assert event.name == "disconnected"


def test_session_runs_once_at_a_time() -> None:
    with EchoServer() as server:
        websocket = WebSocket(server.url, proxies={})
        first = websocket.connect(poll=0)
        next(first)
        with pytest.raises(RuntimeError):
            next(websocket.session.run())
        first.close()


def test_connect_in_the_last_event_begins_anew() -> None:
    with EchoServer() as server:
        websocket = WebSocket(server.url, proxies={})
        names = []
        for event in websocket.connect(poll=0):
            if event.name == "ready":
                websocket.close()
            if event.name == "disconnected":
                for again in websocket.connect(poll=0):
                    names.append(again.name)
                    if again.name == "ready":
                        websocket.close()
        assert names[-2:] == ["closed", "disconnected"]


# The answer


def test_ready_has_protocol_extensions_and_response() -> None:
    websocket = WebSocket(URL, protocols=["chat"])
    connect(websocket)
    (ready,) = websocket.feed(answer(websocket, "Sec-WebSocket-Protocol: chat"))
    assert isinstance(ready, events.Ready)
    assert ready.protocol == "chat"
    assert ready.extensions == set()
    assert ready.response.status_code == 101
    assert websocket.is_ready
    assert websocket.is_active


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_messages_behind_the_answer_are_not_lost(chunk: int) -> None:
    websocket = WebSocket(URL)
    connect(websocket)
    data = answer(websocket) + frame(1, b"one") + frame(2, b"two")
    seen = []
    for start in range(0, len(data), chunk):
        seen += names(websocket.feed(data[start : start + chunk]))
    assert seen == ["ready", "text", "binary"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_feed_takes_any_kind_of_bytes(kind: Any) -> None:
    websocket = WebSocket(URL)
    connect(websocket)
    assert names(websocket.feed(kind(answer(websocket)))) == ["ready"]
    (event,) = websocket.feed(kind(frame(2, b"data")))
    assert event.data == b"data"


def test_feed_takes_a_view_of_a_reused_buffer() -> None:
    # The session of lomond feeds a view of one buffer, which it overwrites.
    websocket = WebSocket(URL)
    open_up(websocket)
    data = frame(1, b"one") + frame(9, b"two")
    buffer = bytearray(10)
    seen = []
    for byte in data:
        buffer[0] = byte
        seen += names(websocket.feed(memoryview(buffer)[:1]))
        buffer[:] = b"\xff" * 10
    assert seen == ["text", "ping"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b"101 Switching Protocols", b"404 Not Found"), "Websocket upgrade failed (code=404)"),
        ((b"Upgrade: websocket\r\n", b""), "No Upgrade header"),
        ((b"Upgrade: websocket", b"Upgrade: {h2c}"), "Can't upgrade to '{h2c}'"),
        ((b"Connection: Upgrade\r\n", b""), "No Connection header"),
        ((b"Connection: Upgrade", b"Connection: close"), "Connection header without 'Upgrade'"),
        ((b"Sec-WebSocket-Accept", b"X"), "No Sec-WebSocket-Accept header"),
        ((b"Accept: ", b"Accept: x"), "Sec-WebSocket-Accept challenge failed"),
        ((b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: x\r\n\r\n"), "was not offered"),
        ((b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x\r\n\r\n"), "was not offered"),
    ],
)
def test_bad_answer_is_a_rejection_with_a_reason(change: tuple[bytes, bytes], reason: str) -> None:
    websocket = WebSocket(URL)
    session = connect(websocket)
    seen = [*websocket.feed(answer(websocket).replace(*change, 1)), *websocket.feed_eof()]
    (rejected,) = seen
    assert isinstance(rejected, events.Rejected)
    assert reason in rejected.reason
    assert rejected.response.raw
    assert websocket.is_closed
    assert "close" in session.calls
    assert list(websocket.feed(frame(1, b"late"))) == []


def test_rejection_does_not_wait_for_a_session_that_tells_no_end() -> None:
    # The session of lomond reads until the server closes, and does not know when a body ends.
    websocket = WebSocket(URL)
    websocket.connect(session_class=SessionWithoutEnd)
    websocket.build_request()
    (rejected,) = websocket.feed(b"HTTP/1.1 403 Forbidden\r\n\r\nbegin of a body")
    assert rejected.response.body == b"begin of a body"


def test_accept_key_is_compared_exactly() -> None:
    websocket = WebSocket(URL)
    connect(websocket)
    accept = accept_for(websocket.key).encode()
    (event,) = websocket.feed(answer(websocket).replace(accept, accept.swapcase()))
    assert event.name == "rejected"


def test_on_response_and_process_extensions_agree_on_compression() -> None:
    websocket = WebSocket(URL, compress=True)
    connect(websocket)
    response = Response(answer(websocket, "Sec-WebSocket-Extensions: permessage-deflate"))
    assert websocket.on_response(response) == (None, {"permessage-deflate"})
    assert websocket.supports_compression
    other = WebSocket(URL, compress=True)
    connect(other)
    assert other.process_extensions([]) == set()
    assert not other.supports_compression
    assert other.process_extensions(["permessage-deflate; server_max_window_bits=10"]) == {
        "permessage-deflate"
    }
    assert other.supports_compression
    bits = "permessage-deflate; server_max_window_bits=7"
    for bad in ("x", "permessage-deflate; bad", bits, "a=;"):
        with pytest.raises(errors.HandshakeError):
            other.process_extensions([bad])


def test_redirect_changes_the_target() -> None:
    websocket = WebSocket(URL)

    class Follower(Session):
        follows_redirects = True

    websocket.connect(session_class=Follower)
    websocket.build_request()
    assert websocket.target.host == "example.org"
    data = b"HTTP/1.1 302 Found\r\nLocation: ws://other.example/x\r\nContent-Length: 0\r\n\r\n"
    assert list(websocket.feed(data)) == []
    assert websocket.target.host == "other.example"
    assert b"Host: other.example\r\n" in websocket.build_request()
    assert names(websocket.feed(answer(websocket))) == ["ready"]


def test_redirect_is_a_rejection_unless_the_session_follows() -> None:
    websocket = WebSocket(URL)
    connect(websocket)
    (event,) = websocket.feed(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
    assert event.name == "rejected"


# What a hostile server writes

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b1m\x08INFO fake"


@pytest.mark.parametrize(
    "head",
    [
        f"HTTP/1.1 403 {HOSTILE}\r\n\r\n",
        f"{HOSTILE} 200 OK\r\n\r\n",
        f"{HOSTILE}\r\n\r\n",
        f"HTTP/1.1 101 x\r\nUpgrade: {HOSTILE}\r\n\r\n",
        f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: {HOSTILE}\r\n\r\n",
        f"HTTP/1.1 302 x\r\nLocation: ws://u:s3/cret@h:1/{HOSTILE}\r\n\r\n",
        f"HTTP/1.1 302 x\r\nLocation: {HOSTILE}\r\n\r\n",
    ],
)
def test_rejection_shows_no_control_characters(head: str) -> None:
    records: list[Any] = []
    websocket = WebSocket(URL, trace=records.append)
    connect(websocket)
    found = [*websocket.feed(head.encode()), *websocket.feed_eof()]
    (rejected,) = [event for event in found if event.name == "rejected"]
    assert isinstance(rejected, events.Rejected)
    assert rejected.reason.isprintable()
    assert repr(rejected).isprintable()
    assert repr(records).isprintable()
    assert "cret" not in repr(found) + repr(records)


@pytest.mark.parametrize(
    "lines",
    [
        [f"Sec-WebSocket-Protocol: {HOSTILE}"],
        [f"Sec-WebSocket-Extensions: {HOSTILE}"],
        [f"Sec-WebSocket-Extensions: x; y={HOSTILE}"],
        ["Sec-WebSocket-Protocol: " + "x" * 50_000],
    ],
)
def test_upgrade_that_fails_shows_no_control_characters(lines: list[str]) -> None:
    websocket = WebSocket(URL)
    connect(websocket)
    (rejected,) = websocket.feed(answer(websocket, *lines))
    assert isinstance(rejected, events.Rejected)
    assert rejected.reason.isprintable()
    assert len(rejected.reason) < 500
    assert repr(rejected).isprintable()
