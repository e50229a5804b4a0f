"""Frames, fragments and close frames make events; a chunk of them may be cut anywhere."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from greenws.protocol.stream import HEADROOM, Stream
from tests.protocol.stream.checks import (
    BAD_DATA,
    VIOLATION,
    check,
    drain,
)
from tests.support.streams import Feeder, frame

# One frame


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 200, 65535, 65536, 65537])
def test_message_has_any_encoding_of_its_length(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    outcome = Feeder().feed_all([frame(2, data), frame(1, b"x" * size)])
    assert outcome == [("binary", data), ("text", "x" * size)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 300])
def test_message_is_the_same_fed_every_way(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    check(frame(2, data) + frame(1, b"x" * size), ("binary", data), ("text", "x" * size))


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 300])
def test_masked_message_reaches_the_server(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    check(
        frame(2, data, masked=True) + frame(9, data[:125], masked=True),
        ("binary", data),
        ("ping", data[:125]),
        is_client=False,
    )


def test_many_messages_may_come_in_one_chunk() -> None:
    data = b"".join(frame(1, b"%d" % number) for number in range(500))
    outcome = Feeder().feed_all([data])
    assert outcome == [("text", str(number)) for number in range(500)]


def test_text_is_decoded() -> None:
    check(frame(1, "grün κόσμε 🙂 \0".encode()), ("text", "grün κόσμε 🙂 \0"))


@pytest.mark.parametrize("data", [b"", b"\0" * 125, b"\xff\xfe"])
def test_ping_and_pong_have_their_payload(data: bytes) -> None:
    check(frame(9, data) + frame(10, data), ("ping", data), ("pong", data))


def test_nothing_fed_gives_nothing() -> None:
    stream = Stream()
    assert stream.next_event() is None
    assert drain(stream, b"") == []


def test_every_beginning_of_a_frame_gives_nothing_yet() -> None:
    for whole in (frame(1, b"x" * 20), frame(2, bytes(70_000)), frame(9, b"ping")):
        for size in [*range(min(len(whole), 30)), len(whole) - 1]:
            assert drain(Stream(), whole[:size]) == []


# Fragments


def test_fragments_are_joined() -> None:
    check(
        frame(1, b"one, ", fin=False) + frame(0, b"two, ", fin=False) + frame(0, b"three"),
        ("text", "one, two, three"),
    )


def test_empty_fragments_are_joined() -> None:
    data = frame(2, fin=False) + frame(0, fin=False) + frame(0, b"x", fin=False) + frame(0)
    check(data, ("binary", b"x"))
    check(frame(1, fin=False) + frame(0), ("text", ""))


def test_control_frames_between_fragments_come_first() -> None:
    check(
        frame(1, b"Hel", fin=False)
        + frame(9, b"ping")
        + frame(0, b"", fin=False)
        + frame(10, b"pong")
        + frame(0, b"lo"),
        ("ping", b"ping"),
        ("pong", b"pong"),
        ("text", "Hello"),
    )


def test_close_frame_between_fragments_ends_the_stream() -> None:
    check(
        frame(1, b"Hel", fin=False) + frame(8, b"\x03\xe8bye") + frame(0, b"lo"),
        ("closing", 1000, "bye"),
    )


def test_masked_fragments_have_keys_of_their_own() -> None:
    check(
        frame(1, b"Hello, ", fin=False, masked=True)
        + frame(9, b"?", masked=True)
        + frame(0, b"world", masked=True),
        ("ping", b"?"),
        ("text", "Hello, world"),
        is_client=False,
    )


def test_fragments_of_a_long_message_cost_no_memory_each() -> None:
    count, size = 65_536, 64
    piece = frame(0, b"x" * size, fin=False)
    stream = Stream()
    drain(stream, frame(2, b"", fin=False))
    chunk = piece * 64
    tracemalloc.start()
    try:
        for _ in range(count // 64):
            assert drain(stream, chunk) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (event,) = drain(stream, frame(0, b""))
    assert event.data == b"x" * (count * size)
    # The message has 4 MiB; a growing bytearray needs spare room, and a copy for a moment.
    assert peak < 3 * count * size


# Close frames (section 7 of Autobahn's cases)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", ("closing", None, "")),
        (b"\x03\xe8", ("closing", 1000, "")),
        (b"\x03\xe8" + b"x" * 123, ("closing", 1000, "x" * 123)),
        (b"\x0f\xa0" + "grün".encode(), ("closing", 4000, "grün")),
        (b"\x03", VIOLATION),
        (b"\x03\xe8\xff", BAD_DATA),
        (b"\x03\xe8\xce\xba\xe1", BAD_DATA),
    ],
)
def test_close_frame_has_code_and_reason(payload: bytes, expected: tuple[Any, ...]) -> None:
    check(frame(8, payload), expected)


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]
)
def test_close_frame_has_any_code_that_may_be_sent(code: int) -> None:
    check(frame(8, code.to_bytes(2, "big")), ("closing", code, ""))


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_close_frame_with_a_reserved_code_is_a_violation(code: int) -> None:
    check(frame(8, code.to_bytes(2, "big")), VIOLATION)


def test_nothing_is_parsed_after_a_close_frame() -> None:
    stream = Stream()
    events = drain(stream, frame(8) + frame(1, b"late") + b"\xff\xff")
    assert [event.name for event in events] == ["closing"]
    assert stream.is_closed
    assert drain(stream, frame(1, b"later")) == []


# The chunk: bytes, bytearrays in place, headroom


def test_bytearray_is_read_in_place_and_may_be_overwritten_after_none() -> None:
    data = frame(2, bytes(range(100))) + frame(1, b"tail" * 10)
    for position in range(len(data)):
        feeder = Feeder("in place")
        outcome = feeder.feed_all([data[:position], data[position:]])
        assert outcome == [("binary", bytes(range(100))), ("text", "tail" * 10)]


@pytest.mark.parametrize("room", [0, 1, 5, HEADROOM - 1, HEADROOM, HEADROOM + 10])
@pytest.mark.parametrize("masked", [True, False])
def test_longest_tail_fits_whatever_the_room_in_front(room: int, masked: bool) -> None:
    ping = frame(9, b"p" * 125, masked=masked)
    for position in (1, 2, 5, 100, len(ping) - 1):
        stream = Stream(is_client=not masked)
        assert drain(stream, ping[:position]) == []
        rest = bytearray(b"\xff" * room + ping[position:] + b"\xff" * 3)
        stream.receive(rest, room, len(rest) - 3, 0.0)
        event = stream.next_event()
        assert event is not None
        assert event.data == b"p" * 125
        assert stream.next_event() is None
        assert rest.endswith(b"\xff" * 3)


def test_bytes_are_never_written_to() -> None:
    stream = Stream()
    assert drain(stream, frame(1, b"Hello")[:3]) == []
    chunk = b"\xff" * HEADROOM + frame(1, b"Hello")[3:]
    copy = bytes(bytearray(chunk))
    stream.receive(chunk, HEADROOM, len(chunk), 0.0)
    assert stream.next_event().text == "Hello"  # type: ignore[union-attr]
    assert chunk == copy


def test_iteration_left_early_goes_on_with_the_next_chunk() -> None:
    stream = Stream()
    data = b"".join(frame(1, b"%d" % number) for number in range(50))
    stream.receive(data[:-1], 0, len(data) - 1, 0.0)
    first = stream.next_event()
    assert first is not None
    assert [event.text for event in [first, *drain(stream, data[-1:])]] == [
        str(number) for number in range(50)
    ]


def test_detach_lets_the_buffer_be_reused() -> None:
    data = frame(1, b"one") + frame(2, b"two") + frame(1, b"three")[:4]
    chunk = bytearray(data)
    stream = Stream()
    stream.receive(chunk, 0, len(chunk), 0.0)
    assert stream.next_event().text == "one"  # type: ignore[union-attr]
    stream.detach()
    chunk[:] = b"\xff" * len(chunk)
    assert stream.next_event().data == b"two"  # type: ignore[union-attr]
    stream.detach()
    assert stream.next_event() is None
    stream.detach()
    assert [event.text for event in drain(stream, b"ree")] == ["three"]


def test_detach_of_an_empty_stream_is_harmless() -> None:
    stream = Stream()
    stream.detach()
    assert stream.next_event() is None
    assert [event.name for event in drain(stream, frame(9))] == ["ping"]


def test_close_forgets_everything() -> None:
    stream = Stream()
    stream.text_handler = stream.binary_handler = stream.tracer = print
    assert drain(stream, frame(2, b"begin", fin=False) + b"\x80") == []
    stream.close()
    assert stream.is_closed
    assert stream.next_event() is None
    assert drain(stream, b"\x05later" + frame(1, b"x")) == []
    assert stream.text_handler is None
    assert stream.binary_handler is None
    assert stream.tracer is None
    stream.close()
