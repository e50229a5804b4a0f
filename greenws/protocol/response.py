"""A response of HTTP/1: a server's answer to the opening request, or a proxy's reply."""

from __future__ import annotations

import re

from ..redaction import printable
from .head import Head

_BLANKS = re.compile(r"[ \t]+")
_is_code = re.compile(r"[0-9]{3}").fullmatch


class Response(Head):
    """The head of an HTTP response, and the body of a rejection.

    :param header_data: the head; any bytes make a response.
    """

    def __init__(self, header_data: bytes) -> None:
        super().__init__(header_data)
        parts = _BLANKS.split(self.start_line.strip(" \t"), maxsplit=2)
        while len(parts) < 3:
            parts.append("")
        version, code, status = parts
        #: The version in the status line: ``"HTTP/1.1"``.
        self.http_ver: str = version
        #: The three digits of the status line (RFC 7230 section 3.1.2); None if they are missing.
        self.status_code: int | None = int(code) if _is_code(code) else None
        #: The reason phrase, which may be empty.
        self.status: str = status
        #: The body of a rejection, as far as the session has read it; the session sets the body.
        self.body: bytes = b""

    @property
    def is_interim(self) -> bool:
        """Whether another response follows this response: 1xx, but not the 101 of an upgrade."""
        code = self.status_code
        return code is not None and 100 <= code < 200 and code != 101

    def __repr__(self) -> str:
        return printable(f"<response {self.http_ver} {self.status_code} {self.status}>")
