"""Checks of a stream of frames, and the outcomes that many tests expect."""

from __future__ import annotations

from typing import Any

from greenws.protocol.stream import Stream
from tests.support.streams import feed_every_way, frame

VIOLATION = ("error", "ProtocolError", 1002)

TOO_LARGE = ("error", "PayloadTooLarge", 1009)

BAD_DATA = ("error", "CriticalProtocolError", 1007)

TRAILING = ("text", "trailing")

DEFLATED: dict[str, Any] = {}


def check(data: bytes, *expected: tuple[Any, ...], **options: Any) -> None:
    """Feed data in every way, alone and with trailing bytes.

    The trailing bytes are a message that is parsed, too, unless the stream has ended before.
    """
    expected_list = list(expected)
    assert feed_every_way(data, **options) == expected_list
    is_over = bool(expected) and expected[-1][0] in ("error", "closing")
    masked = not options.get("is_client", True)
    trailing = frame(1, b"trailing", masked=masked)
    if not is_over:
        expected_list.append(TRAILING)
    assert feed_every_way(data + trailing, **options) == expected_list


def drain(stream: Stream, data: bytes) -> list[Any]:
    stream.receive(data, 0, len(data), 0.0)
    events = []
    while (event := stream.next_event()) is not None:
        events.append(event)
    return events
