"""Two hundred clients lose their server, and come back in step: ``python examples/group.py [URL]``.

The URL is that of an echo server. Without a URL, the script starts an echo server, and takes it
away for a moment.
"""

from __future__ import annotations

import sys

import greenws
from greenws.testing import EchoServer

CLIENTS = 200


class Feed(greenws.Client):
    reconnect = greenws.Backoff(min_wait=0.1, max_wait=0.2)

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_text("hello")

    def on_connect_fail(self, event: greenws.events.ConnectFail) -> None:
        """The server is away. ``reconnect`` goes on trying."""


def run(url: str, server: EchoServer | None = None) -> None:
    with greenws.ClientGroup(max_connecting=20) as group:
        group.start(Feed(url) for _ in range(CLIENTS))
        if not group.wait_ready(timeout=20):
            sys.exit(f"not all are ready: {group.stats()}")
        print(f"ready: {group.stats()['ready']}")
        if server is not None:
            server.stop()
            server.wait_idle()
            server.start()
            server.wait_connections(CLIENTS, timeout=20)
            group.wait_ready(timeout=20)
            print(f"ready again: {group.stats()['ready']}")
        killed = group.drain(timeout=10)
        stats = group.stats()
    print(f"closed: {stats['ended']}, killed: {killed}")
    print(f"connections: {stats['opened']}, hellos: {stats['messages_sent']}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(sys.argv[1])
    else:
        with EchoServer() as server:
            run(server.url, server)
