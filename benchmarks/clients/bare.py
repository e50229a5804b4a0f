"""The common part of the two bare sockets: frames built beforehand, and hardly any parsing.

The bare sockets know which bytes the server will send, so they check nothing that a WebSocket
library must check. The mask is 0.
"""

from __future__ import annotations

from typing import Any

from .. import wire
from .task import Task

#: The largest number of bytes of one read: half of the bytes that a flood has on their way.
READ_SIZE = 128 * 1024

CLOSE_FRAME = wire.client_frame(wire.CLOSE, b"\x03\xe8")


def request(task: Task, url: str) -> bytes:
    """Build the opening request."""
    extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if task.is_deflated else ""
    return (
        f"GET {url.removeprefix(task.server)} HTTP/1.1\r\nHost: {task.host}:{task.port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{extension}\r\n"
    ).encode()


def upgrade(sock: Any, task: Task, url: str) -> bytes:
    """Do the opening handshake, and return the bytes after the response."""
    sock.sendall(request(task, url))
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(4096)
        assert piece, "the server has closed"
        head += piece
    return bytes(head.partition(b"\r\n\r\n")[2])


def client_frames(task: Task) -> list[bytes]:
    """Build the frames of a batch."""
    opcode = wire.BINARY if task.is_binary else wire.TEXT
    return [wire.client_frame(opcode, payload) for payload in task.payloads()]


def close(sock: Any) -> None:
    """Do the closing handshake, and close."""
    sock.sendall(CLOSE_FRAME)
    while sock.recv(4096):
        pass
    sock.close()
