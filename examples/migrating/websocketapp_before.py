"""A feed with websocket-client's WebSocketApp: ``python websocketapp_before.py URL``."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()  # before every other import, or each wait of websocket-client blocks the hub

import sys

import gevent
import websocket


class Feed:
    def __init__(self, url: str) -> None:
        self.left = 3
        self.app = websocket.WebSocketApp(
            url,
            header=["Authorization: Bearer secret"],
            on_open=self.on_open,
            on_message=self.on_message,
            on_error=self.on_error,
            on_close=self.on_close,
        )

    def run(self) -> None:
        self.app.run_forever(ping_interval=30, ping_timeout=10, reconnect=5)

    def on_open(self, app: websocket.WebSocketApp) -> None:
        app.send("subscribe")

    def on_message(self, app: websocket.WebSocketApp, message: str | bytes) -> None:
        print("received:", message)
        self.left -= 1
        if self.left:
            app.send(f"{self.left} more")
        else:
            app.close()

    def on_error(self, app: websocket.WebSocketApp, error: Exception) -> None:
        print("error:", error)

    def on_close(self, app: websocket.WebSocketApp, code: int | None, reason: str | None) -> None:
        print("closed:", code)


if __name__ == "__main__":
    gevent.spawn(Feed(sys.argv[1]).run).join()
