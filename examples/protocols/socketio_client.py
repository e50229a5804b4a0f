"""python-socketio on greenws, in a process that is not patched: ``python socketio_client.py URL``.

The URL is that of ``servers/socketio_server.js``.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import engineio
import gevent
import socketio
from gevent.event import Event
from gevent.queue import JoinableQueue

import greenws
from greenws.errors import WebSocketClosed, WebSocketError


class TimedOut(WebSocketError):
    """Nothing was received in time."""


class Adapter:
    """A connection under the names that Engine.IO uses, which are websocket-client's.

    :param options: of :func:`greenws.connect`, from the ``websocket_extra_options`` of a client.
    """

    def __init__(self, url: str, header: Any, cookie: Any, timeout: float, **options: Any) -> None:
        del options["enable_multithread"]
        headers = {**header, "Cookie": cookie} if cookie else header
        self._connection = greenws.connect(url, headers=headers, open_timeout=timeout, **options)
        self._timeout = timeout
        self.send = self._connection.send_text
        self.send_binary = self._connection.send_binary

    @property
    def connected(self) -> bool:
        return self._connection.is_open

    def settimeout(self, seconds: float) -> None:
        self._timeout = seconds

    def recv(self) -> str | bytes:
        try:
            return self._connection.receive(self._timeout)
        except TimeoutError as error:
            raise TimedOut(str(error)) from None

    def close(self) -> None:
        gevent.sleep(0)  # the writer of Engine.IO takes its turn: what is queued goes first
        self._connection.close()


# Engine.IO looks up these four names. From here on, every engineio.Client of the process uses them.
engineio.client.websocket = SimpleNamespace(
    create_connection=Adapter,
    WebSocketException=WebSocketError,
    WebSocketTimeoutException=TimedOut,
    WebSocketConnectionClosedException=WebSocketClosed,
)


class Engine(engineio.Client):  # type: ignore[misc]  # it has no annotations
    """Engine.IO's client, with greenlets in place of threads."""

    sleep: Any = staticmethod(gevent.sleep)
    create_queue: Any = JoinableQueue
    create_event: Any = Event

    def start_background_task(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        return gevent.spawn(target, *args, **kwargs)


class Client(socketio.Client):  # type: ignore[misc]  # it has no annotations
    """Socket.IO's client on greenws, by WebSocket alone: long polling would block the hub."""

    def _engineio_client_class(self) -> type[Engine]:
        return Engine

    def connect(self, url: str, **options: Any) -> None:
        super().connect(url, **{**options, "transports": ["websocket"]})


if __name__ == "__main__":
    # Socket.IO's own handler of SIGINT would wait in the hub.
    client = Client(handle_sigint=False)
    client.on("tick", lambda tick: print("tick", tick["number"]))
    client.connect(sys.argv[1])
    print("2 + 3 =", client.call("add", (2, 3), timeout=10))
    print("reversed:", client.call("reverse", b"abc", timeout=10))
    print("ticks:", client.call("subscribe", 3, timeout=10))
    client.disconnect()
