from __future__ import annotations

from greenws.native import buffers


def test_extend_makes_room_at_the_end() -> None:
    out = bytearray(b"abc")
    assert buffers.extend(out, 2) == 3
    assert out[:3] == b"abc"
    assert len(out) == 5
