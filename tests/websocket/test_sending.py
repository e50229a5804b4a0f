"""What each ``send_...`` passes to the session, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenws import GeventSession, WebSocket, errors
from greenws.protocol.compression import Deflate
from greenws.protocol.mask import mask
from greenws.testing import EchoServer
from tests.support.streams import frame
from tests.websocket.driving import URL, answer, connect, names, open_compressed, open_up


def test_each_kind_of_message_is_sent() -> None:
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


def test_memoryview_of_other_items_is_sent_as_bytes() -> None:
    import array

    websocket = WebSocket(URL)
    session = open_up(websocket)
    numbers = array.array("H", [1, 2, 3])
    websocket.send_binary(memoryview(numbers))
    assert session.sent == [(2, numbers.tobytes())]


@pytest.mark.parametrize(
    ("method", "argument", "words"),
    [
        ("send_text", {}, r"text argument must be str, not dict; send_json\(\) sends objects"),
        ("send_text", 5, r"text argument must be str, not int; send_json\(\)"),
        ("send_text", b"", r"text argument must not be bytes, but str; send_binary\(\)"),
        ("send_text", bytearray(), r"text argument must not be bytes, but str; send_binary\(\)"),
        ("send_binary", "", r"data argument must be bytes, not str; send_text\(\) sends str"),
        ("send_binary", {}, r"data argument must be bytes, not dict; .*send_json\(\) objects"),
        ("send_ping", "", "data argument must be bytes, not str"),
        ("send_pong", bytearray(), "data argument must be bytes, not bytearray"),
    ],
)
def test_payload_of_another_type_gets_the_right_words(
    method: str, argument: Any, words: str
) -> None:
    websocket = WebSocket(URL)
    open_up(websocket)
    with pytest.raises(TypeError, match=words):
        getattr(websocket, method)(argument)
    if method == "send_text":  # a session has it, too, for clients
        with pytest.raises(TypeError, match=words):
            GeventSession(websocket).send_text(argument)


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
def test_invalid_payload_is_refused(
    method: str, arguments: Any, error: type[Exception], is_ready: bool
) -> None:
    websocket = WebSocket(URL)
    session = open_up(websocket) if is_ready else connect(websocket)
    with pytest.raises(error):
        getattr(websocket, method)(*arguments)
    assert session.sent == []


def test_send_json_with_an_object_and_keywords_is_an_error() -> None:
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
def test_send_is_refused_unless_the_connection_is_ready(method: str, argument: Any) -> None:
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


def test_messages_are_compressed_unless_told_otherwise() -> None:
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


def test_messages_below_min_size_are_sent_as_they_are() -> None:
    records: list[Any] = []
    websocket = WebSocket(URL, compress={"min_size": 8}, trace=records.append)
    session = open_up(websocket, "Sec-WebSocket-Extensions: permessage-deflate")
    websocket.send_text("ééé")  # 6 bytes
    websocket.send_text("éééé")  # 8 bytes
    websocket.send_binary(b"7 bytes")
    websocket.send_binary(memoryview(bytes(8)).cast("Q"))
    peer = Deflate()
    assert session.sent == [(1, "ééé".encode()), (2, b"7 bytes")]
    assert [
        (opcode, peer.decompress(payload, -1, True)) for opcode, payload in session.compressed
    ] == [(1, "éééé".encode()), (2, bytes(8))]
    told = [record["compressed"] for record in records if "compressed" in record]
    assert told == [False, True, False, True]


@pytest.mark.parametrize(
    ("text", "min_size", "is_compressed"),
    [
        ("x" * 200_000, 200_000, True),
        ("x" * 200_000, 200_001, False),
        ("x" * 200_000, 1_000_000, False),
        ("é" * 200_000, 400_000, True),
        ("é" * 200_000, 400_001, False),
    ],
)
def test_min_size_counts_the_bytes_of_a_large_text(
    monkeypatch: pytest.MonkeyPatch, text: str, min_size: int, is_compressed: bool
) -> None:
    deflated: list[Any] = []
    compress_steps = Deflate.compress_steps

    def spy(deflate: Deflate, steps: Any) -> Any:
        deflated.append(steps)
        return compress_steps(deflate, steps)

    monkeypatch.setattr(Deflate, "compress_steps", spy)
    with EchoServer() as server:
        websocket = WebSocket(server.url, compress={"min_size": min_size}, proxies={})
        for event in websocket:
            if event.name == "ready":
                websocket.send_text(text)
            elif event.name == "text":
                assert event.text == text
                websocket.close()
    assert bool(deflated) is is_compressed


def test_compress_without_an_agreement_sends_plainly() -> None:
    websocket = WebSocket(URL, compress=True)
    session = open_up(websocket)
    websocket.send_text("x", compress=True)
    assert session.sent == [(1, b"x")]
    assert not websocket.supports_compression


def test_masking_is_undone_by_a_server() -> None:
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
