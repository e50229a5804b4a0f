"""One connection of an EchoServer, as a behaviour or a test drives it."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import gevent
import pytest

from greenws import WebSocket, connect
from greenws.errors import ConnectFail, WebSocketClosed, WebSocketClosing, WebSocketUnavailable
from greenws.events import Binary, Text
from greenws.protocol.compression import Deflate
from greenws.protocol.frame import build_frame
from greenws.testing import EchoServer, ServerConnection, silent, stop_reading
from tests.support.authority import Authority
from tests.support.clients import RawClient


def test_messages_come_as_str_and_bytes() -> None:
    got: list[Any] = []

    def collect(connection: ServerConnection) -> None:
        got.extend(connection)

    with EchoServer(collect) as server, RawClient(server).open() as peer:
        peer.send("text")
        peer.send(b"binary")
        peer.send_close(4001, "over")
        assert peer.next_close() == (4001, "over")
        assert peer.read_to_end() == b""
        assert got == ["text", b"binary"]
        connection = server.connections[0]
        assert connection.wait_ended() == 4001
        assert connection.close_reason == "over"
        assert repr(connection) == "<ServerConnection 1 ended, close_code=4001>"


def test_chunking_of_the_client_does_not_matter() -> None:
    with EchoServer() as server, RawClient(server).open() as peer:
        wire = build_frame(1, b"one") + build_frame(9, b"ping") + build_frame(2, b"two")
        for octet in wire:
            peer.sock.sendall(bytes([octet]))
            gevent.sleep(0)
        assert peer.next_message() == "one"
        assert peer.next_event().data == b"ping"  # type: ignore[attr-defined]
        assert peer.next_message() == b"two"


def test_request_and_first_message_may_come_in_one_piece() -> None:
    with EchoServer() as server, RawClient(server) as peer:
        request = (
            b"GET /chat?x=1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        peer.sock.sendall(request + build_frame(1, b"early"))
        assert peer.read_response().status_code == 101
        assert peer.next_message() == "early"
        connection = server.connections[0]
        assert connection.request is not None
        assert connection.request.target == "/chat?x=1"
        assert connection.request.get("host") == "h"


def test_response_and_first_message_go_in_one_piece() -> None:
    with EchoServer(lambda connection: connection.send("hello")) as server:
        with RawClient(server).open() as peer:
            assert peer.rest.startswith(b"\x81\x05hello")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"POST / HTTP/1.1", 400), (b"GET / HTTP/1.0", 400), (b"nonsense", 400)],
)
def test_invalid_request_is_refused(request_line: bytes, status: int) -> None:
    with EchoServer() as server, RawClient(server) as peer:
        peer.sock.sendall(request_line + b"\r\nHost: h\r\n\r\n")
        assert peer.read_response().status_code == status
        peer.read_to_end()
        assert server.connections[0].error is not None
        assert server.connections[0].wait_ended() is None
        assert server.errors == []


def test_client_that_speaks_tls_is_told_at_once_what_is_spoken_here() -> None:
    with EchoServer() as server, RawClient(server) as peer:
        peer.sock.sendall(b"\x16\x03\x01\x00\xee\x01\x00\x00\xea")
        assert peer.read_response().status_code == 400
        peer.read_to_end()
        assert str(server.connections[0].error) == "this port does not speak TLS: use ws://"


def test_client_of_the_wrong_scheme_is_told_the_right_one(authority: Authority) -> None:
    with EchoServer() as server:
        with pytest.raises(ConnectFail, match="its URL begins with ws://"):
            connect(server.url.replace("ws:", "wss:"), ssl_cafile=authority.cafile, proxies={})
    with EchoServer(ssl_context=authority.server_context("localhost")) as server:
        with pytest.raises(ConnectFail, match="a port with TLS needs wss://"):
            connect(server.url.replace("wss:", "ws:"), proxies={})


def test_request_has_every_byte_of_the_client() -> None:
    with EchoServer() as server:
        headers = {"X-Name": "grün", b"X-Bytes": b"\xff\xa0", "Cookie": b"a=caf\xc3\xa9"}
        with contextlib.closing(iter(WebSocket(server.url, headers=headers, proxies={}))) as events:
            assert any(event.name == "ready" for event in events)
        request = server.connections[0].request
        assert request is not None
        assert request.get("x-name") == "gr\xc3\xbcn"
        assert request.get_bytes("x-name") == "grün".encode()
        assert request.get_bytes("x-bytes") == b"\xff\xa0"
        assert request.get_bytes("cookie") == b"a=caf\xc3\xa9"


def test_unknown_version_is_refused_with_426() -> None:
    with EchoServer() as server, RawClient(server).request(version=8) as peer:
        assert peer.read_response().status_code == 426


def test_endless_request_is_not_read_for_ever() -> None:
    with EchoServer() as server, RawClient(server) as peer:
        with pytest.raises(OSError):
            while True:
                peer.sock.sendall(b"GET / HTTP/1.1\r\n" + b"x" * 10000)
        assert "larger than" in str(server.connections[0].error)


def test_client_that_goes_before_its_request_is_no_error() -> None:
    with EchoServer() as server:
        with RawClient(server):
            pass
        server.wait_for(lambda: server.connection_count)
        server.wait_idle()
        assert server.connections[0].error is None


def test_pings_are_answered_and_pongs_kept() -> None:
    def ping(connection: ServerConnection) -> None:
        connection.send_ping(b"from the server")
        list(connection)

    with EchoServer(ping) as server, RawClient(server).open() as peer:
        event = peer.next_event()
        assert event.name == "ping"
        peer.sock.sendall(build_frame(10, b"from the client"))
        peer.send_ping(b"from the client, too")
        assert repr(peer.next_event()) == "Pong(data=b'from the client, too')"
        connection = server.connections[0]
        assert list(connection.pongs) == [b"from the client"]
        assert list(connection.pings) == [b"from the client, too"]


def test_close_waits_for_the_client_without_blocking_the_behaviour() -> None:
    steps: list[str] = []

    def close(connection: ServerConnection) -> None:
        connection.close(4002, "first")
        connection.close(4003, "second: ignored")
        assert not connection.is_open
        with pytest.raises(WebSocketClosing):
            connection.send("too late")
        steps.append("returned")

    with EchoServer(close) as server, RawClient(server).open() as peer:
        assert peer.next_close() == (4002, "first")
        connection = server.connections[0]
        assert steps == ["returned"]
        assert not connection.is_ended
        peer.send("still on its way")
        peer.send_close(4002)
        assert peer.read_to_end() == b""
        assert connection.wait_ended() == 4002
        assert server.messages == ["still on its way"]


def test_close_without_code_is_an_empty_close_frame() -> None:
    with EchoServer(lambda connection: connection.close(None)) as server:
        with RawClient(server).open() as peer:
            assert peer.next_close() == (None, "")
            peer.send_close(None)
            assert peer.read_to_end() == b""
            assert server.connections[0].wait_ended() == 1005


def test_close_timeout_bounds_the_wait_for_the_client() -> None:
    with EchoServer(lambda connection: connection.close(), close_timeout=0.01) as server:
        with RawClient(server).open() as peer:
            assert peer.next_close()[0] == 1000
            assert peer.read_to_end() == b""
            assert server.connections[0].close_code is None


def test_illegal_close_code_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="1006"):
        with EchoServer(lambda connection: connection.close(1006)) as server:
            with RawClient(server).open() as peer:
                assert peer.next_close()[0] == 1011


def test_drop_resets() -> None:
    def drop(connection: ServerConnection) -> None:
        connection.send("last words")
        connection.drop()
        with pytest.raises(WebSocketClosed):
            connection.send("too late")
        with pytest.raises(WebSocketClosed):
            connection.receive()

    with EchoServer(drop) as server, RawClient(server).open() as peer:
        assert peer.next_message() == "last words"
        with pytest.raises(ConnectionResetError):
            peer.next_event()
        assert server.connections[0].is_ended


def test_drop_with_fin_ends_the_stream_also_with_bytes_unread() -> None:
    def drop(connection: ServerConnection) -> None:
        connection.receive()
        connection.send("last words")
        connection.drop(reset=False)

    with EchoServer(drop) as server, RawClient(server).open() as peer:
        peer.send("go")
        peer.send("never read")
        assert peer.next_message() == "last words"
        with pytest.raises(EOFError):
            peer.next_event()


def test_drop_from_another_greenlet_ends_the_behaviour() -> None:
    with EchoServer() as server, RawClient(server).open() as peer:
        connection = server.wait_connections()[0]
        connection.drop(reset=False)
        assert peer.read_to_end() == b""
        server.wait_idle()
        assert connection.error is None


def test_connection_may_be_used_by_the_test_itself() -> None:
    with EchoServer(stop_reading) as server, RawClient(server).open() as peer:
        connection = server.wait_connections()[0]
        peer.send("question")
        assert connection.receive() == "question"
        connection.send_text("answer")
        connection.send_binary(b"more")
        assert peer.next_message() == "answer"
        assert peer.next_message() == b"more"
        connection.close(1001)
        assert peer.next_close()[0] == 1001


def test_two_greenlets_cannot_receive_at_once() -> None:
    with EchoServer() as server, RawClient(server).open():
        connection = server.wait_connections()[0]
        gevent.sleep(0)
        with pytest.raises(RuntimeError, match="another greenlet"):
            connection.receive()


@pytest.mark.parametrize("verb", ["receive", "close", "send_ping", "send_pong"])
def test_websocket_methods_are_refused_before_the_upgrade(verb: str) -> None:
    def act(connection: ServerConnection) -> None:
        getattr(connection, verb)()

    with pytest.raises(WebSocketUnavailable, match="upgrade"):
        with EchoServer(opening=act) as server, RawClient(server).request() as peer:
            peer.read_to_end()


def test_request_is_answered_once() -> None:
    def act(connection: ServerConnection) -> None:
        connection.accept()
        connection.reject()

    with pytest.raises(WebSocketUnavailable, match="already"):
        with EchoServer(opening=act) as server, RawClient(server).open() as peer:
            peer.next_close()


def test_accept_may_name_any_subprotocol_and_headers() -> None:
    def act(connection: ServerConnection) -> None:
        connection.accept(subprotocol="unasked", headers=[("Set-Cookie", "a=b"), ("X-Y", "z")])

    with EchoServer(opening=act) as server, RawClient(server).open() as peer:
        assert peer.response is not None
        assert peer.response.get("sec-websocket-protocol") == "unasked"
        assert peer.response.get("set-cookie") == "a=b"
        peer.send("still an echo")
        assert peer.next_message() == "still an echo"


def test_messages_are_compressed_unless_told_otherwise() -> None:
    def talk(connection: ServerConnection) -> None:
        connection.send("x" * 1000)
        connection.send("y" * 1000, compress=False)
        connection.send("z" * 1000)
        assert connection.receive() == "x" * 1000

    with EchoServer(talk) as server, RawClient(server).open(compress=True) as peer:
        assert peer.response is not None
        assert peer.response.get("sec-websocket-extensions") == "permessage-deflate"
        peer.stream.deflate = deflate = Deflate()
        assert [peer.next_message() for _ in range(3)] == [c * 1000 for c in "xyz"]
        peer.send(deflate.compress(b"x" * 1000).decode("latin-1"), rsv1=True)


def test_violation_is_answered_with_its_code() -> None:
    with EchoServer() as server, RawClient(server).open() as peer:
        peer.sock.sendall(build_frame(1, b"not masked", masked=False))
        code, reason = peer.next_close()
        assert code == 1002
        assert "unmasked" in reason
        assert peer.read_to_end() == b""
        connection = server.connections[0]
        connection.wait_ended()
        assert "unmasked" in str(connection.error)
        assert server.errors == []


def test_bad_utf8_is_answered_with_1007() -> None:
    with EchoServer() as server, RawClient(server).open() as peer:
        peer.sock.sendall(build_frame(1, b"\xff"))
        assert peer.next_close()[0] == 1007


def test_frames_may_be_anything() -> None:
    def act(connection: ServerConnection) -> None:
        connection.send_frame(1, b"in ", fin=False)
        connection.send_frame(9, b"between")
        connection.send_frame(0, b"pieces")
        connection.send_frame(8, struct.pack("!H", 1005))
        silent(connection)

    with EchoServer(act) as server, RawClient(server).open() as peer:
        assert peer.next_event().name == "ping"
        assert peer.next_message() == "in pieces"
        with pytest.raises(Exception, match="1005"):
            peer.next_event()


def test_sender_waits_for_a_client_that_does_not_read() -> None:
    sent = []

    def flood(connection: ServerConnection) -> None:
        for number in range(40):
            connection.send(b"x" * 1_000_000)
            sent.append(number)
        connection.flush()

    with (
        EchoServer(flood, history=0) as server,
        RawClient(server, receive_buffer=4096).open() as peer,
    ):
        gevent.sleep(0.05)
        assert len(sent) < 30
        count = 0
        while isinstance(event := peer.next_event(), (Text, Binary)):
            count += 1
        assert event.name == "closing"
        assert count == 40


def test_order_of_two_senders_is_kept() -> None:
    def talk(connection: ServerConnection) -> None:
        def count(letter: str) -> None:
            for number in range(50):
                connection.send(f"{letter}{number}" + "." * 20000)

        gevent.joinall([gevent.spawn(count, "a"), gevent.spawn(count, "b")], raise_error=True)

    with EchoServer(talk) as server, RawClient(server, receive_buffer=4096).open() as peer:
        texts = [str(peer.next_message()).rstrip(".") for _ in range(100)]
        for letter in "ab":
            mine = [text for text in texts if text[0] == letter]
            assert mine == [f"{letter}{number}" for number in range(50)]
