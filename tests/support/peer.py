"""A server that does, byte by byte, what a test's script says, and the client's side of a run.

Nothing of it is greenws': it reads and builds frames of its own, so that a mistake of the core
cannot hide behind itself.
"""

from __future__ import annotations

import _socket
import base64
import contextlib
import hashlib
import socket as stdlib_socket
import struct
import sys
import textwrap
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gevent
import gevent.event
import gevent.pool
import gevent.socket
import gevent.ssl
import gevent.subprocess
from gevent.server import StreamServer

import greenws

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

#: Seconds within which anything has to happen on loopback.
PATIENCE = 10.0

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RESET = struct.pack("ii", 1, 0)


class Frame(NamedTuple):
    """A frame the client has sent, unmasked."""

    opcode: int
    payload: bytes
    fin: bool
    rsv1: bool

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        return struct.unpack(">H", self.payload[:2])[0] if self.payload else None


def build(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0) -> bytes:
    """Build a server's frame; ``rsv`` are the three reserved bits, 4 for RSV1."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return struct.pack(">BBH", first, 126, size) + payload
    return struct.pack(">BBQ", first, 127, size) + payload


def build_text(text: str) -> bytes:
    """Build a text frame."""
    return build(TEXT, text.encode())


def build_close(code: int, reason: str = "") -> bytes:
    """Build a close frame."""
    return build(CLOSE, struct.pack(">H", code) + reason.encode())


class Inflater:
    """What a server does with the compressed messages of one connection."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(-15)

    def __call__(self, frame: Frame) -> bytes:
        if not frame.rsv1:
            return frame.payload
        return self._inflate.decompress(frame.payload + b"\0\0\xff\xff")


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.head = b""
        #: The size of each piece received.
        self.sizes: list[int] = []
        self._rest = b""

    def read_head(self) -> bytes:
        """Read up to the blank line that ends a request."""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._receive()
        self.head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return self.head

    def answer(self, headers: bytes = b"") -> bytes:
        """The 101 that the request wants, which :meth:`read_head` has read."""
        key = next(
            line.split(b": ")[1]
            for line in self.head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n" + headers + b"\r\n"
        )

    def accept(self, headers: bytes = b"", then: bytes = b"") -> None:
        """Go through the upgrade; ``then`` follows it in the same piece."""
        self.read_head()
        self.send(self.answer(headers) + then)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_text(self, text: str) -> None:
        self.send(build_text(text))

    def dribble(self, data: bytes, interval: float = 0.0) -> None:
        """Send byte by byte."""
        for position in range(len(data)):
            self.send(data[position : position + 1])
            gevent.sleep(interval)

    def read_exactly(self, size: int) -> bytes:
        parts = [self._rest]
        have = len(self._rest)
        while have < size:
            parts.append(self._receive())
            have += len(parts[-1])
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]

    def read_frame(self) -> Frame:
        """Read a client's frame, which has to be masked."""
        first, second = self.read_exactly(2)
        assert second & 0x80, "the client sent a frame without a mask"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self.read_exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.read_exactly(8))
        key = self.read_exactly(4)
        payload = self.read_exactly(size)
        if size:
            pad = (key * (size // 4 + 1))[:size]
            number = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
            payload = number.to_bytes(size, "big")
        return Frame(first & 0x0F, payload, bool(first & 0x80), bool(first & 0x40))

    def expect(self, opcode: int, payload: bytes | None = None) -> Frame:
        """Read a frame that has to be of this kind."""
        frame = self.read_frame()
        assert frame.opcode == opcode, f"opcode {frame.opcode} instead of {opcode}"
        if payload is not None:
            assert frame.payload == payload
        return frame

    def close(self, code: int = 1000) -> None:
        """Go through a closing handshake that begins here."""
        self.send(build_close(code))
        self.expect(CLOSE)

    def echo(self) -> None:
        """Send data and pongs back until a close frame, which is answered."""
        while True:
            frame = self.read_frame()
            if frame.opcode == CLOSE:
                self.send(build(CLOSE, frame.payload))
                return
            if frame.opcode == PING:
                self.send(build(PONG, frame.payload))
            elif frame.opcode != PONG:
                self.send(build(frame.opcode, frame.payload, frame.fin))

    def read_until_end(self) -> bytes:
        """Everything the client sends until it ends the stream, or resets it."""
        parts = [self._rest]
        self._rest = b""
        with contextlib.suppress(OSError):
            while data := self.sock.recv(65536):
                parts.append(data)
        return b"".join(parts)

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, _RESET)
        self.sock.close()

    def _receive(self) -> bytes:
        data: bytes = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the client has gone")
        self.sizes.append(len(data))
        return data


Script = Callable[[Peer], object]


def accept_and_wait(peer: Peer) -> None:
    """Go through the upgrade, then read, and answer nothing."""
    peer.accept()
    peer.read_until_end()


def accept_and_echo(peer: Peer) -> None:
    """A well-behaved server."""
    peer.accept()
    peer.echo()


def accept_and_stop(peer: Peer) -> None:
    """Go through the upgrade, then neither read nor write."""
    peer.accept()
    gevent.sleep(60)


class Server:
    """Runs a script for each connection, on a port of 127.0.0.1.

    :param script: the connection is closed when it returns. An ``OSError``, because the client
        has gone say, ends it; any other exception comes out of the ``with`` block.
    :param buffer: bytes of the kernel's receive buffer, so that a window is full soon.
    """

    def __init__(
        self, script: Script = accept_and_echo, context: Any = None, buffer: int | None = None
    ) -> None:
        self._script = script
        self._context = context
        self._pool = gevent.pool.Pool()
        listener = gevent.socket.socket()
        if buffer is not None:
            listener.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, buffer)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        self._listener = listener
        self._server = StreamServer(listener, self._run, spawn=self._pool)
        self.port: int = listener.getsockname()[1]
        self.connections = 0
        self.error: BaseException | None = None

    @property
    def url(self) -> str:
        if self._context is not None:
            return f"wss://localhost:{self.port}/"
        return f"ws://127.0.0.1:{self.port}/"

    def __enter__(self) -> Server:
        self._server.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._server.stop(timeout=0)
        self._listener.close()
        self._pool.kill()
        if self.error is not None and (error is None or isinstance(error, Exception)):
            raise self.error

    def join(self) -> None:
        """Wait until every script has ended, and raise what came out of one."""
        with gevent.Timeout(PATIENCE, AssertionError("no script has run")):
            while not self.connections:
                gevent.sleep(0.001)
        assert self._pool.join(PATIENCE), "a script has not ended"
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _run(self, sock: Any, address: object) -> None:
        self.connections += 1
        try:
            if self._context is not None:
                sock = gevent.ssl.SSLSocket(sock, server_side=True, _context=self._context)
            self._script(Peer(sock))
        except OSError:
            pass  # the client has gone
        except Exception as error:
            self.error = error
        finally:
            sock.close()


class Run:
    """An iteration over events, in a greenlet of its own.

    :param handle: called with each event, in that greenlet.
    """

    def __init__(
        self, iterator: Iterator[Any], handle: Callable[[Any], object] | None = None
    ) -> None:
        self.events: list[Any] = []
        self.error: BaseException | None = None
        self._handle = handle
        self._changed = gevent.event.Event()
        self.greenlet = gevent.spawn(self._follow, iterator)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def all(self, name: str) -> list[Any]:
        """The events of that name so far."""
        return [event for event in self.events if event.name == name]

    def wait(self, name: str, count: int = 1, seconds: float = PATIENCE) -> Any:
        """Wait for the ``count``-th event of that name, and return it."""
        with gevent.Timeout(seconds, AssertionError(f"no {name}; there was {self.names}")):
            while len(found := self.all(name)) < count:
                assert not self.greenlet.dead, f"no {name}; there was {self.names}, {self.error!r}"
                self._changed.clear()
                self._changed.wait()
        return found[count - 1]

    def join(self, seconds: float = PATIENCE) -> Any:
        """Wait until the iteration has ended; raise what came out of it, return its last event."""
        self.greenlet.join(seconds)
        assert self.greenlet.dead, f"not ended after {seconds} s; there was {self.names}"
        if self.error is not None:
            raise self.error
        return self.events[-1]

    def kill(self) -> None:
        self.greenlet.kill()

    def _follow(self, iterator: Iterator[Any]) -> None:
        try:
            for event in iterator:
                self.events.append(event)
                self._changed.set()
                if self._handle is not None:
                    self._handle(event)
        except BaseException as error:
            self.error = error
        finally:
            self._changed.set()
            close = getattr(iterator, "close", None)
            if close is not None:
                close()


# Where a connection can be stalled. Each is a context manager that yields a `Stall`.


class Stall:
    """A place where a client hangs.

    :param url: to connect to.
    :param options: of the WebSocket.
    :param message: what a ConnectFail that is due to it says.
    """

    def __init__(self, url: str, message: str, **options: Any) -> None:
        self.url = url
        self.message = message
        self.options: dict[str, Any] = {"proxies": {}, **options}
        #: Set once the client has got there.
        self.reached = gevent.event.Event()


@contextlib.contextmanager
def stalled_dns() -> Iterator[Stall]:
    """A resolver that takes its time: in the thread where gevent asks it."""
    stall = Stall("ws://stalled.invalid:9/", "while resolving 'stalled.invalid'")
    released = threading.Event()
    watcher = gevent.get_hub().loop.async_()
    watcher.start(stall.reached.set)

    def look_up(*args: Any) -> Any:
        watcher.send()
        released.wait(PATIENCE)
        raise stdlib_socket.gaierror(stdlib_socket.EAI_NONAME, "Name or service not known")

    genuine = _socket.getaddrinfo
    _socket.getaddrinfo = look_up
    try:
        yield stall
    finally:
        released.set()
        gevent.get_hub().threadpool.join()
        _socket.getaddrinfo = genuine
        watcher.stop()
        watcher.close()


@contextlib.contextmanager
def stalled_connect() -> Iterator[Stall]:
    """A port whose queue is full, so that nothing comes back."""
    with full_listener() as port:
        stall = Stall(f"ws://127.0.0.1:{port}/", f"while connecting to 127.0.0.1:{port}")

        def trace(record: dict[str, Any]) -> None:
            if record["stage"] == "resolve":
                stall.reached.set()

        stall.options["trace"] = trace
        yield stall


@contextlib.contextmanager
def _stalled_server(scheme: str, message: str, proxied: bool = False) -> Iterator[Stall]:
    def script(peer: Peer) -> None:
        if peer.sock.recv(1):
            stall.reached.set()
        peer.read_until_end()

    with Server(script) as server:
        url = f"{scheme}://127.0.0.1:{server.port}/"
        stall = Stall(url, message)
        if proxied:
            stall.url = "ws://example.invalid/"
            stall.options["proxies"] = {"http": f"http://127.0.0.1:{server.port}"}
        yield stall


def stalled_tls() -> Any:
    """A server that does not answer the TLS handshake."""
    return _stalled_server("wss", "while doing the TLS handshake with 127.0.0.1")


def stalled_proxy() -> Any:
    """A proxy that does not answer CONNECT."""
    return _stalled_server("ws", "while waiting for the tunnel of proxy http://127.0.0.1", True)


def stalled_upgrade() -> Any:
    """A server that does not answer the request."""
    return _stalled_server("ws", "while waiting for the answer to the upgrade")


STALLS: dict[str, Callable[[], contextlib.AbstractContextManager[Stall]]] = {
    "dns": stalled_dns,
    "connect": stalled_connect,
    "tls": stalled_tls,
    "proxy": stalled_proxy,
    "upgrade": stalled_upgrade,
}


@contextlib.contextmanager
def full_listener() -> Iterator[int]:
    """A port that answers no further connection: its queue is full, and nobody accepts."""
    listener = stdlib_socket.socket()
    fillers = []
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stdlib_socket.socket()
            filler.setblocking(False)
            fillers.append(filler)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
    finally:
        for filler in fillers:
            filler.close()
        listener.close()


def run_script(source: str, *args: object, seconds: float = 30.0) -> str:
    """Run Python code in a process of its own while the hub goes on; what it printed.

    It has to end with status 0.
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(source), *map(str, args)]
    root = Path(greenws.__path__[0]).parent  # it may not be installed
    process = gevent.subprocess.Popen(
        command, cwd=root, stdout=gevent.subprocess.PIPE, stderr=gevent.subprocess.STDOUT
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except BaseException:
        process.kill()
        process.wait()
        process.stdout.close()
        raise
    text: str = output.decode()
    assert process.returncode == 0, text
    return text
