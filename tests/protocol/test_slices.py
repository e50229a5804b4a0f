"""Slices of a large payload make the same message as the whole of it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from greenws.protocol import slices
from greenws.protocol.compression import Deflate

TEXT = "a\u20ac\U0001f600" * 100_000


def test_slices_are_the_whole() -> None:
    payload = random.Random(0).randbytes(500_001)
    pieces = list(slices.cut(payload))
    assert b"".join(pieces) == payload
    assert max(map(len, pieces)) <= slices.LARGE
    pieces = list(slices.encode(TEXT))
    assert b"".join(pieces) == TEXT.encode()
    assert len(pieces) > 3


def test_lone_surrogate_is_an_error_of_its_slice() -> None:
    with pytest.raises(UnicodeEncodeError):
        list(slices.encode("a" * 200_000 + "\ud800"))


@pytest.mark.parametrize("wbits", [8, 9, 15])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("kind", ["noise", "zeros", "text"])
def test_message_that_is_deflated_in_steps_inflates_again(
    kind: str, reset: bool, wbits: int
) -> None:
    size = 300_000
    payload = {
        "noise": random.Random(0).randbytes(size),
        "zeros": bytes(size),
        "text": TEXT.encode()[:size],
    }[kind]
    deflate = Deflate(compress_wbits=wbits, reset_compress=reset)
    peer = Deflate(decompress_wbits=wbits, reset_decompress=reset)
    for _ in range(2):
        wire = b"".join(deflate.compress_steps(slices.cut(payload)))
        assert not wire.endswith(b"\x00\x00\xff\xff")
        assert peer.decompress(wire, -1, True) == payload
        assert peer.decompress(deflate.compress(payload[:1000]), -1, True) == payload[:1000]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_message_that_is_given_up_leaves_the_peer_in_step(steps: int, reset: bool) -> None:
    payload = random.Random(0).randbytes(300_000)
    deflate = Deflate(reset_compress=reset)
    peer = Deflate(reset_decompress=reset)
    assert peer.decompress(deflate.compress(payload[:1000]), -1, True) == payload[:1000]
    making = deflate.compress_steps(slices.cut(payload))
    for _ in range(steps):
        next(making)
    making.close()
    for part in (payload[-2000:], payload[:1000], payload):
        assert peer.decompress(deflate.compress(part), -1, True) == part


def test_error_of_a_slice_gives_the_message_up() -> None:
    deflate, peer = Deflate(), Deflate()
    with pytest.raises(UnicodeEncodeError):
        list(deflate.compress_steps(slices.encode("a" * 200_000 + "\ud800")))
    assert peer.decompress(deflate.compress(b"next"), -1, True) == b"next"


@pytest.mark.parametrize("text", ["", "a" * 200_000, "aä€𝄞" * 50_000])
def test_joined_bytes_are_taken_slice_by_slice(text: str) -> None:
    for is_text in (False, True):
        data = bytearray(text.encode())
        joined = slices.Joined(data, is_text)
        pieces: list[Any] = []
        while joined:
            left = len(joined)
            pieces.append(joined.take())
            assert 0 < left - len(joined) <= slices.SIZE
        if is_text:
            assert "".join(pieces) == text
        else:
            assert b"".join(pieces).decode() == text
        assert not data


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("wbits", [8, 9, 15])
def test_message_is_compressed_in_pieces_that_inflate_at_once(wbits: int, reset: bool) -> None:
    deflate = Deflate(compress_wbits=wbits, reset_compress=reset)
    peer = Deflate(decompress_wbits=wbits, reset_decompress=reset)
    for pieces in ([b"one", b"", b"two" * 1000], [b""], [bytes(100_000), b"x"], [b"one"]):
        for piece in pieces:
            assert peer.decompress(deflate.compress_piece(piece), -1, False) == piece
        assert peer.decompress(deflate.end_pieces(), -1, True) == b""
        assert peer.decompress(deflate.compress(b"between"), -1, True) == b"between"
