"""Feeding a stream of frames in every way, and its outcome in a form that compares."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any

from greenws.protocol import compression as compression_module
from greenws.protocol import stream as stream_module
from greenws.protocol.frame import build_frame

Outcome = list[tuple[Any, ...]]


def frame(
    opcode: int, payload: bytes = b"", fin: bool = True, rsv1: bool = False, masked: bool = False
) -> bytes:
    """Build a frame as a server sends it."""
    return build_frame(opcode, payload, fin, rsv1, masked)


def deflate(payload: bytes, *, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """Compress a message that refers to no other, as on the wire (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(payload) + compressor.flush(flush))[:-4]


def cut(data: bytes, positions: Sequence[int]) -> list[bytes]:
    """Cut data at the positions (any integers)."""
    edges = sorted({position % (len(data) + 1) for position in positions} | {0, len(data)})
    return [data[start:stop] for start, stop in pairwise(edges)]


class Feeder:
    """Feeds a stream, and keeps its events and errors.

    :param how: ``"bytes"``: each piece is a bytes object; ``"in place"``: all pieces go through one
        buffer, which is overwritten as soon as that is allowed; ``"offset"``: each piece stands in
        the middle of a longer bytes object; ``"digest"``: ``digest()`` gets each piece first;
        ``"briefly"``: ``digest_briefly()`` does, between two messages.
    :param in_pieces: messages that do not come as one whole frame are taken in pieces.
    :param stream: the module to take the Stream from.
    """

    def __init__(
        self,
        how: str = "bytes",
        *,
        is_client: bool = True,
        max_size: int | None = 1 << 20,
        agreement: dict[str, Any] | None = None,
        in_pieces: bool = False,
        stream: ModuleType = stream_module,
        compression: ModuleType = compression_module,
    ) -> None:
        self.how = how
        self.stream = stream.Stream(is_client, max_size)
        if agreement is not None:
            self.stream.deflate = compression.Deflate(**agreement)
        if in_pieces:
            self.stream.find_taker = lambda is_large: self._take_piece
        self.outcome: Outcome = []
        self._headroom: int = stream.HEADROOM
        self._buffer = bytearray(self._headroom + 70_000)

    def _take_piece(self, piece: str | bytes, final: bool) -> None:
        self.outcome.append(("piece", piece, final))

    def feed(self, piece: bytes) -> bool:
        """Feed a piece; return False after an error."""
        stream = self.stream
        headroom = self._headroom
        if self.how == "in place":
            assert len(piece) <= 70_000
            self._buffer[headroom : headroom + len(piece)] = piece
            stream.receive(self._buffer, headroom, headroom + len(piece), 1.5)
        elif self.how == "offset":
            stream.receive(b"###" + piece + b"###", 3, 3 + len(piece), 1.5)
        elif self.how == "briefly" and stream.is_between:
            if stream.digest_briefly(piece, 0, len(piece), 1.5):
                return True
        elif self.how in ("digest", "briefly"):
            if stream.digest(piece, 0, len(piece), 1.5):
                return True
        else:
            stream.receive(piece, 0, len(piece), 1.5)
        try:
            while (event := stream.next_event()) is not None:
                assert event.received_time == 1.5
                self.outcome.append(describe(event))
        except Exception as error:
            self.outcome.append(describe_error(error))
            return False
        if self.how == "in place":
            self._buffer[:] = b"\xa5" * len(self._buffer)
        return True

    def feed_all(self, pieces: Sequence[bytes] | Iterator[bytes]) -> Outcome:
        """Feed pieces until one of them gives an error."""
        for piece in pieces:
            if not self.feed(piece):
                return self.outcome
        if self.how == "briefly":
            # A short frame at the end was kept as it is. The other ways look into it, though its
            # last bytes are missing, and may refuse it at once.
            self.how = "digest"
            self.feed(b"")
            self.how = "briefly"
        return self.outcome


def describe(event: Any) -> tuple[Any, ...]:
    """Name and contents of an event."""
    contents = {
        "text": ("text",),
        "binary": ("data",),
        "ping": ("data",),
        "pong": ("data",),
        "closing": ("code", "reason"),
    }[event.name]
    values = tuple(getattr(event, name) for name in contents)
    assert all(type(value) in (str, bytes, int, type(None)) for value in values), values
    return (event.name, *values)


def describe_error(error: Exception) -> tuple[Any, ...]:
    """Class and close code of one of our errors; any other is raised."""
    if type(error).__name__ not in ("ProtocolError", "PayloadTooLarge", "CriticalProtocolError"):
        raise error
    return ("error", type(error).__name__, error.code)  # type: ignore[attr-defined]


WAYS: dict[str, Callable[[bytes], list[bytes]]] = {
    "whole": lambda data: [data],
    "byte by byte": lambda data: [data[i : i + 1] for i in range(len(data))],
    "in two": lambda data: [data[: len(data) // 2], data[len(data) // 2 :]],
}


def feed_every_way(data: bytes, **options: Any) -> Outcome:
    """Feed data whole, cut and byte by byte, in every way of a Feeder; all have to agree.

    :returns: the outcome.
    """
    outcomes: dict[str, Outcome] = {}
    for way, split in WAYS.items():
        for how in ("bytes", "in place", "offset", "digest", "briefly"):
            outcomes[f"{way}, {how}"] = Feeder(how, **options).feed_all(split(data))
    first = outcomes["whole, bytes"]
    for name, outcome in outcomes.items():
        assert outcome == first, name
    return first
