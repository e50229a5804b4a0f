"""A hundred clients with fifty messages each: ``python examples/load.py [URL]``.

The URL is that of an echo server. Without a URL, the script starts an echo server.
``python -m greenws load`` is the complete version of this script.
"""

from __future__ import annotations

import sys
from time import perf_counter

import greenws
from greenws.testing import EchoServer

CLIENTS = 100
MESSAGES = 50


class Echoer(greenws.Client):
    left = MESSAGES

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_text("x" * 64)

    def on_text(self, event: greenws.events.Text) -> None:
        self.left -= 1
        if self.left:
            self.send_text(event.text)
        else:
            self.close()


def run(url: str) -> None:
    began = perf_counter()
    clients = [Echoer(url).start() for _ in range(CLIENTS)]
    for client in clients:
        client.join()
    seconds = perf_counter() - began
    done = sum(MESSAGES - client.left for client in clients)
    print(f"{done} messages in {seconds:.2f} s, {done / seconds:.0f} a second")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(sys.argv[1])
    else:
        with EchoServer() as server:
            run(server.url)
