"""Cookies of the answer, and those of the next request."""

from __future__ import annotations

from http.cookiejar import CookieJar

import pytest

from greenws.cookies import Cookies
from greenws.protocol.response import Response
from greenws.url import parse_url

HERE = parse_url("ws://example.org/chat")


def answer(*cookies: str) -> Response:
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"Set-Cookie: {value}" for value in cookies)]
    return Response("\r\n".join([*lines, "", ""]).encode())


def after(*cookies: str) -> CookieJar:
    jar = CookieJar()
    Cookies(jar).store(HERE, answer(*cookies))
    return jar


def test_jar_without_cookies_sends_none() -> None:
    assert Cookies(CookieJar()).build_header(HERE) == b""
    assert len(after()) == 0


def test_cookie_comes_back() -> None:
    assert Cookies(after("sid=42")).build_header(HERE) == b"sid=42"


def test_each_field_is_a_cookie_of_its_own() -> None:
    jar = after("a=1; Expires=Fri, 31 Dec 2100 23:59:59 GMT", "b=2")
    assert sorted(Cookies(jar).build_header(HERE).split(b"; ")) == [b"a=1", b"b=2"]


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("ws://example.org/chat/room", True),
        ("wss://example.org/chat", True),  # RFC 6455 section 4.1 knows no cookies of ws alone
        ("ws://example.org:8080/chat", True),  # cookies know no ports (RFC 6265 section 8.5)
        ("ws://example.org/other", False),
        ("ws://other.example/chat", False),
    ],
)
def test_cookie_goes_where_it_belongs(url: str, sent: bool) -> None:
    jar = after("sid=42; Path=/chat")
    assert bool(Cookies(jar).build_header(parse_url(url))) is sent


def test_secure_cookie_needs_tls() -> None:
    jar = CookieJar()
    secure = parse_url("wss://example.org/")
    Cookies(jar).store(secure, answer("sid=42; Secure; Path=/"))
    assert Cookies(jar).build_header(secure) == b"sid=42"
    assert Cookies(jar).build_header(parse_url("ws://example.org/")) == b""


def test_cookies_of_http_and_of_websocket_are_the_same() -> None:
    jar = after("sid=42; Path=/")
    (cookie,) = jar
    assert (cookie.name, cookie.value, cookie.domain) == ("sid", "42", "example.org")


def test_expired_cookie_is_gone() -> None:
    jar = after("sid=42; Path=/")
    Cookies(jar).store(HERE, answer("sid=; Max-Age=0; Path=/"))
    assert Cookies(jar).build_header(HERE) == b""


@pytest.mark.parametrize("value", ["a=\x01", "a=b\x00", "\x1f", "a=b;\x0b Path=/"])
def test_cookie_with_control_characters_is_dropped(value: str) -> None:
    assert Cookies(after(value, "b=2")).build_header(HERE) == b"b=2"


def test_cookie_beyond_ascii_can_be_sent() -> None:
    Cookies(after("a=grün")).build_header(HERE).decode("ascii")
