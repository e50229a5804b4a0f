"""The codec of permessage-deflate: one DEFLATE stream in each direction (RFC 7692 section 7.2).

A message is a sequence of raw DEFLATE blocks. The last block is an empty stored block, and its last
four bytes, ``00 00 ff ff``, are left out on the wire (section 7.2.1). A compressor goes on with the
window of its previous message ("context takeover"), unless the negotiation has ruled that out.
"""

from __future__ import annotations

import sys
import zlib
from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import CriticalProtocolError

if TYPE_CHECKING:
    from types import ModuleType
    from zlib import _Compress, _Decompress

    from .slices import Steps


def find_zlib() -> ModuleType:
    """Return the implementation of zlib to use: zlib-ng if installed, else the interpreter's.

    zlib-ng deflates three times as fast and inflates in two thirds of the time.
    """
    try:
        return import_module("zlib_ng.zlib_ng")
    except ImportError:
        return zlib


# greenws uses only these three members of the implementation.
_implementation = find_zlib()
compressobj = _implementation.compressobj
decompressobj = _implementation.decompressobj
zlib_error = _implementation.error

# The end of every message, left out on the wire (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"
# An empty block with BFINAL set. A stream that ends with this block has lost no bytes.
_END_OF_STREAM = b"\x03\x00"
# An empty message: one empty stored block (RFC 7692 section 7.2.3.6). zlib itself writes nothing
# for a flush right after a flush.
_EMPTY_MESSAGE = b"\x00"

# Up to this many bytes, joining the tail to the data is cheaper than a second call of zlib.
# Measured: 0.70 us instead of 0.82 us for 85 bytes; equal near 8 KiB.
_MAX_JOINED = 4096

# The largest number of streams in one message; BFINAL ends a stream. Each stream costs a
# decompressor, 0.1 us or more, for as little as two bytes on the wire.
_MAX_STREAMS = 4096
# zlib copies the bytes that it has no room to inflate, and those after the end of a stream. These
# sizes of a step, in bytes, bound each copy: for the first stream of a message, and for the others.
_STEP = 16 * 1024
_STREAM_STEP = 4096
# Steps in a row before go_on() returns: 0.3 ms of streams that hold nothing.
_STEPS_AT_ONCE = 128
# Bytes that decompress() has zlib inflate at once.
_MAX_PIECE = 1 << 20

# For raw deflate, zlib has no window of 256 bytes (wbits=8). A window of 512 bytes takes its place.
# References in that window could reach back further than a peer with 256 bytes can see, so a full
# flush cuts all references every 256 bytes.
_SMALLEST_WBITS = 9
_BLOCK_OF_8_BITS = 256

#: The usual level. Messages are small and many. On JSON of 1 KiB, the lowest level takes a quarter
#: of the time of zlib's default level; messages shrink to 43 % instead of 35 % of their size.
LEVEL = zlib.Z_BEST_SPEED
# The size of zlib's tables, 1 to 9, by window bits. With the usual window, larger tables make the
# state larger, but not the messages smaller. Whoever asks for a small window wants a small state,
# too. Measured with the JSON of the benchmarks: for 9 bits, a level of 3 takes 15 KiB in place of
# 26 KiB, for the same size of messages of 1 KiB; messages of 64 KiB are 8 % larger. zlib-ng has
# tables of one size.
_MEM_LEVELS = {9: 3, 10: 3, 11: 3, 12: 4, 13: 4, 14: 5, 15: 5}

# Compressors that remember no data (their last flush was a full flush), by window bits and level.
# They serve all connections without context takeover: a new compressor costs 20-30 us and 256 KiB.
# pop() and append() are atomic, so threads may share the lists. Inflaters are not shared: by a
# reference into the window, one peer could read what another peer has sent.
_idle_compressors: dict[tuple[int, int], list[_Compress]] = {}
_NO_IDLE: list[_Compress] = []
_MAX_IDLE = 2  # a kept compressor holds 256 KiB, and a thread uses one at a time


class Deflate:
    """The negotiated permessage-deflate of one connection, with the state of both directions.

    The zlib objects are made at their first use. With 15 bits, compressing takes about 256 KiB and
    decompressing 40 KiB. After an error, or after a message that was too large, an instance must
    not decompress again.

    :param compress_wbits: our window, as a power of two in bytes, 8-15.
    :param decompress_wbits: the peer's window, as a power of two in bytes, 8-15.
    :param reset_compress: whether our compressor forgets its window after each message.
    :param reset_decompress: whether the peer's compressor forgets its window after each message.
    :param level: zlib's level of compressing, -1 to 9.
    :param min_size: the bytes below which a message should be sent as it is. The caller sees to
        that, and :meth:`compress` compresses any message.
    """

    def __init__(
        self,
        *,
        compress_wbits: int = 15,
        decompress_wbits: int = 15,
        reset_compress: bool = False,
        reset_decompress: bool = False,
        level: int = LEVEL,
        min_size: int = 0,
    ) -> None:
        for wbits in (compress_wbits, decompress_wbits):
            if not 8 <= wbits <= 15:
                raise ValueError(f"window bits must be 8-15, not {wbits!r}")
        self.compress_wbits = compress_wbits
        self.decompress_wbits = decompress_wbits
        self.reset_compress = reset_compress
        self.reset_decompress = reset_decompress
        self.min_size = min_size
        self._level = level
        self._remembers = not reset_compress and compress_wbits >= _SMALLEST_WBITS
        # The idle compressors of this kind, of all connections.
        self._idle: list[_Compress] = (
            _NO_IDLE
            if self._remembers
            else _idle_compressors.setdefault((compress_wbits, level), [])
        )
        self._compressor: _Compress | None = None
        self._decompressor: _Decompress | None = None
        # At least 9: a peer on top of zlib that agrees to 8 bits compresses with 9 bits in fact.
        self._inflate_wbits = -max(_SMALLEST_WBITS, decompress_wbits)
        # If the peer forgets its window, each message can end its stream.
        self._tail = _TAIL + _END_OF_STREAM if reset_decompress else _TAIL
        self._is_open = False  # whether a stream has begun that no BFINAL has ended
        self._streams = 0  # streams that BFINAL has ended within this message
        #: Whether the piece that begin() was given is inflated to its end.
        self.is_whole: bool = True
        # The piece, with the tail if _tail_size is not 0, and how much of it zlib has taken.
        self._wire: bytes | bytearray | memoryview = b""
        self._tail_size = 0
        self._position = 0
        self._is_final = False  # whether the message ends with the piece
        self._is_full = False  # whether zlib may hold inflated bytes for which it had no room

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(compress_wbits={self.compress_wbits}, "
            f"decompress_wbits={self.decompress_wbits}, reset_compress={self.reset_compress}, "
            f"reset_decompress={self.reset_decompress})"
        )

    def compress(self, payload: bytes | bytearray | memoryview) -> bytes:
        """Compress one message. Messages must be sent in the order of compression.

        :param payload: bytes, bytearray or memoryview of bytes; not kept.
        """
        if not payload:
            return _EMPTY_MESSAGE
        if not self._remembers:
            return self._compress_alone(payload)
        compressor = self._compressor
        if compressor is None:
            compressor = self._compressor = _new_compressor(self.compress_wbits, self._level)
        wire = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return wire[:-4]

    def compress_piece(self, payload: bytes) -> bytes:
        """Compress the next piece of a message, so that the peer can inflate it at once.

        The message ends with :meth:`end_pieces`; no other one may come between.
        """
        compressor = self._compressor
        if compressor is None:
            compressor = self._compressor = self._take_compressor()
        if self.compress_wbits < _SMALLEST_WBITS:
            return _compress_blocks(compressor, payload)
        return compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)

    def end_pieces(self) -> bytes:
        """Return the end of a message that was compressed in pieces."""
        if not self._remembers:
            self._compressor = None
        return _EMPTY_MESSAGE

    def compress_steps(self, slices: Steps) -> Steps:
        """Compress one message step by step; it has to be sent whole, before any other.

        A message that is given up (the generator is closed, or ``slices`` raises) was never sent,
        so the peer has not seen what our window remembers of it. The next message begins with an
        empty window then.

        :param slices: of the payload, in order, and at least one.
        """
        compressor = self._compressor
        self._compressor = None
        if compressor is None:
            compressor = self._take_compressor()
        flush = zlib.Z_SYNC_FLUSH if self._remembers else zlib.Z_FULL_FLUSH
        last = b""
        try:
            for piece in slices:
                if self.compress_wbits >= _SMALLEST_WBITS:
                    wire = last + compressor.compress(piece)
                else:
                    wire = last + _compress_blocks(compressor, piece)
                # The last four bytes of the message are left out, and only the end tells them.
                last = wire[-4:]
                if len(wire) > 4:
                    yield wire[:-4]
        finally:
            slices.close()
        yield (last + compressor.flush(flush))[:-4]
        if self._remembers:
            self._compressor = compressor
        else:
            self._put_compressor(compressor)

    def _compress_alone(self, payload: bytes | bytearray | memoryview) -> bytes:
        """Compress a message that refers to no other message."""
        compressor = self._take_compressor()
        if self.compress_wbits >= _SMALLEST_WBITS:
            wire = compressor.compress(payload) + compressor.flush(zlib.Z_FULL_FLUSH)
        else:
            wire = _compress_blocks(compressor, payload)
        # An exception skips this line, so a compressor in an unknown state is dropped.
        self._put_compressor(compressor)
        return wire[:-4]

    def _take_compressor(self) -> _Compress:
        """Return a compressor that remembers no data: an idle one, if there is one."""
        try:
            return self._idle.pop()
        except IndexError:
            return _new_compressor(self.compress_wbits, self._level)

    def _put_compressor(self, compressor: _Compress) -> None:
        """Take back a compressor whose last flush was a full flush."""
        if len(self._idle) < _MAX_IDLE:
            self._idle.append(compressor)

    def decompress(
        self, data: bytes | bytearray | memoryview, max_length: int, final: bool
    ) -> bytes:
        """Decompress a piece of a message. The pieces may be cut at any byte.

        :param data: bytes, bytearray or memoryview of bytes; not kept.
        :param max_length: the largest number of bytes this piece may inflate to; -1 for no limit.
            For a larger piece, the result has ``max_length + 1`` bytes, and zlib never makes more.
        :param final: whether the message ends with this piece.
        :raises CriticalProtocolError: the data is not a valid stream. A stream that is cut short is
            detected at once if the peer forgets its window; otherwise only by the next message.
        """
        limit = max_length + 1 if max_length >= 0 else sys.maxsize
        inflated = self.begin(data, final, min(limit, _MAX_PIECE))
        if self.is_whole or len(inflated) == limit:
            return inflated
        pieces = [inflated]
        length = len(inflated)
        while not self.is_whole and length < limit:
            pieces.append(self.go_on(min(limit - length, _MAX_PIECE)))
            length += len(pieces[-1])
        return b"".join(pieces)

    def begin(self, wire: bytes | bytearray | memoryview, final: bool, limit: int) -> bytes:
        """Begin to inflate a piece of a message; :meth:`go_on` until :attr:`is_whole`.

        :param wire: kept until it is inflated; its bytes must not change.
        :param final: whether the message ends with this piece.
        :param limit: the largest number of bytes to return, at least 1.
        :raises CriticalProtocolError: as :meth:`decompress`.
        """
        self._is_final = final
        self._is_full = False
        self._position = self._tail_size = 0
        if not final or not 0 < len(wire) <= _MAX_JOINED:
            self._wire = wire
            return self.go_on(limit)
        tail = self._tail
        wire = b"".join((wire, tail))
        decompressor = self._decompressor
        if decompressor is None:
            decompressor = self._decompressor = decompressobj(self._inflate_wbits)
        try:
            inflated = decompressor.decompress(wire, limit)
        except zlib_error as error:
            raise self._break(error) from error
        self._is_open = True
        if len(inflated) < limit and not decompressor.eof:  # all of it, as nearly always
            self.is_whole = True
            self._end_message()
            return inflated
        self._wire = wire
        self._tail_size = len(tail)
        self._note_step(decompressor, len(wire), len(inflated) == limit)
        return inflated

    def go_on(self, limit: int) -> bytes:
        """Inflate some more of the piece; returns after a bounded amount of work.

        :param limit: the largest number of bytes to return, at least 1.
        :raises CriticalProtocolError: as :meth:`decompress`.
        """
        pieces = []
        room = limit
        self._check_whole()
        try:
            for _ in range(_STEPS_AT_ONCE):
                if self.is_whole or not room:
                    break
                decompressor = self._decompressor
                if decompressor is None:
                    decompressor = self._decompressor = decompressobj(self._inflate_wbits)
                start = self._position
                size = _STREAM_STEP if self._streams else _STEP
                step = memoryview(self._wire)[start : start + size]
                pieces.append(decompressor.decompress(step, room))
                room -= len(pieces[-1])
                if step:
                    self._is_open = True
                self._note_step(decompressor, len(step), not room)
        except zlib_error as error:
            raise self._break(error) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _note_step(self, decompressor: _Decompress, size: int, is_full: bool) -> None:
        """Take note of what a call of zlib with ``size`` bytes has left over."""
        self._is_full = is_full
        # Behind the end of a stream, zlib may have the same bytes in both.
        is_over = decompressor.eof
        rest = decompressor.unused_data if is_over else decompressor.unconsumed_tail
        self._position += size - len(rest)
        if is_over:
            # A block may have BFINAL set (RFC 7692 section 7.2.3.4); then another stream follows.
            self._decompressor = None
            self._is_open = self._is_full = False
            self._streams += 1
            if self._streams > _MAX_STREAMS:
                raise CriticalProtocolError("broken deflate stream (too many final blocks)")
        self._check_whole()

    def _check_whole(self) -> None:
        """See whether the piece is inflated; after the last one, let the tail follow."""
        self.is_whole = False
        if self._is_full:
            return
        left = len(self._wire) - self._position
        # A message that is already whole gets no tail. Two such messages occur in practice, though
        # neither is right (RFC 7692 sections 7.2.3.4 and 7.2.3.6): a message that ends right after
        # a block with BFINAL, and an empty message without the empty block. The meaning of both is
        # clear, and a tail would corrupt the messages after them.
        if left and (left != self._tail_size or self._is_open):
            return
        if self._is_final and self._is_open and not self._tail_size:
            self._wire = self._tail
            self._tail_size = len(self._tail)
            self._position = 0
            return
        self.is_whole = True
        if self._is_final:
            self._end_message()

    def _end_message(self) -> None:
        self._wire = b""
        self._is_final = False
        self._tail_size = self._position = self._streams = 0
        if self.reset_decompress:
            self._decompressor = None
            if self._is_open:
                raise CriticalProtocolError("broken deflate stream (cut short)")
        self._is_open = False

    def _break(self, error: Exception) -> CriticalProtocolError:
        self._decompressor = None
        return CriticalProtocolError(f"broken deflate stream ({error})")


def _new_compressor(wbits: int, level: int) -> _Compress:
    wbits = max(_SMALLEST_WBITS, wbits)
    compressor: _Compress = compressobj(level, zlib.DEFLATED, -wbits, _MEM_LEVELS[wbits])
    return compressor


def _compress_blocks(compressor: _Compress, payload: bytes | bytearray | memoryview) -> bytes:
    """Compress for a window of 256 bytes."""
    view = memoryview(payload).cast("B")  # an item may be larger than a byte
    pieces = []
    for start in range(0, len(view), _BLOCK_OF_8_BITS):
        pieces.append(compressor.compress(view[start : start + _BLOCK_OF_8_BITS]))
        pieces.append(compressor.flush(zlib.Z_FULL_FLUSH))
    return b"".join(pieces)
