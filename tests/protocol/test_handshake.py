"""The opening handshake, both sides of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.errors import CompressionParameterError, HandshakeError
from greenws.protocol.extensions import OFFER
from greenws.protocol.handshake import (
    accept_for,
    check_field,
    check_protocols,
    check_response,
    new_handshake_key,
)
from greenws.protocol.head import HeadReader
from greenws.protocol.response import Response
from greenws.testing.upgrade import BadRequest, build_rejection, build_response, parse_request

# RFC 6455 section 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

Fields = dict[str, "str | None"]


def answer(status: str = "HTTP/1.1 101 Switching Protocols", **fields: str | None) -> Response:
    """Build a valid answer with some fields changed: None leaves one out, "_" stands for "-"."""
    lines: Fields = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec_websocket_accept": ACCEPT,
        **fields,
    }
    return Response(build_lines(status, lines))


def build_lines(start_line: str, fields: Fields) -> bytes:
    lines = [start_line]
    for name, value in fields.items():
        if value is not None:
            lines += [f"{name.replace('_', '-')}: {part}" for part in value.split("|")]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def refusal(response: Response, protocols: tuple[str, ...] = (), compress: bool = False) -> str:
    with pytest.raises(HandshakeError) as caught:
        check_response(response, KEY, protocols, compress)
    return str(caught.value)


# What the client sends


def test_new_key_is_16_fresh_bytes() -> None:
    keys = {new_handshake_key() for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert type(key) is bytes
        assert len(base64.b64decode(key, validate=True)) == 16


def test_accept_for_gives_the_example_of_the_rfc() -> None:
    assert accept_for(KEY) == ACCEPT


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"a\n", b"\xe9", b"a\0", b"(a)"])
def test_header_with_a_bad_name_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="must be a token"):
        check_field(name, b"value")
    with pytest.raises(ValueError, match="must be a token"):
        build_rejection(400, "", [(name, b"value")])


@pytest.mark.parametrize(
    "name",
    [b"Authorization: Bearer s3cret", b"Authorization s3cret", b": s3cret", b"Cookie:s3cret"],
)
def test_value_that_stands_in_the_name_of_a_header_is_not_shown(name: bytes) -> None:
    with pytest.raises(ValueError, match="must be a token") as caught:
        check_field(name, b"")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("protocol", ["Bearer: eyJhbGciOiJIUzI1NiIs3cret", "Bearer: s3cret"])
def test_token_that_is_no_subprotocol_is_not_shown(protocol: str) -> None:
    with pytest.raises(ValueError, match="must be a token") as caught:
        check_protocols([protocol])
    assert "s3cret" not in str(caught.value)


def test_token_that_is_a_subprotocol_twice_is_not_shown() -> None:
    with pytest.raises(ValueError, match="twice") as caught:
        check_protocols(["eyJhbGciOiJIUzI1NiIs3cret"] * 2)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("value", [b"a\r\nX: y", b"a\r", b"a\n", b"\n", b"\0", b"\x1f", b"\x7f"])
def test_header_with_a_bad_value_is_refused(value: bytes) -> None:
    for check in (check_field, lambda name, value: build_rejection(400, "", [(name, value)])):
        with pytest.raises(ValueError, match="control characters") as caught:
            check(b"Authorization", b"secret" + value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name, value", [("a", b"b"), (b"a", "b"), (bytearray(b"a"), b"b"), (b"a", 1)]
)
def test_header_that_is_not_bytes_is_a_type_error(name: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="must be bytes, not"):
        check_field(name, value)


def test_good_header_is_taken() -> None:
    check_field(b"X-a!#$%&'*+.^_`|~9", b"")
    check_field(b"a", b" \tvisible \xff\x80~")


@pytest.mark.parametrize("protocols", [["a b"], [""], ["a", "b", "a"], ["a,b"], ["\xe9"], ["a\n"]])
def test_bad_protocols_are_refused(protocols: list[str]) -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        check_protocols(protocols)


def test_good_protocols_are_taken() -> None:
    check_protocols(["a", "A", "graphql-ws", "v1.x"])


@given(st.lists(st.tuples(st.binary(max_size=10), st.binary(max_size=10)), max_size=3))
def test_built_head_has_the_lines_it_was_given(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        response = build_response(parse_request(ask()), headers=headers)
    except ValueError:
        return
    assert response.count(b"\r\n") == response.count(b"\n") == len(headers) + 5
    assert HeadReader().feed(response) == response


# What the client accepts


def test_check_response_takes_a_valid_answer() -> None:
    assert check_response(answer(), KEY, [], False) == (None, set(), None)
    assert check_response(answer(), KEY, ["a"], True) == (None, set(), None)


@pytest.mark.parametrize(
    "fields",
    [
        {"upgrade": "WebSocket"},
        {"connection": "upgrade"},
        {"connection": "keep-alive, UPGRADE"},
        {"connection": "keep-alive|Upgrade"},
        {"sec_websocket_accept": f"  {ACCEPT}\t"},
        {"sec_websocket_extensions": ""},
        {"sec_websocket_extensions": " , "},
        {"status": "HTTP/1.1 101"},
        {"status": "HTTP/1.0 101 x"},
    ],
)
def test_check_response_is_no_stricter_than_the_rfc(fields: dict[str, str]) -> None:
    assert check_response(answer(**fields), KEY, [], False) == (None, set(), None)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"status": "HTTP/1.1 404 Not Found"}, "Websocket upgrade failed (code=404)"),
        ({"status": "HTTP/1.1 200 OK"}, "Websocket upgrade failed (code=200)"),
        ({"status": "HTTP/1.1 100 Continue"}, "Websocket upgrade failed (code=100)"),
        ({"status": "nonsense"}, "Websocket upgrade failed (code=None)"),
        ({"status": "ICY 101 OK"}, "Unknown version of HTTP 'ICY'"),
        ({"status": "HTTP/2.0 101 OK"}, "Unknown version of HTTP 'HTTP/2.0'"),
        ({"upgrade": None}, "No Upgrade header"),
        ({"upgrade": "h2c"}, "Can't upgrade to 'h2c'"),
        ({"upgrade": "websocket, h2c"}, "Can't upgrade to 'websocket, h2c'"),
        ({"upgrade": "{}{0}"}, "Can't upgrade to '{}{0}'"),
        ({"upgrade": "x" * 65}, f"Can't upgrade to '{'x' * 64}'"),
        ({"connection": None}, "No Connection header"),
        ({"connection": "close"}, "Connection header without 'Upgrade': 'close'"),
        ({"connection": "upgraded"}, "Connection header without 'Upgrade': 'upgraded'"),
        ({"sec_websocket_accept": None}, "No Sec-WebSocket-Accept header"),
        ({"sec_websocket_accept": ACCEPT.swapcase()}, "Sec-WebSocket-Accept challenge failed"),
        ({"sec_websocket_accept": ""}, "Sec-WebSocket-Accept challenge failed"),
        ({"sec_websocket_accept": f"{ACCEPT}|{ACCEPT}"}, "Sec-WebSocket-Accept challenge failed"),
        ({"sec_websocket_protocol": "b"}, "Subprotocol 'b' was not offered"),
        ({"sec_websocket_protocol": ""}, "Subprotocol '' was not offered"),
        ({"sec_websocket_extensions": "x-webkit"}, "Extension 'x-webkit' was not offered"),
        ({"sec_websocket_extensions": OFFER}, "Extension 'permessage-deflate' was not offered"),
        (
            {"sec_websocket_extensions": "a b"},
            "Bad Sec-WebSocket-Extensions header (malformed extensions at 'b')",
        ),
    ],
)
def test_check_response_names_what_is_wrong(fields: dict[str, str | None], message: str) -> None:
    status = fields.pop("status", None) or "HTTP/1.1 101 Switching Protocols"
    assert refusal(answer(status, **fields)) == message


def test_protocol_that_was_offered_is_taken() -> None:
    response = answer(sec_websocket_protocol="b")
    assert check_response(response, KEY, ["a", "b"], False) == ("b", set(), None)


@pytest.mark.parametrize("value", ["A", "a, b", "a|b", "a|a", "c", ""])
def test_protocol_that_was_not_offered_is_refused(value: str) -> None:
    shown = value.replace("|", ", ")
    response = answer(sec_websocket_protocol=value)
    assert refusal(response, ("a", "b")) == f"Subprotocol {shown!r} was not offered"


def test_compression_that_was_offered_is_agreed_on() -> None:
    response = answer(
        sec_websocket_extensions="permessage-deflate; client_max_window_bits=10;"
        ' server_max_window_bits="9"; client_no_context_takeover'
    )
    protocol, extensions, deflate = check_response(response, KEY, [], True)
    assert (protocol, extensions) == (None, {"permessage-deflate"})
    assert repr(deflate) == (
        "Deflate(compress_wbits=10, decompress_wbits=9, reset_compress=True, "
        "reset_decompress=False)"
    )


@pytest.mark.parametrize(
    "value, message",
    [
        ("permessage-deflate; x", "unknown parameter 'x' of permessage-deflate"),
        (
            "permessage-deflate|permessage-deflate",
            "the server must answer with exactly one permessage-deflate",
        ),
    ],
)
def test_wrong_compression_is_refused(value: str, message: str) -> None:
    response = answer(sec_websocket_extensions=value)
    with pytest.raises(CompressionParameterError) as caught:
        check_response(response, KEY, [], True)
    assert str(caught.value) == message


def test_compression_is_checked_against_what_was_offered_of_it() -> None:
    response = answer(sec_websocket_extensions="permessage-deflate; server_no_context_takeover")
    deflate = check_response(response, KEY, [], {"server_no_context_takeover": True, "level": 9})[2]
    assert deflate is not None and deflate.reset_decompress
    assert check_response(response, KEY, [], {})[1] == {"permessage-deflate"}
    with pytest.raises(CompressionParameterError, match="server_max_window_bits must be at most 9"):
        check_response(response, KEY, [], {"server_max_window_bits": 9})


def test_extension_that_was_not_offered_is_refused_beside_one_that_was() -> None:
    response = answer(sec_websocket_extensions="permessage-deflate, x-mux")
    assert refusal(response, (), True) == "Extension 'x-mux' was not offered"


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "upgrade",
                "connection",
                "sec_websocket_accept",
                "sec_websocket_protocol",
                "sec_websocket_extensions",
            ]
        ),
        st.one_of(
            st.binary(max_size=30).map(lambda data: data.decode("latin-1")),
            st.text(' ;,="\\x8permessage-deflate', max_size=30).map("permessage-deflate".__add__),
        ),
    ),
    st.booleans(),
)
def test_any_answer_is_accepted_or_a_handshake_error(fields: Any, compress: bool) -> None:
    try:
        check_response(answer(**fields), KEY, ["a"], compress)
    except HandshakeError as error:
        assert len(str(error)) < 500


# The server's side


def ask(start_line: str = "GET /chat HTTP/1.1", **fields: str | None) -> bytes:
    return build_lines(
        start_line,
        {
            "host": "example.org",
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec_websocket_key": KEY.decode(),
            "sec_websocket_version": "13",
            **fields,
        },
    )


def test_parse_request_gives_its_parts() -> None:
    raw = ask(
        connection="keep-alive, upgrade",
        upgrade="h2c, WebSocket",
        sec_websocket_protocol="a, b|c",
        sec_websocket_extensions=OFFER,
        content_length="0",
    )
    request = parse_request(raw)
    assert request.raw == raw
    assert (request.method, request.target, request.http_ver) == ("GET", "/chat", "HTTP/1.1")
    assert request.key == KEY
    assert request.protocols == ["a", "b", "c"]
    assert request.extensions == [("permessage-deflate", [("client_max_window_bits", None)])]
    assert request.get("Host") == "example.org"
    assert request.get_all("sec-websocket-protocol") == ["a, b", "c"]
    assert repr(request) == "<request GET /chat HTTP/1.1>"


def test_repr_of_a_request_shows_no_token() -> None:
    request = parse_request(ask().replace(b"/chat", b"/chat/@me?token=s3cret"))
    assert repr(request) == "<request GET /chat/@me?token=... HTTP/1.1>"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"GET /chat HTTP/1.1",
        ask("GET /chat"),
        ask("GET  /chat HTTP/1.1"),
        ask("GET /chat HTTP/1.1 "),
        ask("GET /ch\xe9t HTTP/1.1"),
        ask("GET /chat HTTPS/1.1"),
        ask("G(T /chat HTTP/1.1"),
        ask("POST /chat HTTP/1.1"),
        ask("get /chat HTTP/1.1"),
        ask("GET /chat HTTP/1.0"),
        ask("GET /chat HTTP/2.0"),
        ask()[:-2],
        ask() + b"x",
        ask().replace(b"\r\n", b"\n"),
        ask(bad="a\n b"),
        ask(bad="a\r b"),
        ask(bad="a\x00b"),
        ask().replace(b"host:", b"host :"),
        ask().replace(b"host:", b"host"),
        ask(bad="a").replace(b"bad: a", b"bad: a\r\n folded"),
        ask(host=None),
        ask(host="a|b"),
        ask(connection=None),
        ask(connection="close"),
        ask(content_length="1"),
        ask(transfer_encoding="chunked"),
        ask(sec_websocket_key=None),
        ask(sec_websocket_key=""),
        ask(sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ"),
        ask(sec_websocket_key="dGhlIHNhbXBsZSBub25jZSE="),
        ask(sec_websocket_key=f"{KEY.decode()}|{KEY.decode()}"),
        ask(sec_websocket_protocol="a b"),
        ask(sec_websocket_protocol="a, a"),
        ask(sec_websocket_extensions="a;"),
    ],
)
def test_bad_request_is_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request(raw)
    error = caught.value
    assert (error.status_code, error.status, error.headers) == (400, "Bad Request", ())
    assert str(error)


@pytest.mark.parametrize(
    "raw",
    [
        ask(upgrade=None),
        ask(upgrade="h2c"),
        ask(upgrade=None, connection=None, sec_websocket_key=None, sec_websocket_version=None),
        ask(sec_websocket_version=None),
        ask(sec_websocket_version="8"),
        ask(sec_websocket_version="13|13"),
        ask(sec_websocket_version="8", sec_websocket_key=None),
    ],
)
def test_bad_request_that_an_upgrade_would_mend_gets_426(raw: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request(raw)
    error = caught.value
    assert (error.status_code, error.status) == (426, "Upgrade Required")
    response = Response(error.build_rejection())
    assert response.status_code == 426
    assert response.get("upgrade") == "websocket"
    assert response.get("sec-websocket-version") == "13"
    assert response.get("connection") == "close"


def test_build_rejection_of_a_bad_request_says_why() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request(ask(sec_websocket_protocol="caf\xe9"))
    assert caught.value.build_rejection() == (
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 39\r\n\r\n"
        b"subprotocol must be a token: 'caf\\xe9'\n"
    )


@given(
    st.one_of(
        st.binary(max_size=100),
        st.lists(st.sampled_from([*ask().splitlines(keepends=True), b"\r\n", b"a", b":"])).map(
            b"".join
        ),
        st.tuples(st.integers(0, len(ask())), st.binary(max_size=3)).map(
            lambda edit: ask()[: edit[0]] + edit[1] + ask()[edit[0] + len(edit[1]) :]
        ),
    )
)
def test_any_bytes_are_a_request_or_a_bad_one(data: bytes) -> None:
    try:
        request = parse_request(data)
    except BadRequest as error:
        assert error.build_rejection().startswith(b"HTTP/1.1 4")
    else:
        assert request.method == "GET"


def test_build_response_is_what_a_client_accepts() -> None:
    request = parse_request(ask())
    raw = build_response(request)
    assert raw == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    assert check_response(Response(raw), KEY, [], False) == (None, set(), None)


def test_build_response_has_everything_it_is_given() -> None:
    request = parse_request(ask())
    headers = [(b"Set-Cookie", b"a=b")]
    raw = build_response(request, protocol="p", extensions="permessage-deflate", headers=headers)
    response = Response(raw)
    protocol, extensions, deflate = check_response(response, KEY, ["p"], True)
    assert (protocol, extensions) == ("p", {"permessage-deflate"})
    assert deflate is not None
    assert response.get_all("set-cookie") == ["a=b"]


@pytest.mark.parametrize(
    "arguments",
    [{"protocol": "a\r\nb"}, {"extensions": "a\nb"}, {"headers": [(b"a", b"\r\n")]}],
)
def test_build_response_refuses_bad_headers(arguments: dict[str, Any]) -> None:
    request = parse_request(ask())
    with pytest.raises(ValueError, match="control characters"):
        build_response(request, **arguments)


def test_build_rejection_has_status_headers_and_body() -> None:
    assert build_rejection(404, "Not Found") == (
        b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    assert build_rejection(503, "", [(b"Retry-After", b"3")], b"later") == (
        b"HTTP/1.1 503 \r\nRetry-After: 3\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlater"
    )


def test_build_rejection_adds_no_header_twice() -> None:
    headers = [(b"connection", b"x"), (b"Transfer-Encoding", b"chunked")]
    assert build_rejection(400, "x", headers, b"0\r\n\r\n") == (
        b"HTTP/1.1 400 x\r\nconnection: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )


@pytest.mark.parametrize("code, reason", [(99, "x"), (1000, "x"), (400, "a\r\nb"), (400, "a\0")])
def test_build_rejection_refuses_a_bad_status_line(code: int, reason: str) -> None:
    with pytest.raises(ValueError, match="invalid status line"):
        build_rejection(code, reason)
