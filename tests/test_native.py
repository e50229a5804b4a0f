from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws import native


@given(st.text(), st.binary(max_size=5), st.binary(max_size=5))
def test_decode_utf8_takes_a_piece(text: str, before: bytes, after: bytes) -> None:
    data = text.encode()
    whole = bytearray(before + data + after)
    assert native.decode_utf8(whole, len(before), len(before) + len(data), None) == text


def test_decode_utf8_refuses_what_is_none() -> None:
    assert native.decode_utf8(b"abc\xffdef", 0, 7, None) is None


def test_call_returns_exceptions_and_lets_others_pass() -> None:
    seen: list[object] = []
    assert native.call(seen.append, 1) is None
    assert seen == [1]

    def fail(error: BaseException) -> None:
        raise error

    error = ValueError()
    assert native.call(fail, error) is error
    with pytest.raises(KeyboardInterrupt):
        native.call(fail, KeyboardInterrupt())


def test_extend_makes_room_at_the_end() -> None:
    out = bytearray(b"abc")
    assert native.extend(out, 2) == 3
    assert out[:3] == b"abc"
    assert len(out) == 5


@pytest.mark.parametrize("size", [0, 1, 100, 4095, 5000, 100_000])
def test_empty_empties(size: int) -> None:
    buffer = bytearray(size)
    native.empty(buffer)
    assert buffer == b""
    buffer += b"again"
    assert buffer == b"again"


def test_nothing_is_known_to_be_unshared() -> None:
    assert not native.is_unshared(object())
