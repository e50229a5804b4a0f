"""The behaviours that an EchoServer can be given."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent import socket

from greenws.testing import (
    EchoServer,
    Message,
    ServerConnection,
    accept,
    close_with,
    delay,
    drop,
    in_turn,
    reject,
    replies,
    respond,
    send_raw,
    silent,
    stop_reading,
)
from tests.support.clients import RawClient, run_websockets


def test_silent_handler_answers_nothing() -> None:
    with EchoServer(silent) as server, RawClient(server).open() as peer:
        peer.send("hello")
        peer.send_ping(b"anybody?")
        peer.send_close()
        peer.expect_silence()
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.read_to_end() == b""


def test_silent_opening_never_answers_the_upgrade() -> None:
    with EchoServer(opening=silent) as server, RawClient(server).request() as peer:
        peer.expect_silence()
        assert server.open_connections == []


def test_stop_reading_fills_the_clients_window() -> None:
    with EchoServer(stop_reading, receive_buffer=4096) as server, RawClient(server).open() as peer:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        peer.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            peer.send(b"x" * 1_000_000)


def test_respond_sends_what_the_function_returns() -> None:
    def answer(message: Message) -> Message | list[Message] | None:
        script: dict[Message, Message | list[Message]] = {"one": "1", "many": ["2", b"3"]}
        return script.get(message)

    with EchoServer(respond(answer)) as server, RawClient(server).open() as peer:
        for text in ("none", "one", "many"):
            peer.send(text)
        assert [peer.next_message() for _ in range(3)] == ["1", "2", b"3"]


def test_respond_waits_before_each_reply() -> None:
    with EchoServer(respond(lambda message: [message] * 2, delay=0.02)) as server:
        with RawClient(server).open() as peer:
            start = time.perf_counter()
            peer.send("slow")
            assert [peer.next_message() for _ in range(2)] == ["slow"] * 2
            assert time.perf_counter() - start >= 0.04


def test_replies_follow_the_script_on_each_connection() -> None:
    with EchoServer(replies("welcome", None, ["a", "b"])) as server:
        for _ in range(2):
            with RawClient(server).open() as peer:
                for number in range(4):
                    peer.send(str(number))
                assert [peer.next_message() for _ in range(3)] == ["welcome", "a", "b"]
                peer.send_ping(b"all done")
                assert peer.next_event().name == "pong"


def test_drop_at_connect_resets() -> None:
    with EchoServer(opening=drop()) as server, RawClient(server) as peer:
        with pytest.raises(ConnectionResetError):
            peer.sock.recv(1)


def test_drop_at_connect_may_end_with_fin() -> None:
    with EchoServer(opening=drop(reset=False)) as server, RawClient(server) as peer:
        assert peer.read_to_end() == b""


def test_drop_may_come_after_messages() -> None:
    code = """
with connect(url) as client:
    try:
        for _ in range(5):
            client.send("x")
            tell(client.recv())
    except ConnectionClosed as error:
        tell([error.rcvd, error.sent])
"""
    with EchoServer(drop(after=2)) as server:
        assert run_websockets(server, code) == ["x", "x", [None, None]]


@pytest.mark.parametrize("after", [0, 2])
def test_close_with_sends_code_and_reason(after: int) -> None:
    code = """
with connect(url) as client:
    try:
        while True:
            client.send("x")
            tell(client.recv())
    except ConnectionClosed as error:
        tell([error.rcvd.code, error.rcvd.reason])
"""
    with EchoServer(close_with(4444, "enough", after=after)) as server:
        assert run_websockets(server, code) == ["x"] * after + [[4444, "enough"]]
        assert server.connections[0].wait_ended() == 4444


def test_reject_answers_with_status_headers_and_body() -> None:
    code = """
try:
    connect(url)
except InvalidStatus as error:
    response = error.response
    tell([response.status_code, response.headers["Retry-After"], response.body.decode()])
"""
    opening = reject(503, "Busy", headers=[("Retry-After", "7")], body=b"come again")
    with EchoServer(opening=opening) as server:
        for _ in range(2):
            assert run_websockets(server, code) == [[503, "7", "come again"]]
        assert server.open_connections == []


def test_send_raw_sends_bytes_after_the_upgrade() -> None:
    with EchoServer(send_raw(b"\xff\xff\xff\xff")) as server, RawClient(server).open() as peer:
        with pytest.raises(Exception, match="reserved bits"):
            peer.next_event()


def test_send_raw_may_stand_in_place_of_http() -> None:
    opening = send_raw(b"220 mail ESMTP\r\n", then=drop(reset=False))
    with EchoServer(opening=opening) as server, RawClient(server) as peer:
        assert peer.read_to_end() == b"220 mail ESMTP\r\n"


def test_delay_puts_the_upgrade_off() -> None:
    with EchoServer(opening=delay(0.03, accept)) as server:
        start = time.perf_counter()
        with RawClient(server).open() as peer:
            assert time.perf_counter() - start >= 0.03
            peer.send("echo")
            assert peer.next_message() == "echo"


def test_in_turn_gives_each_connection_its_own_behaviour() -> None:
    opening = in_turn(drop(reset=False), reject(500, "Broken"), accept)
    with EchoServer(opening=opening) as server:
        with RawClient(server) as peer:
            assert peer.read_to_end() == b""
        with RawClient(server).request() as peer:
            assert peer.read_response().status_code == 500
        for _ in range(2):
            with RawClient(server).open():
                pass


def test_in_turn_of_nothing_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        in_turn()


def test_own_behaviour_may_push() -> None:
    def push(connection: ServerConnection) -> None:
        for number in range(3):
            connection.send(str(number))
            gevent.sleep(0.001)

    with EchoServer(push) as server, RawClient(server).open() as peer:
        assert [peer.next_message() for _ in range(3)] == ["0", "1", "2"]
        assert peer.next_close()[0] == 1000
