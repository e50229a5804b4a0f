"""The negotiation with a proxy until its tunnel stands, or does not."""

from __future__ import annotations

import _socket
import os
from typing import Any

import gevent
import gevent.event
import pytest

from greenws.errors import ProxyFail
from greenws.proxies.address import ProxyAddress
from greenws.sessions.plain import SocketTransport
from greenws.sessions.tunnel import open_http_tunnel, open_socks_tunnel
from tests.support.leftovers import count_descriptors
from tests.support.loopback import LoopbackServer, echo_bytes
from tests.support.peer import RawServerPeer
from tests.support.proxies import HTTPProxy, SocksProxy
from tests.support.ticker import Ticker
from tests.support.transports import exchange, receive

GREETING = b"\x16first bytes of the tunnel\r\n\r\n"


def connect(port: int) -> _socket.socket:
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def address(
    scheme: str, port: int, user: bytes | None = None, password: bytes | None = None
) -> Any:
    return ProxyAddress(scheme, "127.0.0.1", port, user, password)


# CONNECT


def test_http_tunnel_stands_and_keeps_what_follows_the_reply() -> None:
    with LoopbackServer(echo_bytes) as target, HTTPProxy(greeting=GREETING) as proxy:
        transport = SocketTransport(connect(proxy.port))
        proxy_address = address("http", proxy.port)
        assert open_http_tunnel(transport, proxy_address, "127.0.0.1", target.port) == 200
        assert receive(transport, len(GREETING)) == GREETING
        assert exchange(transport, b"hello") == b"hello"
        transport.close()


def test_http_tunnel_skips_interim_replies() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    with LoopbackServer(echo_bytes) as target, HTTPProxy(interim=interim) as proxy:
        transport = SocketTransport(connect(proxy.port))
        proxy_address = address("http", proxy.port)
        assert open_http_tunnel(transport, proxy_address, "127.0.0.1", target.port) == 200
        transport.close()


@pytest.mark.parametrize(
    "credentials", [b"user:pass", b"us\xc3\xa9r:p@ss:w/rd", b"u:" + bytes(range(256)) * 20]
)
def test_http_tunnel_takes_any_credentials(credentials: bytes) -> None:
    user, _, password = credentials.partition(b":")
    with LoopbackServer(echo_bytes) as target, HTTPProxy(credentials=credentials) as proxy:
        transport = SocketTransport(connect(proxy.port))
        proxy_address = address("http", proxy.port, user, password)
        assert open_http_tunnel(transport, proxy_address, "127.0.0.1", target.port) == 200
        transport.close()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"HTTP/1.1 407 Proxy Auth\r\n\r\n", "refused the tunnel: 407 Proxy Auth"),
        (b"HTTP/1.0 503\r\n\r\n", "refused the tunnel: 503"),
        (b"", "closed the connection without a reply"),
        (b"HT", "closed the connection without a reply; it sent 'HT'"),
        (b"HTTP/1.1 200 OK\r\n", "closed the connection without a reply; it sent 'HTTP/1.1 200"),
        (b"SSH-2.0-x\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20000, "sent a reply that is too long"),
    ],
)
def test_http_tunnel_that_is_refused_is_a_proxy_fail(reply: bytes, message: str) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.recv(4096)
        peer.sock.sendall(reply)
        peer.sock.shutdown(1)

    with LoopbackServer(script) as server:
        transport = SocketTransport(connect(server.port))
        with pytest.raises(ProxyFail) as caught:
            open_http_tunnel(transport, address("http", server.port, b"u", b"S3cret"), "h", 1)
        assert str(caught.value).startswith(f"proxy http://127.0.0.1:{server.port} {message}")
        transport.close()


def test_http_tunnel_that_is_reset_is_a_proxy_fail() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.recv(4096)
        peer.sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with LoopbackServer(script) as server:
        transport = SocketTransport(connect(server.port))
        with pytest.raises(ProxyFail, match="Connection reset by peer"):
            open_http_tunnel(transport, address("http", server.port), "h", 1)
        transport.close()


# SOCKS

SOCKS = [
    ("socks4", "127.0.0.1", (4, "address", "127.0.0.1")),
    ("socks4a", "127.0.0.1", (4, "address", "127.0.0.1")),
    ("socks4a", "name.of.target", (4, "name", "name.of.target")),
    ("socks5", "127.0.0.1", (5, "address", "127.0.0.1")),
    ("socks5h", "127.0.0.1", (5, "address", "127.0.0.1")),
    ("socks5h", "name.of.target", (5, "name", "name.of.target")),
]


@pytest.mark.parametrize(("scheme", "host", "request_seen"), SOCKS)
def test_socks_tunnel_stands_and_loses_no_byte(
    scheme: str, host: str, request_seen: tuple[Any, ...]
) -> None:
    with LoopbackServer(echo_bytes) as target, SocksProxy(greeting=GREETING) as proxy:
        sock = connect(proxy.port)
        before = count_descriptors()
        tunnel = open_socks_tunnel(sock, address(scheme, proxy.port), host, target.port)
        assert sock.fileno() == -1
        assert tunnel.gettimeout() == 0.0
        assert os.get_blocking(tunnel.fileno()) is False
        transport = SocketTransport(tunnel)
        assert receive(transport, len(GREETING)) == GREETING
        assert exchange(transport, b"hello") == b"hello"
        transport.close()
        assert count_descriptors() <= before + 2  # the proxy has two more, to the target
        assert proxy.requests == [(*request_seen, target.port, b"")]


def test_socks5_request_may_name_an_ipv6_address() -> None:
    with SocksProxy(status=4) as proxy:
        with pytest.raises(ProxyFail):
            open_socks_tunnel(connect(proxy.port), address("socks5", proxy.port), "2001:db8::1", 80)
        assert proxy.requests == [(5, "address", "2001:db8::1", 80, b"")]


@pytest.mark.parametrize("size", [1, 127, 128, 200, 253])
def test_socks5_request_may_have_a_name_of_any_length(size: int) -> None:
    labels = "x" * size
    name = ".".join(labels[start : start + 63] for start in range(0, size, 63))[:size].rstrip(".")
    with SocksProxy(status=4) as proxy:
        with pytest.raises(ProxyFail):
            open_socks_tunnel(connect(proxy.port), address("socks5h", proxy.port), name, 80)
        assert [request[2] for request in proxy.requests] == [name]


@pytest.mark.parametrize(
    "credentials",
    [
        (b"user", b"pass"),
        (b"us\xc3\xa9r", b"\x00\xff@:/"),
        (b"u" * 127, b"p" * 128),
        (b"u" * 255, b"p" * 255),
        (b"user", b""),
        (b"", b"pass"),
    ],
)
def test_socks5_credentials_may_have_any_length(credentials: tuple[bytes, bytes]) -> None:
    with LoopbackServer(echo_bytes) as target, SocksProxy(credentials) as proxy:
        proxy_address = address("socks5", proxy.port, *credentials)
        tunnel = open_socks_tunnel(connect(proxy.port), proxy_address, "127.0.0.1", target.port)
        tunnel.close()
        assert proxy.requests[0][-1] == credentials[0]


def test_socks4_request_has_the_user_name() -> None:
    with LoopbackServer(echo_bytes) as target, SocksProxy() as proxy:
        proxy_address = address("socks4", proxy.port, b"us\xc3\xa9r" * 100)
        open_socks_tunnel(connect(proxy.port), proxy_address, "127.0.0.1", target.port).close()
        assert proxy.requests[0][-1] == b"us\xc3\xa9r" * 100


@pytest.mark.parametrize(
    ("scheme", "status", "reply"),
    [
        ("socks5", 1, "General SOCKS server failure (0x01)"),
        ("socks5", 2, "Connection not allowed by ruleset (0x02)"),
        ("socks5", 3, "Network unreachable (0x03)"),
        ("socks5", 4, "Host unreachable (0x04)"),
        ("socks5", 5, "Connection refused (0x05)"),
        ("socks5", 6, "TTL expired (0x06)"),
        ("socks5h", 8, "Address type not supported (0x08)"),
        ("socks5", 99, "Unknown error (0x63)"),
        ("socks4", 0x5B, "Request rejected or failed (0x5b)"),
        ("socks4a", 0x5C, "Request rejected because SOCKS server cannot connect to identd"),
        ("socks4", 0x77, "Unknown error (0x77)"),
    ],
)
def test_socks_refusal_is_named(scheme: str, status: int, reply: str) -> None:
    with SocksProxy(status=status) as proxy:
        before = count_descriptors()
        with pytest.raises(ProxyFail) as caught:
            proxy_address = address(scheme, proxy.port)
            open_socks_tunnel(connect(proxy.port), proxy_address, "127.0.0.1", 80)
        expected = f"proxy {scheme}://127.0.0.1:{proxy.port} refused the tunnel: {reply}"
        assert str(caught.value).startswith(expected)
        assert count_descriptors() <= before + 1


@pytest.mark.parametrize(
    ("user", "password", "message"),
    [
        (None, None, "All offered SOCKS5 authentication methods were rejected"),
        (b"user", b"S3cretWrong", "SOCKS5 authentication failed"),
    ],
)
def test_socks5_authentication_that_is_refused_is_a_proxy_fail(
    user: bytes | None, password: bytes | None, message: str
) -> None:
    with SocksProxy((b"user", b"right")) as proxy:
        with pytest.raises(ProxyFail) as caught:
            proxy_address = address("socks5", proxy.port, user, password)
            open_socks_tunnel(connect(proxy.port), proxy_address, "127.0.0.1", 80)
        assert "refused the authentication: " + message in str(caught.value)
        assert "S3cret" not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize(
    ("scheme", "reply", "message"),
    [
        ("socks5", b"", "Connection closed unexpectedly"),
        ("socks5", b"\x05", "Connection closed unexpectedly"),
        ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "sent invalid data"),
        ("socks5", b"\x05\x07", "sent invalid data"),
        ("socks5", b"\x05\x00\x05\x00\x00\x09", "sent invalid data"),
        ("socks5", b"\x05\x00\x05\x00\x00\x03\x20short", "Connection closed unexpectedly"),
        ("socks4", b"HTTP/1.1 400", "sent invalid data"),
        ("socks4", b"\x00\x5a", "Connection closed unexpectedly"),
    ],
)
def test_socks_proxy_that_talks_nonsense_is_a_proxy_fail(
    scheme: str, reply: bytes, message: str
) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.recv(100)
        peer.sock.sendall(reply)
        peer.sock.shutdown(1)
        peer.sock.recv(100)

    with LoopbackServer(script) as server, pytest.raises(ProxyFail, match=message):
        open_socks_tunnel(connect(server.port), address(scheme, server.port), "127.0.0.1", 80)


@pytest.mark.parametrize(
    ("user", "reply", "message"),
    [
        (b"user", b"\x05\x02\x01\x01", "refused the authentication: SOCKS5 authentication failed"),
        (None, b"\x05\x00\x05\x02\x00\x01", "refused the tunnel: .*not allowed"),
        (None, b"\x05\x00\x05\x05\x00\x01", "refused the tunnel: Connection refused"),
        (b"user", b"\x05\x02\x01", "Broken pipe|reset"),
    ],
)
def test_socks_refusal_that_came_before_a_reset_is_named(
    user: bytes | None, reply: bytes, message: str
) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.recv(100)
        peer.sock.sendall(reply)
        peer.reset()  # before the next part of the negotiation can be sent

    with LoopbackServer(script) as server, pytest.raises(ProxyFail, match=message):
        proxy_address = address("socks5", server.port, user, b"password")
        open_socks_tunnel(connect(server.port), proxy_address, "127.0.0.1", 80)


def test_invalid_socks_host_is_a_proxy_fail() -> None:
    with SocksProxy() as proxy, pytest.raises(ProxyFail, match="is not a host name"):
        open_socks_tunnel(connect(proxy.port), address("socks5h", proxy.port), "a..b", 80)


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_hub_goes_on_while_a_socks_proxy_is_silent(scheme: str, ticking: Ticker) -> None:
    received = gevent.event.Event()

    def script(peer: RawServerPeer) -> None:
        peer.sock.recv(100)
        received.set()
        peer.sock.recv(100)

    with LoopbackServer(script) as server:
        sock = connect(server.port)
        before = count_descriptors()
        greenlet = gevent.spawn(
            open_socks_tunnel, sock, address(scheme, server.port), "127.0.0.1", 80
        )
        assert received.wait(5)
        ticking.reset()
        ticking.wait(20)
        assert not greenlet.dead
        assert ticking.largest_gap < 0.05
        during = count_descriptors()
        greenlet.kill()
        assert count_descriptors() == during - 1
        assert before <= during


def test_default_timeout_of_the_application_does_not_count() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.recv(100)
        gevent.sleep(0.15)
        peer.sock.sendall(b"\x05\xff")

    with LoopbackServer(script) as server:
        sock = connect(server.port)
        _socket.setdefaulttimeout(0.05)
        try:
            with pytest.raises(ProxyFail, match="refused the authentication"):
                open_socks_tunnel(sock, address("socks5", server.port), "127.0.0.1", 80)
        finally:
            _socket.setdefaulttimeout(None)
