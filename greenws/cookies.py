"""Cookies of the opening handshake, through the cookie jar of the standard library (RFC 6265)."""

from __future__ import annotations

from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from typing import cast
from urllib.request import Request

from .protocol.response import Response
from .url import URL


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
        return (request.get_header("Cookie") or "").encode("latin-1", "replace")

    def store(self, target: URL, response: Response) -> None:
        """Keep the cookies of a response from ``target``."""
        self._jar.extract_cookies(cast(HTTPResponse, _Response(response)), _request(target))


class _Response:
    """A response with the interface that a cookie jar requires."""

    def __init__(self, response: Response) -> None:
        self._message = Message()
        for value in response.get_all("set-cookie"):
            # A cookie with a control character is dropped (RFC 6265bis section 5.6), because the
            # cookie could not be sent back.
            if value.replace("\t", " ").isprintable():
                self._message["Set-Cookie"] = value

    def info(self) -> Message:
        return self._message


def _request(target: URL) -> Request:
    # The jar knows only http and https. ws and wss share the cookies of http and https (RFC 6455
    # section 4.1).
    return Request("http" + target.redact()[2:])
