"""permessage-deflate: its negotiation and its streams (RFC 7692).

A message travels as raw DEFLATE blocks that end with an empty stored block, whose last four
bytes, ``00 00 ff ff``, are left out (section 7.2.1). Unless a side agreed not to, it goes on
with the window of its previous message ("context takeover").
"""

from __future__ import annotations

import re
import sys
import zlib
from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import CompressionParameterError, CriticalProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import TypeAlias
    from zlib import _Compress, _Decompress

    #: Names of extensions, each with its parameters; a parameter without a value has None.
    Extensions: TypeAlias = list[tuple[str, list[tuple[str, str | None]]]]


def find_zlib() -> ModuleType:
    """Return the implementation of zlib to use: zlib-ng where it is installed, which deflates
    three times as fast and inflates in two thirds of the time, else that of the interpreter.
    """
    try:
        return import_module("zlib_ng.zlib_ng")
    except ImportError:
        return zlib


# These three are all that is taken from it.
_implementation = find_zlib()
compressobj = _implementation.compressobj
decompressobj = _implementation.decompressobj
zlib_error = _implementation.error

NAME = "permessage-deflate"

#: What a client offers: the value of ``Sec-WebSocket-Extensions``. It leaves all to the server,
#: whose choice of either window is understood.
OFFER = NAME + "; client_max_window_bits"

# What every message ends with, and the wire leaves out (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"
# An empty block with BFINAL set: it ends the stream, and shows that nothing was cut off.
_END_OF_STREAM = b"\x03\x00"
# An empty message: one empty stored block (RFC 7692 section 7.2.3.6). zlib itself puts out
# nothing for a flush right after a flush.
_EMPTY_MESSAGE = b"\x00"

# Up to this many bytes, joining the tail to the data is cheaper than a second call (measured:
# 0.70 us instead of 0.82 us for 85 bytes; equal near 8 KiB).
_MAX_JOINED = 4096

# Streams that one message may consist of (each ended by BFINAL). Each costs a decompressor,
# 0.1 us and up, for as little as two bytes on the wire.
_MAX_STREAMS = 4096
# zlib copies what follows the end of a stream; this bounds each copy, bytes.
_STREAM_STEP = 4096

# zlib has no window of 256 bytes (wbits=8) for raw deflate. The window of 512 bytes in its
# place could refer back further than such a peer can see; with all references cut (a full
# flush) every 256 bytes none can.
_SMALLEST_WBITS = 9
_BLOCK_OF_8_BITS = 256

# Messages are small and many: on JSON of 1 KiB the lowest level takes a quarter of the time of
# zlib's default, for 43 % instead of 35 % of the size.
_LEVEL = zlib.Z_BEST_SPEED
# The size of zlib's tables, 1 to 9. More than this makes messages no smaller, only the state.
_MEM_LEVEL = 5

# Compressors that remember nothing (their last flush was a full one), by window bits. A fresh
# one costs 20-30 us and 256 KiB; these serve all connections without context takeover. Taking
# one out and putting it back are atomic, so threads may share them.
_idle_compressors: dict[int, list[_Compress]] = {}
_MAX_IDLE = 2


class Deflate:
    """One agreement on permessage-deflate, with the state of both directions.

    zlib's objects are created when first used: about 256 KiB for compressing and 40 KiB for
    decompressing with 15 bits. After an error, or a message that was too large, an instance is
    of no further use for decompressing.

    :param compress_wbits: our window, as a power of two in bytes, 8-15.
    :param decompress_wbits: the peer's window, likewise.
    :param reset_compress: whether we forget our window after each message.
    :param reset_decompress: whether the peer does.
    """

    def __init__(
        self,
        *,
        compress_wbits: int = 15,
        decompress_wbits: int = 15,
        reset_compress: bool = False,
        reset_decompress: bool = False,
    ) -> None:
        for wbits in (compress_wbits, decompress_wbits):
            if not 8 <= wbits <= 15:
                raise ValueError(f"window bits must be 8-15, not {wbits!r}")
        self.compress_wbits = compress_wbits
        self.decompress_wbits = decompress_wbits
        self.reset_compress = reset_compress
        self.reset_decompress = reset_decompress
        self._remembers = not reset_compress and compress_wbits >= _SMALLEST_WBITS
        self._compressor: _Compress | None = None
        self._decompressor: _Decompress | None = None
        # At least 9: peers that agree to 8 bits on top of zlib compress with 9 in fact.
        self._inflate_wbits = -max(_SMALLEST_WBITS, decompress_wbits)
        # Where the window is forgotten, a message can be closed for good.
        self._tail = _TAIL + _END_OF_STREAM if reset_decompress else _TAIL
        self._is_open = False  # within a stream: there were bytes that no BFINAL has ended
        self._streams = 0  # ended by BFINAL within this message

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(compress_wbits={self.compress_wbits}, "
            f"decompress_wbits={self.decompress_wbits}, reset_compress={self.reset_compress}, "
            f"reset_decompress={self.reset_decompress})"
        )

    def compress(self, payload: bytes | bytearray | memoryview) -> bytes:
        """Compress one message; it has to be sent before the next one.

        :param payload: bytes, bytearray or memoryview of bytes; not kept.
        """
        if not payload:
            return _EMPTY_MESSAGE
        if not self._remembers:
            return _compress_alone(payload, self.compress_wbits)
        compressor = self._compressor
        if compressor is None:
            compressor = self._compressor = _new_compressor(self.compress_wbits)
        wire = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return wire[:-4]

    def decompress(
        self, data: bytes | bytearray | memoryview, max_length: int, final: bool
    ) -> bytes:
        """Decompress a piece of a message; cut anywhere, its pieces give the same bytes.

        :param data: bytes, bytearray or memoryview of bytes; not kept.
        :param max_length: the bytes this piece may have; -1 for no limit. Of a larger one,
            ``max_length + 1`` bytes are returned, and no more are ever made.
        :param final: whether the message ends with this piece.
        :raises CriticalProtocolError: the data is no such stream. One that is cut short is found
            out at once if the peer forgets its window, else only by what follows it.
        """
        limit = max_length + 1 if 0 <= max_length < sys.maxsize else 0  # 0 is zlib's "none"
        try:
            if not final:
                return self._inflate(data, b"", limit)
            if 0 < len(data) <= _MAX_JOINED:
                inflated = self._inflate(b"".join((data, self._tail)), self._tail, limit)
            else:
                inflated = self._inflate_apart(data, limit)
        except zlib_error as error:
            self._decompressor = None
            raise CriticalProtocolError(f"broken deflate stream ({error})") from error
        if self.reset_decompress:
            if self._is_open and not (limit and len(inflated) >= limit):
                self._decompressor = None
                raise CriticalProtocolError("broken deflate stream (cut short)")
            self._decompressor = None
        self._is_open = False
        self._streams = 0
        return inflated

    def _inflate_apart(self, data: bytes | bytearray | memoryview, limit: int) -> bytes:
        """Inflate the last piece of a message, and the tail on its own."""
        inflated = self._inflate(data, b"", limit) if data else b""
        # A message that is already whole needs no tail: one whose sender ended it with BFINAL
        # and nothing behind, or an empty one without even the empty block. Neither is right
        # (RFC 7692 sections 7.2.3.4 and 7.2.3.6), but both are seen, and clear; fed with the
        # tail, they would spoil the messages after them.
        if not self._is_open or (limit and len(inflated) >= limit):
            return inflated
        return inflated + self._inflate(self._tail, self._tail, limit and limit - len(inflated))

    def _inflate(self, wire: bytes | bytearray | memoryview, tail: bytes, limit: int) -> bytes:
        """Inflate ``wire``, which ends with ``tail``."""
        decompressor = self._decompressor
        if decompressor is None:
            decompressor = self._decompressor = decompressobj(self._inflate_wbits)
        inflated = decompressor.decompress(wire, limit)
        if not decompressor.eof:
            if wire:
                self._is_open = True
            return inflated
        self._decompressor = None
        self._is_open = False
        rest = decompressor.unused_data
        if not rest or rest == tail or (limit and len(inflated) >= limit):
            self._count_stream()
            return inflated
        return self._inflate_streams(inflated, rest, tail, limit)

    def _inflate_streams(self, inflated: bytes, rest: bytes, tail: bytes, limit: int) -> bytes:
        # A block may have BFINAL set (RFC 7692 section 7.2.3.4); another stream follows it.
        # Fed in small steps: what zlib copies at the end of each stream is bounded so.
        pieces = [inflated]
        length = len(inflated)
        view = memoryview(rest)
        position = 0
        while True:
            self._count_stream()
            if position in (len(rest), len(rest) - len(tail)):
                break
            decompressor = decompressobj(self._inflate_wbits)
            while position < len(rest) and not decompressor.eof:
                step = view[position : position + _STREAM_STEP]
                pieces.append(decompressor.decompress(step, limit and limit - length))
                length += len(pieces[-1])
                if limit and length >= limit:
                    return b"".join(pieces)
                position += len(step) - len(decompressor.unused_data)
            if not decompressor.eof:
                self._decompressor = decompressor
                self._is_open = True
                break
        return b"".join(pieces)

    def _count_stream(self) -> None:
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise CriticalProtocolError("broken deflate stream (too many final blocks)")


def _new_compressor(wbits: int) -> _Compress:
    wbits = -max(_SMALLEST_WBITS, wbits)
    compressor: _Compress = compressobj(_LEVEL, zlib.DEFLATED, wbits, _MEM_LEVEL)
    return compressor


def _compress_alone(payload: bytes | bytearray | memoryview, wbits: int) -> bytes:
    """Compress a message that refers to no other one."""
    idle = _idle_compressors.setdefault(wbits, [])
    try:
        compressor = idle.pop()
    except IndexError:
        compressor = _new_compressor(wbits)
    if wbits >= _SMALLEST_WBITS:
        wire = compressor.compress(payload) + compressor.flush(zlib.Z_FULL_FLUSH)
    else:
        view = memoryview(payload)
        pieces = []
        for start in range(0, len(view), _BLOCK_OF_8_BITS):
            pieces.append(compressor.compress(view[start : start + _BLOCK_OF_8_BITS]))
            pieces.append(compressor.flush(zlib.Z_FULL_FLUSH))
        wire = b"".join(pieces)
    # Not reached after an exception: a compressor in an unknown state is dropped.
    if len(idle) < _MAX_IDLE:
        idle.append(compressor)
    return wire[:-4]


#: A token (RFC 7230 section 3.2.6), as a regular expression.
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"((?:[\t !#-\[\]-~]|\\[\t -~])*)"'
_EXTENSION = re.compile(rf"[ \t]*({TOKEN})[ \t]*")
_PARAMETER = re.compile(rf";[ \t]*({TOKEN})[ \t]*(?:=[ \t]*(?:({TOKEN})|{_QUOTED})[ \t]*)?")
_BLANK = re.compile(r"[ \t]*")
_is_token = re.compile(TOKEN).fullmatch
_ESCAPE = re.compile(r"\\(.)")


def parse_extensions(value: str) -> Extensions:
    """Take the value of ``Sec-WebSocket-Extensions`` apart (RFC 6455 section 9.1).

    :param value: of one field, or of several joined with commas; empty elements are skipped
        (RFC 7230 section 7).
    :returns: the extensions in order, each with its parameters in order; quotes are removed.
    :raises ValueError: it is malformed.
    """
    extensions: Extensions = []
    position = 0
    while True:
        found = _EXTENSION.match(value, position)
        if found is not None:
            position = found.end()
            parameters: list[tuple[str, str | None]] = []
            while (parameter := _PARAMETER.match(value, position)) is not None:
                position = parameter.end()
                parameters.append(_parse_parameter(*parameter.groups()))
            extensions.append((found[1], parameters))
        elif (blank := _BLANK.match(value, position)) is not None:
            position = blank.end()
        if position == len(value):
            return extensions
        if value[position] != ",":
            raise ValueError(f"malformed extensions at {value[position : position + 40]!r}")
        position += 1


def _parse_parameter(name: str, token: str | None, quoted: str | None) -> tuple[str, str | None]:
    if quoted is None:
        return name, token
    unquoted = _ESCAPE.sub(r"\1", quoted)
    if not _is_token(unquoted):
        raise ValueError(f"the value of the extension parameter {name[:40]!r} is not a token")
    return name, unquoted


# RFC 7692 section 7.1: decimal, without leading zeros.
_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}
_SERVER_RESET = "server_no_context_takeover"
_CLIENT_RESET = "client_no_context_takeover"
_SERVER_BITS = "server_max_window_bits"
_CLIENT_BITS = "client_max_window_bits"


def _parse_parameters(
    parameters: Sequence[tuple[str, str | None]], is_offer: bool
) -> dict[str, int | None]:
    """Check the parameters of one permessage-deflate (RFC 7692 section 7.1).

    :returns: the bits by name; None for a parameter that has no value.
    """
    parsed: dict[str, int | None] = {}
    for name, value in parameters:
        if name in parsed:
            raise CompressionParameterError(f"{name} is given twice")
        if name in (_SERVER_RESET, _CLIENT_RESET):
            if value is not None:
                raise CompressionParameterError(f"{name} takes no value")
            parsed[name] = None
        elif name in (_SERVER_BITS, _CLIENT_BITS):
            if value is None and is_offer and name == _CLIENT_BITS:
                parsed[name] = None
            elif value is None or value not in _WINDOW_BITS:
                given = "no value" if value is None else repr(value[:40])
                raise CompressionParameterError(f"{name} must be 8-15, not {given}")
            else:
                parsed[name] = _WINDOW_BITS[value]
        else:
            raise CompressionParameterError(f"unknown parameter {name[:40]!r} of {NAME}")
    return parsed


def accept_response(extensions: Extensions) -> Deflate:
    """Check the server's answer to :data:`OFFER` (client side, RFC 7692 section 5.1).

    :param extensions: of the answer, parsed.
    :raises CompressionParameterError: it is not exactly one permessage-deflate, or has a
        parameter that is unknown, repeated or has a bad value.
    """
    if len(extensions) != 1 or extensions[0][0] != NAME:
        raise CompressionParameterError(f"the server has to answer with {NAME}, once, alone")
    parameters = _parse_parameters(extensions[0][1], is_offer=False)
    return Deflate(
        compress_wbits=parameters.get(_CLIENT_BITS) or 15,
        decompress_wbits=parameters.get(_SERVER_BITS) or 15,
        reset_compress=_CLIENT_RESET in parameters,
        reset_decompress=_SERVER_RESET in parameters,
    )


def answer_offer(
    offers: Extensions,
    *,
    server_max_window_bits: int = 15,
    client_max_window_bits: int = 15,
    server_no_context_takeover: bool = False,
    client_no_context_takeover: bool = False,
) -> tuple[Deflate, str] | None:
    """Accept the first good offer of permessage-deflate (server side, RFC 7692 section 5.1).

    An offer with a wrong parameter is passed over, as section 7.1 wants it.

    :param offers: of the request, parsed; other extensions are passed over.
    :param server_max_window_bits: our largest window for compressing, 8-15.
    :param client_max_window_bits: the client's largest window, 8-15; it can be asked for only
        where the client offers to be told.
    :param server_no_context_takeover: forget our window after each message, asked to or not.
    :param client_no_context_takeover: have the client do so.
    :returns: the agreement and the value of ``Sec-WebSocket-Extensions``, or None.
    """
    for name, offered in offers:
        if name != NAME:
            continue
        try:
            parameters = _parse_parameters(offered, is_offer=True)
        except CompressionParameterError:
            continue  # to be declined, which is no error: a later offer may be good
        deflate = Deflate(
            compress_wbits=min(parameters.get(_SERVER_BITS) or 15, server_max_window_bits),
            decompress_wbits=min(parameters[_CLIENT_BITS] or 15, client_max_window_bits)
            if _CLIENT_BITS in parameters
            else 15,
            reset_compress=server_no_context_takeover or _SERVER_RESET in parameters,
            reset_decompress=client_no_context_takeover or _CLIENT_RESET in parameters,
        )
        return deflate, _build_answer(deflate, _SERVER_BITS in parameters)
    return None


def _build_answer(deflate: Deflate, bits_requested: bool) -> str:
    answer = [NAME]
    if deflate.reset_compress:
        answer.append(_SERVER_RESET)
    if deflate.reset_decompress:
        answer.append(_CLIENT_RESET)
    # A limit the client set has to be confirmed, even the largest (section 7.1.2.1).
    if bits_requested or deflate.compress_wbits < 15:
        answer.append(f"{_SERVER_BITS}={deflate.compress_wbits}")
    if deflate.decompress_wbits < 15:
        answer.append(f"{_CLIENT_BITS}={deflate.decompress_wbits}")
    return "; ".join(answer)
