"""The parts of RFC 6455 and RFC 7692 that the server and the bare sockets need.

The benchmarks do not use greenws for these parts: the instrument of a measurement must not be the
object of the measurement.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable

TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

FIN = 0x80
RSV1 = 0x40

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FLUSH_TAIL = b"\x00\x00\xff\xff"


def accept_for(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())


def server_frame(opcode: int, payload: bytes, rsv1: bool = False) -> bytes:
    """Build a frame without a mask."""
    return _head(opcode, len(payload), rsv1, 0) + payload


def client_frame(opcode: int, payload: bytes, rsv1: bool = False) -> bytes:
    """Build a frame with the mask 0, which does not change the payload."""
    return _head(opcode, len(payload), rsv1, 0x80) + bytes(4) + payload


def client_frame_size(size: int) -> int:
    """Return the bytes of a client's frame with ``size`` bytes of payload."""
    return len(_head(BINARY, size, False, 0x80)) + 4 + size


def server_frame_size(size: int) -> int:
    """Return the bytes of a server's frame with ``size`` bytes of payload."""
    return len(_head(BINARY, size, False, 0)) + size


def _head(opcode: int, size: int, rsv1: bool, masked: int) -> bytes:
    first = FIN | (RSV1 if rsv1 else 0) | opcode
    if size < 126:
        return bytes((first, masked | size))
    if size < 0x10000:
        return bytes((first, masked | 126)) + size.to_bytes(2, "big")
    return bytes((first, masked | 127)) + size.to_bytes(8, "big")


def unmask(payload: bytes, key: bytes) -> bytes:
    """Undo the mask of a payload."""
    size = len(payload)
    if key == b"\0\0\0\0":
        return payload
    keys = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ keys).to_bytes(size, "little")


def parse_head(data: bytes, start: int) -> tuple[int, int, int] | None:
    """Parse the head of a client's frame.

    :returns: the opcode, and the start and the end of the payload, which may be beyond the data;
        None: the head is not complete.
    """
    available = len(data) - start
    if available < 6:
        return None
    size = data[start + 1] & 0x7F
    begin = start + 6
    if size == 126:
        begin = start + 8
        size = int.from_bytes(data[start + 2 : start + 4], "big")
    elif size == 127:
        if available < 14:
            return None
        begin = start + 14
        size = int.from_bytes(data[start + 2 : start + 10], "big")
    return data[start] & 0x0F, begin, begin + size


def deflate(payloads: Iterable[bytes], wbits: int = 15, forgets: bool = False) -> list[bytes]:
    """Deflate messages with one context, as in permessage-deflate.

    The first message refers to no earlier message, so the list may be sent over and over again.

    :param forgets: whether each message is deflated with a context of its own instead.
    """
    if forgets:
        return [deflate_next(zlib.compressobj(wbits=-wbits), payload) for payload in payloads]
    compressor = zlib.compressobj(wbits=-wbits)
    return [deflate_next(compressor, payload) for payload in payloads]


def deflate_next(compressor: zlib._Compress, payload: bytes) -> bytes:
    """Deflate one more message (RFC 7692 section 7.2.1)."""
    deflated = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return deflated.removesuffix(_FLUSH_TAIL)


def inflate_next(decompressor: zlib._Decompress, payload: bytes) -> bytes:
    """Inflate one more message (RFC 7692 section 7.2.2)."""
    return decompressor.decompress(payload + _FLUSH_TAIL)
