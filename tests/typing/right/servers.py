"""The server for tests, with a behaviour of the user's."""

from __future__ import annotations

from typing_extensions import assert_type

import greenws
from greenws.testing import EchoServer, Message, ServerConnection, close_with, in_turn, replies


def greet(connection: ServerConnection) -> None:
    connection.send("hello")
    for message in connection:
        assert_type(message, Message)
        connection.send(message if isinstance(message, str) else message.decode())


def run() -> None:
    with EchoServer(greet, subprotocols=["v1"], compress={"server_max_window_bits": 10}) as server:
        greenws.Client(server.url, proxies={}).run()
        assert_type(server.connections[0].close_code, int | None)
    EchoServer(in_turn(replies({"a": "b"}), close_with(4000)), port=0, max_size=None)
