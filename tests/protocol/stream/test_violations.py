"""Frames that RFC 6455 forbids end the stream with the close code it names."""

from __future__ import annotations

from typing import Any

import pytest

from greenws.errors import ProtocolError
from greenws.protocol.compression import Deflate
from greenws.protocol.stream import Stream
from tests.protocol.stream.checks import (
    DEFLATED,
    TOO_LARGE,
    VIOLATION,
    check,
    drain,
)
from tests.support.streams import feed_every_way, frame


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", b"data"])
def test_reserved_opcode_is_a_violation(opcode: int, payload: bytes) -> None:
    check(frame(1, b"before") + frame(opcode, payload), ("text", "before"), VIOLATION)


@pytest.mark.parametrize("bits", [0x40, 0x20, 0x10, 0x70, 0x60])
@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10])
def test_reserved_bits_are_a_violation(bits: int, opcode: int) -> None:
    before = frame(1, b"", fin=False) if opcode == 0 else b""
    check(before + bytes([0x80 | bits | opcode, 0]), VIOLATION)


@pytest.mark.parametrize("bits", [0x20, 0x10, 0x60, 0x50])
def test_reserved_bits_without_a_meaning_in_compression_are_a_violation(bits: int) -> None:
    check(bytes([0x81 | bits, 1, 0]), VIOLATION, agreement=DEFLATED)


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_rsv1_on_a_control_frame_is_a_violation(opcode: int) -> None:
    check(frame(opcode, b"", rsv1=True), VIOLATION, agreement=DEFLATED)


@pytest.mark.parametrize("first", [True, False])
def test_rsv1_on_a_continuation_is_a_violation(first: bool) -> None:
    data = frame(1, b"\0" if first else b"x", fin=False, rsv1=first) + frame(0, b"", rsv1=True)
    check(data, VIOLATION, agreement=DEFLATED)


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_fragmented_control_frame_is_a_violation(opcode: int) -> None:
    check(frame(opcode, b"", fin=False), VIOLATION)


@pytest.mark.parametrize("opcode", [8, 9, 10])
@pytest.mark.parametrize("size", [126, 65536])
def test_long_control_frame_is_a_violation(opcode: int, size: int) -> None:
    # The head alone is the violation: the parser does not wait for the payload.
    check(frame(opcode, bytes(size))[:2], VIOLATION)


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("fin", [True, False])
def test_message_within_a_message_is_a_violation(opcode: int, fin: bool) -> None:
    check(frame(1, b"Hel", fin=False) + frame(opcode, b"lo", fin=fin), VIOLATION)


@pytest.mark.parametrize("fin", [True, False])
def test_continuation_of_nothing_is_a_violation(fin: bool) -> None:
    check(frame(0, b"lo", fin=fin), VIOLATION)
    check(frame(1, b"whole") + frame(0, b"lo", fin=fin), ("text", "whole"), VIOLATION)
    joined = frame(1, b"a", fin=False) + frame(0, b"b")
    check(joined + frame(0, b"c", fin=fin), ("text", "ab"), VIOLATION)


@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10])
def test_mask_from_a_server_is_a_violation(opcode: int) -> None:
    before = frame(1, b"", fin=False) if opcode == 0 else b""
    check(before + frame(opcode, b"", masked=True), VIOLATION)


@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10])
def test_frame_without_a_mask_from_a_client_is_a_violation(opcode: int) -> None:
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
def test_length_not_in_its_shortest_form_is_a_violation(opcode: int, length: bytes) -> None:
    check(bytes([0x80 | opcode]) + length, VIOLATION)


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, (1 << 63) + 5])
def test_length_with_the_top_bit_is_a_violation(length: int) -> None:
    check(b"\x82\x7f" + length.to_bytes(8, "big"), VIOLATION)


@pytest.mark.parametrize("length", [(1 << 63) - 1, 1 << 62, (1 << 62) + 1])
@pytest.mark.parametrize("max_size", [None, 1000])
def test_length_beyond_any_memory_is_too_large(length: int, max_size: int | None) -> None:
    data = frame(1, b"x") + b"\x82\x7f" + length.to_bytes(8, "big")
    check(data, ("text", "x"), TOO_LARGE, max_size=max_size)


@pytest.mark.parametrize("length", [(1 << 62) - 1, 1 << 40])
def test_length_without_a_limit_is_waited_for(length: int) -> None:
    data = b"\x82\x7f" + length.to_bytes(8, "big") + b"begin"
    assert feed_every_way(data, max_size=None) == []


@pytest.mark.parametrize("agreement", [None, DEFLATED], ids=["plain", "deflate"])
@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\nSession ID unknown",
            r"'HTTP/1.1 400 Bad Request\r\n\r\nSession ID unknown'",
        ),
        (b"\x1b[2J{0}", r"'\x1b[2J{0}'"),
        ("grün ✓".encode(), "'grün ✓'"),
        (b"SSH-2.0-\xff", r"b'SSH-2.0-\xff'"),
        (b"\xff\xff", r"b'\xff\xff'"),
        (b"<html>" + b"x" * 1000, f"'<html>{'x' * 194}'..."),
        (b"<" + "ü".encode() * 1000, f"'<{'ü' * 99}'..."),
    ],
)
def test_bytes_that_are_no_frames_at_all_are_quoted(
    data: bytes, shown: str, agreement: dict[str, Any] | None
) -> None:
    for stream in (Stream(), Stream(is_client=False)):
        stream.deflate = None if agreement is None else Deflate(**agreement)
        with pytest.raises(ProtocolError) as caught:
            drain(stream, data)
        assert str(caught.value).endswith(f"; the stream begins with {shown}")
        assert "{0}" not in shown or "{0}" in str(caught.value)


@pytest.mark.parametrize("first", [frame(1, b"first"), frame(9, b""), frame(1, b"a", fin=False)])
def test_bytes_after_a_frame_are_not_quoted(first: bytes) -> None:
    # They may be the payload of a message.
    with pytest.raises(ProtocolError) as caught:
        drain(Stream(), first + b"HTTP/1.1 secret")
    assert "secret" not in str(caught.value)
    assert "stream begins" not in str(caught.value)


def test_bytes_that_are_no_frames_are_quoted_as_far_as_they_have_come() -> None:
    stream = Stream()
    assert drain(stream, b"H") == []
    with pytest.raises(ProtocolError, match=r"the stream begins with 'HTTP'$"):
        drain(stream, b"TTP")


def test_message_after_a_violation_is_not_parsed() -> None:
    stream = Stream()
    with pytest.raises(ProtocolError):
        drain(stream, b"\x83\x00" + frame(1, b"late"))
    assert stream.is_closed
    assert stream.next_event() is None
    assert drain(stream, frame(1, b"later")) == []
