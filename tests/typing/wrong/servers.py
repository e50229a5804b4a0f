"""Wrong use of the server for tests: each is an error on its own line."""

from __future__ import annotations

from greenws.testing import EchoServer, ServerConnection, close_with, respond


def greet(connection: ServerConnection, name: str) -> None:
    connection.send(name)


EchoServer(greet)  # error: arg-type
EchoServer(port="80")  # error: arg-type
EchoServer(subprotocol="v1")  # error: call-arg
EchoServer(respond(lambda message: 5))  # error: arg-type, return-value
EchoServer(close_with("4000"))  # error: arg-type
EchoServer().connections.first  # error: attr-defined
