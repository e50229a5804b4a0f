"""A whole connection by bytes alone: no socket, no clock, no session."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws import errors
from greenws.events import AnyEvent
from greenws.protocol.client_protocol import (
    CLOSED,
    CLOSING,
    NEW,
    OPEN,
    OPENING,
    PHASE_STEPS,
    ClientProtocol,
    Phase,
)
from greenws.protocol.frame import build_close_payload, build_frame
from greenws.protocol.opcode import Opcode
from greenws.protocol.opening import RequestOptions
from greenws.protocol.response import Response
from greenws.protocol.stream import Stream
from greenws.trace import Tracer
from greenws.url import parse_url
from tests.support.pure import load_pure

ROOT = Path(__file__).parents[2]
URL = parse_url("ws://example.org/feed")
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def make(request: RequestOptions | None = None, **options: Any) -> ClientProtocol:
    return ClientProtocol(URL, request, **options)


def answer(protocol: ClientProtocol, headers: bytes = b"") -> bytes:
    """The upgrade that the last request of ``protocol`` asks for."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + b64encode(sha1(protocol.key + GUID).digest()) + b"\r\n"
    ) + (headers + b"\r\n")


def open_up(headers: bytes = b"", **options: Any) -> ClientProtocol:
    protocol = make(**options)
    protocol.build_request()
    (ready,) = protocol.feed(answer(protocol, headers))
    assert ready.name == "ready"
    return protocol


def frame(opcode: int, payload: bytes = b"", fin: bool = True, rsv1: bool = False) -> bytes:
    """A server's frame."""
    return build_frame(opcode, payload, fin, rsv1, masked=False)


def close_frame(code: int | None, reason: str = "") -> bytes:
    return frame(Opcode.CLOSE, build_close_payload(code, reason))


def read_back(data: bytes, deflate: Any = None) -> list[tuple[str, Any]]:
    """What a server understands of a client's frames."""
    server = Stream(is_client=False)
    server.deflate = deflate
    server.receive(data, 0, len(data), 0.0)
    found = []
    while (event := server.next_event()) is not None:
        found.append(show(event))
    return found


def show(event: Any) -> tuple[str, Any]:
    if event.name in ("closing", "closed"):
        return event.name, (event.code, event.reason)
    if event.name == "rejected":
        return event.name, (event.response.status_code, event.response.body, event.reason)
    if event.name == "ready":
        return event.name, (event.protocol, sorted(event.extensions))
    return event.name, event.text if event.name == "text" else getattr(event, "data", None)


# Opening


def test_a_request_is_one_of_http() -> None:
    protocol = make(RequestOptions(protocols=["chat"], origin="https://example.org"))
    head, _, rest = protocol.build_request().partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"GET /feed HTTP/1.1"
    assert b"Host: example.org" in lines
    assert b"Sec-WebSocket-Key: " + protocol.key in lines
    assert b"Sec-WebSocket-Protocol: chat" in lines
    assert rest == b""
    assert protocol.phase is OPENING and protocol.is_opening


def test_an_answer_opens_it() -> None:
    protocol = make(RequestOptions(protocols=["chat", "rpc"]))
    protocol.build_request()
    data = answer(protocol, b"Sec-WebSocket-Protocol: rpc\r\n")
    (ready,) = protocol.feed(data, 12.5)
    assert (ready.name, ready.protocol, ready.received_time) == ("ready", "rpc", 12.5)
    assert protocol.phase is OPEN
    assert not protocol.is_opening and not protocol.is_closed
    assert protocol.key == b"" and protocol.target is None
    assert repr(protocol) == "<ClientProtocol OPEN>"


def test_messages_behind_the_answer_are_not_lost() -> None:
    protocol = make()
    protocol.build_request()
    data = answer(protocol) + frame(Opcode.TEXT, b"first") + frame(Opcode.PING, b"x")
    assert [show(event)[0] for event in protocol.feed(data)] == ["ready", "text", "ping"]


def test_interim_answers_are_skipped() -> None:
    protocol = make()
    protocol.build_request()
    data = b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + answer(protocol)
    assert [event.name for event in protocol.feed(data)] == ["ready"]


def test_a_wrong_accept_is_a_rejection() -> None:
    protocol = make()
    protocol.build_request()
    data = answer(protocol).replace(b"Accept: ", b"Accept: x")
    (rejected,) = protocol.feed(data)
    assert rejected.name == "rejected" and rejected.response.status_code == 101
    assert protocol.phase is CLOSED


def test_an_extension_that_was_not_offered_is_a_rejection() -> None:
    protocol = make()
    protocol.build_request()
    (rejected,) = protocol.feed(answer(protocol, DEFLATE))
    assert rejected.name == "rejected"
    assert protocol.phase is CLOSED


FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\n"


def test_a_rejection_waits_for_its_body() -> None:
    protocol = make()
    protocol.build_request()
    assert list(protocol.feed(FORBIDDEN)) == []
    assert list(protocol.feed(b"wh")) == []
    assert protocol.phase is OPENING
    (rejected,) = protocol.feed(b"at")
    assert show(rejected)[1][:2] == (403, b"what")
    assert protocol.phase is CLOSED


def test_the_end_of_the_stream_completes_a_body() -> None:
    protocol = make()
    protocol.build_request()
    assert list(protocol.feed(FORBIDDEN + b"wh")) == []
    (rejected,) = protocol.feed(b"")
    assert show(rejected)[1][:2] == (403, b"wh")
    assert protocol.phase is CLOSED


def test_a_body_ends_with_the_stream_where_it_has_no_length() -> None:
    protocol = make()
    protocol.build_request()
    assert list(protocol.feed(b"HTTP/1.1 500 Oops\r\n\r\nall of")) == []
    assert list(protocol.feed(b" it")) == []
    (rejected,) = protocol.feed(b"")
    assert show(rejected)[1][:2] == (500, b"all of it")


def test_the_reason_has_the_message_of_a_rejection() -> None:
    protocol = make(follows_redirects=True)
    protocol.build_request()
    list(protocol.feed(MOVED))
    protocol.build_request()
    (rejected,) = protocol.feed(FORBIDDEN + b"\x1bno\n")
    assert rejected.reason == (
        "Websocket upgrade failed (code=403); redirected to ws://other.example/there; "
        r"the server says '\x1bno'"
    )


def test_a_driver_may_wait_no_longer_for_a_body() -> None:
    protocol = make()
    protocol.build_request()
    assert not protocol.awaits_body
    assert list(protocol.feed(FORBIDDEN[:-1])) == []
    assert not protocol.awaits_body
    assert list(protocol.feed(FORBIDDEN[-1:] + b"wh")) == []
    assert protocol.awaits_body
    protocol.receive_eof()
    rejected = protocol.next_event()
    assert show(rejected)[1][:2] == (403, b"wh")
    assert not protocol.awaits_body
    assert not open_up().awaits_body


def test_a_rejection_is_complete_with_its_head_where_nobody_waits_for_more() -> None:
    protocol = make(waits_for_body=False)
    protocol.build_request()
    assert list(protocol.feed(FORBIDDEN[:20])) == []
    (rejected,) = protocol.feed(FORBIDDEN[20:] + b"wh")
    assert show(rejected)[1][:2] == (403, b"wh")


def test_no_answer_at_all_is_no_event() -> None:
    for sent in (b"", b"HTTP/1.1 403 For"):
        protocol = make()
        protocol.build_request()
        if sent:
            assert list(protocol.feed(sent)) == []
        assert list(protocol.feed(b"")) == []
        assert protocol.phase is CLOSED


def test_nonsense_is_a_rejection() -> None:
    protocol = make()
    protocol.build_request()
    (rejected,) = protocol.feed(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    assert rejected.name == "rejected"
    assert protocol.phase is CLOSED


def test_bytes_after_a_rejection_are_nobodys() -> None:
    protocol = make()
    protocol.build_request()
    list(protocol.feed(FORBIDDEN + b"what"))
    assert list(protocol.feed(answer(protocol))) == []
    assert list(protocol.feed(b"")) == []


MOVED = b"HTTP/1.1 302 Found\r\nLocation: ws://other.example/there\r\nContent-Length: 0\r\n\r\n"


def test_a_redirect_leads_to_another_request() -> None:
    records: list[dict[str, Any]] = []
    protocol = make(follows_redirects=True, tracer=Tracer("ws://example.org", records.append))
    assert protocol.target == URL
    first = protocol.build_request()
    assert list(protocol.feed(MOVED)) == []
    assert protocol.target is not None and protocol.target.host == "other.example"
    second = protocol.build_request()
    assert protocol.phase is OPENING
    assert second.startswith(b"GET /there HTTP/1.1\r\nHost: other.example\r\n")
    keys = [
        line for line in (first + second).split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")
    ]
    assert len(set(keys)) == 2  # RFC 6455 section 4.1: a new one for each connection
    (ready,) = protocol.feed(answer(protocol))
    assert ready.name == "ready"
    assert [record["stage"] for record in records] == [
        "upgrade",
        "redirect",
        "upgrade",
        "handshake_ready",
    ]


def test_a_redirect_is_a_rejection_where_it_is_not_followed() -> None:
    protocol = make()
    protocol.build_request()
    (rejected,) = protocol.feed(MOVED)
    assert rejected.name == "rejected" and "redirects" in rejected.reason
    assert protocol.phase is CLOSED


def test_a_redirect_to_the_same_url_is_another_hop() -> None:
    protocol = make(follows_redirects=True)
    for hops in range(3):
        assert protocol.hops == hops
        protocol.build_request()
        assert list(protocol.feed(MOVED.replace(b"ws://other.example/there", b"/feed"))) == []
        assert list(protocol.feed(b"more")) == []
        assert protocol.target == URL
    protocol.build_request()
    assert [event.name for event in protocol.feed(answer(protocol))] == ["ready"]
    assert protocol.hops == 3


def test_the_end_of_a_redirecting_stream_is_not_that_of_the_next() -> None:
    protocol = make(follows_redirects=True)
    protocol.build_request()
    assert list(protocol.feed(MOVED)) == []
    protocol.receive_eof()
    assert protocol.next_event() is None
    protocol.build_request()
    assert list(protocol.feed(FORBIDDEN)) == []
    (rejected,) = protocol.feed(b"what")
    assert rejected.response.body == b"what"


def test_the_reason_says_where_redirects_have_led() -> None:
    protocol = make(follows_redirects=True)
    assert protocol.aside == ""
    protocol.build_request()
    assert list(protocol.feed(MOVED)) == []
    assert protocol.aside == "; redirected to ws://other.example/there"
    protocol.build_request()
    (rejected,) = protocol.feed(answer(protocol).replace(b"Accept: ", b"Accept: x"))
    assert rejected.reason.endswith("failed; redirected to ws://other.example/there")
    assert open_up().aside == ""


def test_redirects_come_to_an_end() -> None:
    protocol = make(RequestOptions(max_redirects=3), follows_redirects=True)
    for _ in range(3):
        protocol.build_request()
        assert list(protocol.feed(MOVED)) == []
    protocol.build_request()
    (rejected,) = protocol.feed(MOVED)
    assert "more than 3 redirects" in rejected.reason


def test_the_handshake_is_traced_without_the_users_secrets() -> None:
    records: list[dict[str, Any]] = []
    protocol = make(tracer=Tracer("ws://example.org", records.append))
    protocol.build_request()
    list(protocol.feed(b"HTTP/1.1 401 No\r\nWWW-Authenticate: secret\r\nContent-Length: 0\r\n\r\n"))
    assert [record["stage"] for record in records] == ["upgrade", "handshake_rejected"]
    assert "secret" not in repr(records)


# Messages


def test_messages_of_both_sides() -> None:
    protocol = open_up()
    data = frame(Opcode.TEXT, "grün".encode()) + frame(Opcode.BINARY, b"\0\1")
    assert [show(event) for event in protocol.feed(data, 3.0)] == [
        ("text", "grün"),
        ("binary", b"\0\1"),
    ]
    sent = protocol.encode(Opcode.TEXT, "grün".encode()) + protocol.encode(Opcode.BINARY, b"\0")
    assert read_back(sent) == [("text", "grün"), ("binary", b"\0")]


def test_fragments_are_one_message() -> None:
    protocol = open_up()
    data = (
        frame(Opcode.TEXT, b"a", fin=False)
        + frame(Opcode.PING, b"between")
        + frame(Opcode.CONTINUATION, b"b")
    )
    assert [show(event) for event in protocol.feed(data)] == [("ping", b"between"), ("text", "ab")]


def test_a_ping_is_answered_by_the_driver() -> None:
    protocol = open_up()
    (ping,) = protocol.feed(frame(Opcode.PING, b"who"))
    assert read_back(protocol.encode(Opcode.PONG, ping.data)) == [("pong", b"who")]


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
def test_control_frames_have_a_limit(opcode: int) -> None:
    protocol = open_up()
    assert read_back(protocol.encode(opcode, bytes(125)))
    with pytest.raises(ValueError, match="125"):
        protocol.encode(opcode, bytes(126))


def test_a_close_frame_is_made_by_its_own_method() -> None:
    protocol = open_up()
    with pytest.raises(ValueError, match="encode_close"):
        protocol.encode(Opcode.CLOSE, b"")
    assert protocol.phase is OPEN


def test_bytes_may_be_a_bytearray_that_is_used_again() -> None:
    protocol = open_up()
    buffer = bytearray(frame(Opcode.TEXT, b"first"))
    first = [show(event) for event in protocol.feed(buffer)]
    buffer[-5:] = b"again"
    second = [show(event) for event in protocol.feed(buffer)]
    assert [*first, *second] == [("text", "first"), ("text", "again")]


def test_what_was_agreed_on_is_deflated() -> None:
    protocol = open_up(DEFLATE, request=RequestOptions(compress=True))
    compression = protocol.compression
    assert compression is not None
    text = b"again and again " * 50
    sent = [protocol.encode(Opcode.TEXT, text), protocol.encode(Opcode.TEXT, text)]
    assert len(sent[1]) < len(sent[0]) < len(text)  # the second one by the window of the first
    assert sent[0][0] & 0x40
    plain = protocol.encode(Opcode.TEXT, text, compress=False)
    assert not plain[0] & 0x40
    ping = protocol.encode(Opcode.PING, b"ping")
    assert not ping[0] & 0x40
    # RFC 7692 section 7.2.3.1
    hello = bytes.fromhex("c107f248cdc9c90700")
    assert [show(event) for event in protocol.feed(hello)] == [("text", "Hello")]


def test_small_messages_are_not_deflated_if_so_wished() -> None:
    protocol = open_up(DEFLATE, request=RequestOptions(compress={"min_size": 8}))
    assert not protocol.encode(Opcode.TEXT, b"7 bytes")[0] & 0x40
    assert protocol.encode(Opcode.TEXT, b"eight by")[0] & 0x40
    two_items = memoryview(bytes(16)).cast("Q")
    assert protocol.encode(Opcode.BINARY, two_items)[0] & 0x40
    assert not protocol.encode(Opcode.BINARY, two_items[:0])[0] & 0x40


def test_extensions_set_up_one_by_one_are_checked_against_the_offer() -> None:
    protocol = make(RequestOptions(compress={"server_max_window_bits": 10, "min_size": 5}))
    with pytest.raises(errors.CompressionParameterError):
        protocol.set_extensions(["permessage-deflate"])
    protocol.set_extensions(["permessage-deflate; server_max_window_bits=10"])
    assert protocol.compression is not None and protocol.compression.min_size == 5
    unasked = make(RequestOptions())
    assert unasked.set_extensions(["permessage-deflate"]) == {"permessage-deflate"}
    over = open_up()
    assert over.set_extensions(["permessage-deflate"]) == {"permessage-deflate"}


def test_extensions_may_be_set_up_one_by_one() -> None:
    # As lomond's sessions may do it.
    protocol = make(RequestOptions(compress=True))
    assert protocol.set_extensions([]) == set()
    assert protocol.compression is None
    assert protocol.set_extensions(["permessage-deflate"]) == {"permessage-deflate"}
    assert protocol.compression is not None and protocol.stream.deflate is protocol.compression
    with pytest.raises(errors.HandshakeError):
        protocol.set_extensions(["snappy"])


def test_a_response_may_be_checked_by_itself() -> None:
    protocol = make(RequestOptions(protocols=["chat"]))
    protocol.build_request()
    head = answer(protocol, b"Sec-WebSocket-Protocol: chat\r\n")
    assert protocol.check_response(Response(head)) == ("chat", set())
    with pytest.raises(errors.HandshakeError):
        protocol.check_response(Response(b"HTTP/1.1 101 Yes\r\n\r\n"))
    list(protocol.feed(head))
    with pytest.raises(errors.WebSocketUnavailable):
        protocol.check_response(Response(head))


# Closing


def test_our_close_is_answered() -> None:
    protocol = open_up()
    sent = protocol.encode_close(1001, "enough")
    assert read_back(sent) == [("closing", (1001, "enough"))]
    assert (protocol.phase, protocol.sent_code) == (CLOSING, 1001)
    # Messages that were on their way still come.
    data = frame(Opcode.TEXT, b"late") + close_frame(1001, "bye")
    assert [show(event) for event in protocol.feed(data, 5.0)] == [
        ("text", "late"),
        ("closed", (1001, "bye")),
    ]
    assert protocol.phase is CLOSED
    assert (protocol.close_code, protocol.close_reason) == (1001, "bye")


def test_a_servers_close_is_answered() -> None:
    protocol = open_up()
    (closing,) = protocol.feed(close_frame(1000, "done"))
    assert show(closing) == ("closing", (1000, "done"))
    assert protocol.phase is OPEN  # messages may still be sent
    assert read_back(protocol.encode(Opcode.TEXT, b"last")) == [("text", "last")]
    assert read_back(protocol.encode_close(1000)) == [("closing", (1000, ""))]
    assert protocol.phase is CLOSING
    assert list(protocol.feed(b"")) == []
    assert protocol.phase is CLOSED


def test_empty_close_frames_are_1005() -> None:
    protocol = open_up()
    (closing,) = protocol.feed(close_frame(None))
    assert show(closing) == ("closing", (None, ""))
    assert protocol.close_code == 1005
    protocol.encode_close(None)
    assert protocol.sent_code == 1005


def test_both_may_close_at_once() -> None:
    protocol = open_up()
    theirs = close_frame(1001)
    protocol.encode_close(1000)
    (closed,) = protocol.feed(theirs)
    assert closed.name == "closed"
    assert (protocol.sent_code, protocol.close_code) == (1000, 1001)


def test_nothing_is_taken_after_a_close_frame() -> None:
    protocol = open_up()
    data = close_frame(1000) + frame(Opcode.TEXT, b"too late")
    assert [event.name for event in protocol.feed(data)] == ["closing"]
    assert list(protocol.feed(frame(Opcode.TEXT, b"too late"))) == []
    assert protocol.close_code == 1000


def test_a_close_that_must_not_be_sent_changes_nothing() -> None:
    protocol = open_up()
    with pytest.raises(ValueError, match="1006"):
        protocol.encode_close(1006)
    assert (protocol.phase, protocol.sent_code) == (OPEN, None)


def test_the_end_of_the_stream_ends_it_from_any_phase() -> None:
    for prepare in PREPARED.values():
        protocol = prepare()
        list(protocol.feed(b""))
        assert protocol.phase is CLOSED and protocol.is_closed


def test_an_end_is_an_end_once() -> None:
    protocol = open_up()
    protocol.end()
    protocol.end()
    assert protocol.phase is CLOSED
    assert list(protocol.feed(frame(Opcode.TEXT, b"late"))) == []


def test_a_close_frame_after_the_end_tells_its_code_and_no_event() -> None:
    # A driver that has read on may find why the server had gone.
    protocol = open_up()
    (closing,) = list(open_up().feed(close_frame(1012, "restart")))
    protocol.end()
    assert protocol.take_close(closing) is None
    assert (protocol.close_code, protocol.close_reason) == (1012, "restart")


VIOLATIONS: list[tuple[str, bytes, type[errors.WebSocketError], int]] = [
    ("reserved opcode", frame(3, b""), errors.ProtocolError, 1002),
    ("rsv1 without agreement", frame(1, b"x", rsv1=True), errors.ProtocolError, 1002),
    ("mask", build_frame(1, b"x"), errors.ProtocolError, 1002),
    ("lone continuation", frame(0, b"x"), errors.ProtocolError, 1002),
    (
        "two messages at once",
        frame(1, b"x", fin=False) + frame(1, b"y"),
        errors.ProtocolError,
        1002,
    ),
    ("fragmented ping", frame(9, b"", fin=False), errors.ProtocolError, 1002),
    ("long ping", frame(9, bytes(126)), errors.ProtocolError, 1002),
    ("short close", frame(8, b"\3"), errors.ProtocolError, 1002),
    ("reserved code", frame(8, b"\3\xee"), errors.ProtocolError, 1002),
    ("bad utf-8", frame(1, b"\xff"), errors.CriticalProtocolError, 1007),
    ("bad utf-8 in a close", frame(8, b"\3\xe8\xff"), errors.CriticalProtocolError, 1007),
    ("long message", frame(2, bytes(101)), errors.PayloadTooLarge, 1009),
]


@pytest.mark.parametrize(
    ("data", "error", "code"),
    [case[1:] for case in VIOLATIONS],
    ids=[case[0] for case in VIOLATIONS],
)
def test_violations_raise_with_the_code_to_answer(
    data: bytes, error: type[errors.WebSocketError], code: int
) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        protocol = open_up(max_size=100)
        with pytest.raises(error) as caught:
            for piece in pieces:
                list(protocol.feed(piece))
        assert type(caught.value) is error
        assert caught.value.code == code  # type: ignore[attr-defined]
        # It can be told, and says nothing more.
        assert read_back(protocol.encode_close(code, "no")) == [("closing", (code, "no"))]
        assert list(protocol.feed(frame(Opcode.TEXT, b"more"))) == []


def test_messages_before_a_violation_come_first() -> None:
    protocol = open_up()
    events = protocol.feed(frame(Opcode.TEXT, b"good") + frame(3))
    assert show(next(events)) == ("text", "good")
    with pytest.raises(errors.ProtocolError):
        next(events)


# Phases


def open_and_close() -> ClientProtocol:
    protocol = open_up()
    protocol.encode_close()
    return protocol


def end_new() -> ClientProtocol:
    protocol = make()
    protocol.end()
    return protocol


def request() -> ClientProtocol:
    protocol = make()
    protocol.build_request()
    return protocol


PREPARED: dict[Phase, Callable[[], ClientProtocol]] = {
    NEW: make,
    OPENING: request,
    OPEN: open_up,
    CLOSING: open_and_close,
    CLOSED: end_new,
}


# A way to each phase, by steps of the table.
WAYS: dict[Phase, list[Phase]] = {
    NEW: [],
    OPENING: [OPENING],
    OPEN: [OPENING, OPEN],
    CLOSING: [OPENING, OPEN, CLOSING],
    CLOSED: [CLOSED],
}


@pytest.mark.parametrize("before", Phase)
@pytest.mark.parametrize("after", Phase)
def test_steps_are_those_of_the_table_and_no_others(before: Phase, after: Phase) -> None:
    # The compiled build hides the step itself: the plain twin has the same source.
    twin = load_pure("protocol.client_protocol")
    protocol = twin.ClientProtocol(load_pure("url").parse_url("ws://h/"))
    for phase in WAYS[before]:
        protocol._step(phase)
    assert protocol.phase == before
    if after in PHASE_STEPS[before]:
        protocol._step(after)
        assert protocol.phase == after
    else:
        with pytest.raises(RuntimeError, match=f"from {before.name} to {after.name}"):
            protocol._step(after)
        assert protocol.phase == before


@pytest.mark.parametrize("phase", Phase)
def test_each_phase_can_be_reached_by_bytes(phase: Phase) -> None:
    assert PREPARED[phase]().phase is phase


def test_illegal_steps_raise_with_assertions_switched_off() -> None:
    code = (
        "from greenws.protocol.client_protocol import *\n"
        "from greenws.url import parse_url\n"
        "assert False  # proves -O\n"
        "protocol = ClientProtocol(parse_url('ws://h/'))\n"
        "protocol.end()\n"
        "try:\n"
        "    protocol.build_request()\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-O", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "a connection cannot go from CLOSED to OPENING"


REFUSALS = {
    NEW: errors.WebSocketUnavailable,
    OPENING: errors.WebSocketUnavailable,
    CLOSING: errors.WebSocketClosing,
    CLOSED: errors.WebSocketClosed,
}

WORDS = {
    NEW: "wait for the event ready",
    OPENING: "wait for the event ready",
    CLOSING: "is closing",
    CLOSED: "is closed",
}


@pytest.mark.parametrize("phase", REFUSALS)
def test_sending_is_refused_where_it_is_not_open(phase: Phase) -> None:
    protocol = PREPARED[phase]()
    for call in (
        protocol.check_open,
        lambda: protocol.encode(Opcode.TEXT, b"text"),
        lambda: protocol.encode(Opcode.PING, b""),
        protocol.encode_close,
    ):
        with pytest.raises(errors.WebSocketUnavailable, match=WORDS[phase]) as caught:
            call()
        assert type(caught.value) is REFUSALS[phase]
    assert protocol.phase is phase


@pytest.mark.parametrize("phase", [OPEN, CLOSING])
def test_a_second_request_is_refused_once_it_is_answered(phase: Phase) -> None:
    protocol = PREPARED[phase]()
    with pytest.raises(errors.WebSocketUnavailable, match="handshake is over"):
        protocol.build_request()
    assert protocol.phase is phase


# However the bytes are cut


def script(protocol: ClientProtocol) -> bytes:
    """What a server sends over a whole connection."""
    return (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        + answer(protocol, DEFLATE)
        + frame(Opcode.TEXT, b"plain")
        + frame(Opcode.TEXT, bytes.fromhex("f248cdc9c90700"), rsv1=True)
        + frame(Opcode.BINARY, bytes(200), fin=False)
        + frame(Opcode.PING, b"between")
        + frame(Opcode.CONTINUATION, "grün".encode())
        + frame(Opcode.PONG, b"x" * 125)
        + close_frame(1001, "grün")
        + b"trailing bytes"
    )


EXPECTED = [
    ("ready", (None, ["permessage-deflate"])),
    ("text", "plain"),
    ("text", "Hello"),
    ("ping", b"between"),
    ("binary", bytes(200) + "grün".encode()),
    ("pong", b"x" * 125),
    ("closing", (1001, "grün")),
]


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    pieces.append(data)
    return [piece for piece in pieces if piece]


@given(st.lists(st.integers(1, 60), max_size=60))
def test_cutting_never_matters(sizes: list[int]) -> None:
    protocol = make(RequestOptions(compress=True))
    protocol.build_request()
    events: list[AnyEvent] = []
    for piece in cut(script(protocol), sizes):
        events += protocol.feed(piece)
    events += protocol.feed(b"")
    assert [show(event) for event in events] == EXPECTED


def test_byte_by_byte_is_the_same() -> None:
    protocol = make(RequestOptions(compress=True))
    protocol.build_request()
    data = script(protocol)
    events = [event for at in range(len(data)) for event in protocol.feed(data[at : at + 1])]
    assert [show(event) for event in events] == EXPECTED


@pytest.mark.parametrize("head", [FORBIDDEN + b"what", MOVED, b"HTTP/1.1 500 Oops\r\n\r\nbody"])
def test_byte_by_byte_is_the_same_for_rejections(head: bytes) -> None:
    found = []
    for pieces in ([head], [head[at : at + 1] for at in range(len(head))]):
        protocol = make()
        protocol.build_request()
        events = [event for piece in (*pieces, b"") for event in protocol.feed(piece)]
        found.append([show(event) for event in events])
    assert found[0] == found[1]
    assert found[0][0][0] == "rejected"


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_events_or_our_errors(data: bytes, is_open: bool) -> None:
    protocol = open_up() if is_open else request()
    try:
        for event in protocol.feed(data):
            assert event.name
        list(protocol.feed(b""))
    except (errors.ProtocolError, errors.CriticalProtocolError):
        protocol.end()
    assert protocol.phase is CLOSED


def test_pure_twin_gives_the_same() -> None:
    twin = load_pure("protocol.client_protocol")
    url = load_pure("url").parse_url("ws://example.org/feed")
    options = load_pure("protocol.opening").RequestOptions(compress=True)
    protocol = twin.ClientProtocol(url, options)
    protocol.build_request()
    assert [show(event) for event in protocol.feed(script(protocol))] == EXPECTED
