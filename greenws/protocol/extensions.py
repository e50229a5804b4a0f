"""``Sec-WebSocket-Extensions``: its grammar, and the negotiation of permessage-deflate.

The client offers, the server answers with what it has chosen (RFC 6455 section 9.1, RFC 7692
sections 5 and 7.1). The result of the negotiation is a
:class:`~greenws.protocol.compression.Deflate`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from ..errors import CompressionParameterError
from .compression import Deflate
from .head import TOKEN

#: Names of extensions, each with its parameters; a parameter without a value has None.
Extensions: TypeAlias = list[tuple[str, list[tuple[str, str | None]]]]

#: The name of the only extension greenws knows.
PERMESSAGE_DEFLATE = "permessage-deflate"

#: The value of ``Sec-WebSocket-Extensions`` with which a client offers compression. The server
#: may choose the windows of both sides.
OFFER = PERMESSAGE_DEFLATE + "; client_max_window_bits"

_QUOTED = r'"((?:[\t !#-\[\]-~]|\\[\t -~])*)"'
_EXTENSION = re.compile(rf"[ \t]*({TOKEN})[ \t]*")
_PARAMETER = re.compile(rf";[ \t]*({TOKEN})[ \t]*(?:=[ \t]*(?:({TOKEN})|{_QUOTED})[ \t]*)?")
_BLANK = re.compile(r"[ \t]*")
_is_token = re.compile(TOKEN).fullmatch
_ESCAPE = re.compile(r"\\(.)")


def parse_extensions(value: str) -> Extensions:
    """Take the value of ``Sec-WebSocket-Extensions`` apart (RFC 6455 section 9.1).

    :param value: of one field, or of several joined with commas; empty elements are skipped
        (RFC 7230 section 7).
    :returns: the extensions in order, each with its parameters in order; quotes are removed.
    :raises ValueError: it is malformed.
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
    if not _is_token(unquoted):
        raise ValueError(f"the value of the extension parameter {name[:40]!r} is not a token")
    return name, unquoted


# RFC 7692 section 7.1: decimal, without leading zeros.
_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}
_SERVER_RESET = "server_no_context_takeover"
_CLIENT_RESET = "client_no_context_takeover"
_SERVER_BITS = "server_max_window_bits"
_CLIENT_BITS = "client_max_window_bits"


def _parse_parameters(
    parameters: Sequence[tuple[str, str | None]], is_offer: bool
) -> dict[str, int | None]:
    """Check the parameters of one permessage-deflate (RFC 7692 section 7.1).

    :returns: the bits by name; None for a parameter that has no value.
    """
    parsed: dict[str, int | None] = {}
    for name, value in parameters:
        if name in parsed:
            raise CompressionParameterError(f"{name} is given twice")
        if name in (_SERVER_RESET, _CLIENT_RESET):
            if value is not None:
                raise CompressionParameterError(f"{name} takes no value")
            parsed[name] = None
        elif name in (_SERVER_BITS, _CLIENT_BITS):
            if value is None and is_offer and name == _CLIENT_BITS:
                parsed[name] = None
            elif value is None or value not in _WINDOW_BITS:
                given = "no value" if value is None else repr(value[:40])
                raise CompressionParameterError(f"{name} must be 8-15, not {given}")
            else:
                parsed[name] = _WINDOW_BITS[value]
        else:
            raise CompressionParameterError(
                f"unknown parameter {name[:40]!r} of {PERMESSAGE_DEFLATE}"
            )
    return parsed


def accept_response(extensions: Extensions) -> Deflate:
    """Check the server's answer to :data:`OFFER` (client side, RFC 7692 section 5.1).

    :param extensions: of the answer, parsed.
    :raises CompressionParameterError: it is not exactly one permessage-deflate, or has a
        parameter that is unknown, repeated or has a bad value.
    """
    if len(extensions) != 1 or extensions[0][0] != PERMESSAGE_DEFLATE:
        raise CompressionParameterError(
            f"the server has to answer with {PERMESSAGE_DEFLATE}, once, alone"
        )
    parameters = _parse_parameters(extensions[0][1], is_offer=False)
    return Deflate(
        compress_wbits=parameters.get(_CLIENT_BITS) or 15,
        decompress_wbits=parameters.get(_SERVER_BITS) or 15,
        reset_compress=_CLIENT_RESET in parameters,
        reset_decompress=_SERVER_RESET in parameters,
    )


def answer_offer(
    offers: Extensions,
    *,
    server_max_window_bits: int = 15,
    client_max_window_bits: int = 15,
    server_no_context_takeover: bool = False,
    client_no_context_takeover: bool = False,
) -> tuple[Deflate, str] | None:
    """Accept the first good offer of permessage-deflate (server side, RFC 7692 section 5.1).

    An offer with a wrong parameter is passed over, as section 7.1 wants it.

    :param offers: of the request, parsed; other extensions are passed over.
    :param server_max_window_bits: our largest window for compressing, 8-15.
    :param client_max_window_bits: the client's largest window, 8-15; it can be asked for only
        where the client offers to be told.
    :param server_no_context_takeover: forget our window after each message, asked to or not.
    :param client_no_context_takeover: have the client do so.
    :returns: the agreement and the value of ``Sec-WebSocket-Extensions``, or None.
    """
    for name, offered in offers:
        if name != PERMESSAGE_DEFLATE:
            continue
        try:
            parameters = _parse_parameters(offered, is_offer=True)
        except CompressionParameterError:
            continue  # to be declined, which is no error: a later offer may be good
        deflate = Deflate(
            compress_wbits=min(parameters.get(_SERVER_BITS) or 15, server_max_window_bits),
            decompress_wbits=min(parameters[_CLIENT_BITS] or 15, client_max_window_bits)
            if _CLIENT_BITS in parameters
            else 15,
            reset_compress=server_no_context_takeover or _SERVER_RESET in parameters,
            reset_decompress=client_no_context_takeover or _CLIENT_RESET in parameters,
        )
        return deflate, _build_answer(deflate, _SERVER_BITS in parameters)
    return None


def _build_answer(deflate: Deflate, bits_requested: bool) -> str:
    answer = [PERMESSAGE_DEFLATE]
    if deflate.reset_compress:
        answer.append(_SERVER_RESET)
    if deflate.reset_decompress:
        answer.append(_CLIENT_RESET)
    # A limit the client set has to be confirmed, even the largest (section 7.1.2.1).
    if bits_requested or deflate.compress_wbits < 15:
        answer.append(f"{_SERVER_BITS}={deflate.compress_wbits}")
    if deflate.decompress_wbits < 15:
        answer.append(f"{_CLIENT_BITS}={deflate.decompress_wbits}")
    return "; ".join(answer)
