"""What the bare sockets of two floors have in common: frames made beforehand, hardly any parsing.

They know what the server will send, so they need not look: nothing that a WebSocket library has to
check is checked. The mask is 0.
"""

from __future__ import annotations

from typing import Any

from .. import wire
from .task import Task

#: Bytes of one read, as greenws reads.
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
    """Do the opening handshake; return what came after it."""
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
