"""Events in a loop with lomond: ``python lomond_before.py URL``."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()  # before every other import, or each wait of lomond blocks the hub

import sys

from lomond import WebSocket
from lomond.persist import persist


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
