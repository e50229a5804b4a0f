"""Subscribe to a feed and print its messages: ``python examples/ticker.py [URL]``.

Without a URL, the script starts a server that sends ten trades and closes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import greenws
from greenws.testing import EchoServer, ServerConnection


class Ticker(greenws.Client):
    compress = True
    open_timeout = 10

    def on_connect_fail(self, event: greenws.events.ConnectFail) -> None:
        print("no connection:", event.reason)

    def on_rejected(self, event: greenws.events.Rejected) -> None:
        print("rejected:", event.response.status_code, event.response.body[:200])

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_json(op="subscribe", channel="trades")

    def on_text(self, event: greenws.events.Text) -> None:
        print(event.json)

    def on_close(self, event: greenws.events.Disconnected) -> None:
        print("closed:", event.code)


def feed(connection: ServerConnection) -> Any:
    subscription = json.loads(connection.receive())
    for number in range(10):
        connection.send(json.dumps({"channel": subscription["channel"], "price": 100 + number}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Ticker(sys.argv[1]).run()
    else:
        with EchoServer(feed) as server:
            Ticker(server.url).run()
