"""The server's side of the opening handshake (RFC 6455 section 4.2): bytes in, bytes out.

The client's side is :mod:`greenws.protocol.handshake`. The client does not use this module.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..constants import WS_VERSION
from ..errors import CompressionParameterError, HandshakeError
from ..protocol.compression import Deflate
from ..protocol.extensions import (
    CLIENT_BITS,
    CLIENT_RESET,
    PERMESSAGE_DEFLATE,
    SERVER_BITS,
    SERVER_RESET,
    parse_extensions,
    parse_parameters,
)
from ..protocol.handshake import FIELD_VALUE, accept_for, check_field, check_protocols
from ..protocol.head import TOKEN, Head
from ..redaction import redact_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..protocol.extensions import Extensions

# The request line and the field lines that a server must insist on (RFC 7230 sections 3.1.1 and
# 3.2).
_REQUEST_LINE = re.compile(rf"({TOKEN}) ([\x21-\x7e]+) (HTTP/[0-9]\.[0-9])".encode())
_is_field_line = re.compile(rf"{TOKEN}:{FIELD_VALUE}".encode()).fullmatch
# 16 bytes in base64.
_is_key = re.compile(r"[A-Za-z0-9+/]{22}==").fullmatch
_is_phrase = re.compile(FIELD_VALUE.encode()).fullmatch

_VERSION_HEADER = (b"Sec-WebSocket-Version", b"%d" % WS_VERSION)
_PHRASES = {
    400: "Bad Request",
    408: "Request Timeout",
    426: "Upgrade Required",
    503: "Service Unavailable",
}
_UPGRADE_HEADERS = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))


class BadRequest(HandshakeError):
    """A request is not a valid opening request. The error builds the server's answer.

    :param reason: the fault, as text for the body of the answer.
    :param status_code: 400, or 426 if another request of the client can succeed; 408 or 503 if the
        server waits for the request no longer.
    """

    def __init__(self, reason: str, status_code: int = 400) -> None:
        super().__init__(reason)
        self.status_code: int = status_code
        self.status: str = _PHRASES[status_code]
        #: The headers of a 426 name the protocol to upgrade to (RFC 7231 section 6.5.15, RFC 6455
        #: section 4.2.2).
        self.headers: tuple[tuple[bytes, bytes], ...] = (
            ((b"Upgrade", b"websocket"), _VERSION_HEADER) if status_code == 426 else ()
        )

    def build_rejection(self) -> bytes:
        """Build the response; the server must close the connection after the response."""
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
        #: The offered subprotocols, in the client's order of preference.
        self.protocols: list[str] = self.get_list("sec-websocket-protocol")
        #: The offered extensions.
        self.extensions: Extensions = []

    def __repr__(self) -> str:
        return f"<request {self.method} {redact_url(self.target)} {self.http_ver}>"


def parse_request(head: bytes) -> Request:
    """Check an opening request with the strictness of a server (RFC 6455 section 4.2.1).

    :param head: the request with its empty line.
    :raises BadRequest: the request is not a valid opening request; the error builds the answer.
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
        raise BadRequest("The request must have one Host header")  # RFC 7230 section 5.4
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise BadRequest("An opening request must not have a body")
    if not request.has_token("upgrade", "websocket"):
        raise BadRequest("This resource is a WebSocket: an upgrade is required", 426)
    if not request.has_token("connection", "upgrade"):
        raise BadRequest("The Connection header has no 'Upgrade'")
    # The version comes before the key: another version may have another handshake.
    if headers.get("sec-websocket-version") != str(WS_VERSION):
        raise BadRequest(f"Sec-WebSocket-Version must be {WS_VERSION}", 426)
    if not _is_key(headers.get("sec-websocket-key", "")):
        raise BadRequest("The request must have one Sec-WebSocket-Key header, 16 bytes in base64")
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

    :param protocol: the chosen subprotocol; whether the client has offered it is not checked.
    :param extensions: the value of ``Sec-WebSocket-Extensions``, which is not checked either.
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
    """Build an answer that refuses a request; the server must close the connection afterwards.

    ``Connection`` is added unless ``headers`` has it. ``Content-Length`` is added unless
    ``headers`` has ``Content-Length`` or ``Transfer-Encoding``.

    :param status_code: three digits.
    :param reason: the reason phrase, which may be empty.
    :param body: the body, as it goes on the wire.
    :raises ValueError: the status line or a header cannot be sent.
    """
    phrase = reason.encode("utf-8")
    if not 100 <= status_code <= 999 or not _is_phrase(phrase):
        raise ValueError(f"invalid status line: {status_code!r} {reason!r}")
    lines = list(headers)
    names = {name.lower() for name, _value in lines}
    if b"connection" not in names:
        lines.append((b"Connection", b"close"))
    if not names & {b"content-length", b"transfer-encoding"}:
        lines.append((b"Content-Length", b"%d" % len(body)))
    return _build_head(b"HTTP/1.1 %d %b" % (status_code, phrase), lines) + body


def _build_head(start_line: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [start_line]
    for name, value in headers:
        check_field(name, value)
        lines.append(b"%b: %b" % (name, value))
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def answer_offer(
    offers: Extensions,
    *,
    server_max_window_bits: int = 15,
    client_max_window_bits: int = 15,
    server_no_context_takeover: bool = False,
    client_no_context_takeover: bool = False,
) -> tuple[Deflate, str] | None:
    """Accept the first valid offer of permessage-deflate (RFC 7692 section 5.1).

    An offer with an invalid parameter is skipped, as section 7.1 requires.

    :param offers: the parsed extensions of the request; other extensions are skipped.
    :param server_max_window_bits: the server's largest window for compressing, 8-15.
    :param client_max_window_bits: the client's largest window, 8-15. The server can limit the
        client's window only if the client has offered ``client_max_window_bits``.
    :param server_no_context_takeover: whether the server forgets its window after each message,
        even if the client has not asked for it.
    :param client_no_context_takeover: whether the client must forget its window after each message.
    :returns: the negotiated permessage-deflate and the value of ``Sec-WebSocket-Extensions``, or
        None.
    """
    for name, offered in offers:
        if name != PERMESSAGE_DEFLATE:
            continue
        try:
            parameters = parse_parameters(offered, is_offer=True)
        except CompressionParameterError:
            continue  # an invalid offer is declined, not refused: a later offer may be valid
        deflate = Deflate(
            compress_wbits=min(parameters.get(SERVER_BITS) or 15, server_max_window_bits),
            decompress_wbits=min(parameters[CLIENT_BITS] or 15, client_max_window_bits)
            if CLIENT_BITS in parameters
            else 15,
            reset_compress=server_no_context_takeover or SERVER_RESET in parameters,
            reset_decompress=client_no_context_takeover or CLIENT_RESET in parameters,
        )
        return deflate, _build_answer(deflate, SERVER_BITS in parameters)
    return None


def _build_answer(deflate: Deflate, bits_requested: bool) -> str:
    answer = [PERMESSAGE_DEFLATE]
    if deflate.reset_compress:
        answer.append(SERVER_RESET)
    if deflate.reset_decompress:
        answer.append(CLIENT_RESET)
    # The server must confirm a limit that the client has set, even 15 (section 7.1.2.1).
    if bits_requested or deflate.compress_wbits < 15:
        answer.append(f"{SERVER_BITS}={deflate.compress_wbits}")
    if deflate.decompress_wbits < 15:
        answer.append(f"{CLIENT_BITS}={deflate.decompress_wbits}")
    return "; ".join(answer)
