"""Places where a connection can be stalled while it opens.

Each is a context manager that yields a :class:`Stall`; :data:`STALLS` has them by name.
"""

from __future__ import annotations

import _socket
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.event

from tests.support.loopback import LoopbackServer, full_port
from tests.support.peer import RawServerPeer
from tests.support.waiting import PATIENCE


class Stall:
    """A place where a client hangs.

    :param url: to connect to.
    :param message: part of the reason of the ConnectFail.
    :param options: of the WebSocket.
    """

    def __init__(self, url: str, message: str, **options: Any) -> None:
        self.url = url
        self.message = message
        self.options: dict[str, Any] = {"proxies": {}, **options}
        #: Set once the client has got there.
        self.reached = gevent.event.Event()


@contextlib.contextmanager
def stalled_dns() -> Iterator[Stall]:
    """A resolver that takes its time, in the thread where gevent asks it."""
    stall = Stall("ws://stalled.invalid:9/", "while resolving 'stalled.invalid'")
    released = threading.Event()
    watcher = gevent.get_hub().loop.async_()
    watcher.start(stall.reached.set)

    def look_up(*args: Any) -> Any:
        watcher.send()
        released.wait(PATIENCE)
        raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")

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
    """A port that answers nobody, as its queue is full."""
    with full_port() as port:
        stall = Stall(f"ws://127.0.0.1:{port}/", f"while connecting to 127.0.0.1:{port}")

        def trace(record: dict[str, Any]) -> None:
            if record["stage"] == "resolve":
                stall.reached.set()

        stall.options["trace"] = trace
        yield stall


@contextlib.contextmanager
def _stalled_server(scheme: str, message: str, proxied: bool = False) -> Iterator[Stall]:
    def script(peer: RawServerPeer) -> None:
        if peer.sock.recv(1):
            stall.reached.set()
        peer.read_until_end()

    with LoopbackServer(script) as server:
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
