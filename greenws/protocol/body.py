"""The body of a response: its first bytes, and its end (RFC 7230 section 3.3.3)."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from ..constants import MAX_BODY_SIZE

if TYPE_CHECKING:
    from .response import Response

# The line before a chunk: the size of the chunk, then extensions, which are ignored (RFC 7230
# section 4.1).
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)
# The longest line before a chunk, in bytes. Real senders use about a dozen bytes.
_MAX_CHUNK_LINE = 1024


class _Expected(enum.Enum):
    """The next part of the body, as the reader expects it."""

    CONTENT = enum.auto()  # bytes up to a length, or up to the end of the connection
    CHUNK_SIZE = enum.auto()
    CHUNK = enum.auto()
    CHUNK_END = enum.auto()
    NOTHING = enum.auto()


class BodyReader:
    """Collects the first bytes of a body that arrives in pieces.

    A malformed length or chunk is not an error: the body ends before it. If the connection ends
    early, the bytes read so far are the body.

    :param response: the head of the response. Its request was neither HEAD nor a successful
        CONNECT.
    :param limit: the largest number of bytes to keep; reading ends at the limit.
    """

    def __init__(self, response: Response, limit: int = MAX_BODY_SIZE) -> None:
        self._limit = limit
        self._body = bytearray()
        self._line = bytearray()  # an unfinished line between chunks
        self._left = limit  # bytes still expected, of the body or of the chunk
        self._expected = self._first_expected(response)
        if not self._left:
            self._expected = _Expected.NOTHING

    def _first_expected(self, response: Response) -> _Expected:
        code = response.status_code
        if code is not None and (100 <= code < 200 or code in (204, 304)):
            return _Expected.NOTHING
        if "transfer-encoding" in response.headers:
            # Transfer-Encoding overrides Content-Length. Without "chunked" as the last coding, the
            # body ends with the connection.
            codings = response.get_list("transfer-encoding")
            is_chunked = bool(codings) and codings[-1].lower() == "chunked"
            return _Expected.CHUNK_SIZE if is_chunked else _Expected.CONTENT
        if "content-length" in response.headers:
            lengths = set(response.get_list("content-length"))
            length = lengths.pop() if len(lengths) == 1 else ""
            # A client must discard a response whose lengths contradict each other or are malformed.
            if not (length.isdigit() and length.isascii()):
                return _Expected.NOTHING
            # The number of digits is compared first: int() refuses thousands of digits.
            length = length.lstrip("0") or "0"
            if len(length) <= len(str(self._limit)):
                self._left = min(int(length), self._limit)
        return _Expected.CONTENT

    @property
    def body(self) -> bytes:
        """The bytes read so far, at most ``limit``. Content codings (gzip) are not decoded."""
        return bytes(self._body)

    @property
    def is_complete(self) -> bool:
        """Whether the body has ended or the limit is reached."""
        return self._expected is _Expected.NOTHING

    def feed(self, data: bytes | bytearray | memoryview) -> bool:
        """Take the next piece. Bytes after the body are ignored.

        :param data: bytes, bytearray or memoryview; kept bytes are copied.
        :returns: :attr:`is_complete`.
        """
        view = memoryview(data)
        position = 0
        while position < len(view) and self._expected is not _Expected.NOTHING:
            if self._expected in (_Expected.CONTENT, _Expected.CHUNK):
                position += self._take_content(view[position:])
            else:
                position += self._take_line(view[position:])
        return self.is_complete

    def _take_content(self, view: memoryview) -> int:
        taken = min(len(view), self._left, self._limit - len(self._body))
        self._body += view[:taken]
        self._left -= taken
        if len(self._body) >= self._limit:
            self._expected = _Expected.NOTHING
        elif not self._left:
            is_chunk = self._expected is _Expected.CHUNK
            self._expected = _Expected.CHUNK_END if is_chunk else _Expected.NOTHING
        return taken

    def _take_line(self, view: memoryview) -> int:
        # One byte beyond the longest line is enough to see that a line is too long.
        piece = bytes(view[: _MAX_CHUNK_LINE + 1 - len(self._line)])
        end = piece.find(b"\n") + 1
        self._line += piece[:end] if end else piece
        if len(self._line) > _MAX_CHUNK_LINE:
            self._expected = _Expected.NOTHING
        elif end:
            line = bytes(self._line).rstrip(b"\r\n")
            self._line.clear()
            self._end_line(line)
        return end or len(piece)

    def _end_line(self, line: bytes) -> None:
        if self._expected is _Expected.CHUNK_END:
            self._expected = _Expected.NOTHING if line else _Expected.CHUNK_SIZE
            return
        found = _CHUNK_LINE.fullmatch(line)
        # The last chunk is empty. The trailers after it are ignored.
        self._left = int(found[1], 16) if found is not None else 0
        self._expected = _Expected.CHUNK if self._left else _Expected.NOTHING
