"""A session without a socket, and how to drive a WebSocket with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greenws import WebSocket
from greenws.protocol.handshake import accept_for

URL = "ws://example.org/"


class Session:
    """Does the least a session has to do, and keeps what it is told."""

    signals_eof = True

    def __init__(self, websocket: Any) -> None:
        self.websocket = websocket
        self.sent: list[tuple[int, bytes]] = []
        self.compressed: list[tuple[int, bytes]] = []
        self.calls: list[str] = []
        self.options: dict[str, Any] = {}
        self.session_time = 1.25
        self.failure: Exception | None = None

    def run(self, **options: Any) -> Iterator[Any]:
        self.options = options
        return iter(())

    def send(self, opcode: int, payload: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append((opcode, bytes(payload)))

    def send_compressed(self, opcode: int, payload: bytes) -> None:
        self.compressed.append((opcode, bytes(payload)))

    def write(self, data: bytes) -> None:
        self.calls.append("write")

    def close(self) -> None:
        self.calls.append("close")

    def force_disconnect(self) -> None:
        self.calls.append("force_disconnect")


class SessionWithoutEnd(Session):
    """Does not tell the WebSocket when the stream has ended, like the session of lomond."""

    signals_eof = False


def connect(websocket: Any) -> Any:
    """Connect to a session without a socket, and make the request."""
    websocket.connect(session_class=Session)
    websocket.build_request()
    return websocket.session


def answer(websocket: Any, *more: str) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_for(websocket.key)}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def open_up(websocket: Any, *more: str) -> Any:
    """Connect as :func:`connect` does, and feed the server's agreement."""
    session = connect(websocket)
    (ready,) = websocket.feed(answer(websocket, *more))
    assert ready.name == "ready"
    return session


def open_compressed() -> tuple[Any, Any]:
    websocket = WebSocket(URL, compress=True)
    session = open_up(websocket, "Sec-WebSocket-Extensions: permessage-deflate")
    return websocket, session


def names(items: Any) -> list[str]:
    return [event.name for event in items]
