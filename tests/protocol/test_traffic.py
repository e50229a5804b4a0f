"""Messages are counted, whatever becomes of them."""

from __future__ import annotations

import pytest

from greenws.errors import CriticalProtocolError, PayloadTooLarge
from greenws.protocol.client_protocol import ClientProtocol
from greenws.protocol.frame import build_frame
from greenws.protocol.traffic import CountedStream, Traffic
from greenws.url import parse_url


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


def feed(stream: CountedStream, data: bytes) -> list[str]:
    stream.receive(data, 0, len(data), 0.0)
    found = []
    while (event := stream.next_event()) is not None:
        found.append(event.name)
    return found


FRAMES = b"".join(
    [
        build_frame(1, b"text", masked=False),
        build_frame(2, b"binary", masked=False),
        build_frame(9, b"ping", masked=False),
        build_frame(1, b"frag", fin=False, masked=False),
        build_frame(0, b"ments", masked=False),
        build_frame(1, "é".encode() * 200_000, masked=False),
    ]
)


@pytest.mark.parametrize("step", [1, 7, 10**9])
def test_messages_are_counted_however_they_come(traffic: Traffic, step: int) -> None:
    stream = CountedStream(traffic)
    data = FRAMES if step > 1 else FRAMES[:60]
    found: list[str] = []
    for start in range(0, len(data), step):
        found += feed(stream, data[start : start + step])
    names = [name for name in found if name != "ping"]
    assert traffic.messages_received == len(names)
    assert len(names) >= 3


def test_skipped_messages_are_counted(traffic: Traffic) -> None:
    stream = CountedStream(traffic)
    stream.skip_text = stream.skip_binary = True
    assert feed(stream, FRAMES) == ["ping"]
    assert traffic.messages_received == 4


def test_handled_messages_are_counted(traffic: Traffic) -> None:
    stream = CountedStream(traffic)
    seen: list[object] = []
    stream.text_handler = stream.binary_handler = seen.append
    assert feed(stream, FRAMES) == ["ping"]
    assert traffic.messages_received == len(seen) == 4


def test_refused_messages_are_not_counted(traffic: Traffic) -> None:
    with pytest.raises(PayloadTooLarge):
        feed(CountedStream(traffic, 10), build_frame(1, bytes(11), masked=False))
    with pytest.raises(CriticalProtocolError):
        feed(CountedStream(traffic), build_frame(1, b"\xff", masked=False))
    assert traffic.messages_received == 0


def test_protocol_counts_from_its_beginning(traffic: Traffic) -> None:
    protocol = ClientProtocol(parse_url("ws://example.org/"))
    protocol.stream.tracer = print
    protocol.count(traffic, None)
    assert isinstance(protocol.stream, CountedStream)
    assert protocol.stream.tracer is print
