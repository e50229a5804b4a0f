"""The same feed with greenws: ``python websocketapp_after.py URL``."""

from __future__ import annotations

import sys

import greenws


class Feed(greenws.Client):
    headers = {"Authorization": "Bearer secret"}
    ping_rate = 30
    ping_timeout = 40  # seconds of silence, so more than ping_rate
    reconnect = greenws.Backoff(min_wait=5)
    left = 3

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_text("subscribe")

    def on_text(self, event: greenws.events.Text) -> None:
        print("received:", event.text)
        self.left -= 1
        if self.left:
            self.send_text(f"{self.left} more")
        else:
            self.close()

    def on_connect_fail(self, event: greenws.events.ConnectFail) -> None:
        print("error:", event.reason)

    def on_close(self, event: greenws.events.Disconnected) -> None:
        print("closed:", event.code)


if __name__ == "__main__":
    Feed(sys.argv[1]).start().join()
