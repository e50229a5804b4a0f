"""HTTP and SOCKS proxies on loopback."""

from __future__ import annotations

import _socket
import base64
import contextlib
import ssl
import struct
from typing import Any

import gevent
import gevent.socket

from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer


class Proxy(LoopbackServer):
    """Carries bytes to any target. The subclasses know how a client names one.

    :param greeting: follows the reply in the same piece, as a server's first words could.
    """

    #: The names that the proxy resolves, and their addresses.
    hosts: dict[str, str]

    def __init__(self, context: ssl.SSLContext | None = None, greeting: bytes = b"") -> None:
        super().__init__(self.handle, context)
        self.hosts = {"name.of.target": "127.0.0.1"}
        #: The scheme of :attr:`url`.
        self.scheme = "http"
        self._greeting = greeting

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    def handle(self, peer: RawServerPeer) -> None:
        """Read the request of the client, and :meth:`carry`."""
        raise NotImplementedError

    def carry(self, peer: RawServerPeer, host: str, port: int, reply: bytes) -> None:
        """Connect to the target, reply, and relay until the client ends."""
        upstream = gevent.socket.create_connection((self.hosts.get(host, host), port))
        with contextlib.closing(upstream):
            peer.send(reply + self._greeting)
            upstream.sendall(peer.take_rest())
            relay(peer.sock, upstream)


def relay(client: Any, upstream: Any) -> None:
    """Carry bytes both ways between two sockets until the client ends the stream."""
    pump = gevent.spawn(_pump, upstream, client)
    try:
        _pump(client, upstream)
    finally:
        pump.kill()


def _pump(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(_socket.SHUT_WR)


class HTTPProxy(Proxy):
    """Knows CONNECT; a proxy with credentials wants them."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        credentials: bytes | None = None,
        interim: bytes = b"",
        greeting: bytes = b"",
    ) -> None:
        super().__init__(context, greeting)
        self._credentials = credentials
        self._interim = interim
        self.requests: list[bytes] = []

    def handle(self, peer: RawServerPeer) -> None:
        head = peer.read_head()
        self.requests.append(head)
        if self._credentials is not None:
            wanted = b"Proxy-Authorization: Basic " + base64.b64encode(self._credentials)
            if wanted not in head.split(b"\r\n"):
                peer.send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return
        authority = head.split(b" ")[1].decode()
        host, _, port = authority.rpartition(":")
        reply = self._interim + b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"
        self.carry(peer, host.strip("[]"), int(port), reply)


class SocksProxy(Proxy):
    """Knows SOCKS 4, 4a and 5; a proxy with credentials wants them."""

    def __init__(
        self,
        credentials: tuple[bytes, bytes] | None = None,
        status: int | None = None,
        greeting: bytes = b"",
    ) -> None:
        super().__init__(None, greeting)
        self._credentials = credentials
        self._status = status
        #: (version, kind of address, host, port, user name) of each request.
        self.requests: list[tuple[int, str, str, int, bytes]] = []

    def handle(self, peer: RawServerPeer) -> None:
        version = peer.read_exactly(1)[0]
        if version == 4:
            self._handle_4(peer)
        elif version == 5:
            self._handle_5(peer)

    def _handle_4(self, peer: RawServerPeer) -> None:
        _, port, packed = struct.unpack(">BH4s", peer.read_exactly(7))
        user = peer.read_until(b"\0")
        kind, host = "address", _socket.inet_ntoa(packed)
        if packed[:3] == b"\0\0\0" and packed[3]:
            kind, host = "name", peer.read_until(b"\0").decode()
        self.requests.append((4, kind, host, port, user))
        status = 0x5A if self._status is None else self._status
        reply = struct.pack(">BBH4s", 0, status, port, packed)
        if status == 0x5A:
            self.carry(peer, host, port, reply)
        else:
            peer.send(reply)

    def _handle_5(self, peer: RawServerPeer) -> None:
        methods = peer.read_exactly(peer.read_exactly(1)[0])
        wanted = 2 if self._credentials else 0
        if wanted not in methods:
            peer.send(b"\x05\xff")
            return
        peer.send(bytes((5, wanted)))
        user = b""
        if self._credentials:
            assert peer.read_exactly(1) == b"\x01"
            user = peer.read_exactly(peer.read_exactly(1)[0])
            password = peer.read_exactly(peer.read_exactly(1)[0])
            if (user, password) != self._credentials:
                peer.send(b"\x01\x01")
                return
            peer.send(b"\x01\x00")
        _, _, _, kind = peer.read_exactly(4)
        if kind == 1:
            host = _socket.inet_ntop(_socket.AF_INET, peer.read_exactly(4))
        elif kind == 4:
            host = _socket.inet_ntop(_socket.AF_INET6, peer.read_exactly(16))
        else:
            host = peer.read_exactly(peer.read_exactly(1)[0]).decode()
        port = struct.unpack(">H", peer.read_exactly(2))[0]
        self.requests.append((5, "name" if kind == 3 else "address", host, port, user))
        status = self._status or 0
        reply = bytes((5, status, 0, 3, 9)) + b"localhost" + struct.pack(">H", port)
        if status:
            peer.send(reply)
        else:
            self.carry(peer, host, port, reply)
