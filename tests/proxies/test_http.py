"""CONNECT without a socket: the request, and the reply in any pieces."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.constants import USER_AGENT
from greenws.errors import ProxyFail
from greenws.protocol.response import Response
from greenws.proxies.http import ReplyReader, build_connect_request, check_reply

PROXY = "http://p:3128"
REPLY = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"


def test_request_names_the_target() -> None:
    agent = USER_AGENT.encode()
    assert build_connect_request("example.org", 443) == (
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n"
        b"User-Agent: " + agent + b"\r\n\r\n"
    )


def test_request_for_ipv6_has_brackets() -> None:
    assert build_connect_request("::1", 80, headers=()) == (
        b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"
    )


@pytest.mark.parametrize("credentials", [b":", b"u:p", b"u\xc3\xa9:\x00\n\r:@", b"u:" + b"x" * 999])
def test_request_has_credentials_in_one_line(credentials: bytes) -> None:
    lines = build_connect_request("h", 1, credentials, headers=()).split(b"\r\n")
    assert len(lines) == 5
    name, _, value = lines[2].partition(b": Basic ")
    assert name == b"Proxy-Authorization"
    assert base64.b64decode(value, validate=True) == credentials


def test_reply_is_read_whole() -> None:
    reader = ReplyReader(PROXY)
    response = reader.feed(REPLY)
    assert response is not None
    assert check_reply(response, PROXY) == 200
    assert reader.rest == b""


def test_reply_is_read_byte_by_byte() -> None:
    reader = ReplyReader(PROXY)
    for byte in REPLY[:-1]:
        assert reader.feed(bytes((byte,))) is None
    assert reader.feed(REPLY[-1:]) is not None


def test_bytes_after_the_reply_are_kept() -> None:
    reader = ReplyReader(PROXY)
    assert reader.feed(REPLY + b"\x16\x03tunnel\r\n\r\n") is not None
    assert reader.rest == b"\x16\x03tunnel\r\n\r\n"


@given(st.lists(st.integers(1, 150), max_size=12), st.binary(max_size=20))
def test_chunking_never_matters(cuts: list[int], rest: bytes) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\n"
    data = interim + REPLY + rest
    reader = ReplyReader(PROXY)
    start = 0
    for stop in [*sorted(set(cuts)), len(data)]:
        response = reader.feed(data[start:stop])
        start = stop
        if response is not None:
            break
    assert response is not None
    assert response.status_code == 200
    assert (reader.rest + data[start:]).startswith(rest)


@pytest.mark.parametrize("code", [200, 201, 204, 299])
def test_any_2xx_is_success(code: int) -> None:
    assert check_reply(Response(b"HTTP/1.0 %d ok\r\n\r\n" % code), PROXY) == code


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"407 Proxy Authentication Required", "407 Proxy Authentication Required"),
        (b"403 Forbidden", "403 Forbidden"),
        (b"502", "502"),
        (b"101 Switching Protocols", "101 Switching Protocols"),
        (b"302 {0} {x} %s", "302 {0} {x} %s"),
        (b"500 a\x1b[31m", r"500 a\?\[31m"),
    ],
)
def test_refusal_has_status_and_phrase(line: bytes, message: str) -> None:
    response = Response(b"HTTP/1.1 " + line + b"\r\n\r\n")
    with pytest.raises(ProxyFail) as caught:
        check_reply(response, PROXY)
    expected = message.replace("\\", "")
    assert str(caught.value) == f"proxy {PROXY} refused the tunnel: {expected}"
    assert caught.value.response is response
    assert caught.value.status_code == response.status_code
    assert caught.value.status == response.status
    assert caught.value.socks_code is None


@pytest.mark.parametrize(
    ("head", "sent", "body"),
    [
        (b"", b"why not", b"why not"),
        (b"Content-Length: 3\r\n", b"why not", b"why"),
        (b"Content-Length: 99\r\n", b"why", b"why"),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nwhy\r\n4", b"why"),
        (b"", b"", b""),
    ],
)
def test_refusal_has_the_body_that_came_with_it(head: bytes, sent: bytes, body: bytes) -> None:
    response = ReplyReader(PROXY).feed(b"HTTP/1.1 403 No\r\n" + head + b"\r\n" + sent)
    assert response is not None
    assert response.body == body
    said = f"; it says '{body.decode()}'" if body else ""
    with pytest.raises(ProxyFail) as caught:
        check_reply(response, PROXY)
    assert str(caught.value) == f"proxy {PROXY} refused the tunnel: 403 No{said}"


def test_endless_phrase_is_cut() -> None:
    with pytest.raises(ProxyFail) as caught:
        check_reply(Response(b"HTTP/1.1 500 " + b"x" * 5000 + b"\r\n\r\n"), PROXY)
    assert len(str(caught.value)) < 200


def test_reply_without_a_status_fails() -> None:
    with pytest.raises(ProxyFail, match="without a status"):
        check_reply(Response(b"HTTP/1.1 fine\r\n\r\n"), PROXY)


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH\r\n", b"\x05\xff", b"\x15\x03", b"HTTq"])
@pytest.mark.parametrize("step", [1, 99])
def test_other_protocol_fails_at_once(data: bytes, step: int) -> None:
    reader = ReplyReader(PROXY)
    with pytest.raises(ProxyFail, match="does not speak HTTP"):
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])


def test_proxy_that_speaks_tls_is_named() -> None:
    with pytest.raises(ProxyFail) as caught:
        ReplyReader(PROXY).feed(b"\x15\x03\x01\x00\x02\x02\x46")
    assert str(caught.value).startswith(
        f"proxy {PROXY} does not speak HTTP/1 but TLS; write https:// in the URL of the proxy; "
    )


def test_other_protocol_after_an_interim_reply_fails_at_once() -> None:
    with pytest.raises(ProxyFail, match="it sent 'SSH'"):
        ReplyReader(PROXY).feed(b"HTTP/1.1 100 Continue\r\n\r\nSSH")


def test_endless_head_fails() -> None:
    reader = ReplyReader(PROXY, limit=1000)
    reader.feed(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(ProxyFail, match="too long: its heads are larger than 1000 bytes"):
        for _ in range(100):
            reader.feed(b"X: y" * 10)


def test_endless_interim_replies_fail() -> None:
    reader = ReplyReader(PROXY, limit=1000)
    with pytest.raises(ProxyFail, match="too long: its heads are larger than 1000 bytes"):
        for _ in range(100):
            assert reader.feed(b"HTTP/1.1 100 Continue\r\n\r\n") is None


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_give_a_reply_or_our_error(pieces: list[bytes]) -> None:
    reader = ReplyReader(PROXY, limit=100)
    try:
        for piece in [b"HTTP/", *pieces]:
            response = reader.feed(piece)
            if response is not None:
                check_reply(response, PROXY)
                break
    except ProxyFail:
        pass


@pytest.mark.parametrize("blank", [b"\r\n", b"\n\n", b"\r\n\r\n\r\n"])
@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_blank_lines_before_a_reply_are_skipped_however_the_reply_is_cut(
    blank: bytes, before: bytes
) -> None:
    data = before + blank + REPLY
    for place in range(1, len(data)):
        reader = ReplyReader(PROXY)
        assert reader.feed(data[:place]) is None
        reply = reader.feed(data[place:])
        assert reply is not None
        assert reply.status_code == 200
