"""The same messages with greenws: ``python websockets_sync_after.py URL``."""

from __future__ import annotations

import sys

import greenws


def talk(url: str) -> None:
    with greenws.connect(url, compress=True, open_timeout=5, close_timeout=5) as connection:
        connection.send("hello")
        print("received:", connection.receive(timeout=5))
        connection.send_stream(["in ", "pieces"])
        print("in pieces:", "".join(map(str, connection.receive_stream(timeout=5))))
        try:
            connection.receive(timeout=0.01)
        except TimeoutError:
            print("nothing more")
        connection.ping(timeout=5)
        connection.close(1000, "bye")
        try:
            connection.receive()
        except greenws.errors.WebSocketClosed as end:
            print("closed:", "no close frame" if end.code == 1006 else end.code)


if __name__ == "__main__":
    try:
        talk(sys.argv[1])
    except greenws.errors.Rejected as error:
        print("refused:", error.response.status_code if error.response else error)
    except greenws.errors.ConnectFail as error:
        print("no connection:", error)
