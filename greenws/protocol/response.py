"""A response of HTTP/1: a server's answer to the opening request, or a proxy's reply."""

from __future__ import annotations

from ..redaction import printable
from .head import Head


class Response(Head):
    """The head of an HTTP response, and the body of a rejection.

    :param header_data: the head; any bytes make a response.
    """

    def __init__(self, header_data: bytes) -> None:
        super().__init__(header_data)
        parts = self.start_line.split(None, 2)
        while len(parts) < 3:
            parts.append("")
        version, code, status = parts
        #: The version in the status line: ``"HTTP/1.1"``.
        self.http_ver: str = version
        #: The three digits of the status line (RFC 7230 section 3.1.2); None if they are missing.
        self.status_code: int | None = int(code) if len(code) == 3 and code.isdigit() else None
        #: The reason phrase, which may be empty.
        self.status: str = status.rstrip()
        #: The body of a rejection, as far as the session has read it; the session sets the body.
        self.body: bytes = b""

    @property
    def is_interim(self) -> bool:
        """Whether another response follows this response: 1xx, but not the 101 of an upgrade."""
        code = self.status_code
        return code is not None and 100 <= code < 200 and code != 101

    def __repr__(self) -> str:
        return f"<response {printable(self.http_ver)} {self.status_code} {printable(self.status)}>"
