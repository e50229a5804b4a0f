"""The form of foreign text for logs, traces, errors and every ``repr``: URLs without credentials,
and no character that a terminal, or a reader of a log, obeys.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from unicodedata import category

#: The largest number of characters of one quotation from a user or a peer.
MAX_QUOTED = 200

#: The largest number of characters of an error's message.
MAX_MESSAGE = 2000

# Control characters (C0, DEL, C1), format characters (the marks of direction among them), lone
# surrogates, and the separators of lines and paragraphs.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")
# urllib takes the two wide forms for "@" as well.
_AT = re.compile("[@\ufe6b\uff20]")
_END_OF_HOST = re.compile(r"[/?#]")
_HOST = re.compile(r"[\w.~-]*")
_PORT = re.compile(r"[0-9]{0,5}")
_PATH_PARAMETER = re.compile(r"(;[^/;=]*=)[^/;]+")
# A bare word of a query that is no secret: nothing so short is a token.
_FLAG = re.compile(r"[A-Za-z]{0,5}")


def printable(text: str, limit: int = MAX_QUOTED) -> str:
    """Return the text with control characters escaped, cut to ``limit`` characters.

    Escaped are C0, DEL, C1, the separators of lines and paragraphs, the format characters of
    Unicode, which can turn the direction of a line, and lone surrogates. Applied to its own result,
    the function changes nothing.
    """
    text = text[: limit + 1]
    if not text.isprintable():
        text = "".join([_escape(char) if category(char) in _UNSAFE else char for char in text])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def redact_url(url: str) -> str:
    """Return the text of any URL, well-formed or not, without its credentials, and printable.

    The credentials are the user and the password before the host, also if nobody has encoded their
    characters, and the values and bare words of the query, because many services take their tokens
    there: ``wss://example.org/feed?token=...``. If a text can be read in two ways, the way that
    hides more counts.
    """
    found = _SCHEME.match(url)
    scheme = "" if found is None else found[0]
    rest = url[len(scheme) :]
    host = ""
    if scheme or not rest.startswith("/"):
        host, rest = _split_host(rest)
        if _AT.search(host):
            host, rest = _AT.split(host)[-1], _hide_path_before_at(rest)
        elif _AT.search(rest):
            host, rest = _find_host(bool(scheme), host, rest)
        host = _hide_false_port(host)
    return printable(scheme + host + _hide_values(rest), 2 * MAX_QUOTED)


def _split_host(rest: str) -> tuple[str, str]:
    end = _END_OF_HOST.search(rest)
    return (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])


def _find_host(has_scheme: bool, host: str, rest: str) -> tuple[str, str]:
    """Find the host of a URL that has an "@" after its first "/", "?" or "#"."""
    name, colon, port = host.partition(":")
    if has_scheme and (host.startswith("[") or _HOST.fullmatch(name)):
        if not colon or host.startswith("["):
            return host, rest  # the path has the "@"
        if _PORT.fullmatch(port):
            return host, _hide_path_before_at(rest)
    # The text before the "/", "?" or "#" is the first part of the credentials.
    return _split_host(_AT.split(rest)[-1])


def _hide_path_before_at(rest: str) -> str:
    """Hide a path with an "@": the path may be the second part of a password."""
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    return "/..." + rest[len(path) :] if _AT.search(path) else rest


def _hide_false_port(host: str) -> str:
    """Hide a port that is not a number: a URL without a host may have its password there."""
    name, bracket, port = host.rpartition("]")
    if not bracket:
        name, colon, port = host.partition(":")
    else:
        name, colon, port = name + bracket, port[:1], port[1:]
    return host if _PORT.fullmatch(port) or _is_ipv6(host) else f"{name}{colon}..."


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _hide_values(rest: str) -> str:
    """Hide the values of the parameters of a path, of a query and of a fragment."""
    rest, fragment_mark, fragment = rest.partition("#")
    path, query_mark, query = rest.partition("?")
    path = _PATH_PARAMETER.sub(r"\1...", path)
    return path + query_mark + _hide_query(query) + fragment_mark + _hide_query(fragment)


def _hide_query(query: str) -> str:
    return "&".join([_hide_parameter(parameter) for parameter in query.split("&")])


def _hide_parameter(parameter: str) -> str:
    name, mark, value = parameter.partition("=")
    if value.strip("="):
        return f"{name}{mark}..."
    # A bare word. The "=" at its end may be the padding of base64.
    return parameter if _FLAG.fullmatch(name) else "..."
