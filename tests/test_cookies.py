"""Cookies of the answer, and those of the next request."""

from __future__ import annotations

from collections import Counter
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy

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


def test_cookie_without_a_value_comes_back() -> None:
    jar = after_bytes(b"a\xa0; Path=/", b"b=")
    assert Cookies(jar).build_header(HERE).split(b"; ") == [b"a\xa0", b"b="]


def test_jar_has_to_be_one() -> None:
    with pytest.raises(TypeError, match="must be an http"):
        Cookies({})  # type: ignore[arg-type]


def test_expired_cookie_is_gone() -> None:
    jar = after("sid=42; Path=/")
    Cookies(jar).store(HERE, answer("sid=; Max-Age=0; Path=/"))
    assert Cookies(jar).build_header(HERE) == b""


@pytest.mark.parametrize(
    "expiry",
    ["Wed, 21 Obt 2065 07:28:00 GMT", '"21 Obt 2065"', "soon", "", "Wed, 32 Oct 2065 07:28:00 GMT"],
)
def test_expiry_that_cannot_be_read_is_ignored(expiry: str) -> None:
    jar = after("first=1", f"a=1; expires ={expiry}; Path=/chat", "last=3")
    assert sorted(cookie.name for cookie in jar) == ["a", "first", "last"]
    assert all(
        cookie.expires is None and cookie.path == "/chat" for cookie in jar if cookie.path != "/"
    )


@pytest.mark.parametrize("value", ["a=\x01", "a=b\x00", "\x1f", "a=b;\x0b Path=/"])
def test_cookie_with_control_characters_is_dropped(value: str) -> None:
    assert Cookies(after(value, "b=2")).build_header(HERE) == b"b=2"


def after_bytes(*values: bytes) -> CookieJar:
    jar = CookieJar()
    lines = [b"HTTP/1.1 200 OK", *(b"Set-Cookie: " + value for value in values), b"", b""]
    Cookies(jar).store(HERE, Response(b"\r\n".join(lines)))
    return jar


@pytest.mark.parametrize("byte", [bytes([number]) for number in range(0x80, 0x100)])
def test_cookie_comes_back_as_it_was_set(byte: bytes) -> None:
    pairs = [b"a=" + byte, b"b" + byte + b"=" + byte + b"x" + byte, b'c="' + byte + b'"']
    jar = after_bytes(*pairs)
    assert Cookies(jar).build_header(HERE) == b"; ".join(pairs)
    assert next(cookie.value for cookie in jar) == byte.decode("latin-1")


@pytest.mark.parametrize("path", [b"/caf\xc3\xa9", b"/caf%C3%A9"])
def test_path_beyond_ascii_is_that_of_the_request(path: bytes) -> None:
    jar = after_bytes(b"a=b; Path=" + path)
    assert Cookies(jar).build_header(parse_url("ws://example.org/café/x")) == b"a=b"
    assert Cookies(jar).build_header(parse_url("ws://example.org/caf/x")) == b""


def test_domain_beyond_ascii_is_nobodys() -> None:
    assert len(after_bytes(b"a=b; Domain=\xc3\xa9.org", b"c=d; Domain=example.org\xa0")) == 0


def own(name: str, value: str = "x", domain: str = "example.org", path: str = "/") -> Cookie:
    """Return a cookie that the user has made."""
    return Cookie(
        0, name, value, None, False, domain, False, False, path, True, False, None, True, None,
        None, {},
    )  # fmt: skip


def test_cookie_of_the_users_own_is_never_a_question_mark() -> None:
    jar = after_bytes(b"a=\xe9")
    jar.set_cookie(own("b", "\u20ac"))
    jar.set_cookie(own("c", "\xe9"))
    assert Cookies(jar).build_header(HERE).split(b"; ") == [
        b"a=\xe9",
        b"b=" + "\u20ac".encode(),
        b"c=\xe9",
    ]


@pytest.mark.parametrize(
    ("value", "is_kept"),
    [
        (b"a=" + b"x" * 4094, True),
        (b"a=" + b"x" * 4095, False),
        (b"a" * 5000, False),
        (b"a=" + b"x" * 4000 + b"; Path=/; Expires=Fri, 31 Dec 2100 23:59:59 GMT", True),
        (b"a=b; Comment=" + b"x" * 8000, True),
        (b"a=b; Comment=" + b"x" * 8200, False),
        (b"a=b; Path=/" + b"\xe9" * 8200, False),
    ],
)
def test_cookie_beyond_its_size_is_dropped(value: bytes, is_kept: bool) -> None:
    assert len(after_bytes(value)) == is_kept


def test_newest_cookies_of_a_domain_are_kept() -> None:
    jar = CookieJar()
    for start in (0, 60, 120):
        Cookies(jar).store(HERE, answer(*(f"n{number}=x" for number in range(start, start + 60))))
        Cookies(jar).store(HERE, answer("n0=again"))
    assert {cookie.name for cookie in jar} == {"n0", *(f"n{n}" for n in range(131, 180))}


def test_last_cookies_of_an_answer_are_looked_at() -> None:
    jar = after(*(f"n{n}=x" for n in range(4000)))
    assert {cookie.name for cookie in jar} == {f"n{n}" for n in range(3950, 4000)}
    jar = after("first=x", *(f"n{n}=\x01" for n in range(200)))
    assert len(jar) == 0
    jar = after("first=x", *(f"n{n}=\x01" for n in range(199)))
    assert [cookie.name for cookie in jar] == ["first"]


def test_domains_are_bounded_apart() -> None:
    jar = CookieJar()
    for host in ("example.org", "other.example"):
        values = [f"n{n}=x" for n in range(40)] + [f"d{n}=x; Domain={host}" for n in range(40)]
        Cookies(jar).store(parse_url(f"ws://{host}/chat"), answer(*values))
    counts = Counter(cookie.domain.lstrip(".") for cookie in jar)
    assert counts == {"example.org": 50, "other.example": 50}


def test_cookies_are_bounded_in_all() -> None:
    jar = CookieJar()
    names = [f"n{n}=x" for n in range(50)]
    for number in range(62):
        Cookies(jar).store(parse_url(f"ws://h{number}.example/"), answer(*names))
    assert len(jar) == 3000
    assert {cookie.domain for cookie in jar} == {f"h{number}.example" for number in range(2, 62)}


def test_users_own_cookies_are_never_dropped() -> None:
    jar = CookieJar()
    for number in range(200):
        jar.set_cookie(own(f"own{number}"))
    for start in range(0, 3000, 500):
        Cookies(jar).store(HERE, answer(*(f"n{n}=x" for n in range(start, start + 500))))
    names = [cookie.name for cookie in jar]
    assert sum(name.startswith("own") for name in names) == 200
    assert len(names) == 250


def test_expired_cookies_are_dropped_first() -> None:
    jar = CookieJar()
    Cookies(jar).store(HERE, answer(*(f"n{n}=x; Max-Age=1" for n in range(50))))
    for cookie in jar:
        cookie.expires = 1
    Cookies(jar).store(HERE, answer("new=x"))
    assert [cookie.name for cookie in jar] == ["new"]


def test_server_may_replace_and_delete_the_users_cookie() -> None:
    jar = CookieJar()
    jar.set_cookie(own("a", path="/chat"))
    Cookies(jar).store(HERE, answer("a=theirs; Path=/chat"))
    assert Cookies(jar).build_header(HERE) == b"a=theirs"
    Cookies(jar).store(HERE, answer("a=; Max-Age=0; Path=/chat"))
    assert len(jar) == 0


def test_jar_that_another_thread_changes_is_no_failure() -> None:
    class Changing(CookieJar):
        def clear_expired_cookies(self) -> None:
            raise RuntimeError("dictionary changed size during iteration")

    jar = Changing()
    Cookies(jar).store(HERE, answer(*(f"n{n}=x" for n in range(60))))
    assert len(jar) == 60


def test_policy_of_the_jar_decides() -> None:
    jar = CookieJar(DefaultCookiePolicy(blocked_domains=["example.org"]))
    Cookies(jar).store(HERE, answer("a=b"))
    assert len(jar) == 0
