"""The same bot with greenws: ``python websockets_asyncio_after.py URL``."""

from __future__ import annotations

import sys

import greenws


class Bot(greenws.Client):
    headers = {"X-Bot": "7"}
    compress = True  # the default of websockets
    ping_rate = 20
    ping_timeout = 40  # the default of websockets: 20 seconds after a ping
    reconnect = greenws.Backoff(min_wait=0.1)
    count = 0

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.count += 1
        self.send_text(f"hello {self.count}")

    def on_text(self, event: greenws.events.Text) -> None:
        print("received:", event.text)
        if self.count == 2:
            self.close()  # also ends the reconnecting

    def on_close(self, event: greenws.events.Disconnected) -> None:
        if event.graceful:
            print("closed:", event.code)
        else:
            print("lost:", "no close frame" if event.code == 1006 else event.code)


if __name__ == "__main__":
    Bot(sys.argv[1]).run()
