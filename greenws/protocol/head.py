"""The head of an HTTP/1 message: finds a head in a stream of bytes, and parses its fields.

A head is a start line and header fields, and ends with the first empty line (RFC 7230 section 3).
The parser is lenient, as section 3.5 allows: a line may end with a bare LF, and blank lines before
the start line are skipped. A caller that must be strict checks :attr:`Head.raw`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..constants import MAX_HEAD_SIZE

# The end of the last line, and the empty line after it. A match has three bytes at most, so at most
# two of them can be in the buffer before the last byte arrives.
_END = re.compile(rb"\n\r?\n")
_OVERLAP = 2

#: The first bytes of every response (RFC 9112 section 4).
RESPONSE_START = b"HTTP/"

# The largest number of a peer's bytes that an error shows.
_QUOTED = 64

# The blanks around names and values (RFC 7230 section 3.2.3). Latin-1 has more characters that
# count as blanks for str.strip(), but in a head these are bytes of the value.
_BLANKS = " \t"
_TO_SPACE = {0: " ", ord("\r"): " "}

#: A token (RFC 7230 section 3.2.6) as a regular expression: the grammar of the names of methods,
#: headers, extensions and subprotocols.
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
is_token: Callable[[str], re.Match[str] | None] = re.compile(TOKEN).fullmatch


class HeadTooLarge(ValueError):
    """A head has more bytes than its reader allows.

    This error is not a :class:`~greenws.errors.WebSocketError`. A caller knows whether the head was
    a server's answer, a proxy's reply or a client's request, and raises its own error.
    """


class ForeignStart(ValueError):
    """The bytes do not begin a head of HTTP; as :class:`HeadTooLarge`, the caller makes its error.

    :param data: the bytes received so far.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(f"the bytes are not HTTP: {quote_bytes(data)}")
        self.data: bytes = data

    @property
    def is_tls(self) -> bool:
        """Whether the bytes begin an alert or a handshake of TLS (RFC 8446 section 5.1)."""
        return self.data[:1] in (b"\x15", b"\x16") and self.data[1:2] in (b"", b"\x03")

    @property
    def is_http2(self) -> bool:
        """Whether the bytes begin a SETTINGS or a GOAWAY of HTTP/2 (RFC 9113 section 4.1)."""
        return self.data[3:4] in (b"\x04", b"\x07") and self.data[5:9] == bytes(4)

    def describe(self, cure: str) -> str:
        """Return what the peer does, for "the server ...".

        :param cure: what to do about a peer that speaks TLS, or empty.
        """
        if self.is_tls:
            other = f"TLS; {cure}" if cure else "TLS"
        elif self.is_http2:
            other = "HTTP/2 only"
        else:
            return f"does not speak HTTP; it sent {quote_bytes(self.data)}"
        return f"does not speak HTTP/1 but {other}; it sent {quote_bytes(self.data)}"


def quote_bytes(data: bytes) -> str:
    """Return bytes of a peer's for an error: escaped, in quotes, and cut."""
    return repr(data[:_QUOTED])[1:] + ("..." if len(data) > _QUOTED else "")


class HeadReader:
    """Finds the end of one head in bytes that arrive in pieces.

    :param limit: the largest size of the head, in bytes, including blank lines before the head.
    :param start: the bytes that a head has to begin with, for example those of
        :data:`RESPONSE_START`.
    """

    def __init__(self, limit: int = MAX_HEAD_SIZE, start: bytes = b"") -> None:
        self._limit = limit
        self._start = start
        self._buffer: bytearray | None = None  # the part of the head that has arrived so far
        self._skipped = 0  # bytes of blank lines before the head
        self._is_complete = False
        #: The bytes after the head, in the piece that completed the head.
        self.rest: bytes = b""

    def feed(self, data: bytes | bytearray | memoryview) -> bytes | None:
        """Take the next piece.

        :param data: bytes, bytearray or memoryview; copied.
        :returns: the complete head with its empty line; None before the head is complete.
        :raises HeadTooLarge: the head is beyond the limit; the reader must not be used again.
        :raises ForeignStart: the first bytes are not ``start``, which is seen at once: a peer that
            speaks another protocol may wait for us, and never end a line. Likewise.
        :raises ValueError: the head was complete already; the reader has not changed.
        """
        if self._is_complete:
            raise ValueError("the head is complete")
        received: bytes | bytearray
        if self._buffer is None:
            piece = bytes(data)
            received = piece.lstrip(b"\r\n")
            self._skipped += len(piece) - len(received)
            start = 0
        else:
            received = self._buffer
            start = max(0, len(received) - _OVERLAP)
            received += data
        if self._start:
            expected = self._start[: len(received)]
            if not received.startswith(expected):
                raise ForeignStart(bytes(received))
            if expected == self._start:
                self._start = b""  # all of it is there: nothing to check any more
        found = _END.search(received, start)
        size = len(received) if found is None else found.end()
        if self._skipped + size > self._limit:
            raise HeadTooLarge(f"the head is larger than {self._limit} bytes")
        if found is None:
            if received and self._buffer is None:
                self._buffer = bytearray(received)
            return None
        self._is_complete = True
        self._buffer = None
        self.rest = bytes(received[size:])
        return bytes(received[:size])

    @property
    def unfinished_line(self) -> bytes:
        """The first line of the head, as far as it has arrived, while the head is incomplete."""
        return b"" if self._buffer is None else bytes(self._buffer.partition(b"\n")[0])


class Head:
    """The header fields of a head. Nothing is validated: any bytes make a head.

    In every text, each byte of the head is the character of Latin-1 with the same number, so that
    no byte is lost: HTTP does not say how bytes beyond ASCII are meant (RFC 9110 section 5.5).
    :meth:`get_bytes` returns the bytes of a value, for example to decode them as UTF-8.

    A NUL, or a CR that ends no line, stands for a space (RFC 9110 section 5.5, RFC 9112 section
    2.2). A name with one is no name. Neither is a ``Set-Cookie`` with one a cookie (RFC 6265bis
    section 5.6).

    :param raw: the head.
    """

    def __init__(self, raw: bytes) -> None:
        #: The head as it was received.
        self.raw: bytes = bytes(raw)
        text = self.raw.decode("latin-1").replace("\r\n", "\n")
        lines = text.split("\n")
        #: Status line or request line.
        self.start_line: str = lines[0]
        fields = _parse_fields(lines)
        if "\0" in text or "\r" in text:
            self.start_line = self.start_line.translate(_TO_SPACE)
            fields = _clean_fields(fields)
        #: Name and value of each field line, in the order of the head; names in lower case.
        self.fields: list[tuple[str, str]] = fields
        #: Names in lower case; the values of a repeated field joined with ``", "``.
        self.headers: dict[str, str] = dict(self.fields)
        if len(self.headers) < len(self.fields):
            self.headers = _join_repeated(self.fields)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Get the value of a header, or ``default`` if the head has no such header.

        :param name: the name of the header, in upper or lower case.
        """
        return self.headers.get(name.lower(), default)

    def get_bytes(self, name: str, default: bytes | None = None) -> bytes | None:
        """Get the bytes of the value of a header, or ``default`` if the head has no such header.

        :param name: the name of the header, in upper or lower case.
        """
        value = self.headers.get(name.lower())
        return default if value is None else value.encode("latin-1")

    def get_list(self, name: str) -> list[str]:
        """Get the elements of a header that is a comma-separated list (RFC 7230 section 7).

        :param name: the name of the header, in upper or lower case.
        :returns: the elements that are not empty.
        """
        value = self.headers.get(name.lower())
        if not value:
            return []
        return [element for part in value.split(",") if (element := part.strip(_BLANKS))]

    def has_token(self, name: str, token: str) -> bool:
        """Tell whether a header that is a comma-separated list has a token, ignoring case.

        :param name: the name of the header, in upper or lower case.
        :param token: the token, in lower case.
        """
        return any(element.lower() == token for element in self.get_list(name))

    def get_all(self, name: str) -> list[str]:
        """Get the value of each field line of a header.

        ``Set-Cookie`` needs this method: its values cannot be joined with commas.

        :param name: the name of the header, in upper or lower case.
        """
        name = name.lower()
        return [value for field, value in self.fields if field == name]


def _parse_fields(lines: list[str]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    is_field = False  # whether a folded line would continue a field
    for line in lines[1:]:
        if not line:
            continue
        if line[0] in _BLANKS:
            # obs-fold, RFC 7230 section 3.2.4: the fold stands for one space.
            if is_field and (more := line.strip(_BLANKS)):
                name, value = fields[-1]
                fields[-1] = (name, f"{value} {more}" if value else more)
            continue
        name, colon, value = line.partition(":")
        name = name.strip(_BLANKS).lower()
        if colon and name:
            is_field = True
            fields.append((name, value.strip(_BLANKS)))
        else:
            is_field = False
    return fields


def _clean_fields(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    clean: list[tuple[str, str]] = []
    for name, value in fields:
        text = value.translate(_TO_SPACE)
        if name == name.translate(_TO_SPACE) and (text == value or name != "set-cookie"):
            clean.append((name, text.strip(_BLANKS)))
    return clean


def _join_repeated(fields: list[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return {name: ", ".join(several) for name, several in values.items()}
