"""A WSGI application that asks a WebSocket service: ``python examples/bridge.py [URL]``.

All requests share one client. Each question has a number and waits for the answer with that number.
The application is plain WSGI; a view of Flask would have the body of ``application``. The service
must answer ``{"id": 1, "word": "x"}`` with the same id, as an echo server does. The script serves
on a free port, sends itself one request, prints the answer, and ends.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from gevent import Timeout, socket
from gevent.event import AsyncResult
from gevent.pywsgi import WSGIServer

import greenws
from greenws.testing import EchoServer


class Service(greenws.Client):
    """Questions and answers over one connection, from any number of greenlets."""

    reconnect = True

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, AsyncResult[Any]] = {}

    def ask(self, word: str, timeout: float = 5) -> Any:
        number = next(self._numbers)
        answer = self._waiting[number] = AsyncResult()
        try:
            self.send_json(id=number, word=word)
            return answer.get(timeout=timeout)
        finally:
            del self._waiting[number]

    def on_text(self, event: greenws.events.Text) -> None:
        answer = self._waiting.get(event.json["id"])
        if answer is not None:
            answer.set(event.json)

    def on_close(self, event: greenws.events.Disconnected) -> None:
        for answer in self._waiting.values():
            answer.set_exception(ConnectionError(event.reason))


def make_application(service: Service) -> Callable[..., Iterable[bytes]]:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        headers = [("Content-Type", "text/plain; charset=utf-8")]
        try:
            answer = service.ask(environ["PATH_INFO"].strip("/"))
        except (greenws.errors.WebSocketError, ConnectionError, Timeout) as error:
            start_response("502 Bad Gateway", headers)
            return [f"{error!r}\n".encode()]
        start_response("200 OK", headers)
        return [f"{answer['word']}\n".encode()]

    return application


def fetch(address: tuple[str, int], path: str) -> str:
    with socket.create_connection(address) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(4096), b"")).decode()


if __name__ == "__main__":
    with ExitStack() as stack:
        url = sys.argv[1] if len(sys.argv) > 1 else stack.enter_context(EchoServer()).url
        service = Service(url).start()
        stack.callback(service.kill)
        if not service.wait_ready(timeout=10):
            sys.exit(f"no connection to {url}")
        web = WSGIServer(("127.0.0.1", 0), make_application(service), log=None)
        web.start()
        stack.callback(web.stop)
        print(fetch(web.socket.getsockname(), "/hello"))
