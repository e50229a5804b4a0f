"""The body of a response: where it ends (RFC 7230 section 3.3.3), and its first bytes."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from ..constants import MAX_BODY_SIZE

if TYPE_CHECKING:
    from .response import Response

# The line before a chunk: its size, then extensions nobody needs (RFC 7230 section 4.1).
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)
# The longest such line, bytes. Senders use a dozen.
_MAX_CHUNK_LINE = 1024


class _State(enum.Enum):
    CONTENT = enum.auto()  # bytes up to a length, or to the end of the connection
    CHUNK_SIZE = enum.auto()
    CHUNK = enum.auto()
    CHUNK_END = enum.auto()
    COMPLETE = enum.auto()


class BodyReader:
    """Collect the first bytes of a body that arrives in pieces.

    A malformed length or chunk is no error: the body ends before it. When the connection ends,
    what there is is the body.

    :param response: the head of the response, to a request that was neither HEAD nor a
        successful CONNECT.
    :param limit: the most bytes to keep; reading ends there.
    """

    def __init__(self, response: Response, limit: int = MAX_BODY_SIZE) -> None:
        self._limit = limit
        self._body = bytearray()
        self._line = bytearray()  # an unfinished line between chunks
        self._left = limit  # bytes still expected: of the body, or of the chunk
        self._state = self._first_state(response)
        if not self._left:
            self._state = _State.COMPLETE

    def _first_state(self, response: Response) -> _State:
        code = response.status_code
        if code is not None and (100 <= code < 200 or code in (204, 304)):
            return _State.COMPLETE
        if "transfer-encoding" in response.headers:
            # It overrides Content-Length. Without "chunked" at its end, the body ends with the
            # connection.
            codings = response.get_list("transfer-encoding")
            is_chunked = bool(codings) and codings[-1].lower() == "chunked"
            return _State.CHUNK_SIZE if is_chunked else _State.CONTENT
        if "content-length" in response.headers:
            lengths = set(response.get_list("content-length"))
            length = lengths.pop() if len(lengths) == 1 else ""
            # Contradictory or malformed: the user agent has to discard the response.
            if not (length.isdigit() and length.isascii()):
                return _State.COMPLETE
            # Compared as text first: int() refuses thousands of digits.
            length = length.lstrip("0") or "0"
            if len(length) <= len(str(self._limit)):
                self._left = min(int(length), self._limit)
        return _State.CONTENT

    @property
    def body(self) -> bytes:
        """What there is so far, at most ``limit`` bytes. Content codings (gzip) stay."""
        return bytes(self._body)

    @property
    def is_complete(self) -> bool:
        """Whether nothing more is expected: the body has ended, or the limit is reached."""
        return self._state is _State.COMPLETE

    def feed(self, data: bytes | bytearray | memoryview) -> bool:
        """Take the next piece; what follows the body is ignored.

        :param data: bytes, bytearray or memoryview; copied as far as it is kept.
        :returns: :attr:`is_complete`.
        """
        view = memoryview(data)
        position = 0
        while position < len(view) and self._state is not _State.COMPLETE:
            if self._state in (_State.CONTENT, _State.CHUNK):
                position += self._take_content(view[position:])
            else:
                position += self._take_line(view[position:])
        return self.is_complete

    def _take_content(self, view: memoryview) -> int:
        taken = min(len(view), self._left, self._limit - len(self._body))
        self._body += view[:taken]
        self._left -= taken
        if len(self._body) >= self._limit:
            self._state = _State.COMPLETE
        elif not self._left:
            is_chunk = self._state is _State.CHUNK
            self._state = _State.CHUNK_END if is_chunk else _State.COMPLETE
        return taken

    def _take_line(self, view: memoryview) -> int:
        # One byte more than a line may have shows that it is too long.
        piece = bytes(view[: _MAX_CHUNK_LINE + 1 - len(self._line)])
        end = piece.find(b"\n") + 1
        self._line += piece[:end] if end else piece
        if len(self._line) > _MAX_CHUNK_LINE:
            self._state = _State.COMPLETE
        elif end:
            line = bytes(self._line).rstrip(b"\r\n")
            self._line.clear()
            self._end_line(line)
        return end or len(piece)

    def _end_line(self, line: bytes) -> None:
        if self._state is _State.CHUNK_END:
            self._state = _State.COMPLETE if line else _State.CHUNK_SIZE
            return
        found = _CHUNK_LINE.fullmatch(line)
        # The last chunk is empty; the trailers behind it are of no use.
        self._left = int(found[1], 16) if found is not None else 0
        self._state = _State.CHUNK if self._left else _State.COMPLETE
