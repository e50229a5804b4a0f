"""Feeds the parser and the masking what they should never get; for a build with a sanitizer.

Each round makes up a stream of frames, damages it or not, and cuts it to pieces. The pieces are fed
by one of the ways there are, to handlers that keep what they get, raise, close, let go of the
buffer, write into it, or feed more. Only events and greenws' own errors may come of that, and what
was kept has to stay as it was. By hand::

    python -m tests.fuzz.stream --rounds 10000 --seed 7

``.ci/sanitize`` runs it under AddressSanitizer, which finds what goes wrong without a crash.
"""

from __future__ import annotations

import argparse
import random
import time
import zlib
from collections.abc import Callable
from typing import Any

from greenws.errors import CriticalProtocolError, ProtocolError
from greenws.protocol.compression import Deflate
from greenws.protocol.frame import append_frame, build_close_payload, build_frame
from greenws.protocol.mask import mask, write_masked
from greenws.protocol.slices import Joined
from greenws.protocol.stream import HEADROOM, Stream

# Where the encoding of a length changes, and what is around it.
_SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 63, 64, 124, 125, 126, 127, 1023, 1024, 1025]
_LARGE_SIZES = [4096, 65535, 65536, 70_000]

# What a handler does, beside looking at the event, and how likely that is.
_DEEDS = {
    "nothing": 30,
    "keep": 30,
    "detach": 8,
    "raise": 5,
    "overwrite": 3,
    "resize": 3,
    "feed": 3,
    "close": 1,
    "stop": 1,
    "quit": 1,
}


class Failure(Exception):
    """Raised by a handler."""


def make_payload(rng: random.Random, opcode: int) -> bytes:
    """Make up a payload of any size; of a text, mostly UTF-8."""
    size = rng.choice(_SIZES) if rng.random() < 0.97 else rng.choice(_LARGE_SIZES)
    if opcode == 8 and rng.random() < 0.8:
        return build_close_payload(rng.choice([1000, 1001, 3000]), "x" * min(size, 100))
    if opcode >= 8:
        return rng.randbytes(min(size, 125))
    if opcode == 1 and rng.random() < 0.9:
        alphabet = rng.choice(["a", "az", "aé", "a€😀"])
        return "".join(rng.choices(alphabet, k=size)).encode()
    return rng.randbytes(size)


def build(
    rng: random.Random, opcode: int, payload: bytes, fin: bool, rsv1: bool, masked: bool
) -> bytes:
    """Build a frame; its key comes from ``rng``, so that a seed always gives the same bytes."""
    wire = build_frame(opcode, payload, fin, rsv1, masked=False)
    if not masked:
        return wire
    head = len(wire) - len(payload)
    key = rng.randbytes(4)
    return wire[:1] + bytes([wire[1] | 0x80]) + wire[2:head] + key + mask(payload, key)


def make_frame(rng: random.Random, is_client: bool) -> bytes:
    """Make up a frame, or a message in a few of them."""
    opcode = rng.choice([1, 1, 1, 2, 2, 8, 9, 10] if rng.random() < 0.9 else range(16))
    payload = make_payload(rng, opcode)
    rsv1 = rng.random() < 0.2
    if rsv1 and rng.random() < 0.8:
        compressor = zlib.compressobj(wbits=-15)
        payload = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    masked = not is_client if rng.random() < 0.98 else is_client
    if opcode in (1, 2) and rng.random() < 0.3:
        middle = rng.randint(0, len(payload))
        wire = build(rng, opcode, payload[:middle], False, rsv1, masked)
        if rng.random() < 0.3:
            wire += build(rng, 9, b"between", True, False, masked)
        return wire + build(rng, 0, payload[middle:], rng.random() < 0.95, False, masked)
    return build(rng, opcode, payload, rng.random() < 0.97, rsv1, masked)


def damage(rng: random.Random, wire: bytes) -> bytes:
    """Change, drop or put in a few bytes."""
    changed = bytearray(wire)
    for _ in range(rng.randint(1, 4)):
        place = rng.randint(0, len(changed))
        kind = rng.randrange(3)
        if kind == 0:
            changed[place:place] = rng.randbytes(rng.randint(1, 4))
        elif kind == 1:
            del changed[place : place + rng.randint(1, 4)]
        elif place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


class Round:
    """One stream, fed once.

    :param rng: decides about everything.
    :param beyond: the byte that fills the buffers around the pieces.
    """

    def __init__(self, rng: random.Random, beyond: int = 0) -> None:
        self.rng = rng
        self.beyond = bytes([beyond])
        #: What has come of it.
        self.outcome: list[str] = []
        self.is_client = rng.random() < 0.8
        self.stream = Stream(self.is_client, rng.choice([None, 0, 64, 1024, 1 << 20]))
        if rng.random() < 0.4:
            self.stream.deflate = Deflate()
        self.stream.skip_text = rng.random() < 0.05
        self.stream.skip_binary = rng.random() < 0.05
        if rng.random() < 0.1:
            self.stream.tracer = lambda kind, length: None
        self.deeds = rng.choices(list(_DEEDS), weights=list(_DEEDS.values()), k=7)
        if rng.random() < 0.7:
            self.stream.text_handler = self.handle
            self.stream.binary_handler = self.handle
        if rng.random() < 0.9:
            self.stream.handler_failed = lambda error: None
        if rng.random() < 0.3:
            self.stream.find_taker = self.find_taker
        self.buffer: bytearray | None = None
        self.kept: list[tuple[Any, Any, Any]] = []
        self.depth = 0

    def run(self, pieces: list[bytes]) -> None:
        """Feed pieces, and check what was kept."""
        for piece in pieces:
            self.feed(piece)
        for event, content, copy in self.kept:
            assert (event.text if event.name == "text" else event.data) is content
            assert content == copy

    def feed(self, piece: bytes) -> None:
        """Feed a piece by one of the ways."""
        rng = self.rng
        start = rng.choice([0, 0, 1, 200, HEADROOM, HEADROOM + 1])
        stop = start + len(piece)
        # Mostly no longer than it has to be: there a sanitizer sees a byte too many, behind the
        # zero that ends each of Python's buffers.
        chunk: bytes | bytearray = self.beyond * start + piece + self.beyond * rng.choice([0, 0, 9])
        if rng.random() < 0.6:
            self.buffer = chunk = bytearray(chunk)
        else:
            self.buffer = None
        try:
            if rng.random() < 0.6:
                if self.stream.digest(chunk, start, stop, 1.0):
                    return
            else:
                self.stream.receive(chunk, start, stop, 1.0)
            while (event := self.stream.next_event()) is not None:
                self.look(event)
                if rng.random() < 0.02:
                    break  # an iteration that is left early
                if rng.random() < 0.05:
                    self.stream.detach()
        except (ProtocolError, CriticalProtocolError, Failure, BufferError) as error:
            self.outcome.append(repr(error))
        if self.buffer is not None and rng.random() < 0.5:
            self.stream.detach()
            self.buffer[:] = b"\xa5" * len(self.buffer)

    def find_taker(self, is_large: bool) -> Any:
        """Take a message in pieces, or not."""
        rng = self.rng
        if is_large:
            self.disturb()  # this call may switch
            if rng.random() < 0.3:
                self.stream.take_in_pieces(self.take_piece)
        return self.take_piece if rng.random() < 0.5 else None

    def take_piece(self, piece: Any, final: bool) -> None:
        """Take a piece, or what was joined before."""
        if isinstance(piece, Joined):
            pieces = []
            while piece:
                pieces.append(piece.take())
            assert all(pieces)
        else:
            pieces = [piece]
            assert bool(piece) != final
        self.outcome.append(f"{pieces!r} {final}")
        self.disturb()

    def disturb(self) -> None:
        """Do what other greenlets may do while a taker waits."""
        deed = self.rng.choice(self.deeds)
        if deed not in ("keep", "feed"):
            self.do(deed)

    def look(self, event: Any) -> None:
        """Read all of an event."""
        self.outcome.append(repr(event))
        if event.name in ("text", "binary") and self.rng.random() < 0.5:
            self.keep(event)

    def keep(self, event: Any) -> None:
        """Keep an event, its content, and a copy of that."""
        content = event.text if event.name == "text" else event.data
        copy = content[:1] + content[1:]
        self.kept.append((event, content, copy))

    def handle(self, event: Any) -> None:
        """Be the handler."""
        self.look(event)
        deed = self.rng.choice(self.deeds)
        if deed == "keep":
            self.keep(event)
        else:
            self.do(deed)

    def do(self, deed: str) -> None:
        """Do something that a handler may do."""
        if deed == "raise":
            raise Failure
        if deed == "close":
            self.stream.close()
        elif deed == "stop":
            self.stream.is_closed = True
        elif deed == "detach":
            self.stream.detach()
        elif deed == "overwrite" and self.buffer is not None:
            self.buffer[:] = self.rng.randbytes(len(self.buffer))
        elif deed == "resize" and self.buffer is not None:
            self.buffer += bytes(1 << 16)  # a BufferError, unless the parser has let it go
        elif deed == "feed" and self.depth < 3:
            self.depth += 1
            buffer = self.buffer
            self.feed(make_frame(self.rng, self.is_client))
            self.buffer = buffer
            self.depth -= 1
        elif deed == "quit":
            self.stream.text_handler = self.stream.binary_handler = None
            self.stream.find_taker = None


def run_stream(rng: random.Random) -> None:
    """Make up a stream, and feed it in a few ways."""
    seed = rng.getrandbits(32)
    is_client = Round(random.Random(seed)).is_client
    wire = b"".join(make_frame(rng, is_client) for _ in range(rng.randint(1, 6)))
    if rng.random() < 0.5:
        wire = damage(rng, wire)
    if len(wire) > 300:
        cuts = [sorted(rng.randint(0, len(wire)) for _ in range(rng.randint(0, 6)))]
    else:
        cuts = [[cut] for cut in range(len(wire) + 1)]  # all there are in two
        cuts.append(list(range(len(wire))))  # byte by byte
    for places in cuts:
        edges = [0, *places, len(wire)]
        pieces = [wire[edges[i] : edges[i + 1]] for i in range(len(edges) - 1)]
        rounds = [Round(random.Random(seed), beyond) for beyond in (0, 255)]
        for one in rounds:
            one.run(pieces)
        # What lies beyond the pieces has no part in it.
        assert rounds[0].outcome == rounds[1].outcome


def run_mask(rng: random.Random) -> None:
    """Mask payloads of each length, at each offset, in buffers that just have room."""
    size = rng.choice([*range(70), *_SIZES, *_LARGE_SIZES])
    payload, key = rng.randbytes(size), rng.randbytes(4)
    kind: Callable[[bytes], Any] = rng.choice([bytes, bytearray, memoryview])
    for offset in range(5):
        expected = bytes(byte ^ key[(i + offset) & 3] for i, byte in enumerate(payload))
        assert mask(kind(payload), key, offset) == expected
    expected = mask(payload, key)
    for start in (0, 1, 2, 3, rng.randint(4, 40)):
        for rest in (b"", b"beyond"):
            out = bytearray(start + 4 + size) + rest
            write_masked(out, start, payload, key)
            assert out == bytes(start) + key + expected + rest
    out = bytearray()
    for number in range(3):
        append_frame(out, 2, kind(payload), masked=number != 1)


def run(rounds: int, seconds: float, seed: int) -> int:
    """Run until one of the limits is reached.

    :returns: the number of rounds.
    """
    end = time.monotonic() + seconds
    for number in range(rounds):
        if time.monotonic() > end:
            return number
        rng = random.Random(f"{seed}/{number}")
        try:
            (run_mask if number % 10 == 0 else run_stream)(rng)
        except BaseException:
            print(f"round {number} of seed {seed}", flush=True)
            raise
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    rounds = run(arguments.rounds, arguments.seconds, arguments.seed)
    print(f"{rounds} rounds, and nothing but events and our own errors")


if __name__ == "__main__":
    main()
