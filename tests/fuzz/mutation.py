"""Damage to valid bytes, and the ways to cut them to pieces."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

#: Pieces of the protocols, which are put into anything.
TOKENS = [
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\t",
    b"\x1b[2J",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x82\xac",
    b"\xf0\x9f\x98\x80",
    b"\xef\xbf\xbd",
    b"%",
    b"%00",
    b"%zz",
    b"@",
    b"//",
    b"?",
    b"#",
    b":",
    b";",
    b",",
    b'"',
    b"[::1]",
    b"[",
    b"]",
    b"\\",
    b"..",
    b"0",
    b"-1",
    b"18446744073709551616",
    b"HTTP/1.1 ",
    b"HTTP/1.1 101 \r\n",
    b"http://",
    b"wss://",
    b"chunked",
    b"\x00\x00\xff\xff",
    b"\x03\x00",
    b"\x88\x02\x03\xe8",
    b"\x89\x00",
    b"\x81\x05hello",
]

# No input gets longer than this by mutation, in bytes.
_LARGEST = 70_000


def mutate(rng: random.Random, data: bytes, tokens: Sequence[bytes] = TOKENS) -> bytes:
    """Change a few places of ``data``."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        place = rng.randint(0, len(changed))
        end = min(len(changed), place + rng.choice([1, 1, 2, 4, 16]))
        kind = rng.randrange(8)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and place < len(changed):
            changed[place] = rng.randrange(256)
        elif kind == 2:
            changed[place:place] = rng.randbytes(rng.randint(1, 4))
        elif kind == 3:
            del changed[place:end]
        elif kind == 4:
            changed[place:place] = rng.choice(tokens)
        elif kind == 5:
            changed[place:end] = rng.choice(tokens)
        elif kind == 6:  # a part once more, or very often
            part = bytes(changed[place:end])
            changed[place:place] = part * rng.choice([1, 1, 2, 10, 10, 1000])
        else:
            del changed[place:]
    return bytes(changed[:_LARGEST])


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut ``data`` at places in ascending order; empty pieces are left out."""
    edges = [0, *places, len(data)]
    return [data[start:stop] for start, stop in pairwise(edges) if start < stop]


def plan_cuts(rng: random.Random, size: int, streams: int = 1) -> Iterator[list[int]]:
    """Yield the places of the cuts for each time that ``size`` bytes are fed.

    First the whole, then some pieces; for a small part of the inputs all cuts in two, and byte by
    byte.

    :param streams: the streams of the input, which share that part.
    """
    yield []
    if size < 2:
        return
    yield sorted(rng.sample(range(1, size), min(size - 1, rng.choice([1, 1, 2, 3, 8]))))
    is_short = size <= 400
    if is_short and rng.randrange(64 * streams) == 0:
        for place in range(1, size):
            yield [place]
    if rng.randrange((8 if is_short else 200) * streams) == 0:
        yield list(range(1, size))
