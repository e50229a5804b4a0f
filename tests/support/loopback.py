"""A server on loopback that runs a script of the test, and ports that answer nobody."""

from __future__ import annotations

import _socket
import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.pool
import gevent.socket
import gevent.ssl
from gevent.server import StreamServer

from tests.support.peer import RawServerPeer, Script, accept_and_echo
from tests.support.waiting import PATIENCE, wait_until


class LoopbackServer:
    """Runs a script for each connection, on a free port of a loopback address.

    :param script: called with the server's end of each connection, which is closed when the script
        returns. An ``OSError`` ends the connection and is kept in :attr:`failures`: the client has
        gone, or TLS has failed. Any other exception comes out of the ``with`` block.
    :param context: of TLS; None: plain TCP.
    :param buffer: bytes of the kernel's receive buffer. A small one makes a window full soon.
    """

    def __init__(
        self,
        script: Script = accept_and_echo,
        context: ssl.SSLContext | None = None,
        *,
        host: str = "127.0.0.1",
        buffer: int | None = None,
    ) -> None:
        #: The context of the next connection; a test may replace it.
        self.context = context
        self._script = script
        self._pool = gevent.pool.Pool()
        listener = gevent.socket.socket(_family_of(host))
        if buffer is not None:
            listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, buffer)
        listener.bind((host, 0))
        listener.listen(128)
        self._listener = listener
        self._server = StreamServer(listener, self._serve, spawn=self._pool)
        self.port: int = listener.getsockname()[1]
        #: How many connections there were so far.
        self.connections = 0
        #: Each ``OSError`` that has ended a connection.
        self.failures: list[OSError] = []
        #: Whether a TLS session was resumed, for each connection.
        self.resumed: list[bool] = []
        #: The name each TLS client has asked for.
        self.server_names: list[str | None] = []
        if context is not None:
            context.sni_callback = lambda sock, name, _: self.server_names.append(name)
        self._error: BaseException | None = None

    @property
    def url(self) -> str:
        if self.context is not None:
            return f"wss://localhost:{self.port}/"
        return f"ws://127.0.0.1:{self.port}/"

    def __enter__(self) -> Any:  # self, of any subclass
        self._server.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._server.stop(timeout=0)
        self._listener.close()
        self._pool.kill()
        if self._error is not None and (error is None or isinstance(error, Exception)):
            raise self._error

    def join(self) -> None:
        """Wait until every script has ended, and raise the exception of one that failed."""
        wait_until(lambda: self.connections)
        assert self._pool.join(PATIENCE), "a script has not ended"
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _serve(self, sock: Any, address: object) -> None:
        self.connections += 1
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        try:
            if self.context is not None:
                # The context's own wrap_socket() would make a socket that blocks the hub.
                sock = gevent.ssl.SSLSocket(sock, server_side=True, _context=self.context)
                self.resumed.append(sock.session_reused)
            self._script(RawServerPeer(sock))
        except OSError as error:
            self.failures.append(error)
        except Exception as error:
            self._error = error
        finally:
            sock.close()


def echo_bytes(peer: RawServerPeer) -> None:
    """Send every byte back: a script for the tests of transports and proxies."""
    while data := peer.sock.recv(65536):
        peer.sock.sendall(data)


@contextlib.contextmanager
def full_listener(host: str = "127.0.0.1", port: int = 0) -> Iterator[_socket.socket]:
    """A listener whose queue is full: a further client gets no answer until somebody accepts."""
    family = _family_of(host)
    listener = _socket.socket(family, _socket.SOCK_STREAM)
    fillers = []
    try:
        listener.bind((host, port))
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


@contextlib.contextmanager
def full_port(host: str = "127.0.0.1") -> Iterator[int]:
    """The port of a :func:`full_listener`, for tests that never accept."""
    with full_listener(host) as listener:
        yield listener.getsockname()[1]


def closed_port() -> int:
    """A port nobody listens on."""
    with contextlib.closing(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _family_of(host: str) -> int:
    return int(_socket.AF_INET6 if ":" in host else _socket.AF_INET)
