"""Keys from the bytes of a terminal: whole, byte by byte, and with what no terminal sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.cli.keys import Key, KeyReader


def read(*pieces: bytes) -> list[Key]:
    reader = KeyReader()
    return [key for piece in pieces for key in reader.feed(piece)]


def join(keys: list[Key]) -> list[Key]:
    """Join characters that came in several pieces."""
    joined: list[Key] = []
    for key in keys:
        if key.name == "text" and joined and joined[-1].name == "text":
            joined[-1] = Key("text", joined[-1].text + key.text)
        else:
            joined.append(key)
    return joined


SEVERAL = {
    b"ab\xc3\xb6\xe2\x82\xac": [Key("text", "abö€")],
    b"a\x7fb\r": [Key("text", "a"), Key("backspace"), Key("text", "b"), Key("enter")],
    b"\x1b[A\x1bOB\x1b[1;5C\x1b[3~": [Key("up"), Key("down"), Key("word_right"), Key("delete")],
    b"\x1b\x1b[Ax": [Key("up"), Key("text", "x")],
    b"\x1bb\x1b\x7f\x1b\r": [Key("word_left"), Key("kill_word_left"), Key("newline")],
    b"\x01\x02\x04\x05\x06\x07\t\x0b\x0c\x0e\x10\x12\x15\x17\x19": [
        Key("home"),
        Key("left"),
        Key("delete_or_end"),
        Key("end"),
        Key("right"),
        Key("cancel"),
        Key("complete"),
        Key("kill_to_end"),
        Key("clear"),
        Key("down"),
        Key("up"),
        Key("search"),
        Key("kill_to_start"),
        Key("kill_blank_word"),
        Key("yank"),
    ],
    b"\x1b[200~one\r\ntwo\rthree\n\r\x1b[201~!": [
        Key("paste", "one\ntwo\nthree"),
        Key("text", "!"),
    ],
    b"\x1b[200~\x1b[2~\x1b[201\x1b[A\x03\x1b[201~": [Key("paste", "\x1b[2~\x1b[201\x1b[A\x03")],
    b"\x1b[200~\x1b[201~": [Key("paste", "")],
    b"\x00\x1b[99;99R\x1b[I\x1b[15~x": [Key("text", "x")],
}


@pytest.mark.parametrize("data", SEVERAL)
def test_bytes_are_keys_whole_and_byte_by_byte(data: bytes) -> None:
    assert read(data) == SEVERAL[data]
    assert join(read(*[data[index : index + 1] for index in range(len(data))])) == SEVERAL[data]


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert read(b"a\xffb") == [Key("text", "a\ufffdb")]


def test_sequence_that_does_not_end_is_given_up() -> None:
    keys = read(b"\x1b[" + b"1" * 100, b"2", b"\r")
    assert keys[-1] == Key("enter")
    assert read(b"\x1b[1\x01") == [Key("text", "[1"), Key("home")]


def test_sequence_waits_for_its_end() -> None:
    reader = KeyReader()
    assert list(reader.feed(b"\x1b")) == []
    assert list(reader.feed(b"[")) == []
    assert list(reader.feed(b"D")) == [Key("left")]


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_any_bytes_are_keys(pieces: list[bytes]) -> None:
    for key in read(*pieces, b"\x1b[201~\r"):
        assert key.text or key.name != "text"
        assert "\x1b" not in key.text or key.name == "paste"
