"""Handlers take the messages of a stream without a detour, and may do anything meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.constants import MAX_MESSAGE_SIZE
from greenws.errors import CriticalProtocolError
from greenws.protocol.compression import Deflate
from greenws.protocol.stream import HEADROOM, Stream
from tests.protocol.stream.checks import (
    check,
    drain,
)
from tests.support.streams import deflate, frame


def test_handlers_get_the_messages_of_their_kind() -> None:
    stream = Stream()
    texts: list[Any] = []
    stream.text_handler = texts.append
    events = drain(
        stream, frame(1, b"a") + frame(2, b"b") + frame(9, b"c") + frame(1, fin=False) + frame(0)
    )
    assert [event.name for event in events] == ["binary", "ping"]
    assert [event.text for event in texts] == ["a", ""]
    stream.binary_handler = texts.append
    assert drain(stream, frame(2, b"d")) == []
    assert texts[-1].data == b"d"


def test_kept_events_stay_as_they_are() -> None:
    # An event that the handler does not keep may be used again.
    stream = Stream()
    seen = 0
    kept: list[Any] = []

    def keep_every_third(event: Any) -> None:
        nonlocal seen
        seen += 1
        if seen % 3 == 0:
            kept.append(event)

    stream.text_handler = stream.binary_handler = keep_every_third
    assert drain(stream, b"".join(frame(1 + n % 2, b"%d" % n) for n in range(1, 31))) == []
    assert [getattr(event, "text", None) or event.data.decode() for event in kept] == [
        str(n) for n in range(3, 31, 3)
    ]


# Texts: one that no handler has kept is overwritten by the next one of about its length


# Ways to keep something of an event, each with a check of the thing kept against the text.
keepers: dict[str, tuple[Callable[[Any], Any], Callable[[Any, str], bool]]] = {
    "nothing": (lambda event: None, lambda kept, text: kept is None),
    "text": (lambda event: event.text, lambda kept, text: kept == text),
    "event": (lambda event: event, lambda kept, text: kept.text == text),
    "key": (
        lambda event: {event.text: event.text},
        lambda kept, text: kept[text] == text and list(kept) == [text],
    ),
    "generator": (
        lambda event: (character for character in event.text),
        lambda kept, text: "".join(kept) == text,
    ),
    "slice": (lambda event: event.text[:], lambda kept, text: kept == text),
    "rest": (lambda event: event.text[1:], lambda kept, text: kept == text[1:]),
    "interned": (lambda event: sys.intern(event.text), lambda kept, text: kept == text),
    "interned for nothing": (lambda event: sys.intern(event.text) and None, lambda kept, _: True),
    "bytes": (lambda event: event.text.encode(), lambda kept, text: kept == text.encode()),
    "closure": (lambda event: lambda text=event.text: text, lambda kept, text: kept() == text),
}


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.text(st.characters(codec="ascii"), min_size=0, max_size=40),
                st.text(max_size=20),
                st.integers(1000, 1050).map(lambda size: "y" * size),
            ),
            st.sampled_from(sorted(keepers)),
        ),
        max_size=60,
    )
)
def test_kept_texts_stay_as_they_are(messages: list[tuple[str, str]]) -> None:
    kept: list[Any] = []

    def handle(event: Any) -> None:
        text, kind = messages[len(kept)]
        assert event.text == text
        assert hash(event.text) == hash("".join(list(text)))  # a str stores its hash
        assert {event.text} == {text}
        assert sys.getsizeof(event.text) == sys.getsizeof("".join(list(text)))
        kept.append(keepers[kind][0](event))

    stream = Stream(True, MAX_MESSAGE_SIZE)
    stream.text_handler = handle
    failures: list[Exception] = []
    stream.handler_failed = failures.append
    data = b"".join(frame(1, text.encode()) for text, _ in messages)
    assert stream.digest(data, 0, len(data), 0.0)
    assert not failures
    assert len(kept) == len(messages)
    for (text, kind), value in zip(messages, kept, strict=True):
        assert sys.intern("".join(list(text))) == text
        assert keepers[kind][1](value, text)


def test_texts_of_all_lengths_may_follow_each_other() -> None:
    sizes = [*range(200), *range(200, 0, -1), *range(1015, 1035), *range(1035, 1015, -1)] * 2
    texts = [chr(97 + number % 26) * size for number, size in enumerate(sizes)]
    seen: list[bool] = []

    def handle(event: Any) -> None:
        seen.append(event.text == texts[len(seen)])

    stream = Stream(True, MAX_MESSAGE_SIZE)
    stream.text_handler = handle
    data = b"".join(frame(1, text.encode()) for text in texts)
    assert stream.digest(data, 0, len(data), 0.0)
    assert seen == [True] * len(texts)


def test_shorter_texts_end_where_they_end() -> None:
    # float() reads the memory of a text up to a NUL.
    numbers = ["1234567.5", "12.5", "98765", "9", "10", "0.25"] * 3
    seen: list[float] = []
    stream = Stream(True, MAX_MESSAGE_SIZE)
    stream.text_handler = lambda event: seen.append(float(event.text))
    data = b"".join(frame(1, text.encode()) for text in numbers)
    assert stream.digest(data, 0, len(data), 0.0)
    assert seen == [float(number) for number in numbers]


def test_handler_within_a_handler_has_an_event_of_its_own() -> None:
    texts = []

    def handle(event: Any) -> None:
        if event.text == "outer":
            other = Stream()
            other.text_handler = handle
            assert drain(other, frame(1, b"inner")) == []
        texts.append(event.text)

    stream = Stream()
    stream.text_handler = handle
    assert drain(stream, frame(1, b"outer") * 2) == []
    assert texts == ["inner", "outer", "inner", "outer"]


@pytest.mark.parametrize("text", ["", "a", "\x7f", "é", "a" * 63 + "ÿ", "b" * 200, "☃" * 30])
def test_texts_of_all_kinds_are_decoded(text: str) -> None:
    check(frame(1, text.encode()), ("text", text))


def test_handlers_get_compressed_messages() -> None:
    stream = Stream()
    stream.deflate = Deflate()
    texts: list[Any] = []
    stream.text_handler = texts.append
    assert drain(stream, frame(1, deflate(b"Hello"), rsv1=True)) == []
    assert [event.text for event in texts] == ["Hello"]
    assert texts[0].received_time == 0.0


@pytest.mark.parametrize("fragmented", [True, False])
def test_exception_of_a_handler_goes_to_handler_failed(fragmented: bool) -> None:
    stream = Stream()
    seen: list[Any] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        raise LookupError(event.text)

    stream.text_handler = handle
    stream.handler_failed = seen.append
    one = frame(1, b"one", fin=False) + frame(0) if fragmented else frame(1, b"one")
    events = drain(stream, one + frame(9, b"still parsed") + frame(1, b"two"))
    assert [event.name for event in events] == ["ping"]
    assert [repr(item) for item in seen] == [
        "'one'",
        "LookupError('one')",
        "'two'",
        "LookupError('two')",
    ]


@pytest.mark.parametrize("fragmented", [True, False])
def test_exception_of_a_handler_without_handler_failed_comes_out(fragmented: bool) -> None:
    stream = Stream()

    def handle(event: Any) -> None:
        raise LookupError(event.text)

    stream.text_handler = handle
    one = frame(1, b"one", fin=False) + frame(0) if fragmented else frame(1, b"one")
    data = one + frame(9, b"next")
    stream.receive(data, 0, len(data), 0.0)
    with pytest.raises(LookupError):
        stream.next_event()
    assert stream.next_event().name == "ping"  # type: ignore[union-attr]
    assert not stream.is_closed


def test_keyboard_interrupt_bypasses_handler_failed() -> None:
    stream = Stream()

    def handle(event: Any) -> None:
        raise KeyboardInterrupt

    stream.binary_handler = handle
    stream.handler_failed = pytest.fail
    with pytest.raises(KeyboardInterrupt):
        drain(stream, frame(2, b"x"))


@pytest.mark.parametrize("fragmented", [True, False])
def test_handler_that_closes_the_stream_is_the_last(fragmented: bool) -> None:
    stream = Stream()
    seen: list[str] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        stream.close()

    stream.text_handler = handle
    one = frame(1, b"one", fin=False) + frame(0) if fragmented else frame(1, b"one")
    assert drain(stream, one + frame(1, b"two") + b"\xff\xff") == []
    assert seen == ["one"]


def test_handler_that_sets_is_closed_is_the_last() -> None:
    stream = Stream()
    seen: list[str] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        stream.is_closed = True

    stream.text_handler = handle
    assert drain(stream, frame(1, b"one") + frame(1, b"two")) == []
    assert seen == ["one"]


def test_exception_of_a_handler_that_closed_the_stream_comes_out() -> None:
    stream = Stream()

    def handle(event: Any) -> None:
        stream.close()
        raise LookupError("who is told?")

    stream.text_handler = handle
    failed: list[Exception] = []
    stream.handler_failed = failed.append
    with pytest.raises(LookupError):
        drain(stream, frame(1, b"one"))
    assert failed == []
    assert stream.next_event() is None


@pytest.mark.parametrize("fragmented", [True, False])
def test_handler_may_let_the_buffer_be_reused(fragmented: bool) -> None:
    seen: list[str] = []
    stream = Stream()
    texts = [str(number) * (number + 1) for number in range(12)]
    data = b""
    for text in texts:
        if fragmented:
            data += frame(1, text[:1].encode(), fin=False) + frame(0, text[1:].encode())
        else:
            data += frame(1, text.encode())
    for position in range(0, len(data), 5):
        seen.clear()
        stream = Stream()
        chunk = bytearray(len(data) + HEADROOM)

        def handle(event: Any, stream: Stream = stream, chunk: bytearray = chunk) -> None:
            seen.append(event.text)
            stream.detach()
            chunk[:] = b"\xa5" * len(chunk)

        stream.text_handler = handle
        for piece in (data[:position], data[position:]):
            chunk[HEADROOM : HEADROOM + len(piece)] = piece
            stream.receive(chunk, HEADROOM, HEADROOM + len(piece), 0.0)
            assert stream.next_event() is None
        assert seen == texts


def test_handler_may_feed_more_in_a_chunk() -> None:
    stream = Stream()
    seen: list[str] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        if event.text == "one":
            more = frame(1, b"four")
            stream.receive(more, 0, len(more), 0.0)

    stream.text_handler = handle
    data = frame(1, b"one") + frame(1, b"two") + frame(9, b"three")
    events = drain(stream, data)
    assert [event.name for event in events] == ["ping"]
    assert seen == ["one", "two", "four"]


def test_handler_may_be_taken_away_in_a_chunk() -> None:
    stream = Stream()
    seen: list[str] = []

    def handle(event: Any) -> None:
        seen.append(event.text)
        stream.text_handler = None

    stream.text_handler = handle
    assert [event.text for event in drain(stream, frame(1, b"one") + frame(1, b"two"))] == ["two"]
    assert seen == ["one"]


def test_skipped_messages_are_checked_all_the_same() -> None:
    stream = Stream()
    stream.skip_text = stream.skip_binary = True
    stream.text_handler = stream.binary_handler = pytest.fail
    data = frame(1, b"one") + frame(2, b"two") + frame(1, fin=False) + frame(0) + frame(9)
    assert [event.name for event in drain(stream, data)] == ["ping"]
    with pytest.raises(CriticalProtocolError):
        drain(stream, frame(1, b"\xff"))


def test_digest_is_true_if_handlers_took_everything() -> None:
    stream = Stream()
    seen: list[Any] = []
    stream.text_handler = seen.append
    stream.skip_binary = True
    data = frame(1, b"one") + frame(2, b"two") + frame(1, b"three")
    assert stream.digest(data[:-1], 0, len(data) - 1, 1.0)
    assert stream.digest(data, len(data) - 1, len(data), 2.0)
    assert [(event.text, event.received_time) for event in seen] == [("one", 1.0), ("three", 2.0)]
    assert stream.next_event() is None


def test_digest_leaves_the_rest_to_next_event() -> None:
    stream = Stream()
    seen: list[Any] = []
    stream.text_handler = seen.append
    data = frame(1, b"one") + frame(9, b"two") + frame(1, b"three") + frame(2, b"four")
    assert not stream.digest(data, 0, len(data), 0.0)
    assert [event.text for event in seen] == ["one"]
    events = []
    while (event := stream.next_event()) is not None:
        events.append(event.name)
    assert events == ["ping", "binary"]
    assert [event.text for event in seen] == ["one", "three"]


def test_digest_of_a_violation_leaves_it_to_next_event() -> None:
    stream = Stream()
    data = frame(1, b"\xff")
    assert not stream.digest(data, 0, len(data), 0.0)
    with pytest.raises(CriticalProtocolError):
        stream.next_event()
    assert stream.is_closed
    assert stream.next_event() is None


def test_digest_that_was_left_early_goes_on_with_the_next_chunk() -> None:
    stream = Stream()
    data = frame(9, b"1") + frame(9, b"2") + frame(9, b"3")
    assert not stream.digest(data, 0, len(data), 0.0)
    stream.detach()
    more = frame(9, b"4")
    assert [event.data for event in drain(stream, more)] == [b"1", b"2", b"3", b"4"]


def test_exception_of_a_handler_comes_out_of_digest() -> None:
    def handle(event: Any) -> None:
        raise LookupError(event.text)

    stream = Stream()
    stream.text_handler = handle
    data = frame(1, b"one") + frame(9)
    with pytest.raises(LookupError):
        stream.digest(data, 0, len(data), 0.0)
    assert stream.next_event().name == "ping"  # type: ignore[union-attr]


def test_close_forgets_what_digest_has_left() -> None:
    for data in (frame(9), b"\x83\x00"):
        stream = Stream()
        assert not stream.digest(data, 0, len(data), 0.0)
        stream.close()
        assert stream.next_event() is None


def test_tracer_is_told_kind_and_length() -> None:
    stream = Stream()
    told: list[tuple[str, int]] = []
    stream.tracer = lambda kind, length: told.append((kind, length))
    stream.skip_binary = True
    drain(
        stream,
        frame(1, "ü".encode()) + frame(2, b"x" * 300) + frame(9, b"p") + frame(10) + frame(8),
    )
    assert told == [
        ("message_text", 2),
        ("message_binary", 300),
        ("message_ping", 1),
        ("message_pong", 0),
        ("message_close", 0),
    ]


def test_received_time_is_that_of_the_last_chunk() -> None:
    stream = Stream()
    data = frame(1, b"Hello")
    stream.receive(data[:3], 0, 3, 1.0)
    assert stream.next_event() is None
    stream.receive(data[3:], 0, len(data) - 3, 2.0)
    event = stream.next_event()
    assert event is not None
    assert event.received_time == 2.0
