"""gevent's own web server, in one process: ``python pywsgi_server.py flask_app:app [PORT]``."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()  # before anything else is imported

import importlib
import signal
import sys
from time import monotonic

import gevent
from feed import feed
from gevent.event import Event
from gevent.pywsgi import WSGIHandler, WSGIServer

import greenws

GRACEFUL_TIMEOUT = 30.0


class Handler(WSGIHandler):
    """Counts the requests under way: a connection that is only kept alive is none."""

    under_way = 0

    def handle_one_response(self) -> None:
        Handler.under_way += 1
        try:
            super().handle_one_response()
        finally:
            Handler.under_way -= 1


def main() -> None:
    module, name = sys.argv[1].split(":")
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    application = getattr(importlib.import_module(module), name)

    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopping.set)
    server = WSGIServer(("127.0.0.1", port), application, handler_class=Handler)
    feed.start()
    server.start()
    stopping.wait()

    # The order counts: no new requests; those under way end; and then the connection, which they
    # may need. The program must not end before, as it would from serve_forever().
    server.close()
    feed.end_streams()
    deadline = monotonic() + GRACEFUL_TIMEOUT
    while Handler.under_way and monotonic() < deadline:
        gevent.sleep(0.05)
    greenws.drain(timeout=5)


if __name__ == "__main__":
    main()
