"""The half of a WebSocket that a session drives: bytes in, events out, by lomond's names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import greenws
from greenws import errors
from greenws.protocol.frame import build_close_payload, build_frame
from greenws.protocol.response import Response
from greenws.protocol.stream import Stream
from tests.sessions.memory import CLOSE, TEXT, MemorySession, frame, make, names, run


def test_bytes_may_come_as_a_memoryview_and_byte_by_byte() -> None:
    class Dribbling(MemorySession):
        inbound = (frame(TEXT, b"world"), frame(CLOSE, build_close_payload(1000)))

        def run(self, *args: Any, **options: Any) -> Iterator[Any]:
            websocket = self.websocket
            data = self._accept(websocket.build_request()) + b"".join(self.inbound)  # type: ignore[arg-type]
            view = memoryview(data)
            for at in range(len(view)):
                yield from websocket.feed(view[at : at + 1])
            websocket.on_disconnect()
            yield from websocket.feed(b"more")

    assert names(run(Dribbling)[1]) == ["ready", "text", "closing"]


def test_an_iteration_that_is_left_closes_the_session() -> None:
    for opening in (True, False):
        websocket = greenws.WebSocket("ws://example.org/", proxies={})
        iteration = websocket.connect(make(inbound=(frame(TEXT, b"1") + frame(TEXT, b"2"),)))
        for event in iteration:
            if event.name == ("ready" if opening else "text"):
                break
        iteration.close()  # type: ignore[attr-defined]
        assert websocket.is_closed
        assert websocket.session.calls == ["close"]


def test_a_second_iteration_of_another_session_leaves_the_first_alone() -> None:
    websocket = greenws.WebSocket("ws://example.org/", proxies={})
    first = websocket.connect(make(inbound=(frame(TEXT, b"1"),)))
    for event in first:
        if event.name == "text":
            break
    session = websocket.session
    with pytest.raises(RuntimeError, match="connected already"):
        next(websocket.connect(make()))
    with pytest.raises(RuntimeError, match="connected already"):
        websocket.reset()
    assert websocket.is_ready
    assert websocket.session is session
    first.close()  # type: ignore[attr-defined]
    assert [event.name for event in websocket.connect(make())][-1] == "disconnected"


def test_an_iteration_of_another_session_that_was_replaced_does_not_begin() -> None:
    websocket = greenws.WebSocket("ws://example.org/", proxies={})
    first = websocket.connect(make())
    second = websocket.connect(make())
    with pytest.raises(RuntimeError, match="since"):
        next(first)
    assert [event.name for event in second][-1] == "disconnected"


def test_a_rejection_ends_it_before_its_event() -> None:
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "rejected":
            assert websocket.is_closed
            assert websocket.session.calls == ["close"]

    run(make(head=b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), handle)


def test_messages_may_still_be_sent_while_the_server_closes() -> None:
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "closing":
            websocket.send_text("last")

    websocket, found = run(
        make(inbound=(frame(CLOSE, build_close_payload(1001, "going")),)), handle
    )
    assert websocket.session.sent == [("frame 1", b"last"), ("frame 8", b"\3\xe9going")]
    assert websocket.state.close_reason == "going"


def test_extensions_and_responses_are_checked_by_lomonds_names() -> None:
    websocket = greenws.WebSocket("ws://example.org/", proxies={}, compress=True)
    websocket.reset()
    websocket.build_request()
    assert websocket.process_extensions(["permessage-deflate"]) == {"permessage-deflate"}
    assert websocket.supports_compression
    with pytest.raises(errors.HandshakeError):
        websocket.process_extensions(["snappy"])
    with pytest.raises(errors.HandshakeError):
        websocket.on_response(Response(b"HTTP/1.1 101 Yes\r\n\r\n"))
    records: list[Any] = []
    websocket.trace = records.append
    websocket._emit_trace("step", length=3)
    assert records == [{"stage": "step", "url": "ws://example.org/", "length": 3}]


def test_a_server_understands_what_the_session_was_given() -> None:
    # The payloads are those of the frames, deflated or not, whatever they were given as.
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "ready":
            websocket.send_binary(bytearray(b"abc"))
            websocket.send_binary(memoryview(b"abcdef")[::2])
            websocket.send_json(op="subscribe")

    websocket, _ = run(make(), handle)
    wire = b"".join(
        build_frame(int(kind.split()[1]), payload) for kind, payload in websocket.session.sent
    )
    server = Stream(is_client=False)
    server.receive(wire, 0, len(wire), 0.0)
    assert [server.next_event().data for _ in range(2)] == [b"abc", b"ace"]  # type: ignore[union-attr]
    assert server.next_event().json == {"op": "subscribe"}  # type: ignore[union-attr]
