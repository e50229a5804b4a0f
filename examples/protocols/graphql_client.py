"""GraphQL over one connection, by graphql-transport-ws: ``python graphql_client.py URL [TOKEN]``.

The URL is that of ``servers/graphql_server.js``, which wants the token "secret".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from typing import Any

import gevent
from gevent.queue import Queue

import greenws


class GraphQLError(Exception):
    """The server has refused an operation; its errors are the argument."""


class GraphQL(greenws.Client):
    """Queries and subscriptions, any number of them at once, from any greenlet."""

    protocols = ("graphql-transport-ws",)

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._numbers = map(str, count(1))
        self._subscriptions: dict[str, Queue[dict[str, Any]]] = {}

    def open(self, timeout: float = 10, **parameters: Any) -> None:
        """Connect, and wait until the server has accepted the parameters, such as a token."""
        if not self.start().wait_ready(timeout):
            raise ConnectionError(f"no connection to {self.url}")
        hello = {"type": "connection_init", "payload": parameters}
        self.request(hello, lambda event: event.json["type"] == "connection_ack", timeout=timeout)

    def query(self, text: str, timeout: float = 30, **variables: Any) -> Any:
        """Return the data of a query or a mutation."""
        number = next(self._numbers)
        return read(self.request(build(number, text, variables), key=number, timeout=timeout).json)

    def subscribe(self, text: str, **variables: Any) -> Iterator[Any]:
        """Iterate over the data that a subscription brings; leaving the iteration ends it."""
        number = next(self._numbers)
        # A subscriber that is slow holds the server back, and with it the whole connection.
        results = self._subscriptions[number] = Queue(maxsize=100)
        message = {"type": "next"}
        try:
            self.send_json(build(number, text, variables))
            while (message := results.get())["type"] != "complete":
                yield read(message)
        finally:
            del self._subscriptions[number]
            while not results.empty():
                results.get()  # on_text may wait for room
            if message["type"] == "next" and self.is_ready:
                self.send_json(id=number, type="complete")

    def reply_key(self, event: greenws.events.AnyMessage) -> Any:
        return event.json.get("id")

    def on_text(self, event: greenws.events.Text) -> None:
        message = event.json
        if message["type"] == "ping":
            self.send_json(type="pong")
        elif message.get("id") in self._subscriptions:  # and not the "complete" of a query
            self._subscriptions[message["id"]].put(message)

    def on_close(self, event: greenws.events.Disconnected) -> None:
        end = {"type": "error", "payload": f"closed: {event.code} {event.reason}"}
        for results in self._subscriptions.values():
            gevent.spawn(results.put, end)  # as soon as there is room


def build(number: str, text: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Return the message that begins an operation."""
    return {"id": number, "type": "subscribe", "payload": {"query": text, "variables": variables}}


def read(message: dict[str, Any]) -> Any:
    """Return the data in an answer to an operation."""
    errors = message["payload"] if message["type"] == "error" else message["payload"].get("errors")
    if errors:
        raise GraphQLError(errors)
    return message["payload"]["data"]


if __name__ == "__main__":
    client = GraphQL(sys.argv[1])
    client.open(token=sys.argv[2] if len(sys.argv) > 2 else "secret")
    adding = "query Add($left: Int!, $right: Int!) { add(left: $left, right: $right) }"
    print("2 + 3 =", client.query(adding, left=2, right=3)["add"])
    for result in client.subscribe("subscription Count { countdown(start: 3) }"):
        print(result)
    client.close()
