"""Frames that are too large to be masked at once.

The payload of such a frame waits as it is. It is masked slice by slice, each when the slices before
it have left. So a message takes up memory once, and no step is long.
"""

from __future__ import annotations

from ..protocol.frame import append_head
from ..protocol.mask import append_masked, new_key

#: Payloads of at least so many bytes are frames of this kind.
BULK = 256 * 1024

# Bytes that are masked at once, or a little more where pieces are small.
_SLICE = 128 * 1024


class BulkFrame:
    """One frame, of which slices are taken in order.

    :param pieces: of the payload, in order; kept until they are taken.
    """

    __slots__ = ("_head", "_key", "_masked", "_pieces", "_place", "_start", "left")

    def __init__(self, opcode: int, pieces: list[bytes], rsv1: bool) -> None:
        self._pieces = pieces
        self._place = 0  # the piece to go on with, and where in it
        self._start = 0
        self._masked = 0  # bytes of the payload that were taken
        self._key = new_key()
        self._head = bytearray()
        size = sum(map(len, pieces))
        append_head(self._head, opcode, size, rsv1)
        self._head += self._key
        #: Bytes that were not taken yet.
        self.left: int = len(self._head) + size

    def take(self) -> bytearray:
        """Return the bytes that come next on the wire; none are left if it returns no bytes."""
        out = self._head
        self._head = bytearray()
        pieces = self._pieces
        while self._place < len(pieces) and len(out) < _SLICE:
            piece = pieces[self._place]
            stop = min(self._start + _SLICE, len(piece))
            append_masked(out, piece, self._start, stop, self._key, self._masked)
            self._masked += stop - self._start
            self._start = stop
            if self._start >= len(piece):
                pieces[self._place] = b""  # its memory is free from here on
                self._place += 1
                self._start = 0
        self.left -= len(out)
        return out
