"""Frames and messages, for the parser."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import Any

from tests.fuzz.builds import Build
from tests.fuzz.mutation import cut, mutate
from tests.fuzz.stream import make_frame, run_mask, run_stream
from tests.fuzz.target import Case, Outcome, Target
from tests.support.streams import Feeder

_TOO_LARGE = ("error", "PayloadTooLarge", 1009)
_BROKEN = ("error", "CriticalProtocolError", 1007)


def make_wire(rng: random.Random, is_client: bool) -> bytes:
    """Make up some frames, most of them valid, with heads of any form in between."""
    parts = []
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        kind = rng.randrange(20)
        if kind == 0:
            parts.append(rng.randbytes(rng.randint(1, 20)))
        elif kind == 1:  # a head that promises anything
            size = rng.choice([0, 125, 126, 65535, 65536, 1 << 31, (1 << 63) - 1, 1 << 63])
            form = rng.choice(
                [b"\x7e" + (size & 0xFFFF).to_bytes(2, "big"), b"\x7f" + size.to_bytes(8, "big")]
            )
            parts.append(bytes([rng.randrange(256)]) + form + rng.randbytes(rng.randint(0, 9)))
        elif kind == 2:  # many fragments of next to nothing
            middle = rng.choice([b"\x00\x00", b"\x00\x01a", b"\x89\x00", b"\x00\x00\x8a\x00"])
            parts.append(b"\x01\x00" + middle * rng.choice([3, 30, 300]) + b"\x80\x00")
        elif kind == 3:  # a message that inflates to much more
            size = rng.choice([1000, 70_000, 300_000])
            payload = zlib.compress(bytes([97]) * size, 9, wbits=-15)
            parts.append(bytes([0xC2, 126]) + len(payload).to_bytes(2, "big") + payload)
        else:
            parts.append(make_frame(rng, is_client))
    return b"".join(parts)


class Frames(Target):
    """What the parser makes of received bytes."""

    name = "frames"
    weight = 24

    def make(self, rng: random.Random) -> Case:
        is_client = rng.random() < 0.8
        wire = make_wire(rng, is_client)
        if rng.random() < 0.6:
            wire = mutate(rng, wire)
        return Case(
            [wire[:70_000]],
            {
                "how": rng.choice(["bytes", "in place", "offset", "digest", "briefly"]),
                "is_client": is_client,
                "max_size": rng.choice([None, 0, 100, 1024, 1 << 18]),
                "agreement": rng.choice([None, {}, {"reset_decompress": True}]),
            },
        )

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        settings = dict(case.settings, stream=build.stream, compression=build.compression)
        feeder = Feeder(settings.pop("how"), **settings)
        return feeder.feed_all(cut(case.streams[0], cuts[0]))

    def essence(self, outcome: Outcome) -> Any:
        """Let a message that is both too large and broken be either: the first that is seen."""
        return [_BROKEN if fact == _TOO_LARGE else fact for fact in outcome]


class Rounds(Target):
    """The rounds of :mod:`.stream`: handlers that raise, close, or feed more, and the masking."""

    name = "rounds"
    is_compared = False
    slow = 10.0  # a stream in all its cuts

    def make(self, rng: random.Random) -> Case:
        return Case([], {"seed": rng.getrandbits(64), "is_mask": rng.randrange(10) == 0})

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        rng = random.Random(case.settings["seed"])
        (run_mask if case.settings["is_mask"] else run_stream)(rng)
        return [rng.getrandbits(32)]
