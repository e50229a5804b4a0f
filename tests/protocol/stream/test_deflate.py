"""Compressed messages (RFC 7692) in a stream."""

from __future__ import annotations

import zlib

import pytest

from greenws.protocol.compression import Deflate
from tests.protocol.stream.checks import (
    BAD_DATA,
    DEFLATED,
    check,
)
from tests.support.streams import Feeder, cut, deflate, feed_every_way, frame


def test_message_of_the_rfc_is_inflated() -> None:
    wire = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    check(frame(1, wire, rsv1=True), ("text", "Hello"), agreement=DEFLATED)
    parts = frame(1, wire[:3], fin=False, rsv1=True) + frame(0, wire[3:])
    check(parts, ("text", "Hello"), agreement=DEFLATED)


def test_message_may_refer_to_the_one_before() -> None:
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
def test_hello_is_inflated_from_every_encoding_of_the_rfc(wire: bytes) -> None:
    check(frame(1, wire, rsv1=True), ("text", "Hello"), agreement=DEFLATED)


def test_plain_messages_may_stand_among_compressed_ones() -> None:
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


def test_control_frames_may_stand_between_compressed_fragments() -> None:
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
def test_empty_compressed_message_is_an_empty_text(wire: bytes) -> None:
    check(frame(1, wire, rsv1=True), ("text", ""), agreement=DEFLATED)


@pytest.mark.parametrize("wire", [b"\xff\xff", b"\x06", b"\x07\x00", b"garbage"])
def test_broken_deflate_stream_is_an_error(wire: bytes) -> None:
    outcome = feed_every_way(
        frame(2, wire, rsv1=True) + frame(2, deflate(b"next"), rsv1=True) * 3, agreement=DEFLATED
    )
    assert outcome == [BAD_DATA]


@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("reset", [True, False])
def test_conversation_is_inflated_under_each_agreement(bits: int, reset: bool) -> None:
    peer = Deflate(compress_wbits=bits, reset_compress=reset)
    texts = [f"message {number} " * number for number in range(60)]
    data = b"".join(frame(1, peer.compress(text.encode()), rsv1=True) for text in texts)
    feeder = Feeder(agreement={"decompress_wbits": bits, "reset_decompress": reset})
    assert feeder.feed_all(cut(data, range(0, len(data), 7))) == [("text", text) for text in texts]


def test_message_flushed_in_full_is_inflated() -> None:
    payload = b"abcabc" * 1000
    wire = deflate(payload, flush=zlib.Z_FULL_FLUSH)
    check(frame(2, wire, rsv1=True), ("binary", payload), agreement=DEFLATED)
