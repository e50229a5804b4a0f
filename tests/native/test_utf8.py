from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.native import utf8


@given(st.text(), st.binary(max_size=5), st.binary(max_size=5))
def test_decode_takes_a_piece(text: str, before: bytes, after: bytes) -> None:
    data = text.encode()
    whole = bytearray(before + data + after)
    assert utf8.decode(whole, len(before), len(before) + len(data)) == text


def test_decode_refuses_what_is_no_utf8() -> None:
    assert utf8.decode(b"abc\xffdef", 0, 7) is None


def test_encode_refuses_lone_surrogates() -> None:
    assert utf8.encode("é") == b"\xc3\xa9"
    with pytest.raises(UnicodeEncodeError):
        utf8.encode("\ud800")


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_ascii_is_told_from_other_bytes(data: bytes, start: int, count: int) -> None:
    start = min(start, len(data))
    count = min(count, len(data) - start)
    assert utf8.is_ascii(data, start, count) == data[start : start + count].isascii()
