"""Messages that are taken piece by piece, as they arrive."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.errors import CriticalProtocolError, PayloadTooLarge
from greenws.protocol.allowance import Allowance
from greenws.protocol.compression import Deflate
from greenws.protocol.slices import Joined
from greenws.protocol.stream import HEADROOM, HOLD_SIZE, Stream
from tests.support.streams import WAYS, cut, deflate, frame

TEXT, BINARY, PING = 1, 2, 9


class Taker:
    """Feeds a stream, and keeps the pieces of messages, and events."""

    def __init__(self, max_size: int | None = 1000, *, compressed: bool = False) -> None:
        self.stream = Stream(True, max_size)
        if compressed:
            self.stream.deflate = Deflate()
        self.pieces: list[Any] = []
        self.finals: list[bool] = []
        self.events: list[Any] = []

    def take(self, piece: Any, final: bool) -> None:
        if isinstance(piece, Joined):
            assert not final
            assert not self.pieces
            while piece:
                self.pieces.append(piece.take())
                self.finals.append(False)
        else:
            self.pieces.append(piece)
            self.finals.append(final)

    def feed(self, data: bytes) -> None:
        self.stream.receive(data, 0, len(data), 1.0)
        while (event := self.stream.next_event()) is not None:
            self.events.append(event)

    def start(self) -> None:
        """Take the message that is arriving, and those to come."""
        self.stream.find_taker = lambda is_large: self.take
        self.stream.take_in_pieces(self.take)

    def check(self, message: str | bytes) -> None:
        empty: Any = type(message)()
        assert empty.join(self.pieces) == message
        assert self.finals == [False] * (len(self.finals) - 1) + [True]
        assert self.pieces[-1] == empty
        assert all(self.pieces[:-1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("message", ["aä€𝄞" * 50, b"\xff\x00" * 50, "", b""])
def test_pieces_make_up_the_message_however_it_is_cut(
    way: str, compressed: bool, message: str | bytes
) -> None:
    payload = message.encode() if isinstance(message, str) else message
    opcode = TEXT if isinstance(message, str) else BINARY
    wire = deflate(payload) if compressed else payload
    half = len(wire) // 2
    data = (
        frame(opcode, wire[:half], fin=False, rsv1=compressed)
        + frame(PING, b"between")
        + frame(0, wire[half:], fin=False)
        + frame(0)
    )
    taker = Taker(max_size=1, compressed=compressed)
    taker.start()
    for piece in WAYS[way](data):
        taker.feed(piece)
    taker.check(message)
    assert [event.name for event in taker.events] == ["ping"]
    taker.stream.find_taker = None
    taker.feed(frame(TEXT, b"x"))
    assert taker.events[-1].text == "x"


@given(
    st.text(max_size=60),
    st.lists(st.integers(0, 400), max_size=8),
    st.lists(st.integers(0, 400), max_size=8),
    st.integers(0, 400),
    st.booleans(),
)
def test_pieces_can_begin_at_any_byte(
    text: str, frames: list[int], chunks: list[int], begin: int, compressed: bool
) -> None:
    payload = text.encode()
    wire = deflate(payload) if compressed else payload
    parts = cut(wire, frames) or [b""]
    data = b"".join(
        frame(0 if i else TEXT, part, i == len(parts) - 1, rsv1=compressed and not i)
        for i, part in enumerate(parts)
    )
    taker = Taker(compressed=compressed)
    begin %= len(data)
    fed = 0
    for chunk in cut(data, [*chunks, begin]):
        if fed == begin:
            taker.start()
        fed += len(chunk)
        taker.feed(chunk)
    if taker.events:  # it came in one whole frame, before or after
        assert taker.events[0].text == text
    else:
        taker.check(text)


def test_what_has_arrived_comes_at_once() -> None:
    taker = Taker()
    data = frame(TEXT, "abcä".encode())
    taker.feed(data[:-1])
    assert taker.stream.is_joining
    taker.start()
    assert not taker.stream.is_joining
    assert taker.pieces == ["abc"]
    taker.feed(data[-1:])
    taker.check("abcä")


@pytest.mark.parametrize("compressed", [False, True])
def test_whole_message_is_an_event_all_the_same(compressed: bool) -> None:
    taker = Taker(max_size=50, compressed=compressed)
    taker.start()
    payload = deflate(b"hello world") if compressed else b"hello world"
    taker.feed(frame(TEXT, payload, rsv1=compressed) + frame(BINARY, b"x" * 50))
    assert taker.pieces == []
    assert [event.name for event in taker.events] == ["text", "binary"]


@pytest.mark.parametrize("compressed", [False, True])
def test_whole_message_beyond_max_size_comes_in_pieces(compressed: bool) -> None:
    taker = Taker(max_size=5, compressed=compressed)
    taker.start()
    payload = deflate(b"hello world") if compressed else b"hello world"
    taker.feed(frame(TEXT, payload, rsv1=compressed) + frame(PING))
    taker.check("hello world")
    assert [event.name for event in taker.events] == ["ping"]


def test_message_in_pieces_is_asked_for_once() -> None:
    asked: list[bool] = []

    def find_taker(is_large: bool) -> Any:
        asked.append(is_large)
        return taker.take

    taker = Taker(max_size=1)
    taker.stream.find_taker = find_taker
    for _ in range(2):
        taker.feed(frame(TEXT, b"three", fin=False) + frame(0, b"four", fin=False) + frame(0))
    assert asked == [False, False]
    assert "".join(taker.pieces) == "threefour" * 2


def test_handler_of_a_begun_message_keeps_it() -> None:
    first, second = Taker(), Taker()
    first.start()
    first.feed(frame(TEXT, b"one", fin=False))
    first.stream.take_in_pieces(second.take)
    first.feed(frame(0, b"two", fin=False) + frame(0))
    first.check("onetwo")
    assert second.pieces == []


def test_text_that_is_complete_and_not_decoded_is_not_taken() -> None:
    allowance = Units(2)
    taker = Taker(max_size=None)
    taker.stream.allowance = allowance
    taker.feed(frame(TEXT, b"x" * 300_000, fin=False) + frame(0) + frame(PING))
    assert taker.stream.is_paused
    taker.start()
    assert taker.pieces == []
    allowance.left = 1000
    while (event := taker.stream.next_event()) is not None:
        taker.events.append(event)
    assert [event.name for event in taker.events] == ["text", "ping"]


@pytest.mark.parametrize("compressed", [False, True])
def test_each_piece_is_a_unit_of_work(compressed: bool) -> None:
    allowance = Units(3)
    taker = Taker(max_size=None, compressed=compressed)
    taker.stream.allowance = allowance
    taker.start()
    payload = bytes(640_000)
    wire = deflate(payload) if compressed else payload
    taker.feed(frame(BINARY, wire[:50], fin=False, rsv1=compressed) + frame(0, wire[50:]))
    pauses = 0
    while taker.stream.is_paused:
        assert len(taker.pieces) <= 5 * (pauses + 1)
        pauses += 1
        allowance.left = 3
        taker.stream.resume()
    assert pauses > 2
    taker.check(payload)


class Units(Allowance):
    """Grants so many units, one by one."""

    def __init__(self, left: int) -> None:
        self.left = left

    def grant(self) -> int:
        self.left -= 1
        return int(self.left >= 0)


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_message_in_pieces_is_traced_at_its_end(kind: int) -> None:
    traced: list[tuple[str, int]] = []
    taker = Taker()
    taker.start()
    taker.stream.tracer = lambda name, length: traced.append((name, length))
    taker.feed(frame(kind, b"\xc3", fin=False) + frame(0, b"\xa4", fin=False))
    assert traced == []
    taker.feed(frame(0))
    assert traced == [("message_text" if kind == TEXT else "message_binary", 2)]


@pytest.mark.parametrize("payload", [b"\xff", b"ab\xe2\x82", b"\xed\xa0\x80"])
def test_text_that_is_no_utf_8_is_refused(payload: bytes) -> None:
    taker = Taker()
    taker.start()
    with pytest.raises(CriticalProtocolError, match="utf-8"):
        taker.feed(frame(TEXT, b"good", fin=False) + frame(0, payload))
    assert "".join(taker.pieces) in ("good", "goodab")
    assert not any(taker.finals)


def test_pieces_of_a_compressed_message_are_small() -> None:
    taker = Taker(max_size=1000, compressed=True)
    taker.start()
    compressor = zlib.compressobj(wbits=-15)
    wire = compressor.compress(bytes(20_000_000)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    taker.feed(frame(BINARY, wire[:-4], rsv1=True))
    assert sum(map(len, taker.pieces)) == 20_000_000
    assert max(map(len, taker.pieces)) <= 65_536


# A message that is too large


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("fragments", [False, True])
@pytest.mark.parametrize("size", [2000, 20_000_000])
def test_large_message_is_taken_in_pieces_if_somebody_comes(
    size: int, fragments: bool, compressed: bool
) -> None:
    taker = Taker(max_size=1000, compressed=compressed)
    taker.stream.find_taker = lambda is_large: taker.take if is_large else None
    payload = bytes(size)
    wire = deflate(payload) if compressed else payload
    half = len(wire) // 2
    if fragments:
        data = frame(BINARY, wire[:half], fin=False, rsv1=compressed) + frame(0, wire[half:])
    else:
        data = frame(BINARY, wire, rsv1=compressed)
    for start in range(0, len(data), 700_000):
        taker.feed(data[start : start + 700_000])
    taker.check(payload)
    taker.stream.find_taker = None
    taker.feed(frame(TEXT, b"next"))
    assert taker.events[-1].text == "next"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("fragments", [False, True])
def test_large_message_is_refused_if_nobody_comes(fragments: bool, compressed: bool) -> None:
    asked: list[bool] = []
    taker = Taker(max_size=1000, compressed=compressed)
    taker.stream.find_taker = asked.append
    wire = deflate(bytes(2000)) if compressed else bytes(2000)
    data = frame(BINARY, wire, fin=not fragments, rsv1=compressed)
    with pytest.raises(PayloadTooLarge):
        taker.feed(data)
    assert asked == [False, True]


@pytest.mark.parametrize("max_size", [None, 4 * HOLD_SIZE])
def test_message_that_gets_large_asks_before_it_is_joined(max_size: int | None) -> None:
    asked: list[bool] = []
    taker = Taker(max_size=max_size)
    taker.stream.find_taker = asked.append
    taker.feed(frame(BINARY, bytes(HOLD_SIZE - 10), fin=False))
    assert asked == [False]
    taker.feed(frame(0, bytes(20)))
    assert asked == [False, True]
    assert len(taker.events[0].data) == HOLD_SIZE + 10


def test_what_was_joined_comes_in_small_pieces() -> None:
    text = "aä€𝄞" * 50_000
    taker = Taker(max_size=None)
    taker.feed(frame(TEXT, text.encode()[:-1], fin=False))
    taker.start()
    taker.feed(frame(0, text.encode()[-1:]))
    taker.check(text)
    assert max(map(len, taker.pieces)) < 70_000


# Handlers that switch


@pytest.mark.parametrize("compressed", [False, True])
def test_handler_of_pieces_may_have_the_stream_detached(compressed: bool) -> None:
    taker = Taker(max_size=10, compressed=compressed)
    stream = taker.stream
    buffer = bytearray(HEADROOM + 4000)

    def take(piece: Any, final: bool) -> None:
        taker.take(piece, final)
        stream.detach()
        buffer[:] = b"\xa5" * len(buffer)

    stream.find_taker = lambda is_large: take
    wire = deflate(b"abcdef" * 50) if compressed else b"abcdef" * 50
    parts = [wire[i : i + 10] for i in range(0, len(wire), 10)]
    data = b"".join(
        frame(0 if i else BINARY, part, rsv1=compressed and not i, fin=False)
        for i, part in enumerate(parts)
    )
    data += frame(0) + frame(PING, b"x")
    buffer[HEADROOM : HEADROOM + len(data)] = data
    assert not stream.digest(buffer, HEADROOM, HEADROOM + len(data), 1.0)
    event = stream.next_event()
    assert event is not None
    assert event.name == "ping"
    taker.check(b"abcdef" * 50)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("payload", [b"", b"abc" * 700])
def test_handlers_may_close_the_stream(compressed: bool, payload: bytes) -> None:
    for name in ("pieces", "large", "whole"):
        taker = Taker(max_size=10, compressed=compressed)
        stream = taker.stream

        def close(*_: Any, stream: Stream = stream) -> None:
            stream.close()

        if name == "pieces":
            stream.find_taker = lambda is_large, close=close: close  # type: ignore[misc]
        else:
            stream.find_taker = lambda is_large, close=close: (  # type: ignore[misc]
                close() if is_large else None
            )
        wire = deflate(payload) if compressed else payload
        if name == "whole":
            taker.feed(frame(BINARY, wire, rsv1=compressed) + frame(PING))
        else:
            taker.feed(frame(BINARY, wire, rsv1=compressed, fin=False) + frame(0) + frame(PING))
        if payload or name == "pieces":
            assert taker.events == []


def test_handler_may_close_the_stream_when_it_gets_what_was_joined() -> None:
    taker = Taker(max_size=None)
    taker.feed(frame(BINARY, bytes(200_000), fin=False))

    def close(piece: Any, final: bool) -> None:
        taker.pieces.append(piece)
        taker.stream.close()

    taker.stream.take_in_pieces(close)
    assert len(taker.pieces) == 1
    assert not taker.stream.is_joining


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("fragments", [False, True])
def test_finding_a_taker_may_have_the_stream_detached(fragments: bool, compressed: bool) -> None:
    taker = Taker(max_size=10, compressed=compressed)
    stream = taker.stream
    buffer = bytearray(HEADROOM + 9000)

    def switch(is_large: bool) -> Any:
        if not is_large:
            return None
        stream.detach()
        buffer[:] = b"\xa5" * len(buffer)
        return taker.take

    stream.find_taker = switch
    payload = bytes(range(256)) * 20
    wire = deflate(payload) if compressed else payload
    data = frame(TEXT, b"hello"[:2])
    if fragments:
        data += frame(BINARY, wire[:100], fin=False, rsv1=compressed) + frame(0, wire[100:])
    else:
        data += frame(BINARY, wire, rsv1=compressed)
    data += frame(PING, b"x")
    buffer[HEADROOM : HEADROOM + len(data)] = data
    stream.digest(buffer, HEADROOM, HEADROOM + len(data), 1.0)
    while (event := stream.next_event()) is not None:
        taker.events.append(event)
    taker.check(payload)
    assert [event.name for event in taker.events] == ["text", "ping"]


def test_message_may_be_taken_while_a_taker_is_looked_for() -> None:
    taker = Taker(max_size=10)

    def wait(is_large: bool) -> None:
        if is_large:
            taker.stream.take_in_pieces(taker.take)

    taker.stream.find_taker = wait  # type: ignore[assignment]
    taker.feed(frame(TEXT, "1234ä".encode()[:5], fin=False) + frame(0, "ä".encode()[1:] + b"56789"))
    taker.check("1234ä56789")
