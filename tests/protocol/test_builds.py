"""The compiled core and its plain Python twin, in one process, on the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import greenws
from greenws import events, status
from greenws.protocol import frame as compiled_frame
from greenws.protocol import mask as compiled_mask
from greenws.protocol import stream as compiled_stream
from greenws.protocol.compression import Deflate
from tests.support.pure import load_pure
from tests.support.streams import Feeder, cut, deflate, frame

if not greenws.COMPILED:
    pytest.skip("this build is pure: there is nothing to compare", allow_module_level=True)

pure_stream = load_pure("protocol.stream")
pure_frame = load_pure("protocol.frame")
pure_mask = load_pure("protocol.mask")
pure_compression = load_pure("protocol.compression")
pure_events = load_pure("events")

CUTS = st.lists(st.integers(0, 1 << 16), max_size=15)
HOW = st.sampled_from(["bytes", "in place", "offset"])


def check(pieces: list[bytes], how: str, **options: Any) -> None:
    compiled = Feeder(how, **options).feed_all(pieces)
    pure = Feeder(how, stream=pure_stream, compression=pure_compression, **options)
    assert compiled == pure.feed_all(pieces)


def test_twins_are_what_they_are_said_to_be() -> None:
    for module in (compiled_stream, compiled_frame, compiled_mask, events):
        assert module.__file__ is not None
        assert not module.__file__.endswith(".py"), module.__file__
    for module in (pure_stream, pure_frame, pure_mask, pure_events):
        assert module.__file__ is not None
        assert module.__file__.endswith(".py")


@given(st.binary(max_size=400), CUTS, HOW, st.sampled_from([None, 60, 1 << 20]), st.booleans())
def test_any_bytes(
    data: bytes, cuts: list[int], how: str, max_size: int | None, is_client: bool
) -> None:
    check(cut(data, cuts), how, max_size=max_size, is_client=is_client)


frames = st.builds(
    frame,
    st.sampled_from([0, 0, 1, 1, 2, 8, 9, 10, 3]),
    st.one_of(
        st.binary(max_size=140),
        st.text(max_size=60).map(str.encode),
        st.text(max_size=60).map(str.encode).map(deflate),
    ),
    fin=st.booleans(),
    rsv1=st.booleans(),
    masked=st.just(False),
)


@given(st.lists(frames, max_size=8), CUTS, HOW, st.sampled_from([None, 100]), st.booleans())
def test_any_frames(
    wire: list[bytes], cuts: list[int], how: str, max_size: int | None, compressed: bool
) -> None:
    agreement: dict[str, Any] | None = {} if compressed else None
    check(cut(b"".join(wire), cuts), how, max_size=max_size, agreement=agreement)


@given(st.lists(frames, max_size=8), CUTS, HOW, st.sampled_from([None, 5]), st.booleans())
def test_any_frames_in_pieces(
    wire: list[bytes], cuts: list[int], how: str, max_size: int | None, compressed: bool
) -> None:
    agreement: dict[str, Any] | None = {} if compressed else None
    pieces = cut(b"".join(wire), cuts)
    check(pieces, how, max_size=max_size, agreement=agreement, in_pieces=True)


@given(st.lists(st.text(max_size=100).map(str.encode), max_size=6), CUTS, HOW)
def test_conversations(texts: list[bytes], cuts: list[int], how: str) -> None:
    peer = Deflate()
    wire = b"".join(
        frame(1, peer.compress(text), rsv1=True) + frame(2, text) + frame(9) for text in texts
    )
    check(cut(wire, cuts), how, agreement={})


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70_000])
@pytest.mark.parametrize("is_client", [True, False])
def test_sizes(size: int, is_client: bool) -> None:
    data = bytes(index % 251 for index in range(size))
    wire = frame(2, data, masked=not is_client)
    for how in ("bytes", "offset"):
        check([wire], how, is_client=is_client)
        check(cut(wire, range(0, len(wire), 997)), how, is_client=is_client)


@pytest.mark.parametrize(
    "length", [1 << 63, (1 << 63) - 1, 1 << 62, (1 << 62) - 1, 1 << 31, 1 << 32]
)
@pytest.mark.parametrize("max_size", [None, 1, (1 << 63) - 1])
def test_lengths_at_the_edges_of_machine_words(length: int, max_size: int | None) -> None:
    wire = b"\x82\x7f" + length.to_bytes(8, "big") + b"payload"
    check([wire], "bytes", max_size=max_size)
    # A second frame: the sum with what is there already.
    first = frame(2, b"12345", fin=False)
    check([first + b"\x80\x7f" + length.to_bytes(8, "big") + b"x"], "bytes", max_size=max_size)


@given(st.binary(max_size=500), st.binary(min_size=4, max_size=4), st.integers(0, 1 << 32))
def test_mask(payload: bytes, key: bytes, offset: int) -> None:
    assert compiled_mask.mask(payload, key, offset) == pure_mask.mask(payload, key, offset)


@given(st.integers(0, 15), st.binary(max_size=300), st.booleans(), st.booleans())
def test_frames_without_a_mask(opcode: int, payload: bytes, fin: bool, rsv1: bool) -> None:
    assert compiled_frame.build_frame(opcode, payload, fin, rsv1, False) == pure_frame.build_frame(
        opcode, payload, fin, rsv1, False
    )


@given(st.integers(-1, 70_000), st.text(max_size=130))
def test_close_payloads(code: int, reason: str) -> None:
    assert build_close(compiled_frame, code, reason) == build_close(pure_frame, code, reason)


def build_close(module: Any, code: int, reason: str) -> Any:
    try:
        return module.build_close_payload(code, reason)
    except ValueError as error:
        return str(error)


def test_events_have_the_same_contents_and_look_the_same() -> None:
    names = [name for name, item in vars(events).items() if isinstance(item, type)]
    assert len(names) > 15
    for name in names:
        compiled, pure = getattr(events, name), getattr(pure_events, name)
        if "name" not in vars(compiled):
            continue
        assert compiled.name == pure.name
        assert set(vars(pure)["__slots__"]) - {"_json"} <= set(dir(compiled))
    for make in (
        lambda module: module.Text("x" * 30),
        lambda module: module.Disconnected("bye", True, 1000, 1001),
        lambda module: module.BackOff(1.23),
        lambda module: module.Connected("ws://h/", None),
    ):
        assert repr(make(events)) == repr(make(pure_events))


def test_status_is_not_compiled() -> None:
    assert status.__file__.endswith(".py")
