from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.native import wholes


@given(st.lists(st.binary(min_size=1), min_size=1))
def test_parts_are_put_together(parts: list[bytes]) -> None:
    whole, filled = None, 0
    for part in parts:
        whole = wholes.grow(whole, filled, filled + len(part))
        wholes.put(whole, filled, b"<" + part + b">", 1, len(part))
        filled += len(part)
    assert wholes.finish(whole) == b"".join(parts)


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_there_can_be_taken_out(count: int) -> None:
    whole = wholes.grow(None, 0, 10)
    wholes.put(whole, 0, bytearray(b"abc"), 0, 3)
    assert wholes.take_out(whole, count) == b"abc"[:count]
