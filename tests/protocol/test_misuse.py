"""Whatever the parser and the frames are called with, an error comes out, and no crash."""

from __future__ import annotations

from typing import Any

import pytest

from greenws.errors import ProtocolError
from greenws.protocol import mask as mask_module
from greenws.protocol.frame import append_frame, build_frame
from greenws.protocol.mask import drop_pool, mask, write_masked
from greenws.protocol.stream import Stream
from tests.support.streams import frame

BINARY = frame(2, b"payload")


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize(
    ("start", "stop"), [(0, 10**6), (-1, 3), (5, 4), (0, 10), (10**18, 10**18)]
)
def test_bytes_that_a_chunk_has_not_are_refused(kind: type, start: int, stop: int) -> None:
    stream = Stream()
    with pytest.raises(ValueError, match="no bytes"):
        stream.receive(kind(BINARY), start, stop, 0.0)
    with pytest.raises(ValueError, match="no bytes"):
        stream.digest(kind(BINARY), start, stop, 0.0)
    assert stream.next_event() is None


@pytest.mark.parametrize("chunk", [None, "text", 7, [1, 2, 3]])
def test_a_chunk_that_is_no_bytes_is_refused(chunk: Any) -> None:
    stream = Stream()
    with pytest.raises(TypeError):
        stream.receive(chunk, 0, 0, 0.0)
    assert stream.next_event() is None


def test_a_chunk_cannot_be_resized_until_it_is_parsed() -> None:
    chunk = bytearray(BINARY * 2)
    stream = Stream()
    stream.receive(chunk, 0, len(chunk), 0.0)
    assert stream.next_event() is not None
    with pytest.raises(BufferError):
        chunk.clear()
    assert stream.next_event() is not None
    assert stream.next_event() is None
    chunk.clear()


@pytest.mark.parametrize("end", ["detach", "close"])
def test_a_chunk_that_is_let_go_may_be_resized(end: str) -> None:
    chunk = bytearray(BINARY * 2)
    stream = Stream()
    stream.receive(chunk, 0, len(chunk), 0.0)
    stream.next_event()
    getattr(stream, end)()
    chunk.clear()


@pytest.mark.parametrize("digest", [True, False])
def test_a_chunk_with_a_violation_may_be_resized(digest: bool) -> None:
    chunk = bytearray(b"\xff\xff" + BINARY)
    stream = Stream()
    if digest:
        assert not stream.digest(chunk, 0, len(chunk), 0.0)
    else:
        stream.receive(chunk, 0, len(chunk), 0.0)
    with pytest.raises(ProtocolError):
        stream.next_event()
    chunk.clear()


def test_a_handler_cannot_resize_the_chunk_it_came_in() -> None:
    chunk = bytearray(BINARY * 3)
    caught: list[BaseException] = []
    stream = Stream()
    stream.binary_handler = lambda event: chunk.extend(bytes(1 << 20))
    stream.handler_failed = caught.append
    assert stream.digest(chunk, 0, len(chunk), 0.0)
    assert [type(error) for error in caught] == [BufferError] * 3


def test_payload_resized_by_others_while_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = bytearray(b"x" * 20)

    def wait_for_random_bytes(count: int) -> bytes:
        payload.extend(bytes(1 << 20))  # as another thread may, meanwhile
        return bytes(count)

    monkeypatch.setattr(mask_module.os, "urandom", wait_for_random_bytes)
    drop_pool()
    out = bytearray()
    append_frame(out, 2, payload)
    drop_pool()
    assert out == build_frame(2, b"x" * 20, masked=False).replace(b"\x14", b"\x94\0\0\0\0")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (append_frame, (None, 2, b"x")),
        (append_frame, (bytearray(), 2, None)),
        (write_masked, (None, 0, b"x", b"abcd")),
        (write_masked, (bytearray(10), 0, None, b"abcd")),
        (write_masked, (bytearray(10), 0, b"x", None)),
        (mask, (None, b"abcd")),
        (mask, (b"x", None)),
    ],
)
def test_none_is_refused(function: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        function(*arguments)
