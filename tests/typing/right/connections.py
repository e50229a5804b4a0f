"""Sequential code, annotated in full."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from typing_extensions import assert_type

import greenws
from greenws import errors, events
from greenws.connection import ConnectionOptions
from greenws.protocol.response import Response
from greenws.sessions.contract import Session


def read_key(event: events.Text | events.Binary) -> Hashable | None:
    return str(event.json["id"])


def chunks() -> Iterator[bytes]:
    yield b"one"


def talk(url: str, options: ConnectionOptions) -> None:
    with greenws.connect(
        url, compress={"min_size": 64}, max_queue=3, reply_key=read_key, ping_rate=None
    ) as connection:
        assert_type(connection, greenws.Connection)
        connection.send("text")
        connection.send(bytearray(b"binary"))
        connection.send_json([1])
        connection.send_json(op="subscribe")
        connection.send_stream(chunks())
        connection.send_stream(["one", "two"], compress=False)
        assert_type(connection.receive(), str | bytes)
        assert_type(connection.receive_json(timeout=0.5), Any)
        assert_type(connection.ping(1), float)
        assert_type(connection.latency, float | None)
        reply = connection.request({"id": 1}, lambda event: event.name == "text", timeout=5)
        assert_type(reply, events.Text | events.Binary)
        assert_type(reply.json, Any)
        if reply.name == "text":
            print(reply.text)
        assert_type(connection.request(b"x", key=("a", 1)), events.Text | events.Binary)
        for message in connection:
            assert_type(message, str | bytes)
        for piece in connection.receive_stream(timeout=1):
            assert_type(piece, str | bytes)
        assert_type(connection.response, Response)
        assert_type(connection.protocol, str | None)
        assert_type(connection.session, Session | None)
        assert_type(connection.websocket, greenws.WebSocket)
        connection.close(None)
    assert_type(connection.close_code, int | None)
    assert_type(connection.close_reason, str | None)
    try:
        greenws.connect(url, **options)
    except errors.Rejected as error:
        assert_type(error.response, Response | None)
    except errors.WebSocketClosed as closed:
        assert_type(closed.code, int)
        assert_type(closed.sent_code, int | None)


class Asking(greenws.Client):
    def reply_key(self, event: events.Text | events.Binary) -> int | None:
        return None

    def ask(self) -> Any:
        reply = self.request({"id": 1}, key=1, timeout=1)
        return reply.json if isinstance(reply, events.Text) else reply.data
