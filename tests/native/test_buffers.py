from __future__ import annotations

from greenws.native import buffers


def test_extend_makes_room_at_the_end() -> None:
    out = bytearray(b"abc")
    assert buffers.extend(out, 2) == 3
    assert out[:3] == b"abc"
    assert len(out) == 5


def test_renew_makes_room_in_place_of_what_was_there() -> None:
    out = bytearray(b"abc")
    for count in (5, 2, 0, 100_000, 60_000):
        assert buffers.renew(out, count) == 0
        assert len(out) == count
