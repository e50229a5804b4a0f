"""``Sec-WebSocket-Extensions``: its grammar, and the negotiation of permessage-deflate.

The client offers extensions, and the server answers with its choice (RFC 6455 section 9.1, RFC 7692
sections 5 and 7.1). The result of the negotiation is a
:class:`~greenws.protocol.compression.Deflate`.

A parameter of the offer is an order or a hint. What concerns the server's compressor is an order: a
server that accepts the offer has to repeat it, or to go beyond it (sections 7.1.1.1 and 7.1.2.1).
What concerns our own compressor is a hint: we keep to it in any case, and the server may tighten it
(sections 7.1.1.2 and 7.1.2.2). A server that can do neither declines the offer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from ..errors import CompressionParameterError
from .compression import LEVEL, Deflate
from .head import TOKEN, is_token

if TYPE_CHECKING:
    from ..options import CompressOptions

#: Names of extensions, each with its parameters; a parameter without a value has None.
Extensions: TypeAlias = list[tuple[str, list[tuple[str, str | None]]]]

#: The name of the only extension greenws knows.
PERMESSAGE_DEFLATE = "permessage-deflate"

#: The usual value of ``Sec-WebSocket-Extensions`` with which a client offers compression. The
#: server may choose the windows of both sides.
OFFER = PERMESSAGE_DEFLATE + "; client_max_window_bits"

_QUOTED = r'"((?:[\t !#-\[\]-~]|\\[\t -~])*)"'
_EXTENSION = re.compile(rf"[ \t]*({TOKEN})[ \t]*")
_PARAMETER = re.compile(rf";[ \t]*({TOKEN})[ \t]*(?:=[ \t]*(?:({TOKEN})|{_QUOTED})[ \t]*)?")
_BLANK = re.compile(r"[ \t]*")
_ESCAPE = re.compile(r"\\(.)")


def parse_extensions(value: str) -> Extensions:
    """Parse the value of ``Sec-WebSocket-Extensions`` (RFC 6455 section 9.1).

    :param value: the value of one field, or the values of several fields joined with commas. Empty
        elements are skipped (RFC 7230 section 7).
    :returns: the extensions in order, each with its parameters in order; quotes are removed.
    :raises ValueError: the value is malformed.
    """
    extensions: Extensions = []
    position = 0
    while True:
        found = _EXTENSION.match(value, position)
        if found is not None:
            position = found.end()
            parameters: list[tuple[str, str | None]] = []
            while (parameter := _PARAMETER.match(value, position)) is not None:
                position = parameter.end()
                parameters.append(_parse_parameter(*parameter.groups()))
            extensions.append((found[1], parameters))
        elif (blank := _BLANK.match(value, position)) is not None:
            position = blank.end()
        if position == len(value):
            return extensions
        if value[position] != ",":
            raise ValueError(f"malformed extensions at {value[position : position + 40]!r}")
        position += 1


def _parse_parameter(name: str, token: str | None, quoted: str | None) -> tuple[str, str | None]:
    if quoted is None:
        return name, token
    unquoted = _ESCAPE.sub(r"\1", quoted)
    if not is_token(unquoted):
        raise ValueError(f"the value of the extension parameter {name[:40]!r} is not a token")
    return name, unquoted


# Window bits are decimal numbers without leading zeros (RFC 7692 section 7.1).
_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}
SERVER_RESET: Final = "server_no_context_takeover"
CLIENT_RESET: Final = "client_no_context_takeover"
SERVER_BITS: Final = "server_max_window_bits"
CLIENT_BITS: Final = "client_max_window_bits"


def parse_parameters(
    parameters: Sequence[tuple[str, str | None]], is_offer: bool
) -> dict[str, int | None]:
    """Check the parameters of one permessage-deflate (RFC 7692 section 7.1).

    :param is_offer: whether the parameters are of an offer; otherwise they are of an answer.
    :returns: the window bits by name of the parameter; None for a parameter without a value.
    :raises CompressionParameterError: a parameter is unknown, repeated, or has a bad value.
    """
    parsed: dict[str, int | None] = {}
    for name, value in parameters:
        if name in parsed:
            raise CompressionParameterError(f"{name} appears twice")
        if name in (SERVER_RESET, CLIENT_RESET):
            if value is not None:
                raise CompressionParameterError(f"{name} takes no value")
            parsed[name] = None
        elif name in (SERVER_BITS, CLIENT_BITS):
            if value is None and is_offer and name == CLIENT_BITS:
                parsed[name] = None
            elif value is None or value not in _WINDOW_BITS:
                given = "missing" if value is None else repr(value[:40])
                raise CompressionParameterError(f"{name} must be 8-15, not {given}")
            else:
                parsed[name] = _WINDOW_BITS[value]
        else:
            raise CompressionParameterError(
                f"unknown parameter {name[:40]!r} of {PERMESSAGE_DEFLATE}"
            )
    return parsed


#: What :data:`OFFER` asks for: nothing in particular.
NO_WISHES = cast("CompressOptions", MappingProxyType({}))


def build_offer(wishes: CompressOptions) -> str:
    """Return the value of ``Sec-WebSocket-Extensions`` that offers compression (RFC 7692 section
    7.1).

    :param wishes: the user's; checked.
    """
    bits = wishes.get(CLIENT_BITS)
    # Without a value, the parameter only says that the server may choose (section 7.1.2.2).
    offer = OFFER if bits is None else f"{OFFER}={bits}"
    bits = wishes.get(SERVER_BITS)
    if bits is not None:
        offer += f"; {SERVER_BITS}={bits}"
    if wishes.get(CLIENT_RESET):
        offer += f"; {CLIENT_RESET}"
    if wishes.get(SERVER_RESET):
        offer += f"; {SERVER_RESET}"
    return offer


def accept_response(extensions: Extensions, wishes: CompressOptions = NO_WISHES) -> Deflate:
    """Check the server's answer to an offer (RFC 7692 section 5.1).

    :param extensions: the parsed extensions of the answer.
    :param wishes: as :func:`build_offer` was given them.
    :raises CompressionParameterError: the answer is not exactly one permessage-deflate, has a
        parameter that is unknown, repeated or has a bad value, or does not answer the offer.
    """
    if len(extensions) != 1 or extensions[0][0] != PERMESSAGE_DEFLATE:
        raise CompressionParameterError(
            f"the server must answer with exactly one {PERMESSAGE_DEFLATE}"
        )
    parameters = parse_parameters(extensions[0][1], is_offer=False)
    # A parameter that the server leaves out sets no limit of its own.
    client_limit, server_limit = wishes.get(CLIENT_BITS, 15), wishes.get(SERVER_BITS, 15)
    client_bits = parameters.get(CLIENT_BITS) or client_limit
    server_bits = parameters.get(SERVER_BITS) or 15
    if client_bits > client_limit:
        raise CompressionParameterError(
            f"{CLIENT_BITS} must be at most {client_limit}, as offered, not {client_bits}"
        )
    if server_bits > server_limit:
        given = server_bits if SERVER_BITS in parameters else "missing"
        raise CompressionParameterError(
            f"{SERVER_BITS} must be at most {server_limit}, as offered, not {given}"
        )
    if wishes.get(SERVER_RESET) and SERVER_RESET not in parameters:
        raise CompressionParameterError(f"{SERVER_RESET} was offered, and is missing in the answer")
    return Deflate(
        compress_wbits=client_bits,
        decompress_wbits=server_bits,
        reset_compress=CLIENT_RESET in parameters or wishes.get(CLIENT_RESET, False),
        reset_decompress=SERVER_RESET in parameters,
        level=wishes.get("level", LEVEL),
        min_size=wishes.get("min_size", 0),
    )
