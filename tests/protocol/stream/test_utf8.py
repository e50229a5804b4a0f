"""Text that is no UTF-8 is found by its first bad byte (section 6 of Autobahn's cases)."""

from __future__ import annotations

import pytest

from greenws.errors import CriticalProtocolError
from greenws.protocol.stream import Stream
from tests.protocol.stream.checks import (
    BAD_DATA,
    DEFLATED,
    check,
    drain,
)
from tests.support.streams import Feeder, deflate, frame

GOOD_TEXTS = [
    b"",
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbf",  # a noncharacter, and valid
    b"\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf",
    "κόσμε".encode(),
    "🙂𐍈".encode(),
]

BAD_TEXTS = [
    b"\x80",
    b"\xbf",
    b"\xc0\xaf",  # overlong
    b"\xc1\xbf",
    b"\xc2\x41",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",  # a surrogate
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",  # beyond U+10FFFF
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
]

CUT_TEXTS = [
    b"\xc2",
    b"\xe0",
    b"\xe0\xa0",
    b"\xed",
    b"\xf0",
    b"\xf0\x90",
    b"\xf0\x90\x80",
    b"a\xf4",
]


@pytest.mark.parametrize("text", GOOD_TEXTS)
def test_text_in_utf8_is_taken(text: bytes) -> None:
    expected = ("text", text.decode())
    check(frame(1, text), expected)
    check(b"".join(fragments(text)), expected)
    check(frame(1, deflate(text), rsv1=True), expected, agreement=DEFLATED)
    check(b"".join(deflated_fragments(text)), expected, agreement=DEFLATED)


@pytest.mark.parametrize("text", [b"ok" + text for text in BAD_TEXTS + CUT_TEXTS])
def test_text_that_is_not_utf8_is_an_error(text: bytes) -> None:
    check(frame(1, text), BAD_DATA)
    check(b"".join(fragments(text)), BAD_DATA)
    check(frame(1, deflate(text), rsv1=True), BAD_DATA, agreement=DEFLATED)
    check(b"".join(deflated_fragments(text)), BAD_DATA, agreement=DEFLATED)


def fragments(text: bytes) -> list[bytes]:
    """A fragment for each byte."""
    frames = [frame(1, fin=False)]
    frames += [frame(0, text[i : i + 1], fin=False) for i in range(len(text))]
    return [*frames, frame(0)]


def deflated_fragments(text: bytes) -> list[bytes]:
    wire = deflate(text)
    frames = [frame(1, fin=False, rsv1=True)]
    frames += [frame(0, wire[i : i + 1], fin=False) for i in range(len(wire))]
    return [*frames, frame(0)]


def find_first_bad_byte(text: bytes) -> int | None:
    """Find the first byte after which no continuation makes the text UTF-8, by trying them all."""
    for size in range(1, len(text) + 1):
        if not any(is_utf8(text[:size] + rest) for rest in ENDINGS):
            return size - 1
    return None


def is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


# Every character that has begun is ended by one of these.
ENDINGS = [rest * count for rest in (b"\x80", b"\x90", b"\xa0", b"\xbf") for count in range(4)] + [
    a + b"\x80" * n for a in (b"\x80", b"\x90", b"\x9f", b"\xa0") for n in range(3)
]


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_bad_utf8_is_found_by_its_first_bad_byte(text: bytes) -> None:
    bad = find_first_bad_byte(text)
    assert bad is not None
    for split in (frame_bytes, fragment_bytes):
        for before, last in [split(text, bad)]:
            feeder = Feeder()
            assert feeder.feed_all(before) == []
            assert feeder.feed_all([last]) == [BAD_DATA]


def frame_bytes(text: bytes, bad: int) -> tuple[list[bytes], bytes]:
    """One frame byte by byte up to the bad byte. More of the message would follow."""
    wire = frame(1, text + b"and more")
    position = len(wire) - len(text) - 8 + bad
    return [wire[i : i + 1] for i in range(position)], wire[position : position + 1]


def fragment_bytes(text: bytes, bad: int) -> tuple[list[bytes], bytes]:
    frames = fragments(text)
    return frames[: bad + 1], frames[bad + 1]


def test_bad_utf8_is_found_for_every_first_three_bytes() -> None:
    interesting = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xFF]
    leads = [0x41, 0x80, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3]
    for first in [*leads, 0xF4, 0xF5, 0xFF]:
        for second in interesting:
            for third in interesting:
                text = bytes([first, second, third])
                bad = find_first_bad_byte(text)
                feeder = Feeder()
                feeder.feed(frame(1, text + b"x" * 9)[:2])
                seen = None
                for position in range(3):
                    if not feeder.feed(text[position : position + 1]):
                        seen = position
                        break
                assert seen == bad, text


def test_error_does_not_show_the_text() -> None:
    with pytest.raises(CriticalProtocolError) as caught:
        drain(Stream(), frame(1, b"secret\xff"))
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
