"""Deflate streams: valid ones of every form, ended early, without end, damaged, and bombs."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import Any

from tests.fuzz.builds import Build
from tests.fuzz.mutation import cut, mutate
from tests.fuzz.target import Case, Outcome, Target, require

_TOKENS = [
    b"\x00\x00\xff\xff",
    b"\x00\x00\x00\xff\xff",
    b"\x03\x00",
    b"\x02\x00",
    b"\x01\x00\x00\xff\xff",
    b"\x01\x01\x00\xfe\xffa",
    b"\x07",
    b"\x00",
    b"\xff",
    b"\x4b\x04\x00",
]
_STRATEGIES = [
    zlib.Z_DEFAULT_STRATEGY,
    zlib.Z_FILTERED,
    zlib.Z_HUFFMAN_ONLY,
    zlib.Z_RLE,
    zlib.Z_FIXED,
]


def make_content(rng: random.Random) -> bytes:
    """Make up the content of a message."""
    kind = rng.randrange(6)
    if kind == 0:
        return b""
    if kind == 1:
        return rng.randbytes(rng.randint(1, 300))
    if kind == 2:
        return bytes([rng.randrange(256)]) * rng.choice([1, 100, 5000, 100_000])
    if kind == 3:
        return rng.randbytes(rng.randint(1, 20)) * rng.randint(1, 50)
    return b'{"op":"update","price":%d,"of":"%d"}' % (rng.getrandbits(40), rng.getrandbits(9))


def make_stream(rng: random.Random, content: bytes, wbits: int) -> bytes:
    """Deflate ``content`` alone, in one of the forms that RFC 7692 allows."""
    compressor = zlib.compressobj(
        rng.randint(0, 9), zlib.DEFLATED, -wbits, 5, rng.choice(_STRATEGIES)
    )
    middle = rng.randint(0, len(content))
    wire = compressor.compress(content[:middle])
    if rng.random() < 0.3:
        wire += compressor.flush(rng.choice([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH]))
    wire += compressor.compress(content[middle:])
    if rng.random() < 0.2:
        return wire + compressor.flush(zlib.Z_FINISH)
    return (wire + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Streams(Target):
    """What is inflated of the messages of one connection."""

    name = "deflate"
    weight = 12
    # The codec itself is not compiled; with its caller it is compared by the target "frames".
    is_compared = False

    def make(self, rng: random.Random) -> Case:
        wbits = rng.choice([8, 9, 12, 15, 15, 15])
        agreement = {"decompress_wbits": wbits, "reset_decompress": rng.random() < 0.5}
        contents = [make_content(rng) for _ in range(rng.choice([1, 1, 2, 4]))]
        wires = []
        for content in contents:
            kind = rng.randrange(12)
            if kind == 0:  # streams of nothing, one after the other
                wires.append(
                    rng.choice([b"\x03\x00", b"\x01\x00\x00\xff\xff"]) * rng.choice([9, 900, 9000])
                )
            elif kind == 1 and wbits == 15:
                wires.append(rng.randbytes(rng.randint(1, 60)))
            elif kind == 2:
                wires.append(b"".join(rng.choices(_TOKENS, k=rng.randint(1, 8))))
            else:
                wires.append(make_stream(rng, content, max(9, wbits)))
        # How far a reference in a damaged stream may go back depends on the cuts where the window
        # is small: within one call zlib looks back into its output.
        if wbits == 15 and rng.random() < 0.7:
            place = rng.randrange(len(wires))
            wires[place] = mutate(rng, wires[place], _TOKENS)
        limit = rng.choice([-1, -1, 0, 50, 1000, 1 << 16])
        return Case(wires, {"agreement": agreement, "limit": limit})

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        codec = build.compression.Deflate(**case.settings["agreement"])
        limit = case.settings["limit"]
        outcome: Outcome = []
        for wire, places in zip(case.streams, cuts, strict=True):
            pieces = cut(wire, places) or [b""]
            inflated = b""
            for number, piece in enumerate(pieces):
                left = -1 if limit < 0 else limit - len(inflated)
                try:
                    part = codec.decompress(piece, left, number == len(pieces) - 1)
                except build.errors.CriticalProtocolError:
                    return [*outcome, "broken"]
                require(left < 0 or len(part) <= left + 1, "no more is inflated than allowed")
                inflated += part
                if 0 <= left < len(part):
                    return [*outcome, "too large"]
            outcome.append(inflated)
        return outcome

    def essence(self, outcome: Outcome) -> Any:
        """Let a message that is both broken and too large be either: the first that is seen."""
        return ["broken" if fact == "too large" else fact for fact in outcome]


class RoundTrips(Target):
    """What is deflated here inflates again, with zlib and with our own codec."""

    name = "round-trips"
    weight = 4
    is_compared = False

    def make(self, rng: random.Random) -> Case:
        agreement = {
            "compress_wbits": rng.randint(8, 15),
            "reset_compress": rng.random() < 0.5,
        }
        return Case([make_content(rng) for _ in range(rng.randint(1, 5))], {"agreement": agreement})

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        agreement = case.settings["agreement"]
        codec = build.compression.Deflate(**agreement)
        own = build.compression.Deflate(
            decompress_wbits=agreement["compress_wbits"],
            reset_decompress=agreement["reset_compress"],
        )
        inflate = None
        outcome: Outcome = []
        for content in case.streams:
            wire = codec.compress(content)
            if inflate is None or agreement["reset_compress"]:
                inflate = zlib.decompressobj(-max(9, agreement["compress_wbits"]))
            require(
                inflate.decompress(wire + b"\0\0\xff\xff") == content,
                "a message inflates to what was deflated",
            )
            require(
                own.decompress(wire, -1, True) == content,
                "our own codec inflates what it has deflated",
            )
            outcome.append(wire)
        return outcome
