"""A bot that stays connected: ``python examples/bot.py [URL]``. It says hello in each connection.

Without a URL there is a server that is busy first, then drops a connection, and then lasts.
"""

from __future__ import annotations

import sys

import greenws
from greenws.testing import EchoServer, accept, drop, echo, in_turn, reject


class Bot(greenws.Client):
    # Half a second at first, then longer and longer; a Retry-After of the server goes before.
    reconnect = greenws.Backoff(min_wait=0.5, max_wait=30, reset_after=60)
    ping_rate = 10
    ping_timeout = 25
    connections = 0

    def headers(self) -> dict[str, str]:
        """Called for each connection: a token that expires is fetched here."""
        return {"Authorization": f"Bearer token-{self.connections}"}

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.connections += 1
        self.send_text(f"hello, for the {self.connections}. time")

    def on_text(self, event: greenws.events.Text) -> None:
        print(event.text)
        if self.connections == 2:
            self.close()  # ends the reconnecting, too

    def on_back_off(self, event: greenws.events.BackOff) -> None:
        print(f"again in {event.delay:.1f} s")

    def on_close(self, event: greenws.events.Disconnected) -> None:
        print("lost:" if event.code == 1006 else "closed:", event.reason)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Bot(sys.argv[1]).run()
    else:
        opening = in_turn(reject(503, "Busy", headers=[("Retry-After", "0.1")]), accept)
        with EchoServer(in_turn(echo, drop(after=1), echo), opening=opening) as server:
            Bot(server.url).run()
