"""The closing handshake, from this side and from the server's."""

from __future__ import annotations

from typing import Any

import pytest

from greenws import WebSocket, errors
from tests.support.streams import frame
from tests.websocket.driving import URL, Session, connect, names, open_up


def test_close_sends_a_close_frame_once() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    websocket.close()
    assert session.sent == [(8, b"\x03\xe8goodbye")]
    assert websocket.is_closing
    assert not websocket.is_closed
    assert not websocket.is_active
    assert not websocket.is_ready
    assert websocket.sent_close_time == 1.25
    websocket.close(1001)
    assert len(session.sent) == 1


@pytest.mark.parametrize(
    ("arguments", "payload"),
    [
        ((), b"\x03\xe8goodbye"),
        ((1001,), b"\x03\xe9goodbye"),
        ((4999, "grün"), b"\x13\x87" + "grün".encode()),
        ((1000, b"bytes"), b"\x03\xe8bytes"),
        ((1000, ""), b"\x03\xe8"),
        ((None,), b""),
        ((None, ""), b""),
    ],
)
def test_close_payload_has_code_and_reason(arguments: Any, payload: bytes) -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    websocket.close(*arguments)
    assert session.sent == [(8, payload)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1005,), ValueError),
        ((1006,), ValueError),
        ((1015,), ValueError),
        ((999,), ValueError),
        ((5000,), ValueError),
        ((2999,), ValueError),
        ((1000, "x" * 124), ValueError),
        ((None, "reason"), ValueError),
        (("1000",), TypeError),
        ((1000, 5), TypeError),
        ((1000, None), TypeError),
    ],
)
def test_close_with_an_invalid_code_or_reason_is_refused(
    arguments: Any, error: type[Exception]
) -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    with pytest.raises(error):
        websocket.close(*arguments)
    assert session.sent == []
    assert websocket.is_ready


def test_close_before_connect_does_nothing() -> None:
    websocket = WebSocket(URL)
    websocket.close()
    websocket.force_disconnect()
    websocket.on_disconnect()
    with pytest.raises(ValueError, match="1005"):
        websocket.close(1005)


def test_close_while_opening_gives_the_opening_up() -> None:
    for begin in (lambda w: w.connect(session_class=Session) and w.session, connect):
        websocket = WebSocket(URL)
        session = begin(websocket) or websocket.session
        websocket.close()
        assert session.calls == ["force_disconnect"]
        assert session.sent == []


@pytest.mark.parametrize("error", [errors.WebSocketClosed("x"), errors.TransportFail("x")])
def test_close_of_a_connection_that_has_failed_raises_nothing(error: Exception) -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    session.failure = error
    websocket.close()
    assert websocket.is_closing


def test_close_from_another_thread_raises() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    session.failure = errors.WebSocketUnavailable("another thread")
    with pytest.raises(errors.WebSocketUnavailable):
        websocket.close()


def test_closing_is_yielded_before_it_is_echoed() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    for event in websocket.feed(frame(8, b"\x0f\xa0bye") + frame(1, b"late")):
        assert event.name == "closing"
        assert (event.code, event.reason) == (4000, "bye")
        websocket.send_text("last words")
        assert session.sent == [(1, b"last words")]
    assert session.sent == [(1, b"last words"), (8, b"\x0f\xa0bye")]
    assert websocket.is_closing


def test_empty_close_frame_is_echoed_empty() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    (event,) = websocket.feed(frame(8))
    assert (event.name, event.code, event.reason) == ("closing", None, "")
    assert session.sent == [(8, b"")]


def test_handler_of_closing_may_close_with_its_own_code() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    for _event in websocket.feed(frame(8, b"\x0f\xa0bye")):
        websocket.close(4321, "me first")
    assert session.sent == [(8, b"\x10\xe1me first")]


def test_messages_while_closing_are_yielded() -> None:
    websocket = WebSocket(URL)
    open_up(websocket)
    websocket.close()
    seen = list(websocket.feed(frame(1, b"x") + frame(9) + frame(8, b"\x03\xe8bye")))
    assert names(seen) == ["text", "ping", "closed"]
    assert (seen[2].code, seen[2].reason) == (1000, "bye")
    assert websocket.is_closed
    assert not websocket.is_closing


def test_force_disconnect_ends_the_parsing() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    seen = []
    for event in websocket.feed(frame(1, b"one") + frame(1, b"two")):
        seen.append(event.text)
        websocket.force_disconnect()
    assert seen == ["one"]
    assert session.calls == ["force_disconnect"]


def test_on_disconnect_closes_the_session() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    websocket.on_disconnect()
    assert session.calls == ["close"]
    assert websocket.is_closed
    assert not websocket.is_active
    assert list(websocket.feed(frame(1, b"late"))) == []
    websocket.on_disconnect()
