"""The body of a response: where it ends, and its first bytes."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.protocol.body import BodyReader
from greenws.protocol.response import Response


def head(*fields: bytes, code: int = 404) -> Response:
    return Response(b"\r\n".join([b"HTTP/1.1 %d x" % code, *fields, b"", b""]))


CHUNKED = b"Transfer-Encoding: chunked"


def read(response: Response, pieces: list[bytes], limit: int = 100) -> tuple[bytes, bool]:
    reader = BodyReader(response, limit)
    for piece in pieces:
        reader.feed(piece)
    return reader.body, reader.is_complete


def read_both(response: Response, data: bytes, limit: int = 100) -> tuple[bytes, bool]:
    """Read a body fed whole and byte by byte, which has to give the same."""
    result = read(response, [data], limit)
    assert read(response, [data[i : i + 1] for i in range(len(data))], limit) == result
    return result


def test_content_length_ends_the_body() -> None:
    assert read_both(head(b"Content-Length: 5"), b"hel") == (b"hel", False)
    assert read_both(head(b"Content-Length: 5"), b"hello") == (b"hello", True)
    assert read_both(head(b"Content-Length: 5"), b"hello, next") == (b"hello", True)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_feed_takes_any_bytes(kind: type) -> None:
    reader = BodyReader(head(CHUNKED))
    assert not reader.feed(kind(b"3\r\nab"))
    assert reader.feed(kind(b"c\r\n0\r\n"))
    assert reader.body == b"abc"


def test_content_length_zero_is_complete_at_once() -> None:
    reader = BodyReader(head(b"Content-Length: 0"))
    assert reader.is_complete
    assert reader.feed(b"")
    assert reader.feed(b"more")
    assert reader.body == b""


@pytest.mark.parametrize("fields", [[b"Content-Length: 2, 2"], [b"Content-Length: 2"] * 2])
def test_content_length_may_be_repeated(fields: list[bytes]) -> None:
    assert read_both(head(*fields), b"hello") == (b"he", True)


@pytest.mark.parametrize(
    "value", [b"x", b"", b"-1", b"+1", b"1_0", b"1, 2", b"0x5", b"1 2", b"\xb2"]
)
def test_content_length_malformed_gives_no_body(value: bytes) -> None:
    assert read_both(head(b"Content-Length: " + value), b"hello") == (b"", True)


@pytest.mark.parametrize("length", [b"101", b"0" * 5000 + b"101", b"9" * 5000])
def test_content_length_beyond_the_limit_is_cut(length: bytes) -> None:
    response = head(b"Content-Length: " + length)
    assert read_both(response, b"x" * 99) == (b"x" * 99, False)
    assert read_both(response, b"x" * 300) == (b"x" * 100, True)


def test_content_length_may_begin_with_zeros() -> None:
    assert read_both(head(b"Content-Length: " + b"0" * 5000 + b"3"), b"hello") == (b"hel", True)


def test_body_without_a_length_ends_with_the_connection() -> None:
    assert read_both(head(), b"hello") == (b"hello", False)
    assert read_both(head(), b"x" * 101) == (b"x" * 100, True)


@pytest.mark.parametrize("code", [100, 101, 199, 204, 304])
def test_status_without_a_body_is_complete_at_once(code: int) -> None:
    response = head(b"Content-Length: 5", code=code)
    assert BodyReader(response).is_complete
    assert read_both(response, b"hello") == (b"", True)


def test_response_without_a_status_has_a_body() -> None:
    assert read_both(Response(b"nonsense\r\n\r\n"), b"hello") == (b"hello", False)


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"", (b"", False)),
        (b"0\r\n\r\n", (b"", True)),
        (b"5\r\nhello\r\n0\r\n\r\n", (b"hello", True)),
        (b"5\r\nhello\r\n", (b"hello", False)),
        (b"5\r\nhel", (b"hel", False)),
        (b"5", (b"", False)),
        (
            b"A;name=value\r\n0123456789\r\n1 \r\n!\r\n000\r\nTrailer: x\r\n\r\n",
            (b"0123456789!", True),
        ),
        (b"2\nab\n1\nc\n0\n\n", (b"abc", True)),  # bare line feeds
        (b"2\r\nabX\r\n1\r\nc\r\n", (b"ab", True)),  # a chunk longer than its size
        (b"\r\n2\r\nab\r\n", (b"", True)),
        (b"-1\r\nab", (b"", True)),
        (b"0x2\r\nab", (b"", True)),
        (b"1_0\r\nab", (b"", True)),
        (b"1" * 17 + b"\r\nab", (b"", True)),
        (b"f" * 16 + b"\r\nab", (b"ab", False)),
        (b"2 x\r\nab", (b"", True)),
        (b"2;" + b"x" * 1020 + b"\r\nab", (b"ab", False)),
        (b"2;" + b"x" * 1021 + b"\r\nab", (b"", True)),
        (b"x" * 2000, (b"", True)),
        (b"3\r\nabc\r\n" * 34, (b"abc" * 33 + b"a", True)),
    ],
)
def test_chunked_body_is_joined_up_to_a_violation(
    data: bytes, expected: tuple[bytes, bool]
) -> None:
    assert read_both(head(CHUNKED), data) == expected


def test_chunked_overrides_content_length() -> None:
    response = head(b"Content-Length: 2", b"Transfer-Encoding: gzip, Chunked")
    assert read_both(response, b"3\r\nabc\r\n0\r\n\r\n") == (b"abc", True)


@pytest.mark.parametrize("value", [b"gzip", b"chunked, gzip", b""])
def test_transfer_encoding_that_is_not_chunked_lasts_until_the_end(value: bytes) -> None:
    response = head(b"Content-Length: 2", b"Transfer-Encoding: " + value)
    assert read_both(response, b"hello") == (b"hello", False)


@pytest.mark.parametrize("fields", [[], [b"Content-Length: 5"], [CHUNKED]])
def test_limit_of_zero_keeps_nothing(fields: list[bytes]) -> None:
    assert read_both(head(*fields), b"5\r\nhello", limit=0) == (b"", True)


def test_memory_is_bounded_by_the_limit() -> None:
    reader = BodyReader(head(CHUNKED), 1000)
    piece = b"1;" + b"x" * 500 + b"\r\ny\r\n"
    tracemalloc.start()
    try:
        for _ in range(999):
            reader.feed(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reader.body == b"y" * 999
    assert peak < 16 * 1024


def test_default_limit_is_64_kib() -> None:
    reader = BodyReader(head())
    assert not reader.feed(b"x" * (64 * 1024 - 1))
    assert reader.feed(b"xx")
    assert len(reader.body) == 64 * 1024


bodies = st.lists(
    st.one_of(st.sampled_from([b"5\r\n", b"\r\n", b"0\r\n", b"hello", b"\n", b"a;"]), st.binary()),
    max_size=12,
)


@given(st.sampled_from([[], [b"Content-Length: 9"], [CHUNKED]]), bodies, st.integers(0, 20))
def test_any_chunking_gives_the_same(fields: list[bytes], pieces: list[bytes], limit: int) -> None:
    result = read(head(*fields), pieces, limit)
    assert result == read_both(head(*fields), b"".join(pieces), limit)
    assert len(result[0]) <= limit


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_chunked_round_trip(parts: list[bytes]) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    assert read_both(head(CHUNKED), data, limit=1000) == (b"".join(parts), True)
