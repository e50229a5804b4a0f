"""``max_size`` bounds a message, and memory, however the message is sent."""

from __future__ import annotations

import tracemalloc

import pytest

from greenws.constants import MAX_MESSAGE_SIZE
from greenws.errors import PayloadTooLarge
from greenws.protocol.compression import Deflate
from greenws.protocol.stream import Stream
from tests.protocol.stream.checks import (
    DEFLATED,
    TOO_LARGE,
    check,
    drain,
)
from tests.support.streams import deflate, frame


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_message_up_to_max_size_is_taken(size: int) -> None:
    check(frame(2, bytes(size)), ("binary", bytes(size)), max_size=100)
    halves = frame(1, b"x" * (size // 2), fin=False) + frame(0, b"x" * (size - size // 2))
    check(halves, ("text", "x" * size), max_size=100)
    wire = deflate(b"x" * size)
    check(frame(1, wire, rsv1=True), ("text", "x" * size), max_size=100, agreement=DEFLATED)


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("size", [101, 200, 70_000])
def test_message_beyond_max_size_is_too_large(opcode: int, size: int) -> None:
    payload = b"x" * size
    if size < 1000:
        check(frame(opcode, payload), TOO_LARGE, max_size=100)
    # The head alone tells the size.
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
    # Room for the message, its copy, a piece of the wire and zlib's window; not for 200 MB.
    assert peak < len(bomb) + 4 * max_size + 100_000
