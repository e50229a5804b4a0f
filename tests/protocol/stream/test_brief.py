"""Parsing for a driver that cannot wait: it pauses before all that may switch, and when halted."""

from __future__ import annotations

from typing import Any

import pytest

from greenws.protocol.stream import HEADROOM, Stream
from tests.support.streams import describe, frame

SHORT = frame(1, b"one") + frame(2, b"two")


def make(max_size: int | None = None) -> tuple[Stream, list[Any]]:
    stream, got = Stream(max_size=max_size), list[Any]()
    stream.text_handler = lambda event: got.append(describe(event))
    stream.binary_handler = lambda event: got.append(describe(event))
    return stream, got


def digest(stream: Stream, data: bytes) -> bool:
    return stream.digest_briefly(data, 0, len(data), 0.0)


def test_whole_messages_are_all_that_is_needed() -> None:
    stream, got = make()
    assert digest(stream, SHORT)
    assert got == [("text", "one"), ("binary", b"two")]
    assert stream.is_between
    assert not stream.is_brief


@pytest.mark.parametrize(
    "data",
    [
        frame(1, b"x", fin=False) + frame(0, b"y"),
        frame(1, fin=False) + frame(0),
        frame(2, bytes(70_000))[:1000],
        frame(2, bytes(HEADROOM))[:-1],
        frame(1, b"x" * 101),
        frame(1, b"x" * 101)[:10],
    ],
    ids=[
        "fragments",
        "empty fragments",
        "cut",
        "just too long to be kept",
        "too large",
        "its head",
    ],
)
def test_it_pauses_before_all_other_messages(data: bytes) -> None:
    stream, got = make(100 if len(data) < 200 else None)
    asked: list[bool] = []
    stream.find_taker = lambda is_large: asked.append(is_large)
    assert not digest(stream, SHORT + data)
    assert stream.is_paused
    assert stream.is_between
    assert len(got) == 2
    assert asked == []
    if len(data) > 200 or b"y" in data or len(data) < 8:
        assert stream.resume()
    else:
        assert not stream.resume()  # it is refused
    assert asked[0] is False


@pytest.mark.parametrize("size", [0, 1, 100, 125, 126, HEADROOM - 4])
def test_a_part_of_a_short_frame_is_kept(size: int) -> None:
    data = SHORT + frame(1, b"x" * size)
    for cut in range(len(SHORT) + 1, len(data)):
        stream, got = make()
        assert digest(stream, data[:cut])
        assert stream.is_between
        assert digest(stream, data[cut:])
        assert got[2] == ("text", "x" * size)


def test_control_frame_is_left_for_the_driver() -> None:
    stream, got = make()
    assert not digest(stream, SHORT + frame(9, b"?") + SHORT)
    assert not stream.is_paused
    event = stream.next_event()
    assert event is not None
    assert describe(event) == ("ping", b"?")
    assert stream.next_event() is None
    assert len(got) == 4


def test_violation_is_left_for_the_driver() -> None:
    stream, got = make()
    assert not digest(stream, SHORT + b"\xf1\x00")
    assert len(got) == 2
    with pytest.raises(Exception, match="reserved bits"):
        stream.next_event()
    assert not stream.is_between


@pytest.mark.parametrize("count", [1, 2, 5])
def test_handler_can_halt_it(count: int) -> None:
    stream, got = Stream(), list[Any]()

    def take(event: Any) -> None:
        got.append(describe(event))
        if len(got) % count == 0:
            stream.halt()

    stream.text_handler = take
    data = frame(1, b"x") * (2 * count)
    assert not digest(stream, data)
    assert stream.is_paused
    assert len(got) == count
    stream.detach()
    assert stream.resume_briefly()  # the halt of the last message has nothing to halt
    assert len(got) == 2 * count
    assert digest(stream, frame(1, b"x") * count)
