"""Messages in sequence with websockets' threads: ``python websockets_sync_before.py URL``."""

from __future__ import annotations

import sys

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


def talk(url: str) -> None:
    with connect(url, open_timeout=5, close_timeout=5) as websocket:
        websocket.send("hello")
        print("received:", websocket.recv(timeout=5))
        websocket.send(["in ", "pieces"])
        print("in pieces:", "".join(map(str, websocket.recv_streaming())))
        try:
            websocket.recv(timeout=0.01)
        except TimeoutError:
            print("nothing more")
        websocket.ping().wait(5)
        websocket.close(1000, "bye")
        try:
            websocket.recv()
        except ConnectionClosed as end:
            print("closed:", end.rcvd.code if end.rcvd else "no close frame")


if __name__ == "__main__":
    try:
        talk(sys.argv[1])
    except InvalidStatus as error:
        print("refused:", error.response.status_code)
    except OSError as error:
        print("no connection:", error)
