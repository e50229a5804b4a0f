"""A session of the contract alone, with a server in memory: a WebSocket is tested without I/O."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha1
from typing import Any

import greenws
from greenws import events
from greenws.protocol.frame import build_frame

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class MemorySession:
    """A session with the seven members of the contract, and a server in memory.

    The server accepts, and then sends what the test has queued in ``inbound``: bytes, a callable
    that is called with the session and may return bytes, or nothing more.
    """

    inbound: tuple[bytes | Callable[[Any], bytes | None], ...] = ()
    head = b""

    def __init__(self, websocket: Any) -> None:
        self.websocket = websocket
        self.sent: list[tuple[str, Any]] = []
        self.options: dict[str, Any] = {}
        self.calls: list[str] = []

    @property
    def session_time(self) -> float:
        return 1.5

    def run(
        self,
        poll: float | None = 5.0,
        ping_rate: float | None = 30.0,
        ping_timeout: float | None = None,
        auto_pong: bool = True,
        close_timeout: float | None = 30.0,
    ) -> Iterator[Any]:
        self.options = {
            "poll": poll,
            "ping_rate": ping_rate,
            "ping_timeout": ping_timeout,
            "auto_pong": auto_pong,
            "close_timeout": close_timeout,
        }
        websocket = self.websocket
        yield events.Connecting(websocket.url)
        request = websocket.build_request()
        yield events.Connected(websocket.url, None)
        yield from websocket.feed(self.head or self._accept(request))
        for step in self.inbound:
            if websocket.is_closed:
                break
            data = step(self) if callable(step) else step
            if data:
                yield from websocket.feed(data)
        websocket.on_disconnect()
        yield events.Disconnected("closed", True)

    @staticmethod
    def _accept(request: bytes) -> bytes:
        lines = dict(line.split(b": ", 1) for line in request.split(b"\r\n") if b": " in line)
        digest = b64encode(sha1(lines[b"Sec-WebSocket-Key"] + GUID).digest())
        return (
            b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + digest + b"\r\n\r\n"
        )

    def send(self, opcode: int, payload: Any) -> None:
        self.sent.append((f"frame {int(opcode)}", bytes(payload)))

    def send_compressed(self, opcode: int, payload: Any) -> None:
        self.sent.append((f"deflated {int(opcode)}", bytes(payload)))

    def write(self, data: bytes) -> None:
        self.sent.append(("bytes", data))

    def close(self) -> None:
        self.calls.append("close")

    def force_disconnect(self) -> None:
        self.calls.append("force_disconnect")


def frame(opcode: int, payload: bytes = b"") -> bytes:
    return build_frame(opcode, payload, masked=False)


def make(**members: Any) -> type[MemorySession]:
    return type("Session", (MemorySession,), members)


def run(
    session_class: Any, handle: Callable[[Any, Any], object] | None = None, **options: Any
) -> tuple[greenws.WebSocket, list[Any]]:
    websocket = greenws.WebSocket("ws://example.org/feed", proxies={}, **options)
    found = []
    for event in websocket.connect(session_class=session_class):
        found.append(event)
        if handle is not None:
            handle(websocket, event)
    return websocket, found


def names(found: list[Any]) -> list[str]:
    return [event.name for event in found]
