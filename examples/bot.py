"""A bot that stays connected: ``python examples/bot.py [URL]``.

The bot sends a hello on each connection. Without a URL, the script starts a server that first
refuses a connection, then drops one, and then keeps one.
"""

from __future__ import annotations

import sys

import greenws
from greenws.testing import EchoServer, accept, drop, echo, in_turn, reject


class Bot(greenws.Client):
    # The first wait is half a second, and the waits grow. They are never shorter than a Retry-After
    # of the server.
    reconnect = greenws.Backoff(min_wait=0.5, max_wait=30, reset_after=60)
    ping_rate = 10
    ping_timeout = 25
    connections = 0

    def headers(self) -> dict[str, str]:
        """Return the headers of one connection; the place to fetch a token that expires."""
        return {"Authorization": f"Bearer token-{self.connections}"}

    def on_rejected(self, event: greenws.events.Rejected) -> None:
        print("refused:", event.response.status_code)

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.connections += 1
        self.send_text(f"hello, for the {self.connections}. time")

    def on_text(self, event: greenws.events.Text) -> None:
        print(event.text)
        if self.connections == 2:
            self.close()  # also ends the reconnecting

    def on_back_off(self, event: greenws.events.BackOff) -> None:
        print(f"again in {event.delay:.1f} s")

    def on_close(self, event: greenws.events.Disconnected) -> None:
        print("lost:" if event.code == 1006 else "closed:", event.reason)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Bot(sys.argv[1]).run()
    else:
        opening = in_turn(reject(503, "Busy", headers=[("Retry-After", "0")]), accept)
        with EchoServer(in_turn(echo, drop(after=1), echo), opening=opening) as server:
            Bot(server.url).run()
