"""Peers on loopback that do as they are told: echo servers, proxies, and places that stall."""

from __future__ import annotations

import _socket
import base64
import contextlib
import os
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.pool
import gevent.socket
import gevent.ssl
import trustme
from gevent.server import StreamServer

from greenws.sessions.transport import Transport
from greenws.sessions.wait import READ, WRITE, wait
from tests.support.dialing import DialOptions, dial

Handler = Callable[[Any], None]


class Authority:
    """A CA of the test's own, and contexts for servers it vouches for."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.cafile = str(folder / "ca.pem")
        self.ca.cert_pem.write_to_path(self.cafile)

    def server_context(self, *names: str, **kwargs: Any) -> ssl.SSLContext:
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or ("localhost", "127.0.0.1", "::1")), **kwargs).configure_cert(
            context
        )
        return context


class Server:
    """Runs a handler per connection on a port of 127.0.0.1; failures of TLS are remembered."""

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.context = context
        self._pool = gevent.pool.Pool()
        self._server = StreamServer((host, 0), self._run, spawn=self._pool)
        self.connections = 0
        self.resumed: list[bool] = []
        self.tls_errors: list[Exception] = []
        self.server_names: list[str | None] = []
        if context is not None:
            context.sni_callback = lambda sock, name, _: self.server_names.append(name)

    @property
    def port(self) -> int:
        port = self._server.server_port
        assert port is not None
        return port

    def handle(self, sock: Any) -> None:
        """Echo."""
        while data := sock.recv(65536):
            sock.sendall(data)

    def __enter__(self) -> Any:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=0)
        self._pool.kill()

    def _run(self, sock: Any, address: Any) -> None:
        self.connections += 1
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        try:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
                self.resumed.append(sock.session_reused)
            self.handle(sock)
        except OSError as error:  # ssl.SSLError is one too
            self.tls_errors.append(error)
        finally:
            sock.close()


class ScriptedServer(Server):
    """Runs a function per connection."""

    def __init__(self, script: Handler, context: ssl.SSLContext | None = None) -> None:
        super().__init__(context)
        self._script = script

    def handle(self, sock: Any) -> None:
        self._script(sock)


def read_head(sock: Any) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            return b""
        head += byte
    return head


def read_exactly(sock: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionError("the client went away")
        data += piece
    return data


def read_until_nul(sock: Any) -> bytes:
    data = b""
    while not data.endswith(b"\0"):
        data += read_exactly(sock, 1)
    return data[:-1]


class Proxy(Server):
    """Common to the proxies: carries bytes to wherever the client wants."""

    #: Where names lead that the proxy resolves.
    hosts: dict[str, str]

    def __init__(self, context: ssl.SSLContext | None = None, greeting: bytes = b"") -> None:
        super().__init__(context)
        self.hosts = {"name.of.target": "127.0.0.1"}
        self._greeting = greeting

    def carry(self, sock: Any, host: str, port: int, reply: bytes) -> None:
        # The greeting follows the reply in one piece, as a server's that speaks first could.
        upstream = gevent.socket.create_connection((self.hosts.get(host, host), port))
        pump = gevent.spawn(_pump, upstream, sock)
        try:
            sock.sendall(reply + self._greeting)
            _pump(sock, upstream)
        finally:
            pump.kill()
            upstream.close()


def _pump(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(_socket.SHUT_WR)


class HTTPProxy(Proxy):
    """Knows CONNECT; with credentials, wants them."""

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

    def handle(self, sock: Any) -> None:
        head = read_head(sock)
        if not head:
            return
        self.requests.append(head)
        if self._credentials is not None:
            wanted = b"Proxy-Authorization: Basic " + base64.b64encode(self._credentials)
            if wanted not in head.split(b"\r\n"):
                sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return
        authority = head.split(b" ")[1].decode()
        host, _, port = authority.rpartition(":")
        reply = self._interim + b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"
        self.carry(sock, host.strip("[]"), int(port), reply)


class SocksProxy(Proxy):
    """SOCKS 4, 4a and 5; with credentials, wants them."""

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

    def handle(self, sock: Any) -> None:
        version = read_exactly(sock, 1)[0]
        if version == 4:
            self._handle_4(sock)
        elif version == 5:
            self._handle_5(sock)

    def _handle_4(self, sock: Any) -> None:
        _, port, packed = struct.unpack(">BH4s", read_exactly(sock, 7))
        user = read_until_nul(sock)
        kind, host = "address", _socket.inet_ntoa(packed)
        if packed[:3] == b"\0\0\0" and packed[3]:
            kind, host = "name", read_until_nul(sock).decode()
        self.requests.append((4, kind, host, port, user))
        status = 0x5A if self._status is None else self._status
        reply = struct.pack(">BBH4s", 0, status, port, packed)
        if status == 0x5A:
            self.carry(sock, host, port, reply)
        else:
            sock.sendall(reply)

    def _handle_5(self, sock: Any) -> None:
        methods = read_exactly(sock, read_exactly(sock, 1)[0])
        wanted = 2 if self._credentials else 0
        if wanted not in methods:
            sock.sendall(b"\x05\xff")
            return
        sock.sendall(bytes((5, wanted)))
        user = b""
        if self._credentials:
            assert read_exactly(sock, 1) == b"\x01"
            user = read_exactly(sock, read_exactly(sock, 1)[0])
            password = read_exactly(sock, read_exactly(sock, 1)[0])
            if (user, password) != self._credentials:
                sock.sendall(b"\x01\x01")
                return
            sock.sendall(b"\x01\x00")
        _, _, _, kind = read_exactly(sock, 4)
        if kind == 1:
            host = _socket.inet_ntop(_socket.AF_INET, read_exactly(sock, 4))
        elif kind == 4:
            host = _socket.inet_ntop(_socket.AF_INET6, read_exactly(sock, 16))
        else:
            host = read_exactly(sock, read_exactly(sock, 1)[0]).decode()
        port = struct.unpack(">H", read_exactly(sock, 2))[0]
        self.requests.append((5, "name" if kind == 3 else "address", host, port, user))
        status = self._status or 0
        reply = bytes((5, status, 0, 3, 9)) + b"localhost" + struct.pack(">H", port)
        if status:
            sock.sendall(reply)
        else:
            self.carry(sock, host, port, reply)


@contextlib.contextmanager
def full_listener(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that answers no further connection: its queue is full and nobody accepts."""
    with full_socket(host) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def full_socket(host: str = "127.0.0.1") -> Iterator[_socket.socket]:
    """The socket of a :func:`full_listener`, for who wants to accept after all."""
    family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
    listener = _socket.socket(family, _socket.SOCK_STREAM)
    fillers = []
    try:
        listener.bind((host, 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(8):
            filler = _socket.socket(family, _socket.SOCK_STREAM)
            filler.setblocking(False)
            fillers.append(filler)
            filler.connect_ex(address)
        yield listener
    finally:
        for filler in fillers:
            filler.close()
        listener.close()


def closed_port() -> int:
    """A port nobody listens on."""
    with contextlib.closing(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def exchange(transport: Transport, data: bytes) -> bytes:
    """Send and receive as many bytes, in this greenlet, with both directions open at once."""
    buffer = bytearray(65536)
    received = bytearray()
    rest = memoryview(data)
    while len(received) < len(data):
        count = transport.send(rest)
        rest = rest[count or 0 :]
        got = transport.recv_into(buffer, len(buffer))
        if got == 0:
            break
        if got is not None:
            received += buffer[:got]
        else:
            events = READ | WRITE if rest or transport.wants_write else READ
            wait(transport.fileno(), events)
    return bytes(received)


def receive(transport: Transport, size: int) -> bytes:
    """Receive exactly ``size`` bytes, or what there is until the end."""
    buffer = bytearray(65536)
    received = b""
    while len(received) < size:
        got = transport.recv_into(buffer, size - len(received))
        if got == 0:
            break
        if got is None:
            wait(transport.fileno(), READ)
        else:
            received += buffer[:got]
    return received


def echo_through(options: DialOptions, data: bytes = b"hello", **kwargs: Any) -> str | None:
    """Dial, check that bytes come back, close; returns what dial said of the proxy."""
    transport, proxy = dial(options, **kwargs)
    try:
        assert exchange(transport, data) == data
    finally:
        transport.close()
    return proxy


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
