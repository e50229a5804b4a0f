"""Events in a loop: ``python examples/iterate.py [URL]``.

The URL is that of an echo server. Without a URL, the script starts an echo server.
"""

from __future__ import annotations

import sys

from greenws import WebSocket, events, persist
from greenws.testing import EchoServer


def once(url: str) -> None:
    """Open one connection, and iterate its events until the end."""
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
    """Connect again and again; leaving the loop closes the connection."""
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
