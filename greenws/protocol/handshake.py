"""The client's side of the opening handshake (RFC 6455 section 4.1).

The server's side is :mod:`greenws.testing.upgrade`.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from os import urandom
from typing import TYPE_CHECKING

from ..constants import WS_KEY
from ..errors import HandshakeError
from .extensions import NO_WISHES, PERMESSAGE_DEFLATE, accept_response, parse_extensions
from .head import TOKEN, is_token

try:
    # The interpreter's own, where it was built with it. To find OpenSSL's, with its code in no
    # cache, takes 2 % of the CPU time of a connection. Type checkers have no stub of it.
    from _sha1 import sha1  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from hashlib import sha1

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..options import CompressOptions
    from .compression import Deflate
    from .response import Response

#: A field-value (RFC 7230 section 3.2) as a regular expression: visible characters, bytes beyond
#: ASCII, blanks.
FIELD_VALUE = r"[\t\x20-\x7e\x80-\xff]*"
_is_name = re.compile(TOKEN.encode()).fullmatch
_is_value = re.compile(FIELD_VALUE.encode()).fullmatch
_is_http = re.compile(r"HTTP/1\.[0-9]").fullmatch

# A token, and the character after it.
_LEADING_TOKEN = re.compile(rb"(?:" + TOKEN.encode() + rb")?.", re.DOTALL)

# The largest number of characters that an error shows of a peer's text.
_SHOWN = 64
# The same of a subprotocol: some services take tokens there.
_SHOWN_PROTOCOL = 8


def new_handshake_key() -> bytes:
    """Make a value for ``Sec-WebSocket-Key``: 16 unpredictable bytes in base64."""
    return b2a_base64(urandom(16), newline=False)


def accept_for(key: bytes) -> str:
    """Compute the ``Sec-WebSocket-Accept`` that answers a key (RFC 6455 section 4.2.2)."""
    # The digest only shows that the server speaks WebSocket. FIPS builds of Python allow SHA-1 if
    # they are told that the digest is not for security.
    digest = sha1(key + WS_KEY, usedforsecurity=False).digest()
    return b2a_base64(digest, newline=False).decode("ascii")


def check_field(name: bytes, value: bytes) -> None:
    """Check that a header can be sent (RFC 7230 section 3.2).

    :raises TypeError: the name or the value is not bytes.
    :raises ValueError: the name is not a token, or the value has control characters, of which CR
        and LF would begin another line.
    """
    if not isinstance(name, bytes):
        raise TypeError(f"the name of a header must be bytes, not {type(name).__name__}")
    if not isinstance(value, bytes):
        raise TypeError(f"the value of a header must be bytes, not {type(value).__name__}")
    if not _is_name(name):
        # No more is shown than the first wrong character: a value may follow, a credential say.
        shown = _LEADING_TOKEN.match(name + b" ")
        assert shown is not None  # any bytes begin with a token, or with nothing
        raise ValueError(f"the name of a header must be a token: {name[: shown.end()]!r}")
    if not _is_value(value):
        # The value is not shown: it may be a credential.
        raise ValueError(f"the value of header {name!r} has control characters")


def check_protocols(protocols: Iterable[str]) -> None:
    """Check that subprotocols can be offered (RFC 6455 section 4.1).

    :raises ValueError: a subprotocol is not a token, or is named twice.
    """
    seen: set[str] = set()
    for protocol in protocols:
        if not is_token(protocol):
            raise ValueError(f"subprotocol must be a token: {_show_protocol(protocol)}")
        if protocol in seen:
            raise ValueError(f"subprotocol appears twice: {_show_protocol(protocol)}")
        seen.add(protocol)


def _show_protocol(protocol: str) -> str:
    more = "..." if len(protocol) > _SHOWN_PROTOCOL else ""
    return f"{protocol[:_SHOWN_PROTOCOL]!r}{more}"


def check_response(
    response: Response, key: bytes, protocols: Sequence[str], compress: bool | CompressOptions
) -> tuple[str | None, set[str], Deflate | None]:
    """Check that a response is the requested upgrade (RFC 6455 section 4.1).

    :param key: the ``Sec-WebSocket-Key`` of the request.
    :param protocols: the offered subprotocols.
    :param compress: whether the request offered permessage-deflate, or what it offered of it.
    :returns: the subprotocol or None, the names of the extensions in use, and the negotiated
        permessage-deflate or None.
    :raises HandshakeError: the response is not that upgrade; the message names the fault.
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
    if connection.lower() != "upgrade" and not response.has_token("connection", "upgrade"):
        raise HandshakeError(f"Connection header without 'Upgrade': {connection[:_SHOWN]!r}")
    accept = headers.get("sec-websocket-accept")
    if accept is None:
        raise HandshakeError("No Sec-WebSocket-Accept header")
    if accept != accept_for(key):
        raise HandshakeError("Sec-WebSocket-Accept challenge failed")

    protocol = headers.get("sec-websocket-protocol")
    if protocol is not None and protocol not in protocols:
        # Two subprotocols, joined with a comma, also end here.
        raise HandshakeError(f"Subprotocol {protocol[:_SHOWN]!r} was not offered")
    value = headers.get("sec-websocket-extensions")
    if not value:
        return protocol, set(), None
    deflate = check_extensions(value, compress)
    return protocol, set() if deflate is None else {PERMESSAGE_DEFLATE}, deflate


def check_extensions(value: str, compress: bool | CompressOptions) -> Deflate | None:
    """Check the extensions that the server has chosen (RFC 6455 section 9.1).

    :param value: the ``Sec-WebSocket-Extensions`` of the response.
    :param compress: whether the request offered permessage-deflate, or what it offered of it.
    :returns: the negotiated permessage-deflate, or None.
    :raises HandshakeError: the server's choice is invalid; the message names the fault.
    """
    try:
        extensions = parse_extensions(value)
    except ValueError as error:
        raise HandshakeError(f"Bad Sec-WebSocket-Extensions header ({error})") from error
    for name, _parameters in extensions:
        if compress is False or name != PERMESSAGE_DEFLATE:
            raise HandshakeError(f"Extension {name[:_SHOWN]!r} was not offered")
    if not extensions:
        return None
    return accept_response(extensions, NO_WISHES if isinstance(compress, bool) else compress)
