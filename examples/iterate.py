"""Events in a loop instead of methods: ``python examples/iterate.py [URL]`` of an echo server."""

from __future__ import annotations

import sys

from greenws import WebSocket, events, persist
from greenws.testing import EchoServer


def once(url: str) -> None:
    """One connection, from its beginning to its end."""
    websocket = WebSocket(url, compress=True, open_timeout=10)
    for event in websocket.connect(ping_rate=10, ping_timeout=25, close_timeout=5):
        if event.name == "ready":
            websocket.send_text("hello")
        elif event.name == "text":
            print(event.text)
            websocket.close()
        elif isinstance(event, (events.ConnectFail, events.Rejected, events.Disconnected)):
            print(event.name, event.reason)


def lasting(url: str) -> None:
    """Connect again and again; leaving the loop closes what is open."""
    websocket = WebSocket(url, open_timeout=10)
    for event in persist(websocket, min_wait=1, max_wait=30):
        if event.name == "ready":
            websocket.send_binary(b"bytes")
        elif event.name == "binary":
            print(event.data)
            break


if __name__ == "__main__":
    if len(sys.argv) > 1:
        once(sys.argv[1])
        lasting(sys.argv[1])
    else:
        with EchoServer() as server:
            once(server.url)
            lasting(server.url)
