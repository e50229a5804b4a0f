"""Properties that hold for any stream, however it is cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.protocol.compression import Deflate
from tests.protocol.stream.checks import (
    DEFLATED,
)
from tests.support.streams import Feeder, cut, frame

messages = st.one_of(
    st.tuples(st.just(1), st.text(max_size=200).map(str.encode)),
    st.tuples(st.just(2), st.binary(max_size=300)),
    st.tuples(st.sampled_from([9, 10]), st.binary(max_size=125)),
)

NAMES = {1: "text", 2: "binary", 9: "ping", 10: "pong"}

PARTS = st.lists(st.integers(0, 1 << 16), max_size=6)


@st.composite
def conversations(draw: st.DrawFn, masked: bool, deflated: bool) -> tuple[bytes, list[Any]]:
    """Legal frames and their events: messages in fragments, with control frames in between."""
    peer = Deflate()
    wire = b""
    expected: list[Any] = []
    for opcode, payload in draw(st.lists(messages, max_size=8)):
        value: Any = payload.decode() if opcode == 1 else payload
        if opcode > 2:
            wire += frame(opcode, payload, masked=masked)
        else:
            rsv1 = deflated and draw(st.booleans())
            parts = cut(peer.compress(payload) if rsv1 else payload, draw(PARTS)) or [b""]
            for index, part in enumerate(parts):
                is_last = index == len(parts) - 1
                first = index == 0
                wire += frame(opcode if first else 0, part, is_last, rsv1 and first, masked)
                if not is_last and draw(st.booleans()):
                    wire += frame(9, b"between", masked=masked)
                    expected.append(("ping", b"between"))
        expected.append((NAMES[opcode], value))
    return wire, expected


@pytest.mark.parametrize("is_client", [True, False])
@pytest.mark.parametrize("deflated", [True, False])
@pytest.mark.parametrize("how", ["bytes", "in place", "offset", "digest", "briefly"])
@given(data=st.data())
def test_chunking_never_matters(
    is_client: bool, deflated: bool, how: str, data: st.DataObject
) -> None:
    wire, expected = data.draw(conversations(masked=not is_client, deflated=deflated))
    pieces = cut(wire, data.draw(st.lists(st.integers(0, 1 << 16), max_size=20)))
    options: dict[str, Any] = {"is_client": is_client}
    if deflated:
        options["agreement"] = DEFLATED
    assert Feeder(how, **options).feed_all(pieces) == expected


@given(
    st.binary(max_size=400),
    st.lists(st.integers(0, 1 << 16), max_size=12),
    st.sampled_from([None, 50, 1 << 20]),
    st.booleans(),
    st.booleans(),
)
def test_any_bytes_give_events_or_our_errors(
    data: bytes, cuts: list[int], max_size: int | None, is_client: bool, deflated: bool
) -> None:
    options: dict[str, Any] = {"max_size": max_size, "is_client": is_client}
    if deflated:
        options["agreement"] = DEFLATED
    whole = Feeder(**options).feed_all([data])
    in_pieces = Feeder("in place", **options).feed_all(cut(data, cuts))
    assert without_kind(whole) == without_kind(in_pieces)


def without_kind(outcome: list[Any]) -> list[Any]:
    # A compressed message that is both bad and too large may end in either error.
    return [("error",) if item[0] == "error" and item[2] != 1002 else item for item in outcome]


heads = st.tuples(
    st.sampled_from([0x00, 0x01, 0x02, 0x41, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0xC2]),
    st.binary(max_size=130),
).map(lambda pair: frame(pair[0] & 0x0F, pair[1], bool(pair[0] & 0x80), bool(pair[0] & 0x40)))


@given(st.lists(heads, max_size=6), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_any_frames_give_events_or_our_errors(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frames)
    for agreement in (None, DEFLATED):
        options: dict[str, Any] = {"max_size": 150, "agreement": agreement}
        whole = Feeder(**options).feed_all([data])
        in_pieces = Feeder("in place", **options).feed_all(cut(data, cuts))
        assert without_kind(whole) == without_kind(in_pieces)
