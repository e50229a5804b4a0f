"""The EchoServer as a whole: start and stop, TLS, failures of behaviours, waiting."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import gevent
import pytest

from greenws.testing import EchoServer, ServerConnection, close_with, drop, silent, stop_reading
from tests.support.authority import Authority
from tests.support.clients import RawClient, run_websockets
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]

ECHO = """
with connect(url, **options) as client:
    for message in ("text", "grün", "", b"\\0\\xff", b"", "x" * 70000, b"y" * 1000000):
        client.send(message)
        tell(client.recv() == message)
    client.send(["frag", "men", "ted"])
    tell(client.recv() == "fragmented")
    tell(client.ping().wait(5))
    tell([type(extension).__name__ for extension in client.protocol.extensions])
    tell(client.subprotocol)
"""


def test_websockets_gets_echoes() -> None:
    with EchoServer() as server:
        told = run_websockets(server, ECHO, compression=None)
        assert told == [True] * 9 + [[], None]
        assert server.messages[:4] == ["text", "grün", "", b"\0\xff"]
        assert server.messages[-1] == "fragmented"
        assert server.message_count == 8
        assert server.connections[0].wait_ended() == 1000
        assert server.connections[0].error is None


@pytest.mark.parametrize(
    "preferences",
    [
        True,
        {"server_max_window_bits": 9, "client_max_window_bits": 9},
        {"server_no_context_takeover": True, "client_no_context_takeover": True},
    ],
)
def test_websockets_gets_compressed_echoes(preferences: bool | dict[str, int]) -> None:
    with EchoServer(compress=preferences) as server:
        told = run_websockets(server, ECHO)
        assert told == [True] * 9 + [["PerMessageDeflate"], None]
        assert server.connections[0].is_compressed


def test_compression_is_declined_if_not_wanted() -> None:
    with EchoServer(compress=False) as server, RawClient(server).open(compress=True) as peer:
        assert peer.response is not None
        assert "sec-websocket-extensions" not in peer.response.headers


def test_subprotocol_is_the_servers_first_choice_among_the_offered() -> None:
    with EchoServer(subprotocols=["soap", "chat", "mqtt"]) as server:
        told = run_websockets(server, ECHO, subprotocols=["mqtt", "chat"])
        assert told[-1] == "chat"
        assert server.connections[0].subprotocol == "chat"


def test_no_subprotocol_is_named_if_none_is_common() -> None:
    with EchoServer(subprotocols=["chat"]) as server:
        with RawClient(server).open("Sec-WebSocket-Protocol: mqtt") as peer:
            assert peer.response is not None
            assert "sec-websocket-protocol" not in peer.response.headers


def test_websockets_gets_echoes_over_tls(authority: Authority) -> None:
    with EchoServer(ssl_context=authority.server_context()) as server:
        assert server.url.startswith("wss://127.0.0.1:")
        told = run_websockets(server, ECHO, authority.cafile)
        assert told == [True] * 9 + [["PerMessageDeflate"], None]


def test_client_that_distrusts_the_certificate_is_an_error_of_the_connection(
    authority: Authority, ticking: object
) -> None:
    code = """
try:
    connect(url)
except ssl.SSLError as error:
    tell(error.reason)
"""
    with EchoServer(ssl_context=authority.server_context()) as server:
        assert run_websockets(server, code) == ["CERTIFICATE_VERIFY_FAILED"]
        connection = server.connections[0]
        connection.wait_ended()
        assert "TLS handshake failed" in str(connection.error)


def test_client_without_tls_is_an_error_of_the_connection(authority: Authority) -> None:
    with EchoServer(ssl_context=authority.server_context()) as server:
        with RawClient(server).request() as peer:
            peer.read_to_end()
        assert "TLS handshake failed" in str(server.connections[0].error)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_host_is_the_address_of_the_listener(host: str) -> None:
    with EchoServer(host=host) as server, RawClient(server).open() as peer:
        assert server.url == f"ws://{'[::1]' if host == '::1' else host}:{server.port}/"
        peer.send("hello")
        assert peer.next_message() == "hello"


def test_url_is_not_known_before_the_start() -> None:
    with pytest.raises(RuntimeError, match="not known"):
        _ = EchoServer().url


def test_port_in_use_is_an_error() -> None:
    with EchoServer() as server, pytest.raises(OSError, match="in use"):
        EchoServer(port=server.port).start()


def test_start_twice_is_an_error() -> None:
    with EchoServer() as server, pytest.raises(RuntimeError, match="already"):
        server.start()


def test_server_can_be_started_again_on_its_port() -> None:
    server = EchoServer().start()
    url = server.url
    with RawClient(server).open():
        server.stop()
    with pytest.raises(ConnectionRefusedError):
        RawClient(server)
    server.start()
    assert server.url == url
    with RawClient(server).open() as peer:
        peer.send("again")
        assert peer.next_message() == "again"
    server.stop()
    server.stop()  # harmless
    assert server.connection_count == 2


def test_stop_closes_open_connections_with_1001() -> None:
    with EchoServer() as server, RawClient(server).open() as peer:
        server.stop()
        assert peer.next_close() == (1001, "the server stops")
        assert peer.read_to_end() == b""
        assert server.open_connections == []
        assert server.connections[0].is_ended


@pytest.mark.parametrize("behaviour", [silent, stop_reading, lambda connection: gevent.sleep(99)])
def test_stop_ends_any_behaviour(behaviour: Callable[[ServerConnection], object]) -> None:
    with EchoServer(opening=behaviour) as server:
        peer = RawClient(server)
        server.wait_for(lambda: server.connection_count)
        gevent.sleep(0)  # the behaviour begins
    assert peer.read_to_end() == b""
    peer.sock.close()


def test_stop_before_the_first_turn_of_a_connection_closes_it() -> None:
    server = EchoServer().start()
    peer = RawClient(server)
    server.wait_for(lambda: server.connection_count)
    server.stop()
    assert peer.read_to_end() == b""
    assert server.connections[0].is_ended
    peer.sock.close()


def test_stop_is_not_held_up_by_a_client_that_does_not_read() -> None:
    with EchoServer(receive_buffer=4096) as server:
        with RawClient(server, receive_buffer=4096).open() as peer:
            writer = gevent.spawn(peer.send, b"x" * 8_000_000)
            server.wait_for(lambda: server.message_count)
            stopwatch = Stopwatch()
            server.stop()
            assert stopwatch.own < 1
            writer.kill()


def test_behaviour_may_stop_the_server() -> None:
    def stop_on_demand(connection: ServerConnection) -> None:
        connection.receive()
        server.stop()

    server = EchoServer(stop_on_demand).start()
    with RawClient(server).open() as peer, RawClient(server).open() as other:
        peer.send("stop")
        assert peer.next_close()[0] == 1000
        assert other.next_close()[0] == 1001
        assert other.read_to_end() == b""
        peer.send_close()
        assert peer.read_to_end() == b""


def test_exception_of_a_behaviour_is_raised_at_the_end() -> None:
    def fail(connection: ServerConnection) -> None:
        raise ZeroDivisionError("in a behaviour")

    with pytest.raises(ZeroDivisionError, match="in a behaviour"):
        with EchoServer(fail) as server, RawClient(server).open() as peer:
            assert peer.next_close() == (1011, "")
            connection = server.connections[0]
            assert isinstance(connection.error, ZeroDivisionError)
            assert server.errors == [connection.error]


def test_exception_of_a_behaviour_ends_a_wait() -> None:
    def fail(connection: ServerConnection) -> None:
        raise ZeroDivisionError

    server = EchoServer(fail).start()
    with RawClient(server).open():
        with pytest.raises(ZeroDivisionError):
            server.wait_messages(1)
    server.stop()  # does not raise the exception again


def test_exception_of_a_behaviour_goes_before_one_of_the_block() -> None:
    def fail(connection: ServerConnection) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        with EchoServer(fail) as server, RawClient(server).open() as peer:
            peer.next_close()
            raise KeyError("a consequence")
    assert isinstance(caught.value.__context__, KeyError)


def test_failure_to_finish_does_not_hide_the_first_one(capsys: pytest.CaptureFixture[str]) -> None:
    def leave_a_reader(connection: ServerConnection) -> None:
        readers.append(gevent.spawn(connection.receive_raw))
        gevent.sleep(0)

    readers: list[gevent.Greenlet[..., object]] = []
    with pytest.raises(RuntimeError, match="another greenlet is receiving"):
        with EchoServer(leave_a_reader) as server, RawClient(server).open() as peer:
            assert peer.next_close()[0] == 1000
            peer.read_to_end()
            server.stop()
    gevent.joinall(readers)
    assert "another greenlet" not in capsys.readouterr().err


def test_timeout_of_a_behaviour_counts_as_an_exception() -> None:
    def fail(connection: ServerConnection) -> None:
        with gevent.Timeout(0.001):
            connection.receive()

    with pytest.raises(gevent.Timeout), EchoServer(fail) as server:
        with RawClient(server).open() as peer:
            assert peer.next_close()[0] == 1011


def test_behaviour_factory_that_was_not_called_is_an_error() -> None:
    server = EchoServer(drop).start()  # type: ignore[arg-type]
    with RawClient(server).open() as peer:
        assert peer.next_close()[0] == 1011
    with pytest.raises(TypeError, match="call it, and give the result"):
        server.stop()


@pytest.mark.parametrize(
    "options",
    [
        {"handler": "echo"},
        {"opening": None},
        {"host": b"127.0.0.1"},
        {"port": "80"},
        {"subprotocols": "chat"},
        {"subprotocols": 5},
        {"subprotocols": [b"chat"]},
        {"compress": "yes"},
        {"compress": None},
        {"max_size": "1"},
        {"history": 1.5},
        {"receive_buffer": "1"},
        {"close_timeout": "1"},
        {"open_timeout": "1"},
        {"max_openings": [1]},
    ],
)
def test_option_of_another_type_is_named(options: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        EchoServer(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"port": -1},
        {"port": 65536},
        {"max_size": 0},
        {"history": -1},
        {"receive_buffer": 0},
        {"close_timeout": -1},
        {"open_timeout": 0},
        {"open_timeout": -1},
        {"max_openings": 0},
    ],
)
def test_option_out_of_its_range_is_named(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        EchoServer(**options)  # type: ignore[arg-type]


def test_connections_are_in_order_and_keep_those_that_ended() -> None:
    with EchoServer(history=2) as server, ExitStack() as stack:
        peers = [
            stack.enter_context(RawClient(server)).open(path=f"/{number}") for number in range(4)
        ]
        connections = server.wait_connections(4)
        assert [connection.number for connection in connections] == [1, 2, 3, 4]
        for number in (2, 1, 0):
            peers[number].sock.close()
            connections[number].wait_ended()
        assert server.connections == [connections[0], connections[1], connections[3]]
        assert server.open_connections == [connections[3]]
        assert server.connection_count == 4
        assert connections[3].request is not None
        assert connections[3].request.target == "/3"
        peers[3].sock.close()
        server.wait_idle()
        assert server.open_connections == []


def test_history_limits_what_is_kept() -> None:
    with EchoServer(history=2) as server, RawClient(server).open() as peer:
        for message in "abc":
            peer.send(message)
        assert server.wait_messages(3) == ["b", "c"]
        assert list(server.connections[0].messages) == ["b", "c"]
        assert server.message_count == 3


def test_wait_that_takes_too_long_is_a_timeout_error() -> None:
    with EchoServer() as server, RawClient(server).open():
        server.wait_connections(1)
        with pytest.raises(TimeoutError, match="not true within"):
            server.wait_messages(1, timeout=0.01)
        with pytest.raises(TimeoutError):
            server.wait_connections(2, timeout=0.01)
        with pytest.raises(TimeoutError):
            server.wait_idle(timeout=0.01)
        with pytest.raises(TimeoutError):
            server.connections[0].wait_ended(timeout=0.01)


def test_max_size_refuses_a_message_with_1009() -> None:
    with EchoServer(max_size=100) as server, RawClient(server).open() as peer:
        peer.send("x" * 101)
        assert peer.next_close()[0] == 1009
        peer.send_close(1009)
        assert peer.read_to_end() == b""


def test_many_connections_are_served_at_once(ticking: object) -> None:
    with EchoServer(history=0) as server, ExitStack() as stack:
        peers = [stack.enter_context(RawClient(server)).request() for _ in range(100)]
        for peer in peers:
            peer.read_response()
            peer.send("x")
        assert [peer.next_message() for peer in peers] == ["x"] * 100
        assert len(server.open_connections) == 100
        for peer in peers:
            peer.sock.close()
        server.wait_idle()
        assert server.connections == []


def test_flooding_client_leaves_the_others_their_turn() -> None:
    with EchoServer(lambda connection: list(connection), history=0) as server:
        with RawClient(server).open() as flooder, RawClient(server).open() as other:

            def flood() -> None:
                while True:
                    flooder.send(b"x" * 60000)

            flooding = gevent.spawn(flood)
            server.wait_for(lambda: server.message_count > 20)
            for payload in (b"1", b"2", b"3"):
                other.send_ping(payload)
                assert other.next_event().data == payload  # type: ignore[attr-defined]
            flooding.kill()


def test_wait_for_condition_sees_pings_and_closes() -> None:
    with EchoServer() as server, RawClient(server).open() as peer:
        connection = server.wait_connections()[0]
        gevent.spawn(peer.send_ping, b"alive")
        server.wait_for(lambda: connection.pings)
        assert list(connection.pings) == [b"alive"]
        gevent.spawn(peer.send_close, 4000, "bye")
        assert server.wait_for(lambda: connection.close_code) == 4000
        assert connection.close_reason == "bye"


def test_serve_forever_serves_until_killed() -> None:
    server = EchoServer(close_with(1012))
    greenlet = gevent.spawn(server.serve_forever)
    server.wait_for(lambda: server.port)
    with RawClient(server).open() as peer:
        assert peer.next_close()[0] == 1012
    greenlet.kill()
    with pytest.raises(ConnectionRefusedError):
        RawClient(server)


PATCHED = """
from gevent import monkey
monkey.patch_all()
import socket, ssl, sys, threading
from greenws.testing import EchoServer
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
from websockets.sync.client import connect
with EchoServer() as server, connect(server.url) as client:
    client.send("plain")
    assert client.recv() == "plain"
with EchoServer(ssl_context=context) as server:
    with connect(server.url, ssl=ssl.create_default_context(cafile=sys.argv[2])) as client:
        client.send("tls" * 100000)
        assert client.recv() == "tls" * 100000
    assert server.connections[0].wait_ended() == 1000
print("done")
"""


def test_patched_process_is_served(authority: Authority) -> None:
    certificate = authority.issue_file("server.pem")
    run = subprocess.run(
        [sys.executable, "-c", PATCHED, certificate, authority.cafile],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=2 * PATIENCE,
        check=True,
    )
    assert run.stdout == b"done\n"
