"""Cookies of the opening handshake, through the cookie jar of the standard library (RFC 6265).

A cookie is an opaque string of bytes: it goes back to the server as the bytes that the server has
set. In a jar, the bytes of a received cookie are the characters of Latin-1.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar, http2time  # type: ignore[attr-defined]
from itertools import count
from typing import cast
from urllib.parse import quote
from urllib.request import Request
from weakref import WeakKeyDictionary

from .protocol.response import Response
from .url import URL

# A jar keeps so many received cookies of one domain, and so many in all: the least numbers that RFC
# 6265 section 6.1 asks of a client.
_MAX_PER_DOMAIN = 50
_MAX_COOKIES = 3000
# The largest name and value of a cookie, in bytes (likewise), and the largest ``Set-Cookie``: its
# attributes may take as much again.
_MAX_PAIR = 4096
_MAX_FIELD = 2 * _MAX_PAIR
# The cookies of one response that are looked at, the last ones: those of its host, and of three
# domains above. The head of a response has room for thousands, which would take 70 ms.
_MAX_FIELDS = 4 * _MAX_PER_DOMAIN

# A cookie with a control character is dropped (RFC 6265bis section 5.6), because the cookie could
# not be sent back.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_EXPIRY = re.compile(r";[ \t]*expires[ \t]*=([^;]*)", re.IGNORECASE)
_ASCII = "".join(map(chr, range(0x80)))

# The jar strips these two characters, which are blanks in Latin-1, off a name and a value. Two
# characters that Latin-1 does not have stand for them as long as the jar parses.
_SHIELD = {0x85: 0xE085, 0xA0: 0xE0A0}
_UNSHIELD = {shield: plain for plain, shield in _SHIELD.items()}

# The cookies that answers have put into any jar, with numbers in the order of their arrival. All
# other cookies of a jar are the user's own, and never dropped.
_received: WeakKeyDictionary[Cookie, int] = WeakKeyDictionary()
_numbers = count()


class Cookies:
    """A cookie jar for the opening handshake (:class:`.protocol.opening.CookieStore`).

    :param jar: the user's jar.
    :raises TypeError: ``jar`` is not a cookie jar.
    """

    __slots__ = ("_jar",)

    def __init__(self, jar: CookieJar) -> None:
        if not isinstance(jar, CookieJar):
            raise TypeError("cookies must be an http.cookiejar.CookieJar")
        self._jar = jar

    def build_header(self, target: URL) -> bytes:
        """Return the value of ``Cookie`` for a request to ``target``; empty: no cookies to send."""
        request = _request(target)
        self._jar.add_cookie_header(request)
        header = request.get_header("Cookie") or ""
        return b"; ".join([_encode(pair) for pair in header.split("; ")])

    def store(self, target: URL, response: Response) -> None:
        """Keep the cookies of a response from ``target``.

        Received cookies beyond the limits are dropped, the oldest first.
        """
        fields = response.get_all("set-cookie")[-_MAX_FIELDS:]
        fields = [_shield(value) for value in fields if _is_fit(value)]
        if not fields:
            return
        jar, request = self._jar, _request(target)
        # extract_cookies() does the same, but gives nobody the time to put the blanks back.
        for cookie in jar.make_cookies(cast(HTTPResponse, _Response(fields)), request):
            cookie.name = cookie.name.translate(_UNSHIELD)
            if cookie.value is not None:
                cookie.value = cookie.value.translate(_UNSHIELD)
            _received[cookie] = next(_numbers)
            jar.set_cookie_if_ok(cookie, request)
        # If another thread changes the jar meanwhile, the next answer sees to the excess.
        with suppress(KeyError, RuntimeError):
            self._drop_excess()

    def _drop_excess(self) -> None:
        jar = self._jar
        if len(jar) <= _MAX_PER_DOMAIN:
            return
        jar.clear_expired_cookies()
        newest_first = sorted(
            [cookie for cookie in jar if cookie in _received],
            key=_received.__getitem__,
            reverse=True,
        )
        kept: Counter[str] = Counter()
        for cookie in newest_first:
            domain = cookie.domain.lstrip(".")
            if kept[domain] >= _MAX_PER_DOMAIN or kept.total() >= _MAX_COOKIES:
                jar.clear(cookie.domain, cookie.path, cookie.name)
            else:
                kept[domain] += 1


class _Response:
    """A response with the interface that a cookie jar requires."""

    def __init__(self, fields: list[str]) -> None:
        self._message = Message()
        for value in fields:
            self._message["Set-Cookie"] = value

    def info(self) -> Message:
        return self._message


def _is_fit(value: str) -> bool:
    """Tell whether a ``Set-Cookie`` is one that can be kept and sent back."""
    return (
        len(value) <= _MAX_FIELD
        and len(value.partition(";")[0]) <= _MAX_PAIR
        and not _CONTROL.search(value)
    )


def _shield(value: str) -> str:
    """Return a ``Set-Cookie`` that passes the jar without a loss."""
    if not value.isascii():
        pair, semicolon, attributes = value.partition(";")
        # The jar compares a path with that of a request, which is percent-encoded.
        attributes = quote(attributes.encode("latin-1"), safe=_ASCII)
        value = pair.translate(_SHIELD) + semicolon + attributes
    return _EXPIRY.sub(_check_expiry, value)


def _check_expiry(found: re.Match[str]) -> str:
    """Return an ``Expires`` that the jar can read, or nothing (RFC 6265 section 5.2.1)."""
    try:
        http2time(found[1].strip(' \t"'))
    except Exception:
        # A month that does not exist, say. The jar would warn of a bug of its own, and drop all
        # cookies of the answer.
        return ""
    return found[0]


def _encode(pair: str) -> bytes:
    try:
        return pair.encode("latin-1")
    except UnicodeEncodeError:  # a cookie of the user's own
        return pair.encode("utf-8", "replace")


def _request(target: URL) -> Request:
    # The jar knows only http and https. ws and wss share the cookies of http and https (RFC 6455
    # section 4.1).
    return Request("http" + target.redact()[2:])
