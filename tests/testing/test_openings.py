"""Openings that clients do not finish: their deadline, their number, and those beside them."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.ssl import SSLContext

from greenws.testing import EchoServer, ServerConnection, accept, delay, openings, silent
from greenws.testing.openings import Openings
from tests.support.authority import Authority
from tests.support.clients import RawClient
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE, wait_until

HALF = b"GET / HTTP/1.1\r\nHost: local"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are short, and that count however busy this machine is."""
    monkeypatch.setattr(openings, "_PAUSE", 0.002)
    monkeypatch.setattr(openings, "_BUSY_PART", 100.0)


def connect_half(stack: ExitStack, server: EchoServer, data: bytes = HALF) -> RawClient:
    peer = stack.enter_context(RawClient(server))
    if data:
        peer.sock.sendall(data)
    return peer


@pytest.mark.parametrize("data", [b"", b"G", HALF, HALF + b"\r\n"])
def test_request_that_is_late_is_answered_with_408(data: bytes, stack: ExitStack) -> None:
    with EchoServer(open_timeout=0.05) as server:
        peer = connect_half(stack, server, data)
        answer = peer.read_to_end()
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert answer.endswith(b"The opening has taken more than 0.05 s\n")
        server.wait_idle()
        assert "more than 0.05 s" in str(server.connections[0].error)
    assert server.errors == []


def test_byte_after_byte_does_not_extend_the_time(stack: ExitStack) -> None:
    with EchoServer(open_timeout=0.1) as server:
        peer = connect_half(stack, server, b"")

        def trickle() -> None:
            while True:
                peer.sock.sendall(b"G")
                gevent.sleep(0.005)

        trickling = gevent.spawn(trickle)
        assert peer.sock.recv(12) == b"HTTP/1.1 408"
        trickling.kill()


@pytest.mark.parametrize("data", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_tls_handshake_that_stalls_is_ended(
    data: bytes, stack: ExitStack, authority: Authority
) -> None:
    with EchoServer(ssl_context=authority.server_context(), open_timeout=0.05) as server:
        peer = connect_half(stack, server, data)
        assert peer.read_to_end() == b""
        server.wait_idle()
        assert "more than 0.05 s" in str(server.connections[0].error)


def open_tls(server: EchoServer, authority: Authority) -> Any:
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.cafile)
    sock = socket.create_connection((server.host, server.port))
    return context.wrap_socket(sock, server_hostname="127.0.0.1")


def test_request_after_tls_shares_its_time(authority: Authority) -> None:
    with EchoServer(ssl_context=authority.server_context(), open_timeout=0.3) as server:
        with open_tls(server, authority) as sock:
            sock.sendall(HALF)
            assert sock.recv(12) == b"HTTP/1.1 408"
        server.wait_idle()


class StuckContext:
    """A context whose handshake always wants to write."""

    def wrap_socket(self, sock: Any, **options: object) -> StuckContext:
        self._sock = sock
        return self

    def do_handshake(self) -> None:
        raise ssl.SSLWantWriteError

    def fileno(self) -> int:
        return self._sock.fileno()  # type: ignore[no-any-return]

    def unwrap(self) -> None:
        raise ZeroDivisionError("a failure that nobody expects")

    def close(self) -> None:
        self._sock.close()


def test_handshake_that_waits_to_write_is_ended(
    stack: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    context: Any = StuckContext()
    with EchoServer(ssl_context=context, open_timeout=0.05) as server:
        peer = connect_half(stack, server, b"")
        assert peer.read_to_end() == b""
        server.wait_idle()  # even though the end of the connection has failed
        assert "more than 0.05 s" in str(server.connections[0].error)
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("opening", [silent, delay(0.3, accept)])
def test_opening_that_stalls_by_itself_is_not_limited(
    opening: Callable[[ServerConnection], object], stack: ExitStack
) -> None:
    with EchoServer(opening=opening, open_timeout=0.05, max_openings=1) as server:
        peers = [stack.enter_context(RawClient(server)).request() for _ in range(3)]
        server.wait_for(lambda: server.connection_count == 3)
        if opening is silent:
            peers[0].expect_silence()
            peers[1].expect_silence()
        else:
            assert [peer.read_response().status_code for peer in peers] == [101] * 3


def test_open_connection_has_no_deadline(stack: ExitStack) -> None:
    with EchoServer(open_timeout=0.05) as server:
        peer = stack.enter_context(RawClient(server)).open()
        peer.expect_silence()
        gevent.sleep(0.05)
        peer.send("still there")
        assert peer.next_message() == "still there"


def test_no_limits_are_none(stack: ExitStack) -> None:
    with EchoServer(open_timeout=None, max_openings=None) as server:
        peer = connect_half(stack, server)
        other = stack.enter_context(RawClient(server)).open()
        other.send("hello")
        assert other.next_message() == "hello"
        peer.expect_silence()


@pytest.mark.parametrize(
    "options", [{"open_timeout": 0}, {"open_timeout": float("nan")}, {"max_openings": 0}]
)
def test_limit_that_is_none_at_all_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be more than 0, or None"):
        EchoServer(**options)


@pytest.mark.usefixtures("quick")
def test_honest_client_gets_in_beside_many_that_finish_nothing(stack: ExitStack) -> None:
    with EchoServer(open_timeout=60, max_openings=20) as server:
        halves = [connect_half(stack, server) for _ in range(100)]
        honest = stack.enter_context(RawClient(server)).open()
        honest.send("hello")
        assert honest.next_message() == "hello"
        assert server.connection_count == 101
        answer = halves[0].read_to_end()
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        # The last ones keep nobody out.
        wait_until(lambda: len(server._openings) < 20)


@pytest.mark.usefixtures("quick")
def test_honest_client_gets_in_beside_tls_handshakes_that_stall(
    stack: ExitStack, authority: Authority
) -> None:
    with EchoServer(
        ssl_context=authority.server_context(), open_timeout=60, max_openings=5
    ) as server:
        for _ in range(12):
            connect_half(stack, server, b"\x16\x03\x01")
        with gevent.Timeout(PATIENCE), open_tls(server, authority) as sock:
            sock.sendall(HALF)
            server.wait_for(lambda: server.connection_count == 13)


def test_number_under_way_never_exceeds_the_limit(stack: ExitStack) -> None:
    with EchoServer(open_timeout=60, max_openings=3) as server:
        for _ in range(10):
            connect_half(stack, server, b"")
        server.wait_for(lambda: server.connection_count == 3)
        gevent.sleep(0.02)  # for a fourth one, which must not come
        assert server.connection_count == 3


def test_busy_thread_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openings, "_PAUSE", 0.001)
    monkeypatch.setattr(openings, "_BUSY_PART", -1.0)
    refused: list[object] = []

    class Kept:
        def fail(self, error: object) -> None:
            refused.append(error)

    several = Openings(None, 1)
    opening = several.begin(Kept())  # type: ignore[arg-type]
    for _ in range(30):
        several.make_room()
    assert (refused, opening.pauses) == ([], 0)
    monkeypatch.setattr(openings, "_BUSY_PART", 100.0)
    for _ in range(30):
        several.make_room()
    assert len(refused) == 1
    assert opening.refusal is not None


def test_refusal_that_comes_with_the_last_bytes_counts(stack: ExitStack) -> None:
    with EchoServer() as server:
        peer = connect_half(stack, server)
        server.wait_for(lambda: server.connection_count)
        gevent.sleep(0)
        (connection,) = server.connections
        opening = connection._opening

        class LateWire:
            def fail(self, error: object) -> None:
                pass

        opening._wire = LateWire()  # type: ignore[assignment]
        opening.refuse("late", 408)
        opening.refuse("late again", 503)
        peer.sock.sendall(b"host\r\n\r\n")
        assert peer.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_stop_ends_openings_under_way_at_once() -> None:
    with ExitStack() as stack:
        server = EchoServer(open_timeout=60, max_openings=50).start()
        peers = [connect_half(stack, server) for _ in range(80)]
        server.wait_for(lambda: server.connection_count == 50)
        stopwatch = Stopwatch()
        server.stop()
        assert stopwatch.own < 1
        assert len(server._openings) == 0
        assert peers[0].read_to_end() == b""
        server.start()
        again = stack.enter_context(RawClient(server)).open()
        again.send("again")
        assert again.next_message() == "again"
        server.stop()


class FailingListener:
    """A listener whose first attempts to accept fail."""

    def __init__(self, listener: Any, *codes: int) -> None:
        self._listener = listener
        self._codes = list(codes)
        self.family, self.type, self.proto = listener.family, listener.type, listener.proto

    def _accept(self) -> Any:
        if self._codes:
            code = self._codes.pop(0)
            raise OSError(code, "failed")
        return self._listener._accept()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOBUFS, errno.ECONNABORTED, errno.EPROTO])
def test_failure_to_accept_does_not_end_the_server(code: int, stack: ExitStack) -> None:
    with EchoServer() as server:
        accept_some = server._accept_some
        failing = FailingListener(server._listener, code, code)
        server._accept_some = lambda listener: accept_some(failing)  # type: ignore[method-assign,assignment,arg-type]
        peer = stack.enter_context(RawClient(server)).open()
        peer.send("hello")
        assert peer.next_message() == "hello"


def test_failure_of_one_connection_does_not_end_the_server(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EchoServer().start()
    spawn = gevent.spawn
    failures = [ZeroDivisionError("no greenlet")]

    def spawn_later(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return spawn(*args)

    monkeypatch.setattr("greenws.testing.server.gevent.spawn", spawn_later)
    assert stack.enter_context(RawClient(server)).read_to_end() == b""
    monkeypatch.undo()
    peer = stack.enter_context(RawClient(server)).open()
    peer.send("hello")
    assert peer.next_message() == "hello"
    assert len(server._openings) == 0
    with pytest.raises(ZeroDivisionError, match="no greenlet"):
        server.stop()
