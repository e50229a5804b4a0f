"""The WebSocket as an object, driven by a session without a socket."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import lomond
import lomond.events
import pytest

from greenws import WebSocket, constants, errors, events
from greenws.protocol.compression import Deflate
from greenws.protocol.handshake import accept_for
from greenws.protocol.mask import mask
from greenws.protocol.response import Response
from greenws.sessions.session import GeventSession
from greenws.testing import EchoServer
from tests.support.streams import deflate, frame

URL = "ws://example.org/"


class Session:
    """Does what a session has to, and notes what it was told."""

    signals_eof = True

    def __init__(self, websocket: Any) -> None:
        self.websocket = websocket
        self.sent: list[tuple[int, bytes]] = []
        self.compressed: list[tuple[int, bytes]] = []
        self.calls: list[str] = []
        self.options: dict[str, Any] = {}
        self.session_time = 1.25
        self.failure: Exception | None = None

    def run(self, **options: Any) -> Iterator[Any]:
        self.options = options
        return iter(())

    def send(self, opcode: int, payload: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append((opcode, bytes(payload)))

    def send_compressed(self, opcode: int, payload: bytes) -> None:
        self.compressed.append((opcode, bytes(payload)))

    def write(self, data: bytes) -> None:
        self.calls.append("write")

    def close(self) -> None:
        self.calls.append("close")

    def force_disconnect(self) -> None:
        self.calls.append("force_disconnect")


class SessionWithoutEnd(Session):
    signals_eof = False


def connect(websocket: Any) -> Any:
    """Connect to a session without a socket, and make the request."""
    websocket.connect(session_class=Session)
    websocket.build_request()
    return websocket.session


def answer(websocket: Any, *more: str) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_for(websocket.key)}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def open_up(websocket: Any, *more: str) -> Any:
    """As :func:`connect`, and have the server agree."""
    session = connect(websocket)
    (ready,) = websocket.feed(answer(websocket, *more))
    assert ready.name == "ready"
    return session


def open_compressed() -> tuple[Any, Any]:
    websocket = WebSocket(URL, compress=True)
    session = open_up(websocket, "Sec-WebSocket-Extensions: permessage-deflate")
    return websocket, session


def names(items: Any) -> list[str]:
    return [event.name for event in items]


# The signatures of the reference


def signature(function: Any) -> list[tuple[str, Any]]:
    parameters = list(inspect.signature(function).parameters.values())
    return [(p.name, p.default) for p in parameters if p.name not in ("self", "kwargs")]


def test_constructor_has_the_parameters_of_the_reference() -> None:
    parameters = list(inspect.signature(WebSocket).parameters.values())
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in positional[1:]] == [
        ("proxies", None),
        ("protocols", None),
        ("agent", None),
        ("compress", False),
    ]
    assert positional[0].name == "url"
    keyword_only = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    wanted = {
        "ssl_context": None,
        "ssl_verify": True,
        "ssl_cafile": None,
        "server_hostname": None,
        "headers": None,
        "origin": None,
        "max_size": 16 * 1024 * 1024,
        "open_timeout": 30,
        "trace": None,
        "send_timeout": 30,
    }
    assert wanted.items() <= keyword_only.items()
    assert len(keyword_only) + len(positional) == len(parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("add_header", ["header", "value"]),
        ("build_request", []),
        ("close", [("code", 1000), ("reason", b"goodbye")]),
        (
            "connect",
            [
                ("session_class", GeventSession),
                ("poll", 5.0),
                ("ping_rate", 30.0),
                ("ping_timeout", None),
                ("auto_pong", True),
                ("close_timeout", 30.0),
            ],
        ),
        ("feed", ["data"]),
        ("force_disconnect", []),
        ("on_disconnect", []),
        ("on_response", ["response"]),
        ("process_extensions", ["extensions"]),
        ("reset", []),
        ("send_binary", ["data", ("compress", True)]),
        ("send_json", [("_obj", ...)]),
        ("send_ping", [("data", b"")]),
        ("send_pong", [("data", b"")]),
        ("send_text", ["text", ("compress", True)]),
    ],
)
def test_member_has_the_parameters_of_the_reference(name: str, parameters: list[Any]) -> None:
    wanted = [p if isinstance(p, tuple) else (p, inspect.Parameter.empty) for p in parameters]
    assert signature(getattr(WebSocket, name))[: len(wanted)] == wanted
    assert getattr(WebSocket, name).__doc__


@pytest.mark.parametrize(
    "name",
    [
        "is_active",
        "is_closed",
        "is_closing",
        "is_secure",
        "sent_close_time",
        "supports_compression",
    ],
)
def test_property_of_the_reference(name: str) -> None:
    assert isinstance(getattr(WebSocket, name), property)
    assert getattr(WebSocket, name).__doc__


def test_every_public_member_of_lomonds_is_there() -> None:
    theirs = lomond.WebSocket(URL, proxies={})
    ours = WebSocket(URL, proxies={})
    for name in dir(theirs):
        if not name.startswith("_") and name != "State":
            assert hasattr(ours, name), name


# The constructor


def test_defaults() -> None:
    websocket = WebSocket(URL)
    assert websocket.agent == constants.USER_AGENT
    assert websocket.protocols == []
    assert websocket.compress is False
    assert websocket.is_active
    assert not websocket.is_closing
    assert not websocket.is_closed
    assert not websocket.is_ready
    assert not websocket.is_secure
    assert not websocket.supports_compression
    assert websocket.sent_close_time is None
    assert websocket.session is None
    assert WebSocket("wss://example.org").is_secure


@pytest.mark.parametrize(
    ("options", "error", "fault"),
    [
        ({"proxies": "http://p:1"}, TypeError, "proxies"),
        ({"proxies": {"http": "ftp://p:1"}}, ValueError, "proxies"),
        ({"protocols": "chat"}, TypeError, "protocols"),
        ({"protocols": b"chat"}, TypeError, "protocols"),
        ({"protocols": [b"chat"]}, TypeError, "protocols"),
        ({"protocols": ["a b"]}, ValueError, "subprotocol"),
        ({"protocols": ["a\r\nb"]}, ValueError, "subprotocol"),
        ({"protocols": ["a\0"]}, ValueError, "subprotocol"),
        ({"protocols": [""]}, ValueError, "subprotocol"),
        ({"protocols": ["a", "a"]}, ValueError, "twice"),
        ({"agent": b"me"}, TypeError, "agent"),
        ({"agent": "a\r\nb"}, ValueError, "User-Agent"),
        ({"agent": "a\nb"}, ValueError, "User-Agent"),
        ({"agent": "a\0b"}, ValueError, "User-Agent"),
        ({"origin": "a\r\nb"}, ValueError, "Origin"),
        ({"origin": b"a"}, TypeError, "origin"),
        ({"origin": 5}, TypeError, "origin"),
        ({"headers": "A: b"}, TypeError, "headers"),
        ({"headers": {"A": "b\r\nC: d"}}, ValueError, "control"),
        ({"headers": [("A\n", "b")]}, ValueError, "token"),
        ({"headers": {"A": 5}}, TypeError, "bytes"),
        ({"headers": {"Upgrade": "h2c"}}, ValueError, "handshake"),
        ({"max_size": "1"}, TypeError, "max_size"),
        ({"max_size": 1.5}, TypeError, "max_size"),
        ({"max_size": True}, TypeError, "max_size"),
        ({"max_size": 0}, ValueError, "max_size"),
        ({"max_size": -1}, ValueError, "max_size"),
        ({"max_size": 1 << 70}, ValueError, "max_size"),
        ({"open_timeout": "1"}, TypeError, "open_timeout"),
        ({"open_timeout": 0}, ValueError, "open_timeout"),
        ({"open_timeout": float("nan")}, ValueError, "open_timeout"),
        ({"send_timeout": -1}, ValueError, "send_timeout"),
        ({"write_limit": None}, ValueError, "write_limit"),
        ({"write_limit": 0}, ValueError, "write_limit"),
        ({"max_redirects": -1}, ValueError, "max_redirects"),
        ({"max_redirects": None}, ValueError, "max_redirects"),
        ({"trace": 5}, TypeError, "trace"),
        ({"timeout": 5}, TypeError, "timeout"),
    ],
)
def test_argument_that_cannot_be(options: dict[str, Any], error: Any, fault: str) -> None:
    with pytest.raises(error, match=fault):
        WebSocket(URL, **options)


@pytest.mark.parametrize("name", ["max_size", "open_timeout", "send_timeout"])
def test_none_is_no_limit(name: str) -> None:
    assert getattr(WebSocket(URL, **{name: None}), name) is None


def test_options_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        WebSocket(URL, None, None, None, False, None)  # type: ignore[misc]


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert WebSocket(URL).proxies == {"http": None, "https": None}
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("https_proxy", "http://secure.example:3128")
    found = WebSocket(URL).proxies
    assert "proxy.example" in str(found["http"])
    assert "secure.example" in str(found["https"])
    assert WebSocket(URL, proxies={}).proxies == {}
    given = {"http": "http://mine:1"}
    assert WebSocket(URL, proxies=given).proxies == given


# add_header and the request


def test_add_header() -> None:
    websocket = WebSocket(URL)
    websocket.add_header(b"X-A", b"b")
    connect(websocket)
    assert b"\r\nX-A: b\r\n" in websocket.build_request()


@pytest.mark.parametrize("pair", [("X-A", b"b"), (b"X-A", "b"), (None, b""), (b"X", bytearray())])
def test_add_header_of_another_type(pair: Any) -> None:
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
def test_add_header_that_would_break_the_request(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        WebSocket(URL).add_header(name, value)


def test_add_header_lasts() -> None:
    websocket = WebSocket(URL)
    websocket.add_header(b"X-A", b"b")
    for _ in range(2):
        connect(websocket)
        assert websocket.build_request().count(b"X-A: b\r\n") == 1


def test_request_has_what_lomonds_has() -> None:
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
def test_connect_with_an_impossible_number(name: str) -> None:
    websocket = WebSocket(URL)
    for value in (-1, -0.001, float("nan")):
        with pytest.raises(ValueError, match=name):
            websocket.connect(**{name: value})
    with pytest.raises(TypeError, match=name):
        websocket.connect(**{name: "5"})
    assert websocket.session is None


def test_iterating_is_connecting() -> None:
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


def test_iteration_left_and_dropped_later_does_not_end_the_next_one() -> None:
    with EchoServer() as server:
        websocket = WebSocket(server.url)
        iteration = websocket.connect()
        for event in iteration:
            if event.name == "ready":
                break
        iteration = websocket.connect()  # and the first one is dropped, here
        seen = []
        for event in iteration:
            seen.append(event.name)
            if event.name == "ready":
                websocket.close()
        assert seen[-2:] == ["closed", "disconnected"]
        server.wait_idle()


def test_repr() -> None:
    assert repr(WebSocket("ws://u:p@example.org/")) == "WebSocket('ws://example.org/')"


# The answer


def test_ready() -> None:
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
def test_messages_behind_the_answer(chunk: int) -> None:
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


def test_feed_takes_a_bytearray_that_is_used_again() -> None:
    # As lomond's session has it: a view of one buffer.
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
def test_rejected(change: tuple[bytes, bytes], reason: str) -> None:
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


def test_rejected_at_once_for_a_session_that_tells_no_end() -> None:
    # lomond's reads on until the server closes, and would never know that a body has ended.
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


def test_on_response_and_process_extensions() -> None:
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


# Sending


def test_send_each_kind() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    websocket.send_text("grün")
    websocket.send_binary(b"\0\xff")
    websocket.send_binary(bytearray(b"ba"))
    websocket.send_binary(memoryview(b"mv"))
    websocket.send_json({"a": [1, None]})
    websocket.send_json(a=1, b="c")
    websocket.send_json([])
    websocket.send_json(None)
    websocket.send_json()
    websocket.send_ping(b"ping")
    websocket.send_ping()
    websocket.send_pong(b"p" * 125)
    websocket.send_pong()
    sent = [(opcode, payload.decode("latin-1")) for opcode, payload in session.sent]
    assert sent[0] == (1, "grün".encode().decode("latin-1"))
    assert sent[1:] == [
        (2, "\0\xff"),
        (2, "ba"),
        (2, "mv"),
        (1, json.dumps({"a": [1, None]})),
        (1, json.dumps({"a": 1, "b": "c"})),
        (1, "[]"),
        (1, "null"),
        (1, "{}"),
        (9, "ping"),
        (9, ""),
        (10, "p" * 125),
        (10, ""),
    ]


def test_send_a_memoryview_of_something_else_than_bytes() -> None:
    import array

    websocket = WebSocket(URL)
    session = open_up(websocket)
    numbers = array.array("H", [1, 2, 3])
    websocket.send_binary(memoryview(numbers))
    assert session.sent == [(2, numbers.tobytes())]


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("send_text", (b"bytes",), TypeError),
        ("send_text", (None,), TypeError),
        ("send_text", (5,), TypeError),
        ("send_text", ("\ud800",), ValueError),
        ("send_binary", ("str",), TypeError),
        ("send_binary", (None,), TypeError),
        ("send_binary", ([1, 2],), TypeError),
        ("send_binary", (5,), TypeError),
        ("send_json", (object(),), TypeError),
        ("send_json", ({1, 2},), TypeError),
        ("send_ping", ("str",), TypeError),
        ("send_ping", (None,), TypeError),
        ("send_ping", (bytearray(b"x"),), TypeError),
        ("send_ping", (b"x" * 126,), ValueError),
        ("send_pong", ("str",), TypeError),
        ("send_pong", (b"x" * 126,), ValueError),
    ],
)
@pytest.mark.parametrize("is_ready", [True, False])
def test_send_what_cannot_be_sent(
    method: str, arguments: Any, error: type[Exception], is_ready: bool
) -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket) if is_ready else connect(websocket)
    with pytest.raises(error):
        getattr(websocket, method)(*arguments)
    assert session.sent == []


def test_send_json_with_both_is_an_error() -> None:
    with pytest.raises(ValueError, match="positional argument OR keyword"):
        WebSocket(URL).send_json({}, a=1)


SENDS = [
    ("send_text", "x"),
    ("send_binary", b"x"),
    ("send_json", {}),
    ("send_ping", b""),
    ("send_pong", b""),
]


@pytest.mark.parametrize(("method", "argument"), SENDS)
def test_send_in_each_phase(method: str, argument: Any) -> None:
    def check(error: type[Exception]) -> None:
        with pytest.raises(errors.WebSocketUnavailable) as caught:
            getattr(websocket, method)(argument)
        assert type(caught.value) is error

    websocket = WebSocket(URL)
    check(errors.WebSocketUnavailable)
    session = connect(websocket)
    check(errors.WebSocketUnavailable)
    list(websocket.feed(answer(websocket)))
    getattr(websocket, method)(argument)
    websocket.close()
    check(errors.WebSocketClosing)
    assert names(websocket.feed(frame(8, b"\x03\xe8"))) == ["closed"]
    check(errors.WebSocketClosed)
    websocket.on_disconnect()
    check(errors.WebSocketClosed)
    assert len(session.sent) == 2


def test_send_compressed() -> None:
    websocket, session = open_compressed()
    peer = Deflate()
    websocket.send_text("Hello " * 20)
    websocket.send_text("Hello " * 20)
    websocket.send_binary(b"binary")
    websocket.send_json(a=1)
    websocket.send_text("plain", compress=False)
    websocket.send_binary(b"plain", compress=False)
    websocket.send_ping(b"never")
    assert [
        (opcode, peer.decompress(payload, -1, True)) for opcode, payload in session.compressed
    ] == [(1, b"Hello " * 20), (1, b"Hello " * 20), (2, b"binary"), (1, b'{"a": 1}')]
    assert session.sent == [(1, b"plain"), (2, b"plain"), (9, b"never")]


def test_compress_without_an_agreement_sends_plainly() -> None:
    websocket = WebSocket(URL, compress=True)
    session = open_up(websocket)
    websocket.send_text("x", compress=True)
    assert session.sent == [(1, b"x")]
    assert not websocket.supports_compression


# Receiving


def test_each_kind_of_message() -> None:
    websocket = WebSocket(URL)
    open_up(websocket)
    text, binary, ping, pong = websocket.feed(
        frame(1, b'{"a": 1}') + frame(2, b"data") + frame(9, b"ping") + frame(10, b"pong")
    )
    assert (text.text, text.json) == ('{"a": 1}', {"a": 1})
    assert (binary.data, ping.data, pong.data) == (b"data", b"ping", b"pong")


def test_max_size_is_the_streams() -> None:
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
def test_protocol_error(data: bytes, code: int, critical: bool) -> None:
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


def test_protocol_error_while_closing_sends_no_second_close_frame() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    websocket.close()
    assert names(websocket.feed(b"\x83\x00")) == ["protocol_error"]
    assert len(session.sent) == 1


def test_session_with_an_end_is_not_forced() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    session.end = lambda: session.calls.append("end")
    list(websocket.feed(b"\x83\x00"))
    assert "end" in session.calls
    assert "force_disconnect" not in session.calls


def test_consumer_that_leaves_in_the_midst_closes_the_session() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    for _event in websocket.feed(frame(1, b"one") + frame(1, b"two")):
        break
    assert "close" in session.calls
    assert websocket.is_closed


def test_messages_go_to_the_handlers_of_the_stream() -> None:
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


# Closing


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
def test_close_with(arguments: Any, payload: bytes) -> None:
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
def test_close_with_what_cannot_be_sent(arguments: Any, error: type[Exception]) -> None:
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


def test_close_while_opening_gives_up() -> None:
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


def test_close_that_is_not_allowed_here_raises() -> None:
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


def test_handler_of_closing_may_close_itself() -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket)
    for _event in websocket.feed(frame(8, b"\x0f\xa0bye")):
        websocket.close(4321, "me first")
    assert session.sent == [(8, b"\x10\xe1me first")]


def test_messages_that_come_while_closing_are_yielded() -> None:
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


# Tracing


def test_trace() -> None:
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


def test_trace_of_a_rejection() -> None:
    records: list[dict[str, Any]] = []
    websocket = WebSocket(URL, trace=records.append)
    connect(websocket)
    list(websocket.feed(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"))
    (record,) = [record for record in records if record["stage"] == "handshake_rejected"]
    assert record["status_code"] == 403
    assert "403" in record["reason"]


# lomond is the model


def lomonds(data: bytes, closing: bool = False) -> list[Any]:
    websocket = lomond.WebSocket(URL, proxies={}, compress=True)
    websocket.connect(session_class=Session)
    list(websocket.feed(answer(websocket, "Sec-WebSocket-Extensions: permessage-deflate")))
    if closing:
        websocket.close()
    return [describe(event) for event in websocket.feed(data)]


def ours(data: bytes, closing: bool = False) -> list[Any]:
    websocket, _session = open_compressed()
    if closing:
        websocket.close()
    return [describe(event) for event in websocket.feed(data)]


def describe(event: Any) -> Any:
    if event.name == "protocol_error":
        return event.name, event.critical
    attributes = {
        name: getattr(event, name)
        for name in ("text", "data", "code", "reason")
        if hasattr(event, name)
    }
    return event.name, attributes


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        frame(1, b"Hello"),
        frame(1, b""),
        frame(2, b"\0" * 70_000),
        frame(2, b"x" * 126) + frame(9, b"p") + frame(10),
        frame(1, b"Hel", fin=False) + frame(9, b"p") + frame(0, b"lo"),
        frame(1, deflate(b"Hello"), rsv1=True),
        frame(1, deflate(b"Hello")[:4], fin=False, rsv1=True) + frame(0, deflate(b"Hello")[4:]),
        frame(8, b"\x03\xe8bye"),
        frame(8, b"\x0f\xa0"),
        frame(1, b"x") + frame(8, b"\x03\xe8"),
        b"\x83\x00",
        b"\xb1\x00",
        frame(0, b"x"),
        frame(1, b"x", fin=False) + frame(1, b"y"),
        frame(9, b"", fin=False),
        frame(1, b"\xff"),
        frame(8, b"\x03\xed"),
        frame(8, b"\x01"),
    ],
)
def test_events_are_lomonds(data: bytes, closing: bool) -> None:
    theirs = lomonds(data, closing)
    assert names_of(theirs)
    assert ours(data, closing) == theirs


def names_of(items: list[Any]) -> list[str]:
    return [item[0] for item in items]


def test_masking_is_what_a_server_undoes() -> None:
    with EchoServer() as server:
        websocket = WebSocket(server.url)
        for event in websocket:
            if event.name == "ready":
                websocket.send_binary(bytes(range(256)) * 300)
            elif event.name == "binary":
                assert event.data == bytes(range(256)) * 300
                websocket.close()
        assert server.messages == [bytes(range(256)) * 300]
    assert mask(mask(b"x", b"1234"), b"1234") == b"x"
