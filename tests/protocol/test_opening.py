"""The opening handshake of a client: request, answer, redirects, cookies. No I/O."""

from __future__ import annotations

import base64
from http.cookiejar import CookieJar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws import constants, errors
from greenws.cookies import Cookies
from greenws.protocol.handshake import accept_for
from greenws.protocol.opening import (
    Opening,
    Redirected,
    Refused,
    RequestOptions,
    Upgraded,
    check_header,
    check_headers,
)
from greenws.testing.upgrade import parse_request
from greenws.url import parse_url


def make(url: str = "ws://example.org/path?q", follows: bool = True, **options: Any) -> Opening:
    return Opening(parse_url(url), RequestOptions(**options), follows)


def read_request(opening: Opening) -> tuple[str, list[tuple[str, str]]]:
    raw = opening.build_request()
    head, blank, rest = raw.partition(b"\r\n\r\n")
    assert blank
    assert not rest
    first, *lines = head.decode("utf-8").split("\r\n")
    return first, [(line.split(": ", 1)[0], line.split(": ", 1)[1]) for line in lines]


def upgrade(opening: Opening, *more: str) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_for(opening.key)}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def redirect(location: str, code: int = 302, *more: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Moved", f"Location: {location}", "Content-Length: 0", *more]
    return "\r\n".join([*lines, "", ""]).encode()


# The request


def test_request_is_that_of_the_rfc() -> None:
    opening = make()
    first, headers = read_request(opening)
    assert first == "GET /path?q HTTP/1.1"
    assert headers == [
        ("Host", "example.org"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", opening.key.decode()),
        ("Sec-WebSocket-Version", "13"),
        ("User-Agent", constants.USER_AGENT),
    ]
    assert len(base64.b64decode(opening.key)) == 16


def test_request_is_valid_for_a_server() -> None:
    opening = make(protocols=["a", "b"], compress=True, headers=[("X", "y")])
    request = parse_request(opening.build_request())
    assert request.key == opening.key
    assert request.protocols == ["a", "b"]
    assert [name for name, _ in request.extensions] == ["permessage-deflate"]
    assert request.get("x") == "y"


@pytest.mark.parametrize(
    ("compress", "offer"),
    [
        ({}, "permessage-deflate; client_max_window_bits"),
        (
            {"server_max_window_bits": 9, "level": 3},
            "permessage-deflate; client_max_window_bits; server_max_window_bits=9",
        ),
    ],
)
def test_request_offers_what_is_wished_for(compress: Any, offer: str) -> None:
    opening = make(compress=compress)
    assert dict(read_request(opening)[1])["Sec-WebSocket-Extensions"] == offer
    assert opening.compress is compress


def test_each_request_has_a_key_of_its_own() -> None:
    opening = make()
    keys = set()
    for _ in range(10):
        headers = dict(read_request(opening)[1])
        assert headers["Sec-WebSocket-Key"].encode() == opening.key
        keys.add(opening.key)
    assert len(keys) == 10


def test_request_has_every_option() -> None:
    options = {
        "protocols": ["chat", "superchat"],
        "agent": "me/1.0",
        "compress": True,
        "origin": "https://example.org",
        "headers": {"X-One": "1", b"X-Two": b"2"},
        "added_headers": [(b"X-Three", b"3")],
    }
    headers = read_request(make("wss://us%40er:pw@[::1]:8443/", **options))[1]
    assert headers[0] == ("Host", "[::1]:8443")
    assert headers[5:] == [
        ("User-Agent", "me/1.0"),
        ("Origin", "https://example.org"),
        ("Authorization", "Basic " + base64.b64encode(b"us@er:pw").decode()),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("X-One", "1"),
        ("X-Two", "2"),
        ("X-Three", "3"),
    ]


@pytest.mark.parametrize("name", ["Host", "user-agent", "ORIGIN", "Authorization", "Cookie"])
def test_header_of_the_user_replaces_ours(name: str) -> None:
    jar = CookieJar()
    opening = make(
        "ws://user:pw@example.org/", headers=[(name, "mine")], origin="o", cookies=Cookies(jar)
    )
    headers = read_request(opening)[1]
    assert [value for key, value in headers if key.lower() == name.lower()] == ["mine"]


def test_header_may_be_repeated() -> None:
    headers = read_request(make(headers=[("X-A", "1"), ("X-A", "2")]))[1]
    assert [value for key, value in headers if key == "X-A"] == ["1", "2"]


def test_headers_are_asked_for_afresh_at_each_request() -> None:
    tokens = iter(range(10))
    opening = make(headers=lambda: {"Authorization": f"Bearer {next(tokens)}"})
    seen = [dict(read_request(opening)[1])["Authorization"] for _ in range(3)]
    assert seen == ["Bearer 0", "Bearer 1", "Bearer 2"]


@pytest.mark.parametrize("headers", [None, {}, [], lambda: None, list])
def test_headers_may_be_none(headers: Any) -> None:
    assert len(read_request(make(headers=headers))[1]) == 6


def test_headers_from_a_callable_are_checked() -> None:
    with pytest.raises(ValueError, match="control characters"):
        make(headers=lambda: {"X": "a\r\nb"}).build_request()
    with pytest.raises(TypeError):
        make(headers=lambda: {"X": 5}).build_request()


def test_exception_of_the_callable_comes_out() -> None:
    def fail() -> Any:
        raise LookupError("no token")

    with pytest.raises(LookupError):
        make(headers=fail).build_request()


# Headers of the user


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-A", "b"), (b"X-A", b"b"), ("X-A", b"b"), (b"X-A", "b")],
)
def test_header_is_encoded(name: Any, value: Any) -> None:
    assert check_header(name, value) == (b"X-A", b"b")


def test_header_is_encoded_as_utf8() -> None:
    assert check_header("X", "grün") == (b"X", "grün".encode())


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "a\0b", b"a\x7fb", b"\x01"])
def test_header_value_with_control_characters_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="control characters"):
        check_header("X-A", value)


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\r\nA", "X\0A", "Ü", b"X\xff", "X(A)"])
def test_header_name_that_is_no_token_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="token"):
        check_header(name, "b")


@pytest.mark.parametrize("pair", [(None, "b"), ("X", None), (5, "b"), ("X", 5), ("X", ["b"])])
def test_header_of_another_type_is_a_type_error(pair: Any) -> None:
    with pytest.raises(TypeError):
        check_header(*pair)


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "UPGRADE",
        "sec-websocket-key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Accept",
        "Content-Length",
        "Transfer-Encoding",
    ],
)
def test_header_of_the_handshake_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="set by the opening handshake itself"):
        check_header(name, "x")


def test_headers_may_be_a_mapping_or_pairs() -> None:
    pairs = [(b"A", b"1"), (b"B", b"2")]
    assert check_headers({"A": "1", "B": "2"}) == pairs
    assert check_headers([("A", "1"), ("B", "2")]) == pairs
    assert check_headers(pair for pair in (("A", "1"), ("B", "2"))) == pairs


@pytest.mark.parametrize("headers", ["A: 1", b"A: 1", 5])
def test_headers_of_another_type_are_a_type_error(headers: Any) -> None:
    with pytest.raises(TypeError):
        check_headers(headers)


# The answer


def feed_every_way(make_answer: Any, **options: Any) -> Any:
    """Feed an answer whole and byte by byte, which has to give the same outcome.

    :returns: the outcome.
    """
    outcomes = []
    for step in (None, 1):
        opening = make(**options)
        opening.build_request()
        answer = make_answer(opening)
        outcome = None
        for start in range(0, len(answer), step or len(answer)):
            outcome = opening.feed(answer[start : start + (step or len(answer))])
            if outcome is not None and step:
                break
        outcomes.append(outcome or opening.end())
    assert type(outcomes[0]) is type(outcomes[1])
    return outcomes[0]


def test_upgrade_gives_protocol_and_extensions() -> None:
    outcome = feed_every_way(upgrade)
    assert isinstance(outcome, Upgraded)
    assert outcome.response.status_code == 101
    assert outcome.rest == b""


def test_bytes_behind_the_upgrade_are_kept() -> None:
    opening = make()
    opening.build_request()
    outcome = opening.feed(upgrade(opening) + b"\x81\x02hi")
    assert isinstance(outcome, Upgraded)
    assert outcome.rest == b"\x81\x02hi"
    assert opening.check_response(outcome.response) == (None, set(), None)


def test_interim_responses_are_passed_over() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3
    outcome = feed_every_way(lambda opening: interim + upgrade(opening))
    assert isinstance(outcome, Upgraded)


def test_upgrade_is_checked_against_the_offer() -> None:
    opening = make(protocols=["chat"], compress=True)
    opening.build_request()
    answer = upgrade(
        opening, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate"
    )
    outcome = opening.feed(answer)
    assert isinstance(outcome, Upgraded)
    protocol, extensions, deflate = opening.check_response(outcome.response)
    assert (protocol, extensions) == ("chat", {"permessage-deflate"})
    assert deflate is not None
    other = make()
    other.build_request()
    with pytest.raises(errors.HandshakeError):
        other.check_response(outcome.response)


def test_rejection_has_its_body() -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope and more"
    outcome = feed_every_way(lambda opening: answer)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "Websocket upgrade failed (code=403)"
    assert outcome.response.body == b"nope"
    assert outcome.response.status == "Forbidden"


def test_rejection_may_last_until_the_end_of_the_stream() -> None:
    opening = make()
    opening.build_request()
    assert opening.end() is None
    assert opening.feed(b"HTTP/1.1 503 Busy\r\n\r\n") is None
    assert opening.feed(b"try later") is None
    outcome = opening.end()
    assert isinstance(outcome, Refused)
    assert outcome.response.body == b"try later"
    assert opening.end() is None


def test_body_of_a_rejection_is_bounded() -> None:
    opening = make()
    opening.build_request()
    assert opening.feed(b"HTTP/1.1 503 Busy\r\n\r\n" + b"x" * (constants.MAX_BODY_SIZE - 1)) is None
    outcome = opening.feed(b"xy")
    assert isinstance(outcome, Refused)
    assert outcome.response.body == b"x" * constants.MAX_BODY_SIZE


def test_head_beyond_the_limit_is_refused() -> None:
    opening = make()
    opening.build_request()
    outcome = opening.feed(b"HTTP/1.1 101 x\r\n" + b"X: y\r\n" * 20_000)
    assert isinstance(outcome, Refused)
    assert "larger than 65536 bytes" in outcome.reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP; it sent 'SSH-2.0-OpenSSH_9.2\\r\\n'"),
        (b"-ERR unknown command 'GET'\r\n", 'does not speak HTTP; it sent "-ERR unknown command'),
        (b"220 mail.example ESMTP", "does not speak HTTP; it sent '220 mail.example ESMTP'"),
        (b"\0\xff\x1b[2J" * 50, "does not speak HTTP; it sent '\\x00\\xff\\x1b[2J"),
        (b"\0\0\x12\4\0\0\0\0\0", "does not speak HTTP/1 but HTTP/2 only; it sent"),
        (b"\x15\3\1\0\2\2\x46", "does not speak HTTP/1 but TLS; use wss://; it sent '\\x15\\x03"),
    ],
)
def test_answer_that_is_no_http_is_refused_at_once(answer: bytes, reason: str) -> None:
    # No line is ended, and the connection stays open.
    for interim in (b"", b"HTTP/1.1 100 Continue\r\n\r\n"):
        opening = make()
        opening.build_request()
        outcome = opening.feed(interim + answer)
        assert isinstance(outcome, Refused)
        assert outcome.response.status_code is None
        assert outcome.reason.startswith(f"the server {reason}")
        assert outcome.reason.isprintable() and len(outcome.reason) < 400
        opening = make()
        opening.build_request()
        opening.feed(interim)
        assert isinstance(opening.feed(answer[:1]), Refused)


def test_answer_of_tls_within_tls_gives_no_advice() -> None:
    opening = make("wss://example.org")
    opening.build_request()
    outcome = opening.feed(b"\x15\3\1\0\2\2\x46")
    assert isinstance(outcome, Refused)
    assert "but TLS; it sent" in outcome.reason


@pytest.mark.parametrize("line", [b"HTTP/1.1 abc", b"HTTP/1.1", b"HTTP/1.1 20\x1b OK", b"HTTP/"])
def test_malformed_status_line_is_quoted(line: bytes) -> None:
    outcome = feed_every_way(lambda opening: line + b"\r\nX: secret\r\n\r\n")
    assert isinstance(outcome, Refused)
    quoted = repr(line)[1:]
    assert outcome.reason == f"the status line of the answer is malformed: {quoted}"


def test_aside_has_the_unfinished_line() -> None:
    opening = make()
    opening.build_request()
    assert opening.aside == ""
    for piece, aside in (
        (b"HT", "'HT'"),
        (b"TP/1.1 101 \x1b\r\nSecret: x", r"'HTTP/1.1 101 \x1b\r'"),
    ):
        opening.feed(piece)
        assert opening.aside == f"; the server sent {aside}"
    opening.feed(b"\r\n\r\n")
    assert opening.aside == ""


@given(st.binary(max_size=300), st.booleans())
def test_any_answer_gives_an_outcome_or_none(data: bytes, is_http: bool) -> None:
    opening = make(cookies=Cookies(CookieJar()))
    opening.build_request()
    outcome = opening.feed((b"HTTP/1.1 " if is_http else b"") + data + b"\r\n\r\n")
    assert isinstance(outcome or opening.end(), (Upgraded, Refused, Redirected, type(None)))


# Redirects


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/other?x", "ws://example.org/other?x"),
        ("ws://other.example:81/a", "ws://other.example:81/a"),
        ("http://other.example/a", "ws://other.example/a"),
        ("https://other.example/a", "wss://other.example/a"),
    ],
)
def test_redirect_sets_the_target(code: int, location: str, target: str) -> None:
    opening = make()
    opening.build_request()
    assert isinstance(opening.feed(redirect(location, code)), Redirected)
    assert opening.target == parse_url(target)
    first, headers = read_request(opening)
    assert first == f"GET {parse_url(target).resource} HTTP/1.1"
    assert dict(headers)["Host"] == parse_url(target).host_header
    assert isinstance(opening.feed(upgrade(opening)), Upgraded)


@pytest.mark.parametrize(
    "location",
    [
        "ftp://example.org/",
        "javascript:alert(1)",
        "ws://example.org:99999/",
        "ws:///",
        "/a b",
        "ws://[::1",
        "ws://[fe80::1%\xff]/",
        "ws://a..b/",
        "",
    ],
)
def test_redirect_to_nowhere_is_a_rejection(location: str) -> None:
    opening = make()
    opening.build_request()
    outcome = opening.feed(redirect(location))
    assert isinstance(outcome, Refused)
    assert outcome.response.status_code == 302
    assert opening.target == parse_url("ws://example.org/path?q")


@pytest.mark.parametrize(
    ("location", "host", "resource"),
    [
        (b"/caf\xc3\xa9?\xc3\xbc=\xe2\x82\xac", "example.org", "/caf%C3%A9?%C3%BC=%E2%82%AC"),
        (b"/caf\xe9", "example.org", "/caf%E9"),  # Latin-1
        (b"/\xff\xfe%41%zz", "example.org", "/%FF%FE%41%25zz"),
        (b"\xa0\x85", "example.org", "/%A0%85"),
        (b"\xc2\xa0x\xc2\x85", "example.org", "/%C2%A0x%C2%85"),
        (b"//b\xc3\xbccher.example/\xc3\xbc", "xn--bcher-kva.example", "/%C3%BC"),
    ],
)
def test_redirect_percent_encodes_its_bytes(location: bytes, host: str, resource: str) -> None:
    opening = make()
    opening.build_request()
    answer = redirect("LOCATION").replace(b"LOCATION", location)
    assert isinstance(opening.feed(answer), Redirected)
    assert (opening.target.host, opening.target.resource) == (host, resource)


def test_redirect_to_a_host_that_is_not_utf8_is_a_rejection() -> None:
    opening = make()
    opening.build_request()
    answer = redirect("LOCATION").replace(b"LOCATION", b"//b\xfccher.example/")
    assert isinstance(opening.feed(answer), Refused)


@pytest.mark.parametrize("code", [300, 304, 305, 399])
def test_other_codes_are_no_redirects(code: int) -> None:
    opening = make()
    opening.build_request()
    assert isinstance(opening.feed(redirect("/x", code)), Refused)


def test_redirect_out_of_tls_is_a_rejection() -> None:
    for location in ("ws://example.org/", "http://example.org/"):
        opening = make("wss://example.org/")
        opening.build_request()
        assert isinstance(opening.feed(redirect(location)), Refused)


def test_redirect_is_a_rejection_for_a_session_that_cannot_follow() -> None:
    opening = make(follows=False)
    opening.build_request()
    assert isinstance(opening.feed(redirect("/x")), Refused)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_redirects_are_followed_up_to_their_limit(most: int) -> None:
    opening = make(max_redirects=most)
    for number in range(most):
        opening.build_request()
        assert isinstance(opening.feed(redirect(f"/{number}")), Redirected)
    opening.build_request()
    outcome = opening.feed(redirect("/again"))
    assert isinstance(outcome, Refused)
    why = f"more than {most} redirects" if most else "redirects are switched off"
    assert outcome.reason == f"Websocket upgrade failed (code=302); {why}"


@pytest.mark.parametrize("location", ["", "/path?q", "ws://example.org/path?q"])
def test_redirect_to_where_it_came_from_is_counted(location: str) -> None:
    opening = make()
    for hops in (1, 2, 3):
        opening.build_request()
        location = location or "?q"
        assert isinstance(opening.feed(redirect(location)), Redirected)
        assert opening.hops == hops
        assert opening.target == parse_url("ws://example.org/path?q")


@pytest.mark.parametrize(
    "more", [b"x", b"\r\n\r\n", b"HTTP/1.1 400 x\r\n\r\n", redirect("/again"), b"\0" * 70_000]
)
@pytest.mark.parametrize("is_joined", [False, True])
def test_bytes_behind_a_redirect_are_dropped(more: bytes, is_joined: bool) -> None:
    opening = make()
    opening.build_request()
    if is_joined:
        assert isinstance(opening.feed(redirect("/x") + more), Redirected)
    else:
        assert isinstance(opening.feed(redirect("/x")), Redirected)
        assert opening.feed(more) is None
    assert opening.end() is None
    assert opening.feed(more) is None
    assert opening.hops == 1
    opening.unread = more
    opening.build_request()
    assert opening.unread == b""
    assert isinstance(opening.feed(upgrade(opening)), Upgraded)


def test_bytes_behind_a_rejection_are_dropped() -> None:
    for answer in (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", b"X" * 70_000):
        opening = make()
        opening.build_request()
        assert isinstance(opening.feed(answer), Refused)
        assert opening.feed(answer) is None
        assert opening.end() is None


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("/x", "fe80::1%eth0"),
        ("//[fe80::1]:81/x", "fe80::1%eth0"),  # made of the Host header, which has no zone
        ("ws://[FE80::1]:81/x", "fe80::1%eth0"),
        ("ws://[fe80::1%25eth1]:81/x", "fe80::1%eth1"),
        ("ws://[fe80::2]:81/x", "fe80::2"),
    ],
)
def test_redirect_to_the_same_address_keeps_its_zone(location: str, host: str) -> None:
    opening = make("ws://u:p@[fe80::1%25eth0]:81/")
    opening.build_request()
    assert isinstance(opening.feed(redirect(location)), Redirected)
    assert (opening.target.host, opening.target.port) == (host, 81)
    is_same_origin = host == "fe80::1%eth0"
    assert ("Authorization" in dict(read_request(opening)[1])) is is_same_origin


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", b"X" * 70_000, b"nonsense\r\n\r\n"],
)
def test_rejection_says_where_redirects_have_led(answer: bytes) -> None:
    opening = make()
    opening.build_request()
    outcome = opening.feed(answer)
    assert isinstance(outcome, Refused)
    assert "redirect" not in outcome.reason
    opening = make()
    for location in ("/one", "ws://user:pw@other.example:81/two?token=secret"):
        opening.build_request()
        assert isinstance(opening.feed(redirect(location)), Redirected)
    opening.build_request()
    outcome = opening.feed(answer)
    assert isinstance(outcome, Refused)
    assert outcome.reason.endswith("; redirected to ws://other.example:81/two?token=...")


SECRETS = {"Authorization", "Cookie", "X-Token"}


def redirected_headers(location: str, url: str = "ws://u:p@example.org/") -> dict[str, str]:
    opening = make(
        url,
        headers={"X-Token": "secret", "Cookie": "a=b", "Accept-Language": "de"},
        origin="https://example.org",
    )
    opening.build_request()
    assert isinstance(opening.feed(redirect(location)), Redirected)
    return dict(read_request(opening)[1])


@pytest.mark.parametrize("location", ["/x", "ws://example.org:80/", "//example.org/x"])
def test_credentials_go_to_the_same_origin(location: str) -> None:
    assert redirected_headers(location).keys() >= SECRETS


@pytest.mark.parametrize(
    "location", ["ws://other.example/", "ws://example.org:81/", "wss://example.org/"]
)
def test_credentials_do_not_go_to_another_origin(location: str) -> None:
    headers = redirected_headers(location)
    assert not SECRETS & headers.keys()
    assert headers["Accept-Language"] == "de"
    assert headers["Origin"] == "https://example.org"


def test_credentials_of_the_location_are_used() -> None:
    headers = redirected_headers("ws://x:y@other.example/")
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"x:y").decode()


def test_credentials_come_back_with_the_first_origin() -> None:
    opening = make("ws://u:p@example.org/", headers={"X-Token": "secret"})
    opening.build_request()
    opening.feed(redirect("ws://other.example/"))
    assert not SECRETS & dict(read_request(opening)[1]).keys()
    opening.feed(redirect("ws://example.org/back"))
    assert {"Authorization", "X-Token"} <= dict(read_request(opening)[1]).keys()


# Cookies


def test_cookies_of_a_redirect_are_sent_with_the_next_request() -> None:
    opening = make(cookies=Cookies(CookieJar()))
    opening.build_request()
    opening.feed(redirect("/in", 302, "Set-Cookie: sid=42; Path=/", "Set-Cookie: b=c"))
    assert dict(read_request(opening)[1])["Cookie"] in ("sid=42; b=c", "b=c; sid=42", "sid=42")


@pytest.mark.parametrize("value", ["a=\x01b", "a=b\x7f", "a=b; Path=/\x02"])
def test_cookie_that_cannot_be_sent_back_is_dropped(value: str) -> None:
    opening = make(cookies=Cookies(CookieJar()))
    opening.build_request()
    opening.feed(redirect("/in", 302, f"Set-Cookie: {value}", "Set-Cookie: good=1; Path=/"))
    assert dict(read_request(opening)[1])["Cookie"] == "good=1"


def test_cookie_beyond_ascii_goes_back_as_its_bytes() -> None:
    opening = make(cookies=Cookies(CookieJar()))
    opening.build_request()
    cookies = [b"a=caf\xc3\xa9", b"b=\xff\x85", b"c=\xa0d\xa0"]
    more = b"".join(b"\r\nSet-Cookie: " + cookie + b"; Path=/" for cookie in cookies)
    opening.feed(redirect("/in").replace(b"\r\n\r\n", more + b"\r\n\r\n"))
    assert b"\r\nCookie: " + b"; ".join(cookies) + b"\r\n" in opening.build_request()


@given(st.binary(max_size=60))
def test_any_set_cookie_leaves_the_next_request_possible(value: bytes) -> None:
    opening = make(cookies=Cookies(CookieJar()))
    opening.build_request()
    value = value.replace(b"\r", b"").replace(b"\n", b"")
    opening.feed(redirect("/in").replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=" + value + b"\r\n\r\n"))
    opening.build_request()


def test_cookie_jar_is_left_alone_without_one() -> None:
    opening = make()
    opening.build_request()
    opening.feed(redirect("/in", 302, "Set-Cookie: sid=42; Path=/"))
    assert "Cookie" not in dict(read_request(opening)[1])


@pytest.mark.parametrize(
    "host", ["a..b", "\u2615.example", "%E2%98%95.example", "a" * 64, "a." * 127 + "a", "[::g]"]
)
def test_redirect_to_no_host_is_refused(host: str) -> None:
    for location in (f"ws://{host}/", f"//{host}/", f"https://user:s3cret@{host}:81/"):
        opening = make()
        opening.build_request()
        head = f"HTTP/1.1 302 x\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        outcome = opening.feed(head.encode())
        assert isinstance(outcome, Refused)
        assert "s3cret" not in outcome.reason


def test_repr_of_the_options_shows_no_header() -> None:
    options = RequestOptions(
        headers=[(b"Authorization", b"Bearer s3cret")], added_headers=((b"Cookie", b"a=s3cret"),)
    )
    assert "s3cret" not in repr(options)
