"""A request with create_connection: ``python create_connection_before.py URL``."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()  # before every other import, or each wait of websocket-client blocks the hub

import json
import sys

import websocket


def ask(url: str) -> None:
    connection = websocket.create_connection(
        url, timeout=5, header=["X-Api-Key: 1234"], cookie="session=5678", origin="https://app"
    )
    try:
        connection.send(json.dumps({"id": 1, "op": "quote"}))
        while True:  # an answer may come between other messages
            answer = json.loads(connection.recv())
            if answer["id"] == 1:
                break
        print("answer:", answer["op"])
        connection.settimeout(0.01)
        try:
            connection.recv()
        except websocket.WebSocketTimeoutException:
            print("nothing more")
    finally:
        connection.close()


if __name__ == "__main__":
    try:
        ask(sys.argv[1])
    except websocket.WebSocketBadStatusException as error:
        print("refused:", error.status_code)
    except (websocket.WebSocketException, OSError) as error:
        print("no connection:", error)
