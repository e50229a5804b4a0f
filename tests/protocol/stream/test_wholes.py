"""Messages of one frame that arrive in several chunks: they are put together only once."""

from __future__ import annotations

import tracemalloc
from random import Random
from typing import Any

import pytest

import greenws
from greenws.errors import CriticalProtocolError, PayloadTooLarge
from greenws.protocol.stream import Stream
from tests.protocol.stream.checks import drain
from tests.protocol.stream.test_pieces import Taker
from tests.support.streams import frame

TEXT, BINARY, CONTINUATION = 1, 2, 0
MIB = 1024 * 1024


def feed(stream: Stream, data: bytes, size: int) -> list[Any]:
    """Feed data in chunks of a size, and return the events of it."""
    events = []
    for start in range(0, len(data), size):
        events += drain(stream, data[start : start + size])
    return events


@pytest.mark.parametrize("size", [5 * MIB, 700_000, 65_537])
@pytest.mark.parametrize("length", [100_000, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_message_is_the_same_however_it_is_cut(length: int, size: int) -> None:
    payload = Random(length).randbytes(length)
    first, second = feed(Stream(), 2 * frame(BINARY, payload), size)
    assert first.data == second.data == payload
    assert type(first.data) is bytes


@pytest.mark.parametrize("size", [2 * MIB, 65_537])
@pytest.mark.parametrize("length", [100_000, MIB, MIB + 1])
@pytest.mark.parametrize("place", [None, 0, 0.02, 0.7, 1])
def test_text_is_the_same_wherever_it_ceases_to_be_ascii(
    length: int, size: int, place: float | None
) -> None:
    text = Random(length).randbytes(length // 2).hex()
    if place is not None:
        at = int(length * place)
        text = f"{text[:at]}€𝄞{text[at:]}"
    first, second = feed(Stream(), 2 * frame(TEXT, text.encode()), size)
    assert first.text == second.text == text
    assert first.text.isascii() is (place is None)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("bad", [b"\xff", b"\xe2\x82", b"\xed\xa0\x80"])
def test_text_that_is_no_utf8_behind_ascii_is_refused(bad: bytes, size: int) -> None:
    for data in (frame(TEXT, b"a" * 500 + bad), frame(TEXT, b"a" * 500 + bad + b"a" * 500)):
        with pytest.raises(CriticalProtocolError):
            feed(Stream(), data, size)


@pytest.mark.parametrize("end", ["plain", "€ and 𝄞"])
def test_frames_of_a_text_are_put_behind_each_other(end: str) -> None:
    data = frame(TEXT, b"abc" * 1000, fin=False) + frame(CONTINUATION, b"", fin=False)
    data += frame(CONTINUATION, b"def" * 1000 + end.encode())
    assert [event.text for event in feed(Stream(), data, 777)] == [
        "abc" * 1000 + "def" * 1000 + end
    ]


def test_text_may_be_taken_in_pieces_from_its_middle_on() -> None:
    text = Random(3).randbytes(MIB).hex()
    data = frame(TEXT, text.encode())
    taker = Taker(max_size=4 * MIB)
    taker.feed(data[:MIB])
    taker.start()
    taker.feed(data[MIB:])
    taker.check(text)


def test_message_that_outgrows_its_room_twice_is_right() -> None:
    # The room is a megabyte, then 64 times what has arrived.
    payload = Random(1).randbytes(70 * MIB)
    (event,) = feed(Stream(max_size=None), frame(BINARY, payload), 1_000_003)
    assert event.data == payload


def test_last_frame_of_a_message_is_put_behind_the_others() -> None:
    data = frame(BINARY, b"abc" * 1000, fin=False) + frame(CONTINUATION, b"def" * 1000)
    (event,) = feed(Stream(), data, 777)
    assert event.data == b"abc" * 1000 + b"def" * 1000


def test_message_of_an_empty_and_a_full_frame_is_right() -> None:
    data = frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"def" * 1000)
    assert [event.data for event in feed(Stream(), data, 777)] == [b"def" * 1000]


def test_message_may_be_taken_in_pieces_from_its_middle_on() -> None:
    payload = Random(2).randbytes(2 * MIB)
    data = frame(BINARY, payload)
    taker = Taker(max_size=4 * MIB)
    taker.feed(data[:MIB])
    assert taker.stream.is_joining
    taker.start()
    for start in range(MIB, len(data), 100_000):
        taker.feed(data[start : start + 100_000])
    taker.check(payload)
    taker.stream.find_taker = None
    taker.feed(frame(BINARY, b"next"))
    assert [event.data for event in taker.events] == [b"next"]


def test_closed_stream_keeps_nothing_of_a_message() -> None:
    stream = Stream()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        assert feed(stream, frame(BINARY, bytes(2 * MIB))[:-1], 65_536) == []
        assert tracemalloc.get_traced_memory()[0] - before > MIB
        stream.close()
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()


def test_announced_bytes_take_up_little_room_before_they_come() -> None:
    stream = Stream(max_size=None)
    head = bytes((0x82, 127)) + (1 << 40).to_bytes(8, "big")
    tracemalloc.start()
    try:
        for count in (0, 1, 1000, 100_000):
            data = head + bytes(count)
            head = b""
            assert drain(stream, data) == []
            assert tracemalloc.get_traced_memory()[1] < 66 * (count + 200)
    finally:
        tracemalloc.stop()


def test_message_beyond_the_limit_is_refused_by_its_head() -> None:
    with pytest.raises(PayloadTooLarge):
        drain(Stream(max_size=MIB), frame(BINARY, bytes(MIB + 1))[:20])


@pytest.mark.skipif(not greenws.COMPILED, reason="without C, the message is copied at its end")
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_large_message_is_in_memory_once(opcode: int) -> None:
    data = frame(opcode, b"a" * (16 * MIB))
    stream = Stream()
    tracemalloc.start()
    try:
        (event,) = feed(stream, data, 256 * 1024)
        assert len(event.message) == 16 * MIB
        assert tracemalloc.get_traced_memory()[1] < 18 * MIB
    finally:
        tracemalloc.stop()
