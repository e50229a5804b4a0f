"""The same loop with greenws, whose imports alone differ: ``python lomond_after.py URL``."""

from __future__ import annotations

import sys

from greenws import WebSocket, persist


def run(url: str) -> None:
    websocket = WebSocket(url)
    websocket.add_header(b"X-Client", b"1")
    for event in persist(websocket, min_wait=1, ping_rate=10, ping_timeout=20):
        if event.name == "ready":
            websocket.send_json(op="subscribe")
        elif event.name == "text":
            print("received:", event.json)
            websocket.close()
        elif event.name == "closed":
            print("closed:", event.code)
        elif event.name == "disconnected":
            break


if __name__ == "__main__":
    run(sys.argv[1])
