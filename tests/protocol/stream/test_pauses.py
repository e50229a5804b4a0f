"""Work comes in units, and the parser pauses when no more of them are granted."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest

from greenws.protocol.allowance import Allowance
from greenws.protocol.compression import Deflate
from greenws.protocol.stream import Stream
from tests.protocol.stream.checks import BAD_DATA, TOO_LARGE
from tests.support.streams import Outcome, deflate, describe, describe_error, frame

#: Bytes that one unit inflates or decodes at most.
SLICE = 256 * 1024


class Grants(Allowance):
    """Grants one unit, and none the next time it is asked, and so on."""

    def __init__(self) -> None:
        self.count = 0
        self._is_generous = True

    def grant(self) -> int:
        self.count += self._is_generous
        self._is_generous = not self._is_generous
        return 0 if self._is_generous else 1


def make(max_size: int | None = None, deflates: bool = True) -> tuple[Stream, Grants]:
    stream = Stream(max_size=max_size)
    grants = Grants()
    stream.allowance = grants
    if deflates:
        stream.deflate = Deflate()
    return stream, grants


def parse(stream: Stream, data: bytes, work: Any = lambda: None) -> Outcome:
    """Parse all of ``data``, and do ``work`` in each pause."""
    outcome: Outcome = []
    stream.receive(data, 0, len(data), 0.0)
    try:
        while True:
            event = stream.next_event()
            if event is not None:
                outcome.append(describe(event))
            elif not stream.is_paused:
                return outcome
            else:
                work()
    except Exception as error:
        outcome.append(describe_error(error))
        assert not stream.is_paused
        return outcome


def streams_of_nothing(count: int) -> bytes:
    """A message of ``count`` deflate streams that end at once."""
    return frame(2, b"\x03\x00" * count, rsv1=True)


@pytest.mark.parametrize(
    "data",
    [
        frame(10) * 1000,
        frame(9) * 1000,
        frame(1) * 1000,
        frame(1, b"x" * 64) * 1000,
        frame(2, b"x") * 1000,
        frame(1, b"x", fin=False) + frame(0, b"x", fin=False) * 998 + frame(0, b"x"),
        frame(1, fin=False) + frame(0, fin=False) * 998 + frame(0),
        frame(1, b"\x00", rsv1=True) * 1000,
    ],
    ids=["pongs", "pings", "empty", "texts", "bytes", "fragments", "empty fragments", "deflated"],
)
@pytest.mark.parametrize("has_handlers", [False, True])
def test_each_frame_is_a_unit(data: bytes, has_handlers: bool) -> None:
    stream, grants = make()
    if has_handlers:
        stream.text_handler = stream.binary_handler = lambda event: None
    parse(stream, data)
    assert 999 <= grants.count <= 1001


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("is_large", [False, True], ids=["joined", "apart"])
def test_bomb_is_inflated_in_slices(opcode: int, is_large: bool) -> None:
    noise = random.Random(0).randbytes(5000).hex().encode() if is_large else b""
    payload = noise + b"a" * (4 * 1024 * 1024)
    stream, grants = make()
    [(_, message)] = parse(stream, frame(opcode, deflate(payload), rsv1=True))
    assert message in (payload, payload.decode())
    assert grants.count >= len(payload) // SLICE


def test_bomb_in_fragments_is_inflated_in_slices() -> None:
    payload = bytes(4 * 1024 * 1024)
    wire = deflate(payload)
    data = frame(2, wire[:1000], fin=False, rsv1=True) + frame(0, wire[1000:])
    stream, grants = make()
    assert parse(stream, data + frame(9)) == [("binary", payload), ("ping", b"")]
    assert grants.count >= len(payload) // SLICE


def test_many_deflate_streams_are_many_units() -> None:
    stream, grants = make()
    assert parse(stream, streams_of_nothing(4095)) == [("binary", b"")]
    assert grants.count >= 20


def test_large_inflated_messages_are_more_than_a_unit() -> None:
    class Eight(Allowance):
        count = 0

        def grant(self) -> int:
            self.count += 1
            return 8

    stream, _ = make()
    stream.allowance = eight = Eight()
    parse(stream, frame(2, deflate(bytes(64 * 1024)), rsv1=True) * 50)
    assert eight.count >= 49


def test_long_text_is_decoded_in_slices() -> None:
    text = "a\u20ac\U0001f600" * 200_000
    data = text.encode()
    half = len(data) // 2
    stream, grants = make()
    wire = frame(1, data[:half], fin=False) + frame(0, data[half:]) + frame(9)
    assert parse(stream, wire) == [("text", text), ("ping", b"")]
    assert grants.count >= len(data) // SLICE


@pytest.mark.parametrize("payload", [b"a" * 999_999 + b"\xff", b"a" * 999_999 + b"\xc3"])
def test_bad_end_of_a_long_text_is_an_error(payload: bytes) -> None:
    stream, _ = make()
    assert parse(stream, frame(1, deflate(payload), rsv1=True)) == [BAD_DATA]


@pytest.mark.parametrize("size", [SLICE - 1, SLICE, SLICE + 1, 1_000_000])
def test_max_size_ends_a_bomb_between_slices(size: int) -> None:
    for excess in (0, 1):
        stream, _ = make(size)
        payload = bytes(size + excess)
        expected = TOO_LARGE if excess else ("binary", payload)
        assert parse(stream, frame(2, deflate(payload), rsv1=True)) == [expected]


def test_broken_end_of_a_bomb_is_an_error() -> None:
    compressor = zlib.compressobj(wbits=-15)
    wire = compressor.compress(bytes(1_000_000)) + compressor.flush()
    stream, _ = make()
    assert parse(stream, frame(2, wire + b"\x07", rsv1=True)) == [BAD_DATA]


def test_what_comes_in_a_pause_follows_the_rest() -> None:
    stream, _ = make()
    first = frame(1, b"one") + frame(2, deflate(bytes(600_000)), rsv1=True) + frame(1, b"two")
    more = frame(1, b"three") + frame(1, b"four")
    outcome: Outcome = []
    for chunk in (first, more):
        stream.receive(chunk, 0, len(chunk), 0.0)
        event = stream.next_event()
        assert event is None or outcome.append(describe(event)) is None
    outcome += parse(stream, b"")
    assert outcome == [
        ("text", "one"),
        ("binary", bytes(600_000)),
        ("text", "two"),
        ("text", "three"),
        ("text", "four"),
    ]


def test_rest_is_kept_when_the_chunk_is_taken_away_in_a_pause() -> None:
    stream, _ = make()
    chunk = bytearray(
        frame(1, b"one") + frame(2, deflate(bytes(600_000)), rsv1=True) + frame(1, b"two")
    )

    def take_away() -> None:
        stream.detach()
        chunk[:] = bytes(len(chunk))

    outcome = parse(stream, chunk, take_away)
    assert outcome == [("text", "one"), ("binary", bytes(600_000)), ("text", "two")]


def test_digest_says_that_something_is_left_after_a_pause() -> None:
    stream, _ = make()
    texts: list[str] = []
    stream.text_handler = lambda event: texts.append(event.text)
    data = frame(1, b"x") * 10
    is_done = stream.digest(data, 0, len(data), 0.0)
    pauses = 0
    while not is_done:
        assert stream.is_paused
        pauses += 1
        is_done = stream.resume()
    assert texts == ["x"] * 10
    assert pauses >= 8
    assert not stream.is_paused


@pytest.mark.parametrize("how", ["close", "is_closed"])
def test_stream_that_is_closed_in_a_pause_parses_nothing_more(how: str) -> None:
    stream, _ = make()
    data = frame(2, deflate(bytes(600_000)), rsv1=True) + frame(1, b"x")
    stream.receive(data, 0, len(data), 0.0)
    assert stream.next_event() is None
    assert stream.is_paused
    if how == "close":
        stream.close()
    else:
        stream.is_closed = True
    assert stream.next_event() is None
    assert not stream.is_paused


def test_stream_without_an_allowance_never_pauses() -> None:
    stream = Stream(max_size=None)
    stream.deflate = Deflate()
    data = frame(10) * 1000 + frame(2, deflate(bytes(5_000_000)), rsv1=True)
    stream.receive(data, 0, len(data), 0.0)
    events = []
    while (event := stream.next_event()) is not None:
        events.append(event.name)
        assert not stream.is_paused
    assert events == ["pong"] * 1000 + ["binary"]
