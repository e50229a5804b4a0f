"""A response of HTTP/1: a server's answer to the opening request, or a proxy's reply."""

from __future__ import annotations

import re

from ..redaction import printable
from .head import Head

# A body that is longer, in bytes, is a page and no message.
_SHORT = 1024
# Nor is a line of more characters one: two lines of a terminal have 160.
_LINE = 160

_BLANK = " \t"
_BLANKS = re.compile(r"[ \t]+")
# The numbers by their three digits, ASCII alone.
_CODES = {f"{code:03}": code for code in range(1000)}


class Response(Head):
    """The head of an HTTP response, and the body of a rejection.

    :param header_data: the head; any bytes make a response.
    """

    def __init__(self, header_data: bytes) -> None:
        super().__init__(header_data)
        line = self.start_line.strip(_BLANK)
        # Most lines have single spaces, and no pattern is needed for them.
        parts = line.split(" ", 2)
        if len(parts) < 3 or "\t" in line or "  " in line:
            parts = [*_BLANKS.split(line, maxsplit=2), "", ""][:3]
        version, code, status = parts
        #: The version in the status line: ``"HTTP/1.1"``.
        self.http_ver: str = version
        #: The three digits of the status line (RFC 7230 section 3.1.2); None if they are missing.
        self.status_code: int | None = _CODES.get(code)
        #: The reason phrase, which may be empty.
        self.status: str = status
        #: The body of a rejection, as far as the session has read it; the session sets the body.
        self.body: bytes = b""

    @property
    def is_interim(self) -> bool:
        """Whether another response follows this response: 1xx, but not the 101 of an upgrade."""
        code = self.status_code
        return code is not None and 100 <= code < 200 and code != 101

    @property
    def message(self) -> str:
        """The first line of a short body that is text, or all of it if it is JSON; else empty. It
        can be shown: control characters are escaped, and what is longer than a line then is cut.
        """
        if not 0 < len(self.body) <= _SHORT or self.get("content-encoding", "") != "":
            return ""
        kind = (self.get("content-type") or "").partition(";")[0].strip(_BLANK).lower()
        is_json = kind.endswith(("/json", "+json"))
        if kind == "text/html" or not (is_json or not kind or kind.startswith("text/")):
            return ""
        try:
            text = self.body.decode("utf-8")
        except UnicodeDecodeError:
            if not kind:
                return ""
            text = self.body.decode("latin-1")
        text = text.strip()
        if text.startswith("<"):
            return ""
        if text.startswith(("{", "[")):
            line = " ".join(text.split())
        else:
            line = text.partition("\n")[0].rstrip()
        return printable(line, _LINE) if len(line) <= _LINE else ""

    def __repr__(self) -> str:
        return printable(f"<response {self.http_ver} {self.status_code} {self.status}>")
