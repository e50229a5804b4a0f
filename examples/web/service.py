"""A service to try the others on: a tick a second for subscribers, and replies to questions.

``python service.py [PORT]``; the port is 8765 otherwise.
"""

from __future__ import annotations

import json
import random
import sys
import time

import gevent
from gevent.pool import Group

from greenws.testing import EchoServer, ServerConnection


def serve(connection: ServerConnection) -> None:
    pushing = Group()
    try:
        for message in connection:
            asked = json.loads(message)
            if asked["op"] == "subscribe":
                pushing.spawn(push_ticks, connection)
            else:
                connection.send(json.dumps({**asked, "price": random.randint(90, 110)}))
    finally:
        pushing.kill()
        print(f"connection {connection.number} has ended: {connection.close_code}", flush=True)


def push_ticks(connection: ServerConnection) -> None:
    while connection.is_open:
        connection.send(json.dumps({"tick": random.randint(90, 110), "time": time.time()}))
        gevent.sleep(1)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    EchoServer(serve, port=port).serve_forever()
