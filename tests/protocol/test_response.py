"""The answer of a server: its status line and headers."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.protocol.response import Response


def test_response_has_status_headers_and_raw() -> None:
    raw = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n"
    response = Response(raw)
    assert response.raw == raw
    assert response.http_ver == "HTTP/1.1"
    assert response.status_code == 101
    assert response.status == "Switching Protocols"
    assert response.headers == {"upgrade": "WebSocket"}
    assert response.get("Upgrade") == "WebSocket"
    assert response.get_list("Upgrade") == ["WebSocket"]
    assert response.get_all("Upgrade") == ["WebSocket"]
    assert response.body == b""
    assert repr(response) == "<response HTTP/1.1 101 Switching Protocols>"


def test_repr_shows_no_control_characters_and_has_a_limit() -> None:
    hostile = b"\x1b]0;owned\x07\x1b[2J\rINFO fake log line\x08"
    for line in (b"HTTP/1.1 403 " + hostile, hostile + b" 200 OK", b"x" * 60_000):
        shown = repr(Response(line + b"\r\n\r\n"))
        assert shown.isprintable()
        assert len(shown) < 500


@pytest.mark.parametrize(
    "line, parts",
    [
        (b"HTTP/1.1 200", ("HTTP/1.1", 200, "")),
        (b"HTTP/1.1 200 ", ("HTTP/1.1", 200, "")),
        (b"HTTP/1.0 404 Not  Found ", ("HTTP/1.0", 404, "Not  Found")),
        (b"HTTP/1.1 ok 200", ("HTTP/1.1", None, "200")),
        (b"HTTP/1.1 +20 x", ("HTTP/1.1", None, "x")),
        (b"HTTP/1.1 1_1 x", ("HTTP/1.1", None, "x")),
        (b"HTTP/1.1 -10 x", ("HTTP/1.1", None, "x")),
        (b"HTTP/1.1 0101 x", ("HTTP/1.1", None, "x")),
        (b"HTTP/1.1 " + b"1" * 5000, ("HTTP/1.1", None, "")),
        (b"HTTP/1.1 \xb2\xb2\xb2", ("HTTP/1.1", None, "")),
        (b"HTTP/1.1 \xb2\xb2\xb2 x", ("HTTP/1.1", None, "x")),
        (b"HTTP/1.1 200\xa0OK", ("HTTP/1.1", None, "")),
        (b"HTTP/1.1 \t200 \xa0caf\xc3\xa9\x85", ("HTTP/1.1", 200, "\xa0caf\xc3\xa9\x85")),
        (b"HTTP/1.1 200 O\0K\rX", ("HTTP/1.1", 200, "O K X")),
        (b"SSH-2.0-OpenSSH", ("SSH-2.0-OpenSSH", None, "")),
        (b"", ("", None, "")),
        (b"\r\n", ("", None, "")),
    ],
)
def test_status_line_is_parsed(line: bytes, parts: tuple[str, int | None, str]) -> None:
    response = Response(line + b"\r\n\r\n")
    assert (response.http_ver, response.status_code, response.status) == parts


def test_repr_has_no_control_characters() -> None:
    response = Response(b"HTTP/1.1 200 \x1b]0;x\x07\x85" + b"y" * 999 + b"\r\n\r\n")
    assert repr(response).isprintable()
    assert len(repr(response)) <= 200


def with_body(body: bytes, head: bytes = b"") -> Response:
    response = Response(b"HTTP/1.1 403 No\r\n" + head + b"\r\n")
    response.body = body
    return response


@pytest.mark.parametrize(
    ("head", "body", "message"),
    [
        (b"", b"", ""),
        (b"", b" \r\n ", ""),
        (b"", b"token has expired", "token has expired"),
        (b"", b"\r\n token has expired \r\nat line 5\r\n", "token has expired"),
        (b"Content-Type: text/plain; charset=utf-8\r\n", "grün".encode(), "grün"),
        (b"Content-Type: TEXT/plain\r\n", b"gr\xfcn", "grün"),
        (b"", b"gr\xfcn", ""),
        (b"", b"\x1b[31mred\x07\0\x7f", r"\x1b[31mred\x07\x00\x7f"),
        (b"", "\u202egnp.exe\u2028x".encode(), r"\u202egnp.exe\u2028x"),
        (b"", b"<html>no</html>", ""),
        (b"Content-Type: text/html\r\n", b"no", ""),
        (b"Content-Type: image/png\r\n", b"PNG", ""),
        (b"Content-Encoding: gzip\r\n", b"no", ""),
        (b"Content-Type: application/json\r\n", b'{\n  "error": "no"\n}\n', '{ "error": "no" }'),
        (b"Content-Type: application/problem+json\r\n", b'["no",\n1]', '["no", 1]'),
        (b"", b"x" * 160, "x" * 160),
        (b"", b"\x1b" * 160, r"\x1b" * 39 + r"\..."),
        (b"", b"x" * 161, ""),
        (b"", b"over\n" + b"x" * 1019, "over"),
        (b"", b"over\n" + b"x" * 1020, ""),
        (b"", b'{"error":\n"' + b"x" * 160 + b'"}', ""),
    ],
)
def test_message_is_the_first_line_of_a_short_text(head: bytes, body: bytes, message: str) -> None:
    assert with_body(body, head).message == message


@given(st.binary(max_size=200))
def test_message_can_be_shown(body: bytes) -> None:
    for head in (b"", b"Content-Type: text/plain\r\n"):
        message = with_body(body, head).message
        assert len(message) <= 160
        assert not {unicodedata.category(char) for char in message} & {"Cc", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    "code, expected",
    [
        (b"100", True),
        (b"103", True),
        (b"199", True),
        (b"101", False),
        (b"200", False),
        (b"x", False),
    ],
)
def test_is_interim_for_1xx_but_101(code: bytes, expected: bool) -> None:
    assert Response(b"HTTP/1.1 " + code + b" x\r\n\r\n").is_interim is expected


@given(st.binary(max_size=200))
def test_any_bytes_make_a_response(data: bytes) -> None:
    for raw in (data, b"HTTP/1.1 " + data):
        response = Response(raw)
        repr(response)
        assert response.status_code is None or 0 <= response.status_code <= 999
