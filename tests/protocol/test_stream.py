from __future__ import annotations

import sys
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.constants import MAX_MESSAGE_SIZE
from greenws.errors import CriticalProtocolError, PayloadTooLarge, ProtocolError
from greenws.protocol.compression import Deflate
from greenws.protocol.stream import HEADROOM, Stream
from tests.support.streams import Feeder, cut, deflate, feed_every_way, frame

VIOLATION = ("error", "ProtocolError", 1002)
TOO_LARGE = ("error", "PayloadTooLarge", 1009)
BAD_DATA = ("error", "CriticalProtocolError", 1007)
TRAILING = ("text", "trailing")
DEFLATED: dict[str, Any] = {}


def check(data: bytes, *expected: tuple[Any, ...], **options: Any) -> None:
    """Feed every way, as it is and, where it comes to no end, with trailing bytes."""
    expected_list = list(expected)
    assert feed_every_way(data, **options) == expected_list
    is_over = bool(expected) and expected[-1][0] in ("error", "closing")
    masked = not options.get("is_client", True)
    trailing = frame(1, b"trailing", masked=masked)
    if not is_over:
        expected_list.append(TRAILING)
    assert feed_every_way(data + trailing, **options) == expected_list


def drain(stream: Stream, data: bytes) -> list[Any]:
    stream.receive(data, 0, len(data), 0.0)
    events = []
    while (event := stream.next_event()) is not None:
        events.append(event)
    return events


# One frame


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 200, 65535, 65536, 65537])
def test_message_of_each_encoding_of_the_length(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    outcome = Feeder().feed_all([frame(2, data), frame(1, b"x" * size)])
    assert outcome == [("binary", data), ("text", "x" * size)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 300])
def test_message_fed_every_way(size: int) -> None:
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


def test_many_messages_in_one_chunk() -> None:
    data = b"".join(frame(1, b"%d" % number) for number in range(500))
    outcome = Feeder().feed_all([data])
    assert outcome == [("text", str(number)) for number in range(500)]


def test_text_is_decoded() -> None:
    check(frame(1, "grün κόσμε 🙂 \0".encode()), ("text", "grün κόσμε 🙂 \0"))


@pytest.mark.parametrize("data", [b"", b"\0" * 125, b"\xff\xfe"])
def test_ping_and_pong(data: bytes) -> None:
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
    # Its 4 MiB, the room a bytearray grows by, and what growing needs for a moment.
    assert peak < 3 * count * size


# Violations


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", b"data"])
def test_reserved_opcode(opcode: int, payload: bytes) -> None:
    check(frame(1, b"before") + frame(opcode, payload), ("text", "before"), VIOLATION)


@pytest.mark.parametrize("bits", [0x40, 0x20, 0x10, 0x70, 0x60])
@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10])
def test_reserved_bits(bits: int, opcode: int) -> None:
    before = frame(1, b"", fin=False) if opcode == 0 else b""
    check(before + bytes([0x80 | bits | opcode, 0]), VIOLATION)


@pytest.mark.parametrize("bits", [0x20, 0x10, 0x60, 0x50])
def test_reserved_bits_that_compression_gives_no_meaning(bits: int) -> None:
    check(bytes([0x81 | bits, 1, 0]), VIOLATION, agreement=DEFLATED)


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_rsv1_on_a_control_frame(opcode: int) -> None:
    check(frame(opcode, b"", rsv1=True), VIOLATION, agreement=DEFLATED)


@pytest.mark.parametrize("first", [True, False])
def test_rsv1_on_a_continuation(first: bool) -> None:
    data = frame(1, b"\0" if first else b"x", fin=False, rsv1=first) + frame(0, b"", rsv1=True)
    check(data, VIOLATION, agreement=DEFLATED)


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_control_frame_that_is_fragmented(opcode: int) -> None:
    check(frame(opcode, b"", fin=False), VIOLATION)


@pytest.mark.parametrize("opcode", [8, 9, 10])
@pytest.mark.parametrize("size", [126, 65536])
def test_control_frame_that_is_too_long(opcode: int, size: int) -> None:
    # Found out by its head: nobody waits for the payload.
    check(frame(opcode, bytes(size))[:2], VIOLATION)


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("fin", [True, False])
def test_message_within_a_message(opcode: int, fin: bool) -> None:
    check(frame(1, b"Hel", fin=False) + frame(opcode, b"lo", fin=fin), VIOLATION)


@pytest.mark.parametrize("fin", [True, False])
def test_continuation_of_nothing(fin: bool) -> None:
    check(frame(0, b"lo", fin=fin), VIOLATION)
    check(frame(1, b"whole") + frame(0, b"lo", fin=fin), ("text", "whole"), VIOLATION)
    joined = frame(1, b"a", fin=False) + frame(0, b"b")
    check(joined + frame(0, b"c", fin=fin), ("text", "ab"), VIOLATION)


@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10])
def test_mask_from_a_server(opcode: int) -> None:
    before = frame(1, b"", fin=False) if opcode == 0 else b""
    check(before + frame(opcode, b"", masked=True), VIOLATION)


@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10])
def test_no_mask_from_a_client(opcode: int) -> None:
    before = frame(1, b"", fin=False, masked=True) if opcode == 0 else b""
    check(before + frame(opcode, b""), VIOLATION, is_client=False)


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize(
    "length",
    [
        b"\x7e\x00\x00",
        b"\x7e\x00\x7d",
        b"\x7f" + bytes(8),
        b"\x7f" + (125).to_bytes(8, "big"),
        b"\x7f" + (65535).to_bytes(8, "big"),
    ],
)
def test_length_not_in_its_shortest_form(opcode: int, length: bytes) -> None:
    check(bytes([0x80 | opcode]) + length, VIOLATION)


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, (1 << 63) + 5])
def test_length_with_the_top_bit(length: int) -> None:
    check(b"\x82\x7f" + length.to_bytes(8, "big"), VIOLATION)


@pytest.mark.parametrize("length", [(1 << 63) - 1, 1 << 62, (1 << 62) + 1])
@pytest.mark.parametrize("max_size", [None, 1000])
def test_length_nobody_can_send(length: int, max_size: int | None) -> None:
    data = frame(1, b"x") + b"\x82\x7f" + length.to_bytes(8, "big")
    check(data, ("text", "x"), TOO_LARGE, max_size=max_size)


@pytest.mark.parametrize("length", [(1 << 62) - 1, 1 << 40])
def test_length_without_a_limit_is_waited_for(length: int) -> None:
    data = b"\x82\x7f" + length.to_bytes(8, "big") + b"begin"
    assert feed_every_way(data, max_size=None) == []


def test_message_after_a_violation_is_not_parsed() -> None:
    stream = Stream()
    with pytest.raises(ProtocolError):
        drain(stream, b"\x83\x00" + frame(1, b"late"))
    assert stream.is_closed
    assert stream.next_event() is None
    assert drain(stream, frame(1, b"later")) == []


# Close frames (Autobahn's section 7)


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
def test_close_frame(payload: bytes, expected: tuple[Any, ...]) -> None:
    check(frame(8, payload), expected)


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]
)
def test_close_frame_with_a_code_that_may_be_sent(code: int) -> None:
    check(frame(8, code.to_bytes(2, "big")), ("closing", code, ""))


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_close_frame_with_a_code_that_must_not_be_sent(code: int) -> None:
    check(frame(8, code.to_bytes(2, "big")), VIOLATION)


def test_nothing_is_parsed_after_a_close_frame() -> None:
    stream = Stream()
    events = drain(stream, frame(8) + frame(1, b"late") + b"\xff\xff")
    assert [event.name for event in events] == ["closing"]
    assert stream.is_closed
    assert drain(stream, frame(1, b"later")) == []


# UTF-8 (Autobahn's section 6)

GOOD_TEXTS = [
    b"",
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbf",  # a noncharacter, and valid
    b"\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf",
    "κόσμε".encode(),
    "🙂𐍈".encode(),
]
BAD_TEXTS = [
    b"\x80",
    b"\xbf",
    b"\xc0\xaf",  # overlong
    b"\xc1\xbf",
    b"\xc2\x41",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",  # a surrogate
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",  # beyond U+10FFFF
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
]
CUT_TEXTS = [
    b"\xc2",
    b"\xe0",
    b"\xe0\xa0",
    b"\xed",
    b"\xf0",
    b"\xf0\x90",
    b"\xf0\x90\x80",
    b"a\xf4",
]


@pytest.mark.parametrize("text", GOOD_TEXTS)
def test_text_that_is_utf8(text: bytes) -> None:
    expected = ("text", text.decode())
    check(frame(1, text), expected)
    check(b"".join(fragments(text)), expected)
    check(frame(1, deflate(text), rsv1=True), expected, agreement=DEFLATED)
    check(b"".join(deflated_fragments(text)), expected, agreement=DEFLATED)


@pytest.mark.parametrize("text", [b"ok" + text for text in BAD_TEXTS + CUT_TEXTS])
def test_text_that_is_no_utf8(text: bytes) -> None:
    check(frame(1, text), BAD_DATA)
    check(b"".join(fragments(text)), BAD_DATA)
    check(frame(1, deflate(text), rsv1=True), BAD_DATA, agreement=DEFLATED)
    check(b"".join(deflated_fragments(text)), BAD_DATA, agreement=DEFLATED)


def fragments(text: bytes) -> list[bytes]:
    """A fragment for each byte."""
    frames = [frame(1, fin=False)]
    frames += [frame(0, text[i : i + 1], fin=False) for i in range(len(text))]
    return [*frames, frame(0)]


def deflated_fragments(text: bytes) -> list[bytes]:
    wire = deflate(text)
    frames = [frame(1, fin=False, rsv1=True)]
    frames += [frame(0, wire[i : i + 1], fin=False) for i in range(len(wire))]
    return [*frames, frame(0)]


def find_first_bad_byte(text: bytes) -> int | None:
    """The first byte after which no continuation makes it UTF-8, by trying them all."""
    for size in range(1, len(text) + 1):
        if not any(is_utf8(text[:size] + rest) for rest in ENDINGS):
            return size - 1
    return None


def is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


# Whatever has begun, one of these ends it.
ENDINGS = [rest * count for rest in (b"\x80", b"\x90", b"\xa0", b"\xbf") for count in range(4)] + [
    a + b"\x80" * n for a in (b"\x80", b"\x90", b"\x9f", b"\xa0") for n in range(3)
]


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_bad_utf8_is_found_by_its_first_bad_byte(text: bytes) -> None:
    bad = find_first_bad_byte(text)
    assert bad is not None
    for split in (frame_bytes, fragment_bytes):
        for before, last in [split(text, bad)]:
            feeder = Feeder()
            assert feeder.feed_all(before) == []
            assert feeder.feed_all([last]) == [BAD_DATA]


def frame_bytes(text: bytes, bad: int) -> tuple[list[bytes], bytes]:
    """One frame byte by byte, up to the bad one, which is not the last of the message."""
    wire = frame(1, text + b"and more")
    position = len(wire) - len(text) - 8 + bad
    return [wire[i : i + 1] for i in range(position)], wire[position : position + 1]


def fragment_bytes(text: bytes, bad: int) -> tuple[list[bytes], bytes]:
    frames = fragments(text)
    return frames[: bad + 1], frames[bad + 1]


def test_bad_utf8_is_found_for_every_first_three_bytes() -> None:
    interesting = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xFF]
    leads = [0x41, 0x80, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3]
    for first in [*leads, 0xF4, 0xF5, 0xFF]:
        for second in interesting:
            for third in interesting:
                text = bytes([first, second, third])
                bad = find_first_bad_byte(text)
                feeder = Feeder()
                feeder.feed(frame(1, text + b"x" * 9)[:2])
                seen = None
                for position in range(3):
                    if not feeder.feed(text[position : position + 1]):
                        seen = position
                        break
                assert seen == bad, text


def test_error_does_not_show_the_text() -> None:
    with pytest.raises(CriticalProtocolError) as caught:
        drain(Stream(), frame(1, b"secret\xff"))
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


# Sizes


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_message_up_to_max_size(size: int) -> None:
    check(frame(2, bytes(size)), ("binary", bytes(size)), max_size=100)
    halves = frame(1, b"x" * (size // 2), fin=False) + frame(0, b"x" * (size - size // 2))
    check(halves, ("text", "x" * size), max_size=100)
    wire = deflate(b"x" * size)
    check(frame(1, wire, rsv1=True), ("text", "x" * size), max_size=100, agreement=DEFLATED)


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("size", [101, 200, 70_000])
def test_message_beyond_max_size(opcode: int, size: int) -> None:
    payload = b"x" * size
    if size < 1000:
        check(frame(opcode, payload), TOO_LARGE, max_size=100)
    # By its head.
    head = frame(opcode, payload)[: -len(payload)]
    check(head, TOO_LARGE, max_size=100)
    first = frame(opcode, b"x" * 60, fin=False)
    check(first + frame(0, b"x" * 41), TOO_LARGE, max_size=100)
    check(first + frame(0, b"x" * 41, fin=False), TOO_LARGE, max_size=100)
    check(frame(opcode, deflate(payload), rsv1=True), TOO_LARGE, max_size=100, agreement=DEFLATED)


def test_size_counts_bytes_and_not_characters() -> None:
    check(frame(1, "ü".encode() * 50), ("text", "ü" * 50), max_size=100)
    check(frame(1, "ü".encode() * 51), TOO_LARGE, max_size=100)


def test_size_counts_what_is_inflated_and_not_the_wire() -> None:
    noise = bytes(index * index % 251 for index in range(100))
    wire = deflate(noise)
    assert len(wire) > 100
    check(frame(2, wire, rsv1=True), ("binary", noise), max_size=100, agreement=DEFLATED)


def test_control_frames_do_not_count() -> None:
    data = frame(2, b"x" * 60, fin=False) + frame(9, b"p" * 125) + frame(0, b"x" * 40)
    check(data, ("ping", b"p" * 125), ("binary", b"x" * 100), max_size=100)


def test_max_size_is_16_mib_unless_told_otherwise() -> None:
    assert MAX_MESSAGE_SIZE == 16 * 1024 * 1024
    head = b"\x82\x7f" + (MAX_MESSAGE_SIZE + 1).to_bytes(8, "big")
    with pytest.raises(PayloadTooLarge, match=f"max_size .{MAX_MESSAGE_SIZE} bytes"):
        drain(Stream(), head)
    assert drain(Stream(), b"\x82\x7f" + MAX_MESSAGE_SIZE.to_bytes(8, "big")) == []
    assert drain(Stream(max_size=None), head) == []


def test_head_of_a_large_message_reserves_nothing() -> None:
    stream = Stream()
    tracemalloc.start()
    try:
        drain(stream, b"\x82\x7f" + MAX_MESSAGE_SIZE.to_bytes(8, "big") + b"begin")
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("way", ["whole", "fragments", "pieces"])
def test_bomb_is_bounded_by_max_size(way: str) -> None:
    max_size = 100_000
    bomb = deflate(bytes(200_000_000))  # 194 KB on the wire
    if way == "fragments":
        size = len(bomb) // 10
        parts = [bomb[i : i + size] for i in range(0, len(bomb), size)]
        chunks = [frame(2, parts[0], fin=False, rsv1=True)]
        chunks += [frame(0, part, fin=False) for part in parts[1:]]
    else:
        whole = frame(2, bomb, rsv1=True)
        step = len(whole) if way == "whole" else 4096
        chunks = [whole[i : i + step] for i in range(0, len(whole), step)]
    stream = Stream(max_size=max_size)
    stream.deflate = Deflate()
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            for chunk in chunks:
                drain(stream, chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The message, its copy, a piece of the wire and zlib's window; not 200 MB.
    assert peak < len(bomb) + 4 * max_size + 100_000


# Compression (RFC 7692)


def test_message_of_the_rfc() -> None:
    wire = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    check(frame(1, wire, rsv1=True), ("text", "Hello"), agreement=DEFLATED)
    parts = frame(1, wire[:3], fin=False, rsv1=True) + frame(0, wire[3:])
    check(parts, ("text", "Hello"), agreement=DEFLATED)


def test_message_that_refers_to_the_one_before() -> None:
    # RFC 7692 section 7.2.3.2.
    data = frame(1, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv1=True)
    data += frame(1, b"\xf2\x00\x11\x00\x00", rsv1=True)
    check(data, ("text", "Hello"), ("text", "Hello"), agreement=DEFLATED)
    check(data, ("text", "Hello"), BAD_DATA, agreement={"reset_decompress": True})


@pytest.mark.parametrize(
    "wire",
    [
        b"\x00\x05\x00\xfa\xffHello\x00",  # not compressed
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",  # BFINAL
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",  # two blocks
    ],
)
def test_other_ways_of_the_rfc_to_send_hello(wire: bytes) -> None:
    check(frame(1, wire, rsv1=True), ("text", "Hello"), agreement=DEFLATED)


def test_plain_messages_among_compressed_ones() -> None:
    check(
        frame(1, deflate(b"one"), rsv1=True)
        + frame(1, b"two")
        + frame(2, b"thr", fin=False)
        + frame(0, b"ee")
        + frame(2, deflate(b"four"), rsv1=True),
        ("text", "one"),
        ("text", "two"),
        ("binary", b"three"),
        ("binary", b"four"),
        agreement=DEFLATED,
    )


def test_control_frames_between_compressed_fragments() -> None:
    wire = deflate(b"Hello " * 100)
    check(
        frame(1, wire[:4], fin=False, rsv1=True)
        + frame(9, b"ping")
        + frame(0, b"", fin=False)
        + frame(10, b"pong")
        + frame(0, wire[4:]),
        ("ping", b"ping"),
        ("pong", b"pong"),
        ("text", "Hello " * 100),
        agreement=DEFLATED,
    )


@pytest.mark.parametrize("wire", [b"\x00", b"\x02\x00", b""])
def test_empty_compressed_message(wire: bytes) -> None:
    check(frame(1, wire, rsv1=True), ("text", ""), agreement=DEFLATED)


@pytest.mark.parametrize("wire", [b"\xff\xff", b"\x06", b"\x07\x00", b"garbage"])
def test_broken_deflate_stream(wire: bytes) -> None:
    outcome = feed_every_way(
        frame(2, wire, rsv1=True) + frame(2, deflate(b"next"), rsv1=True) * 3, agreement=DEFLATED
    )
    assert outcome == [BAD_DATA]


@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("reset", [True, False])
def test_conversation_with_each_agreement(bits: int, reset: bool) -> None:
    peer = Deflate(compress_wbits=bits, reset_compress=reset)
    texts = [f"message {number} " * number for number in range(60)]
    data = b"".join(frame(1, peer.compress(text.encode()), rsv1=True) for text in texts)
    feeder = Feeder(agreement={"decompress_wbits": bits, "reset_decompress": reset})
    assert feeder.feed_all(cut(data, range(0, len(data), 7))) == [("text", text) for text in texts]


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


def test_detach_of_a_stream_that_has_nothing() -> None:
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


# Handlers


def test_handlers_get_the_messages_of_their_kind() -> None:
    stream = Stream()
    texts: list[Any] = []
    stream.text_handler = texts.append
    events = drain(
        stream, frame(1, b"a") + frame(2, b"b") + frame(9, b"c") + frame(1, fin=False) + frame(0)
    )
    assert [event.name for event in events] == ["binary", "ping"]
    assert [event.text for event in texts] == ["a", ""]
    stream.binary_handler = texts.append
    assert drain(stream, frame(2, b"d")) == []
    assert texts[-1].data == b"d"


def test_events_that_a_handler_keeps_stay_as_they_are() -> None:
    # Those it does not keep may serve again.
    stream = Stream()
    seen = 0
    kept: list[Any] = []

    def keep_every_third(event: Any) -> None:
        nonlocal seen
        seen += 1
        if seen % 3 == 0:
            kept.append(event)

    stream.text_handler = stream.binary_handler = keep_every_third
    assert drain(stream, b"".join(frame(1 + n % 2, b"%d" % n) for n in range(1, 31))) == []
    assert [getattr(event, "text", None) or event.data.decode() for event in kept] == [
        str(n) for n in range(3, 31, 3)
    ]


# A text that nobody has kept is written over by the next one of about its length.

# What a handler keeps of an event, and what that is of the text.
keepers: dict[str, tuple[Callable[[Any], Any], Callable[[Any, str], bool]]] = {
    "nothing": (lambda event: None, lambda kept, text: kept is None),
    "text": (lambda event: event.text, lambda kept, text: kept == text),
    "event": (lambda event: event, lambda kept, text: kept.text == text),
    "key": (
        lambda event: {event.text: event.text},
        lambda kept, text: kept[text] == text and list(kept) == [text],
    ),
    "generator": (
        lambda event: (character for character in event.text),
        lambda kept, text: "".join(kept) == text,
    ),
    "slice": (lambda event: event.text[:], lambda kept, text: kept == text),
    "rest": (lambda event: event.text[1:], lambda kept, text: kept == text[1:]),
    "interned": (lambda event: sys.intern(event.text), lambda kept, text: kept == text),
    "interned for nothing": (lambda event: sys.intern(event.text) and None, lambda kept, _: True),
    "bytes": (lambda event: event.text.encode(), lambda kept, text: kept == text.encode()),
    "closure": (lambda event: lambda text=event.text: text, lambda kept, text: kept() == text),
}


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.text(st.characters(codec="ascii"), min_size=0, max_size=40),
                st.text(max_size=20),
                st.integers(1000, 1050).map(lambda size: "y" * size),
            ),
            st.sampled_from(sorted(keepers)),
        ),
        max_size=60,
    )
)
def test_kept_texts_stay_as_they_are(messages: list[tuple[str, str]]) -> None:
    kept: list[Any] = []

    def handle(event: Any) -> None:
        text, kind = messages[len(kept)]
        assert event.text == text
        assert hash(event.text) == hash("".join(list(text)))  # kept in the text itself
        assert {event.text} == {text}
        assert sys.getsizeof(event.text) == sys.getsizeof("".join(list(text)))
        kept.append(keepers[kind][0](event))

    stream = Stream(True, MAX_MESSAGE_SIZE)
    stream.text_handler = handle
    failures: list[Exception] = []
    stream.handler_failed = failures.append
    data = b"".join(frame(1, text.encode()) for text, _ in messages)
    assert stream.digest(data, 0, len(data), 0.0)
    assert not failures
    assert len(kept) == len(messages)
    for (text, kind), value in zip(messages, kept, strict=True):
        assert sys.intern("".join(list(text))) == text
        assert keepers[kind][1](value, text)


def test_texts_of_all_lengths_one_after_the_other() -> None:
    sizes = [*range(200), *range(200, 0, -1), *range(1015, 1035), *range(1035, 1015, -1)] * 2
    texts = [chr(97 + number % 26) * size for number, size in enumerate(sizes)]
    seen: list[bool] = []

    def handle(event: Any) -> None:
        seen.append(event.text == texts[len(seen)])

    stream = Stream(True, MAX_MESSAGE_SIZE)
    stream.text_handler = handle
    data = b"".join(frame(1, text.encode()) for text in texts)
    assert stream.digest(data, 0, len(data), 0.0)
    assert seen == [True] * len(texts)


def test_shorter_texts_end_where_they_end() -> None:
    # float() reads until a NUL.
    numbers = ["1234567.5", "12.5", "98765", "9", "10", "0.25"] * 3
    seen: list[float] = []
    stream = Stream(True, MAX_MESSAGE_SIZE)
    stream.text_handler = lambda event: seen.append(float(event.text))
    data = b"".join(frame(1, text.encode()) for text in numbers)
    assert stream.digest(data, 0, len(data), 0.0)
    assert seen == [float(number) for number in numbers]


def test_handler_within_a_handler_has_an_event_of_its_own() -> None:
    texts = []

    def handle(event: Any) -> None:
        if event.text == "outer":
            other = Stream()
            other.text_handler = handle
            assert drain(other, frame(1, b"inner")) == []
        texts.append(event.text)

    stream = Stream()
    stream.text_handler = handle
    assert drain(stream, frame(1, b"outer") * 2) == []
    assert texts == ["inner", "outer", "inner", "outer"]


@pytest.mark.parametrize("text", ["", "a", "\x7f", "é", "a" * 63 + "ÿ", "b" * 200, "☃" * 30])
def test_texts_of_all_kinds(text: str) -> None:
    check(frame(1, text.encode()), ("text", text))


def test_handlers_get_compressed_messages() -> None:
    stream = Stream()
    stream.deflate = Deflate()
    texts: list[Any] = []
    stream.text_handler = texts.append
    assert drain(stream, frame(1, deflate(b"Hello"), rsv1=True)) == []
    assert [event.text for event in texts] == ["Hello"]
    assert texts[0].received_time == 0.0


@pytest.mark.parametrize("fragmented", [True, False])
def test_exception_of_a_handler_goes_to_handler_failed(fragmented: bool) -> None:
    stream = Stream()
    seen: list[Any] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        raise LookupError(event.text)

    stream.text_handler = handle
    stream.handler_failed = seen.append
    one = frame(1, b"one", fin=False) + frame(0) if fragmented else frame(1, b"one")
    events = drain(stream, one + frame(9, b"still parsed") + frame(1, b"two"))
    assert [event.name for event in events] == ["ping"]
    assert [repr(item) for item in seen] == [
        "'one'",
        "LookupError('one')",
        "'two'",
        "LookupError('two')",
    ]


@pytest.mark.parametrize("fragmented", [True, False])
def test_exception_of_a_handler_without_handler_failed_comes_out(fragmented: bool) -> None:
    stream = Stream()

    def handle(event: Any) -> None:
        raise LookupError(event.text)

    stream.text_handler = handle
    one = frame(1, b"one", fin=False) + frame(0) if fragmented else frame(1, b"one")
    data = one + frame(9, b"next")
    stream.receive(data, 0, len(data), 0.0)
    with pytest.raises(LookupError):
        stream.next_event()
    assert stream.next_event().name == "ping"  # type: ignore[union-attr]
    assert not stream.is_closed


def test_exception_that_is_no_exception_passes_a_handler() -> None:
    stream = Stream()

    def handle(event: Any) -> None:
        raise KeyboardInterrupt

    stream.binary_handler = handle
    stream.handler_failed = pytest.fail
    with pytest.raises(KeyboardInterrupt):
        drain(stream, frame(2, b"x"))


@pytest.mark.parametrize("fragmented", [True, False])
def test_handler_that_closes_the_stream_is_the_last(fragmented: bool) -> None:
    stream = Stream()
    seen: list[str] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        stream.close()

    stream.text_handler = handle
    one = frame(1, b"one", fin=False) + frame(0) if fragmented else frame(1, b"one")
    assert drain(stream, one + frame(1, b"two") + b"\xff\xff") == []
    assert seen == ["one"]


def test_handler_that_sets_is_closed_is_the_last() -> None:
    stream = Stream()
    seen: list[str] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        stream.is_closed = True

    stream.text_handler = handle
    assert drain(stream, frame(1, b"one") + frame(1, b"two")) == []
    assert seen == ["one"]


def test_handler_that_closes_the_stream_and_raises() -> None:
    stream = Stream()

    def handle(event: Any) -> None:
        stream.close()
        raise LookupError("who is told?")

    stream.text_handler = handle
    failed: list[Exception] = []
    stream.handler_failed = failed.append
    with pytest.raises(LookupError):
        drain(stream, frame(1, b"one"))
    assert failed == []
    assert stream.next_event() is None


@pytest.mark.parametrize("fragmented", [True, False])
def test_handler_in_the_midst_of_which_the_buffer_is_reused(fragmented: bool) -> None:
    seen: list[str] = []
    stream = Stream()
    texts = [str(number) * (number + 1) for number in range(12)]
    data = b""
    for text in texts:
        if fragmented:
            data += frame(1, text[:1].encode(), fin=False) + frame(0, text[1:].encode())
        else:
            data += frame(1, text.encode())
    for position in range(0, len(data), 5):
        seen.clear()
        stream = Stream()
        chunk = bytearray(len(data) + HEADROOM)

        def handle(event: Any, stream: Stream = stream, chunk: bytearray = chunk) -> None:
            seen.append(event.text)
            stream.detach()
            chunk[:] = b"\xa5" * len(chunk)

        stream.text_handler = handle
        for piece in (data[:position], data[position:]):
            chunk[HEADROOM : HEADROOM + len(piece)] = piece
            stream.receive(chunk, HEADROOM, HEADROOM + len(piece), 0.0)
            assert stream.next_event() is None
        assert seen == texts


def test_handler_that_feeds_more_in_the_midst_of_a_chunk() -> None:
    stream = Stream()
    seen: list[str] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        if event.text == "one":
            more = frame(1, b"four")
            stream.receive(more, 0, len(more), 0.0)

    stream.text_handler = handle
    data = frame(1, b"one") + frame(1, b"two") + frame(9, b"three")
    events = drain(stream, data)
    assert [event.name for event in events] == ["ping"]
    assert seen == ["one", "two", "four"]


def test_handler_taken_away_in_the_midst_of_a_chunk() -> None:
    stream = Stream()
    seen: list[str] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        stream.text_handler = None

    stream.text_handler = handle
    assert [event.text for event in drain(stream, frame(1, b"one") + frame(1, b"two"))] == ["two"]
    assert seen == ["one"]


def test_skipped_messages_are_checked_all_the_same() -> None:
    stream = Stream()
    stream.skip_text = stream.skip_binary = True
    stream.text_handler = stream.binary_handler = pytest.fail
    data = frame(1, b"one") + frame(2, b"two") + frame(1, fin=False) + frame(0) + frame(9)
    assert [event.name for event in drain(stream, data)] == ["ping"]
    with pytest.raises(CriticalProtocolError):
        drain(stream, frame(1, b"\xff"))


def test_digest_is_true_if_handlers_took_everything() -> None:
    stream = Stream()
    seen: list[Any] = []
    stream.text_handler = seen.append
    stream.skip_binary = True
    data = frame(1, b"one") + frame(2, b"two") + frame(1, b"three")
    assert stream.digest(data[:-1], 0, len(data) - 1, 1.0)
    assert stream.digest(data, len(data) - 1, len(data), 2.0)
    assert [(event.text, event.received_time) for event in seen] == [("one", 1.0), ("three", 2.0)]
    assert stream.next_event() is None


def test_digest_leaves_the_rest_to_next_event() -> None:
    stream = Stream()
    seen: list[Any] = []
    stream.text_handler = seen.append
    data = frame(1, b"one") + frame(9, b"two") + frame(1, b"three") + frame(2, b"four")
    assert not stream.digest(data, 0, len(data), 0.0)
    assert [event.text for event in seen] == ["one"]
    events = []
    while (event := stream.next_event()) is not None:
        events.append(event.name)
    assert events == ["ping", "binary"]
    assert [event.text for event in seen] == ["one", "three"]


def test_digest_of_a_violation_leaves_it_to_next_event() -> None:
    stream = Stream()
    data = frame(1, b"\xff")
    assert not stream.digest(data, 0, len(data), 0.0)
    with pytest.raises(CriticalProtocolError):
        stream.next_event()
    assert stream.is_closed
    assert stream.next_event() is None


def test_digest_that_was_left_early_goes_on_with_the_next_chunk() -> None:
    stream = Stream()
    data = frame(9, b"1") + frame(9, b"2") + frame(9, b"3")
    assert not stream.digest(data, 0, len(data), 0.0)
    stream.detach()
    more = frame(9, b"4")
    assert [event.data for event in drain(stream, more)] == [b"1", b"2", b"3", b"4"]


def test_exception_of_a_handler_comes_out_of_digest() -> None:
    def handle(event: Any) -> None:
        raise LookupError(event.text)

    stream = Stream()
    stream.text_handler = handle
    data = frame(1, b"one") + frame(9)
    with pytest.raises(LookupError):
        stream.digest(data, 0, len(data), 0.0)
    assert stream.next_event().name == "ping"  # type: ignore[union-attr]


def test_close_forgets_what_digest_has_left() -> None:
    for data in (frame(9), b"\x83\x00"):
        stream = Stream()
        assert not stream.digest(data, 0, len(data), 0.0)
        stream.close()
        assert stream.next_event() is None


def test_tracer_is_told_kind_and_length() -> None:
    stream = Stream()
    told: list[tuple[str, int]] = []
    stream.tracer = lambda kind, length: told.append((kind, length))
    stream.skip_binary = True
    drain(
        stream,
        frame(1, "ü".encode()) + frame(2, b"x" * 300) + frame(9, b"p") + frame(10) + frame(8),
    )
    assert told == [
        ("message_text", 2),
        ("message_binary", 300),
        ("message_ping", 1),
        ("message_pong", 0),
        ("message_close", 0),
    ]


def test_received_time_is_that_of_the_last_chunk() -> None:
    stream = Stream()
    data = frame(1, b"Hello")
    stream.receive(data[:3], 0, 3, 1.0)
    assert stream.next_event() is None
    stream.receive(data[3:], 0, len(data) - 3, 2.0)
    event = stream.next_event()
    assert event is not None
    assert event.received_time == 2.0


# Properties

messages = st.one_of(
    st.tuples(st.just(1), st.text(max_size=200).map(str.encode)),
    st.tuples(st.just(2), st.binary(max_size=300)),
    st.tuples(st.sampled_from([9, 10]), st.binary(max_size=125)),
)
NAMES = {1: "text", 2: "binary", 9: "ping", 10: "pong"}
PARTS = st.lists(st.integers(0, 1 << 16), max_size=6)


@st.composite
def conversations(draw: st.DrawFn, masked: bool, deflated: bool) -> tuple[bytes, list[Any]]:
    """Legal frames: messages in fragments, control frames among them; and the events they make."""
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
@pytest.mark.parametrize("how", ["bytes", "in place", "offset", "digest"])
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
    # Of a compressed message that is both, bad and too large, it may be either.
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


def test_whole_message_in_zlib_of_the_standard_library() -> None:
    payload = b"abcabc" * 1000
    wire = deflate(payload, flush=zlib.Z_FULL_FLUSH)
    check(frame(2, wire, rsv1=True), ("binary", payload), agreement=DEFLATED)
