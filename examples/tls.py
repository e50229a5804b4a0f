"""TLS with a context of your own: ``python examples/tls.py wss://HOST:PORT/ CAFILE [CERTFILE]``.

CAFILE has the certificates of the authorities to trust instead of certifi's. CERTFILE has the
certificate and key of the client. ``connect_fail`` reports why a connection fails. Without
arguments, the script connects to a server that does not speak TLS.
"""

from __future__ import annotations

import ssl
import sys

import greenws
from greenws.testing import EchoServer, drop, send_raw


def make_context(cafile: str | None = None, certfile: str | None = None) -> ssl.SSLContext:
    # A plain context of the standard library: greenws drives the context without blocking the hub.
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
        # Share one context among all clients: making and keeping a context costs time and memory.
        Careful(sys.argv[1], ssl_context=make_context(*sys.argv[2:4])).run()
    else:
        answer = send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", then=drop(reset=False))
        with EchoServer(opening=answer) as server:
            Careful(server.url.replace("ws:", "wss:"), ssl_context=make_context()).run()
