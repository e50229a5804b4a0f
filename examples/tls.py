"""TLS your way: ``python examples/tls.py wss://HOST:PORT/ CAFILE [CERTFILE]``.

CAFILE has the authorities to trust in place of certifi's, CERTFILE a certificate and key to show
to the server. What goes wrong is said by ``connect_fail``: without arguments, that the server
speaks no TLS.
"""

from __future__ import annotations

import ssl
import sys

import greenws
from greenws.testing import EchoServer, drop, send_raw


def make_context(cafile: str | None = None, certfile: str | None = None) -> ssl.SSLContext:
    # The plain one of the standard library: greenws drives it without blocking the hub.
    context = ssl.create_default_context(cafile=cafile)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if certfile is not None:
        context.load_cert_chain(certfile)
    return context


class Careful(greenws.Client):
    def on_connect_fail(self, event: greenws.events.ConnectFail) -> None:
        print("no connection:", event.reason)

    def on_ready(self, event: greenws.events.Ready) -> None:
        print("connected")
        self.close()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        # One context for all clients: it is what costs time and memory.
        Careful(sys.argv[1], ssl_context=make_context(*sys.argv[2:4])).run()
    else:
        answer = send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", then=drop(reset=False))
        with EchoServer(opening=answer) as server:
            Careful(server.url.replace("ws:", "wss:"), ssl_context=make_context()).run()
