"""The opening handshake, both sides of it (RFC 6455 section 4)."""

from __future__ import annotations

import re
from binascii import b2a_base64
from hashlib import sha1
from os import urandom
from typing import TYPE_CHECKING

from ..constants import WS_KEY, WS_VERSION
from ..errors import HandshakeError
from .compression import NAME as PERMESSAGE_DEFLATE
from .compression import TOKEN, accept_response, parse_extensions
from .head import Head

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .compression import Deflate, Extensions
    from .response import Response

# A field-value (RFC 7230 section 3.2): visible characters, bytes beyond ASCII, blanks.
_VALUE = r"[\t\x20-\x7e\x80-\xff]*"
_is_token = re.compile(TOKEN).fullmatch
_is_name = re.compile(TOKEN.encode()).fullmatch
_is_value = re.compile(_VALUE.encode()).fullmatch
_is_http = re.compile(r"HTTP/1\.[0-9]").fullmatch

# A request or field line, as a server has to insist on it (RFC 7230 sections 3.1.1 and 3.2).
_REQUEST_LINE = re.compile(rf"({TOKEN}) ([\x21-\x7e]+) (HTTP/[0-9]\.[0-9])".encode())
_is_field_line = re.compile(rf"{TOKEN}:{_VALUE}".encode()).fullmatch
# 16 bytes in base64.
_is_key = re.compile(r"[A-Za-z0-9+/]{22}==").fullmatch

# How much of a peer's text an error shows, characters.
_SHOWN = 64

_VERSION_HEADER = (b"Sec-WebSocket-Version", b"%d" % WS_VERSION)
_UPGRADE_HEADERS = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))


def new_key() -> bytes:
    """Make a value for ``Sec-WebSocket-Key``: 16 unpredictable bytes in base64."""
    return b2a_base64(urandom(16), newline=False)


def accept_for(key: bytes) -> str:
    """Compute the ``Sec-WebSocket-Accept`` that answers a key (RFC 6455 section 4.2.2)."""
    # Not for security: it shows that the server speaks WebSocket. FIPS builds allow it then.
    digest = sha1(key + WS_KEY, usedforsecurity=False).digest()
    return b2a_base64(digest, newline=False).decode("ascii")


def check_header(name: bytes, value: bytes) -> None:
    """Check that a header can be sent (RFC 7230 section 3.2).

    :raises TypeError: either is not bytes.
    :raises ValueError: the name is not a token, or the value has control characters: CR and LF
        would begin another line.
    """
    if not isinstance(name, bytes):
        raise TypeError(f"the name of a header must be bytes, not {type(name).__name__}")
    if not isinstance(value, bytes):
        raise TypeError(f"the value of a header must be bytes, not {type(value).__name__}")
    if not _is_name(name):
        raise ValueError(f"the name of a header must be a token: {name!r}")
    if not _is_value(value):
        # The value is not shown: it may be a credential.
        raise ValueError(f"the value of header {name!r} has control characters")


def check_protocols(protocols: Iterable[str]) -> None:
    """Check that subprotocols can be offered (RFC 6455 section 4.1).

    :raises ValueError: one is not a token, or is named twice.
    """
    seen: set[str] = set()
    for protocol in protocols:
        if not _is_token(protocol):
            raise ValueError(f"subprotocol must be a token: {protocol[:_SHOWN]!r}")
        if protocol in seen:
            raise ValueError(f"subprotocol is named twice: {protocol[:_SHOWN]!r}")
        seen.add(protocol)


def _build_head(start_line: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [start_line]
    for name, value in headers:
        check_header(name, value)
        lines.append(b"%b: %b" % (name, value))
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def check_response(
    response: Response, key: bytes, protocols: Sequence[str], compress: bool
) -> tuple[str | None, set[str], Deflate | None]:
    """Check that a response is the upgrade that was asked for (RFC 6455 section 4.1).

    :param key: what was sent as ``Sec-WebSocket-Key``.
    :param protocols: the subprotocols that were offered.
    :param compress: whether :data:`~greenws.protocol.compression.OFFER` was sent.
    :returns: the subprotocol or None, the names of the extensions in use, and the agreement on
        permessage-deflate or None.
    :raises HandshakeError: naming what is wrong.
    """
    if response.status_code != 101:
        raise HandshakeError(f"Websocket upgrade failed (code={response.status_code})")
    version = response.http_ver
    if version != "HTTP/1.1" and not _is_http(version):
        raise HandshakeError(f"Unknown version of HTTP {version[:_SHOWN]!r}")
    headers = response.headers

    upgrade = headers.get("upgrade")
    if upgrade is None:
        raise HandshakeError("No Upgrade header")
    if upgrade.lower() != "websocket":
        raise HandshakeError(f"Can't upgrade to {upgrade[:_SHOWN]!r}")
    connection = headers.get("connection")
    if connection is None:
        raise HandshakeError("No Connection header")
    if connection.lower() != "upgrade" and not _has_token(response, "connection", "upgrade"):
        raise HandshakeError(f"Connection header without 'Upgrade': {connection[:_SHOWN]!r}")
    accept = headers.get("sec-websocket-accept")
    if accept is None:
        raise HandshakeError("No Sec-WebSocket-Accept header")
    if accept != accept_for(key):
        raise HandshakeError("Sec-WebSocket-Accept challenge failed")

    protocol = headers.get("sec-websocket-protocol")
    if protocol is not None and protocol not in protocols:
        # Two of them, joined by a comma, end here too.
        raise HandshakeError(f"Subprotocol {protocol[:_SHOWN]!r} was not offered")
    value = headers.get("sec-websocket-extensions")
    if not value:
        return protocol, set(), None
    deflate = check_extensions(value, compress)
    return protocol, set() if deflate is None else {PERMESSAGE_DEFLATE}, deflate


def check_extensions(value: str, compress: bool) -> Deflate | None:
    """Check the extensions a server has chosen (RFC 6455 section 9.1).

    :param value: its ``Sec-WebSocket-Extensions``.
    :param compress: whether :data:`~greenws.protocol.compression.OFFER` was sent.
    :returns: the agreement on permessage-deflate, or None.
    :raises HandshakeError: naming what is wrong.
    """
    try:
        extensions = parse_extensions(value)
    except ValueError as error:
        raise HandshakeError(f"Bad Sec-WebSocket-Extensions header ({error})") from error
    for name, _parameters in extensions:
        if not compress or name != PERMESSAGE_DEFLATE:
            raise HandshakeError(f"Extension {name[:_SHOWN]!r} was not offered")
    return accept_response(extensions) if extensions else None


def _has_token(head: Head, name: str, token: str) -> bool:
    """Tell whether a comma-separated header has a token, in any case."""
    return any(element.lower() == token for element in head.get_list(name))


class BadRequest(HandshakeError):
    """A request that is no valid opening request, and what the server answers.

    :param reason: what is wrong; fit for the body of the answer.
    :param status_code: 400, or 426 if a client could do better.
    """

    def __init__(self, reason: str, status_code: int = 400) -> None:
        super().__init__(reason)
        self.status_code: int = status_code
        self.status: str = "Upgrade Required" if status_code == 426 else "Bad Request"
        #: Of a 426: what to upgrade to (RFC 7231 section 6.5.15, RFC 6455 section 4.2.2).
        self.headers: tuple[tuple[bytes, bytes], ...] = (
            ((b"Upgrade", b"websocket"), _VERSION_HEADER) if status_code == 426 else ()
        )

    def build_rejection(self) -> bytes:
        """Build the response; the connection is to be closed after it."""
        body = f"{self}\n".encode("ascii", "backslashreplace")
        return build_rejection(self.status_code, self.status, self.headers, body)


class Request(Head):
    """The head of a valid opening request."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        method, target, http_ver = self.start_line.split(" ")
        self.method: str = method
        self.target: str = target
        self.http_ver: str = http_ver
        #: ``Sec-WebSocket-Key``.
        self.key: bytes = self.headers.get("sec-websocket-key", "").encode("ascii", "replace")
        #: The subprotocols on offer, in order of preference.
        self.protocols: list[str] = self.get_list("sec-websocket-protocol")
        #: The extensions on offer.
        self.extensions: Extensions = []

    def __repr__(self) -> str:
        return f"<request {self.method} {self.target} {self.http_ver}>"


def parse_request(head: bytes) -> Request:
    """Check an opening request as a server has to (RFC 6455 section 4.2.1).

    :param head: the request with its empty line.
    :raises BadRequest: it is no valid opening request; it carries the answer.
    """
    lines = bytes(head).split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(lines[0])
    if found is None:
        raise BadRequest("The request line is malformed")
    if lines[-2:] != [b"", b""] or not all(map(_is_field_line, lines[1:-2])):
        raise BadRequest("A header is malformed")
    if found[1] != b"GET":
        raise BadRequest("The method is not GET")
    if found[3][:7] != b"HTTP/1." or found[3] == b"HTTP/1.0":
        raise BadRequest("The version is not HTTP/1.1")
    request = Request(head)
    _check_upgrade(request)
    return request


def _check_upgrade(request: Request) -> None:
    headers = request.headers
    if len(request.get_all("host")) != 1:
        raise BadRequest("There has to be one Host header")  # RFC 7230 section 5.4
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise BadRequest("An opening request has no body")
    if not _has_token(request, "upgrade", "websocket"):
        raise BadRequest("This is a WebSocket: an upgrade is required", 426)
    if not _has_token(request, "connection", "upgrade"):
        raise BadRequest("The Connection header has no 'Upgrade'")
    # Before the key: another version may have another handshake.
    if headers.get("sec-websocket-version") != str(WS_VERSION):
        raise BadRequest(f"Sec-WebSocket-Version has to be {WS_VERSION}", 426)
    if not _is_key(headers.get("sec-websocket-key", "")):
        raise BadRequest("There has to be one Sec-WebSocket-Key header, of 16 bytes in base64")
    try:
        check_protocols(request.protocols)
        request.extensions = parse_extensions(headers.get("sec-websocket-extensions", ""))
    except ValueError as error:
        raise BadRequest(str(error)) from error


def build_response(
    request: Request,
    *,
    protocol: str | None = None,
    extensions: str | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """Build the answer that accepts a request (RFC 6455 section 4.2.2).

    :param protocol: the subprotocol chosen, one of ``request.protocols``; that is not checked.
    :param extensions: the value of ``Sec-WebSocket-Extensions``; not checked either.
    :param headers: more headers.
    :raises ValueError: a header cannot be sent.
    """
    lines = [*_UPGRADE_HEADERS, (b"Sec-WebSocket-Accept", accept_for(request.key).encode())]
    if protocol is not None:
        lines.append((b"Sec-WebSocket-Protocol", protocol.encode()))
    if extensions is not None:
        lines.append((b"Sec-WebSocket-Extensions", extensions.encode()))
    return _build_head(b"HTTP/1.1 101 Switching Protocols", [*lines, *headers])


def build_rejection(
    status_code: int,
    reason: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: bytes = b"",
) -> bytes:
    """Build an answer that refuses a request; the connection is to be closed after it.

    ``Connection`` and ``Content-Length`` are added unless ``headers`` has them, or has a
    ``Transfer-Encoding``.

    :param status_code: three digits.
    :param reason: the reason phrase; it may be empty.
    :param body: as it goes on the wire.
    :raises ValueError: the status line or a header cannot be sent.
    """
    phrase = reason.encode("utf-8")
    if not 100 <= status_code <= 999 or not _is_value(phrase):
        raise ValueError(f"no status line: {status_code!r} {reason!r}")
    lines = list(headers)
    names = {name.lower() for name, _value in lines}
    if b"connection" not in names:
        lines.append((b"Connection", b"close"))
    if not names & {b"content-length", b"transfer-encoding"}:
        lines.append((b"Content-Length", b"%d" % len(body)))
    return _build_head(b"HTTP/1.1 %d %b" % (status_code, phrase), lines) + body
