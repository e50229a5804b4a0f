"""What is common to all web frameworks and servers: one connection to the service for each process.

``feed`` is that connection. The hook of the web server starts it: gunicorn.conf.py, uwsgi_hooks.py
or pywsgi_server.py. The views of flask_app.py, django_app.py and pyramid_app.py use it.
docs/webapps.rst explains both.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Hashable, Iterator
from http import HTTPStatus
from time import monotonic
from typing import Any

from gevent.queue import Empty, Queue

import greenws

#: Seconds without a message after which the service counts as unhealthy.
MAX_AGE = 30.0
#: Seconds that the service has for a reply.
REPLY_TIMEOUT = 10.0
#: Seconds between two signs of life to a browser. A browser that has gone is noticed by them.
HEARTBEAT = 15.0
#: Messages that wait for a slow browser. More than these, and it misses the oldest.
MAX_WAITING = 100

#: Nobody in between may keep an event stream, or hold it back.
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

Answer = tuple[int, dict[str, Any]]


class Feed(greenws.Client):
    """Ticks for all browsers, and replies for all requests, over one connection."""

    reconnect = True

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._numbers = itertools.count(1)
        self._browsers: set[Queue[str | None]] = set()
        self._heard: float | None = None
        self._is_ending = False

    # The service

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_json(op="subscribe")

    def on_text(self, event: greenws.events.Text) -> None:
        self._heard = monotonic()
        for browser in self._browsers:
            _offer(browser, event.text)

    def reply_key(self, event: greenws.events.Text | greenws.events.Binary) -> Hashable | None:
        key: Hashable | None = event.json.get("id")
        return key  # None: it is a tick

    # The views: a status and a JSON object, or a stream

    def health(self) -> Answer:
        """Whether this process can serve: for a load balancer, or a readiness probe."""
        age = None if self._heard is None else monotonic() - self._heard
        is_fresh = age is not None and age < MAX_AGE
        is_healthy = self.is_ready and is_fresh and not self._is_ending
        status = HTTPStatus.OK if is_healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return status, {"ready": self.is_ready, "age": age, "pid": os.getpid()}

    def quote(self, symbol: str, timeout: float = REPLY_TIMEOUT) -> Answer:
        """Ask the service, and wait for its reply; other requests go on meanwhile."""
        number = next(self._numbers)
        question = {"op": "quote", "id": number, "symbol": symbol}
        try:
            self.wait_ready(timeout)  # it may be reconnecting
            reply = self.request(question, key=number, timeout=timeout)
        except greenws.errors.WebSocketError as error:
            return HTTPStatus.BAD_GATEWAY, {"error": str(error)}
        except TimeoutError as error:
            return HTTPStatus.GATEWAY_TIMEOUT, {"error": str(error)}
        self._heard = monotonic()
        return HTTPStatus.OK, reply.json

    def stream(self) -> Iterator[bytes]:
        """Server-sent events for one browser, until it leaves or the process stops."""
        browser: Queue[str | None] = Queue(MAX_WAITING)
        self._browsers.add(browser)
        try:
            yield b"retry: 1000\n\n"  # milliseconds, after which it comes back when the stream ends
            while not self._is_ending:
                try:
                    text = browser.get(timeout=HEARTBEAT)
                except Empty:
                    yield b": still here\n\n"
                    continue
                if text is not None:
                    lines = re.split("\r\n|\r|\n", text)
                    yield "".join([*(f"data: {line}\n" for line in lines), "\n"]).encode()
            yield b": goodbye\n\n"  # the browser will come back, to another process
        finally:
            self._browsers.discard(browser)

    # The end

    def end_streams(self) -> None:
        """End all streams, which would never end by themselves: a graceful stop waits for them."""
        self._is_ending = True
        for browser in self._browsers:
            _offer(browser, None)


def _offer(browser: Queue[str | None], text: str | None) -> None:
    if browser.full():
        browser.get_nowait()
    browser.put_nowait(text)


feed = Feed(os.environ.get("FEED_URL", "ws://127.0.0.1:8765/"))
