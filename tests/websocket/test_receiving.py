"""Frames fed to a WebSocket, the events they make, and the trace of both directions."""

from __future__ import annotations

from typing import Any

import pytest

from greenws import WebSocket
from tests.support.streams import frame
from tests.websocket.driving import URL, connect, names, open_up


def test_each_kind_of_message_has_its_payload() -> None:
    websocket = WebSocket(URL)
    open_up(websocket)
    text, binary, ping, pong = websocket.feed(
        frame(1, b'{"a": 1}') + frame(2, b"data") + frame(9, b"ping") + frame(10, b"pong")
    )
    assert (text.text, text.json) == ('{"a": 1}', {"a": 1})
    assert (binary.data, ping.data, pong.data) == (b"data", b"ping", b"pong")


def test_max_size_reaches_the_stream() -> None:
    websocket = WebSocket(URL, max_size=10)
    session = open_up(websocket)
    (event,) = websocket.feed(frame(2, b"x" * 11))
    assert event.name == "protocol_error"
    assert "10 bytes" in event.error
    assert session.sent[0][1][:2] == (1009).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("data", "code", "critical"),
    [
        (b"\x83\x00", 1002, False),
        (b"\x81\x80\0\0\0\0", 1002, False),
        (frame(8, b"\x00"), 1002, False),
        (frame(8, b"\x03\xed"), 1002, False),
        (frame(1, b"\xff"), 1007, True),
        (frame(8, b"\x03\xe8\xff"), 1007, True),
        (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), 1009, False),
    ],
)
def test_violation_is_a_protocol_error_and_is_answered(
    data: bytes, code: int, critical: bool
) -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    seen = list(websocket.feed(frame(1, b"before") + data + frame(1, b"after")))
    assert names(seen) == ["text", "protocol_error"]
    assert seen[1].critical is critical
    assert seen[1].error
    ((opcode, payload),) = session.sent
    assert opcode == 8
    assert payload[:2] == code.to_bytes(2, "big")
    assert payload[2:].decode() == seen[1].error
    assert "force_disconnect" in session.calls
    assert list(websocket.feed(frame(1, b"later"))) == []


def test_violation_while_closing_sends_no_second_close_frame() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    websocket.close()
    assert names(websocket.feed(b"\x83\x00")) == ["protocol_error"]
    assert len(session.sent) == 1


def test_session_with_an_end_is_not_disconnected_by_force() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    session.end = lambda: session.calls.append("end")
    list(websocket.feed(b"\x83\x00"))
    assert "end" in session.calls
    assert "force_disconnect" not in session.calls


def test_iteration_left_early_closes_the_session() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    for _event in websocket.feed(frame(1, b"one") + frame(1, b"two")):
        break
    assert "close" in session.calls
    assert websocket.is_closed


def test_messages_reach_the_handlers_of_the_stream() -> None:
    websocket = WebSocket(URL)
    open_up(websocket)
    before = websocket.stream
    open_up(websocket)
    assert websocket.stream is not before
    texts: list[str] = []
    websocket.stream.text_handler = lambda event: texts.append(event.text)
    happened = list(websocket.feed(frame(1, b"one") + frame(2, b"two") + frame(1, b"three")))
    assert [event.name for event in happened] == ["binary"]
    assert texts == ["one", "three"]


# Tracing


def test_trace_has_a_record_for_each_step_and_message() -> None:
    records: list[dict[str, Any]] = []
    websocket = WebSocket("ws://u:secret@example.org/", compress=True, trace=records.append)
    open_up(websocket, "Sec-WebSocket-Extensions: permessage-deflate")
    websocket.send_text("grün")
    websocket.send_binary(b"xyz", compress=False)
    websocket.send_ping(b"p")
    websocket.send_pong()
    list(websocket.feed(frame(1, b"x") + frame(2, b"xy") + frame(9) + frame(10, b"z")))
    websocket.close(4000, "bye")
    list(websocket.feed(frame(8, b"\x0f\xa0")))
    websocket.on_disconnect()
    assert [record.pop("stage") for record in records] == [
        "connect_start",
        "upgrade",
        "handshake_ready",
        "send_text",
        "send_binary",
        "send_ping",
        "send_pong",
        "message_text",
        "message_binary",
        "message_ping",
        "message_pong",
        "close_requested",
        "message_close",
        "disconnected",
    ]
    assert {record.pop("url") for record in records} == {"ws://example.org/"}
    assert records[0] == {
        "poll": 5.0,
        "ping_rate": 30.0,
        "ping_timeout": None,
        "auto_pong": True,
        "close_timeout": 30.0,
    }
    assert 0 <= records[1].pop("duration") < 10
    assert records.pop(1) == {"status_code": 101}
    assert records[1] == {"protocol": None, "extensions": ["permessage-deflate"]}
    assert records[2] == {"length": 5, "compressed": True}
    assert records[3] == {"length": 3, "compressed": False}
    assert [record["length"] for record in records[6:10]] == [1, 2, 0, 1]
    assert records[10] == {"code": 4000, "reason": "bye"}
    assert "secret" not in str(records)


def test_trace_has_a_record_for_a_rejection() -> None:
    records: list[dict[str, Any]] = []
    websocket = WebSocket(URL, trace=records.append)
    connect(websocket)
    list(websocket.feed(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"))
    (record,) = [record for record in records if record["stage"] == "handshake_rejected"]
    assert record["status_code"] == 403
    assert "403" in record["reason"]
