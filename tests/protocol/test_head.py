"""Finding the head of an HTTP message, and taking it apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.constants import MAX_HEAD_SIZE
from greenws.protocol.head import RESPONSE_START, ForeignStart, Head, HeadReader, HeadTooLarge

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nA: b\r\n\r\n"

# Random pieces of bytes that often make a head.
heads = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b",", b"a", b"B: c", b"\0", b"\xff"]
    ),
    max_size=30,
).map(b"".join)


def read(pieces: list[bytes], limit: int = MAX_HEAD_SIZE) -> tuple[bytes, bytes] | str | None:
    """Read a head.

    :returns: the head and everything behind it; the message of an error; None: no end was found.
    """
    reader = HeadReader(limit)
    for index, piece in enumerate(pieces):
        try:
            head = reader.feed(piece)
        except HeadTooLarge as error:
            return str(error)
        if head is not None:
            return head, b"".join([reader.rest, *pieces[index + 1 :]])
    return None


def split(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


@pytest.mark.parametrize("rest", [b"", b"\x81\x02hi", b"\r\n\r\n"])
def test_feed_finds_the_end(rest: bytes) -> None:
    assert read([HEAD + rest]) == (HEAD, rest)
    assert read(split(HEAD + rest)) == (HEAD, rest)


def test_feed_without_an_end_gives_nothing() -> None:
    assert read([HEAD[:-1]]) is None
    assert read([]) is None
    assert read([b""]) is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_feed_takes_any_bytes(kind: type) -> None:
    reader = HeadReader()
    assert reader.feed(kind(HEAD[:20])) is None
    assert reader.feed(kind(HEAD[20:] + b"more")) == HEAD
    assert reader.rest == b"more"
    assert type(reader.rest) is bytes


@pytest.mark.parametrize("head", [b"X\n\n", b"X\nA: b\n\n", b"X\r\nA: b\n\r\n", b"X\n\r\n"])
def test_feed_takes_bare_line_feeds(head: bytes) -> None:
    assert read([head + b"rest"]) == (head, b"rest")
    assert read(split(head + b"rest")) == (head, b"rest")


def test_feed_skips_blank_lines_before_the_head() -> None:
    assert read([b"\r\n\r\n\n" + HEAD]) == (HEAD, b"")
    assert read(split(b"\r\n\r\n\n" + HEAD)) == (HEAD, b"")


def test_feed_takes_a_head_at_the_limit() -> None:
    assert read([HEAD], len(HEAD)) == (HEAD, b"")
    assert read([HEAD + b"x" * 100], len(HEAD)) == (HEAD, b"x" * 100)
    assert read(split(HEAD), len(HEAD)) == (HEAD, b"")


@pytest.mark.parametrize("data", [HEAD, b"x" * 100, b"\r\n" * 50, b"\r\n" + HEAD[:-1]])
def test_feed_refuses_a_head_beyond_the_limit(data: bytes) -> None:
    message = f"the head is larger than {len(HEAD) - 1} bytes"
    assert read([data], len(HEAD) - 1) == message
    assert read(split(data), len(HEAD) - 1) == message


def test_feed_keeps_failing_beyond_the_limit() -> None:
    reader = HeadReader(10)
    for _ in range(2):
        with pytest.raises(HeadTooLarge):
            reader.feed(b"x" * 11)


def test_feed_after_the_end_is_refused() -> None:
    reader = HeadReader()
    reader.feed(HEAD + b"rest")
    with pytest.raises(ValueError, match="the head is complete"):
        reader.feed(b"more")
    assert reader.rest == b"rest"


@pytest.mark.parametrize("blanks", [b"", b"\r\n", b"\n\r\n\n"])
@pytest.mark.parametrize(
    "data", [b"SSH-2.0-x\r\n", b"HTTq", b"\x15\x03\x01", b" HTTP/1.1", b"http/1.1"]
)
def test_feed_refuses_another_start_at_once(data: bytes, blanks: bytes) -> None:
    with pytest.raises(ForeignStart) as caught:
        HeadReader(start=RESPONSE_START).feed(blanks + data)
    assert caught.value.data == data
    reader = HeadReader(start=RESPONSE_START)
    same = 3 if data == b"HTTq" else 0
    for octet in split(blanks + data[:same]):
        assert reader.feed(octet) is None
    with pytest.raises(ForeignStart) as caught:
        reader.feed(data[same : same + 1])
    assert caught.value.data == data[: same + 1]


def test_feed_takes_the_right_start() -> None:
    for pieces in (
        [b"\r\n" + HEAD],
        split(b"\r\n" + HEAD),
        [HEAD[:5], HEAD[5:]],
        [HEAD[:4], HEAD[4:]],
    ):
        reader = HeadReader(start=RESPONSE_START)
        assert [reader.feed(piece) for piece in pieces][-1] == HEAD


def test_unfinished_line_is_that_of_an_incomplete_head() -> None:
    reader = HeadReader()
    lines = []
    for octet in split(b"\r\nA b\r\nC\r\n\r\n"):
        lines.append(reader.unfinished_line)
        reader.feed(octet)
    assert lines == [b"", b"", b"", b"A", b"A ", b"A b", b"A b\r", *[b"A b\r"] * 5]
    assert reader.unfinished_line == b""


TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x46"
SETTINGS = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80"
GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TLS_ALERT, "does not speak HTTP/1 but TLS; use it; it sent '\\x15\\x03\\x03\\x00"),
        (b"\x16\x03\x01", "does not speak HTTP/1 but TLS; use it; it sent '\\x16\\x03\\x01'"),
        (b"\x15", "does not speak HTTP/1 but TLS; use it; it sent '\\x15'"),
        (b"\x15\x04", "does not speak HTTP; it sent '\\x15\\x04'"),
        (SETTINGS, "does not speak HTTP/1 but HTTP/2 only; it sent '\\x00\\x00\\x12\\x04"),
        (GOAWAY, "does not speak HTTP/1 but HTTP/2 only; it sent '\\x00\\x00\\x08\\x07"),
        (b"\x00\x00\x12\x04", "does not speak HTTP; it sent '\\x00\\x00\\x12\\x04'"),
        (b"SSH-2.0-x\r\n", "does not speak HTTP; it sent 'SSH-2.0-x\\r\\n'"),
        (
            b"\x1b]0;\x07" + b"x" * 99,
            "does not speak HTTP; it sent '\\x1b]0;\\x07" + "x" * 59 + "'...",
        ),
    ],
)
def test_foreign_start_says_what_is_spoken(data: bytes, message: str) -> None:
    error = ForeignStart(data)
    assert error.describe("use it").startswith(message)
    assert error.describe("use it").isprintable()
    assert "use it" not in error.describe("")
    assert repr(data[:5])[2:-1] in str(error)


def test_default_limit_is_64_kib() -> None:
    with pytest.raises(HeadTooLarge, match="larger than 65536 bytes"):
        HeadReader().feed(b"x" * (64 * 1024 + 1))


@given(st.lists(heads, max_size=6), st.integers(0, 40))
def test_any_chunking_gives_the_same(pieces: list[bytes], limit: int) -> None:
    whole = b"".join(pieces)
    assert read(pieces, limit) == read([whole], limit) == read(split(whole), limit)


def test_fields_are_found_by_name() -> None:
    head = Head(b"start line\r\nFoo: 1\r\nBAR:2 \t\r\nfoo:\t3\r\nEmpty:\r\n\r\n")
    assert head.start_line == "start line"
    assert head.fields == [("foo", "1"), ("bar", "2"), ("foo", "3"), ("empty", "")]
    assert head.headers == {"foo": "1, 3", "bar": "2", "empty": ""}
    assert head.get("FOO") == "1, 3"
    assert head.get("none") is None
    assert head.get("none", "default") == "default"
    assert head.get("empty", "default") == ""


def test_get_list_splits_at_commas() -> None:
    head = Head(b"x\r\nA: 1 , 2,,\r\nB:\r\na:3\r\nC: , ,\r\n\r\n")
    assert head.get_list("A") == ["1", "2", "3"]
    assert head.get_list("b") == head.get_list("c") == head.get_list("none") == []


def test_get_all_keeps_commas() -> None:
    head = Head(b"x\r\nSet-Cookie: a=1; Expires=Thu, 01 Jan\r\nX: y\r\nset-cookie: b=2\r\n\r\n")
    assert head.get_all("Set-Cookie") == ["a=1; Expires=Thu, 01 Jan", "b=2"]
    assert head.get_all("none") == []


@pytest.mark.parametrize("fold", [b"\r\n ", b" \r\n\t  ", b"\n ", b"\r\n \r\n "])
def test_folded_value_is_joined_by_one_space(fold: bytes) -> None:
    assert Head(b"x\r\nA: one" + fold + b"two\r\nB: c\r\n\r\n").headers == {
        "a": "one two",
        "b": "c",
    }


def test_fold_after_an_empty_value_is_joined() -> None:
    assert Head(b"x\r\nA:\r\n one\r\n\r\n").headers == {"a": "one"}


@pytest.mark.parametrize("line", [b"no colon", b": no name", b" : folded", b" folded"])
def test_line_without_a_field_is_left_out(line: bytes) -> None:
    head = Head(b"x\r\n" + line + b"\r\n and its fold\r\nA: b\r\n\r\n")
    assert head.headers == {"a": "b"}


def test_bytes_beyond_ascii_are_characters_of_latin_1() -> None:
    raw = b"x\xff\r\nA: \xc3\xa9\r\n\r\n"
    head = Head(raw)
    assert head.raw == raw
    assert (head.start_line, head.headers) == ("x\xff", {"a": "\xc3\xa9"})
    assert head.get_bytes("A") == "é".encode()


def test_get_bytes_has_a_default() -> None:
    head = Head(b"x\r\nEmpty:\r\n\r\n")
    assert head.get_bytes("none") is None
    assert head.get_bytes("none", b"x") == b"x"
    assert head.get_bytes("EMPTY", b"x") == b""


@pytest.mark.parametrize(
    "byte", [bytes([number]) for number in range(256) if number not in b"\0\n\r"]
)
def test_no_byte_of_a_value_is_lost(byte: bytes) -> None:
    for value in (byte + b"x" + byte, byte):
        head = Head(b"x\r\nA:  " + value + b"\t\r\nA: c\r\n " + byte + b"\r\n\r\n")
        first, second = head.get_all("a")
        assert first.encode("latin-1") == value.strip(b" \t")
        assert second.encode("latin-1") == (b"c " + byte).strip(b" \t")
        assert head.get_bytes("a") == f"{first}, {second}".encode("latin-1")
        assert [
            e.encode("latin-1") for e in Head(b"x\r\nA:d , " + value + b"\r\n\r\n").get_list("a")
        ] == [element for part in (b"d", *value.split(b",")) if (element := part.strip(b" \t"))]


@pytest.mark.parametrize("bad", [b"\0", b"\r", b"\r\r", b"\0\r\0"])
def test_nul_and_bare_cr_are_spaces(bad: bytes) -> None:
    spaces = " " * len(bad)
    head = Head(
        b"one" + bad + b"two\r\nA: b" + bad + b"C: d\r\nE: f" + bad + b"\r\nG:" + bad + b"h\r\n"
        b"I: j\r\n k" + bad + b"l\r\nM" + bad + b": n\r\n" + bad + b"O: p\r\n\r\n"
    )
    assert head.start_line == f"one{spaces}two"
    assert head.headers == {"a": f"b{spaces}C: d", "e": "f", "g": "h", "i": f"j k{spaces}l"}
    assert not any("\0" in text or "\r" in text for field in head.fields for text in field)


@pytest.mark.parametrize("bad", [b"\0", b"\r"])
def test_cookie_with_nul_or_bare_cr_is_none(bad: bytes) -> None:
    lines = [b"x", b"Set-Cookie: a=b" + bad + b"c", b"set-cookie: d=e", b"", b""]
    assert Head(b"\r\n".join(lines)).fields == [("set-cookie", "d=e")]


@given(st.one_of(st.binary(max_size=200), heads))
def test_any_bytes_make_a_head(raw: bytes) -> None:
    head = Head(raw)
    assert head.raw == raw
    for name, value in head.headers.items():
        assert name == name.strip(" \t").lower()
        assert value == ", ".join(head.get_all(name))
        assert not set("\0\r\n") & {*name, *value}
        head.get_list(name)
