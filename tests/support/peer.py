"""The server's end of a WebSocket connection, which a script drives byte by byte.

Nothing here is from greenws: frames are read and built by other code, so that a mistake of greenws
cannot hide behind itself.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket as stdlib_socket
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import gevent

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RESET = struct.pack("ii", 1, 0)


class Frame(NamedTuple):
    """A frame from the client, unmasked."""

    opcode: int
    payload: bytes
    fin: bool
    rsv1: bool

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        return struct.unpack(">H", self.payload[:2])[0] if self.payload else None


def build(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0) -> bytes:
    """Build a frame as a server sends it.

    :param rsv: the three reserved bits; 4 is RSV1.
    """
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
    """Inflates the messages of one connection, as its server does."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(-15)

    def __call__(self, frame: Frame) -> bytes:
        if not frame.rsv1:
            return frame.payload
        return self._inflate.decompress(frame.payload + b"\0\0\xff\xff")


class RawServerPeer:
    """The server's end of one connection. It does nothing by itself."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.head = b""
        #: The size of each piece received.
        self.sizes: list[int] = []
        self._rest = b""

    def read_head(self) -> bytes:
        """Read a request up to the blank line at its end, without that line."""
        self.head = self.read_until(b"\r\n\r\n")
        return self.head

    def read_until(self, mark: bytes) -> bytes:
        """Read up to a mark; the mark is skipped."""
        while mark not in self._rest:
            self._rest += self._receive()
        data, _, self._rest = self._rest.partition(mark)
        return data

    def answer(self, headers: bytes = b"") -> bytes:
        """Build the 101 that answers the request of :meth:`read_head`."""
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
        """Read the request and send the 101; ``then`` follows the 101 in the same piece."""
        self.read_head()
        self.send(self.answer(headers) + then)

    def take_rest(self) -> bytes:
        """The bytes that were received beyond those that were read."""
        rest, self._rest = self._rest, b""
        return rest

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
        """Read so many bytes."""
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
        """Read a frame, which has to be of this kind."""
        frame = self.read_frame()
        assert frame.opcode == opcode, f"opcode {frame.opcode} instead of {opcode}"
        if payload is not None:
            assert frame.payload == payload
        return frame

    def close(self, code: int = 1000) -> None:
        """Send a close frame and read the client's."""
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
        """Read everything until the client ends the stream, or resets it."""
        parts = [self.take_rest()]
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


Script = Callable[[RawServerPeer], object]


def accept_and_wait(peer: RawServerPeer) -> None:
    """Accept the upgrade, then read and answer nothing."""
    peer.accept()
    peer.read_until_end()


def accept_and_echo(peer: RawServerPeer) -> None:
    """Accept the upgrade, then echo: a well-behaved server."""
    peer.accept()
    peer.echo()


def accept_and_stop(peer: RawServerPeer) -> None:
    """Accept the upgrade, then neither read nor write."""
    peer.accept()
    gevent.sleep(60)
