"""One call after the other: ``python examples/sequential.py [URL]``.

The URL is that of an echo server. Without a URL, the script starts an echo server.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import gevent

import greenws
from greenws.testing import EchoServer


def read_key(event: greenws.events.Text | greenws.events.Binary) -> int | None:
    """Tell which request a message answers."""
    if event.name == "binary" or not event.text.startswith("{"):
        return None
    number: int | None = event.json.get("id")
    return number


def count() -> Iterator[str]:
    """Make the chunks of a message."""
    for number in range(5):
        yield f"{number} "


def ask(connection: greenws.Connection, number: int) -> int:
    """Send a request, and return the number in its reply."""
    reply = connection.request({"id": number, "op": "add"}, key=number, timeout=10)
    found = read_key(reply)
    assert found is not None
    return found


def talk(url: str) -> None:
    with greenws.connect(url, open_timeout=10, reply_key=read_key) as connection:
        connection.send("hello")
        print("received:", connection.receive(timeout=10))

        # Any number of greenlets may ask at once, each for its own reply.
        requests = [gevent.spawn(ask, connection, number) for number in range(3)]
        print("replies:", [request.get() for request in requests])

        connection.send_stream(count())
        print("in pieces:", "".join(map(str, connection.receive_stream(timeout=10))))

        try:
            connection.receive(timeout=0.01)
        except TimeoutError:
            print("nothing more")
    print("closed:", connection.close_code)


if __name__ == "__main__":
    try:
        if len(sys.argv) > 1:
            talk(sys.argv[1])
        else:
            with EchoServer() as server:
                talk(server.url)
    except greenws.errors.ConnectFail as error:
        print("no connection:", error)
