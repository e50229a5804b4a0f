from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.native import wholes

ASCII = st.text(st.characters(max_codepoint=127), min_size=1).map(str.encode)


def put_together(parts: list[bytes], is_text: bool) -> bytes | str:
    whole, filled = None, 0
    for part in parts:
        whole = wholes.grow(whole, filled, filled + len(part), is_text)
        wholes.put(whole, filled, b"<" + part + b">", 1, len(part), is_text)
        filled += len(part)
    result: bytes | str = wholes.finish(whole, is_text)
    return result


@given(st.lists(st.binary(min_size=1), min_size=1))
def test_parts_of_a_binary_message_are_put_together(parts: list[bytes]) -> None:
    assert put_together(parts, False) == b"".join(parts)


@given(st.lists(ASCII, min_size=1))
def test_parts_of_a_text_are_put_together(parts: list[bytes]) -> None:
    assert put_together(parts, True) == b"".join(parts).decode()


@pytest.mark.parametrize("is_text", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_what_is_there_can_be_taken_out(count: int, is_text: bool) -> None:
    whole = wholes.grow(None, 0, 10, is_text)
    wholes.put(whole, 0, bytearray(b"abc"), 0, 3, is_text)
    assert wholes.take_out(whole, count, is_text) == b"abc"[:count]


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_cut_takes_a_piece(data: bytes, start: int, stop: int) -> None:
    start = min(start, len(data))
    stop = min(max(start, stop), len(data))
    for chunk in (data, bytearray(data)):
        piece = wholes.cut(chunk, start, stop)
        assert type(piece) is bytes and piece == data[start:stop]
