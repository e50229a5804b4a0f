"""Connections that echo beside those that end, and that nothing may disturb."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import gevent.queue

import greenws
from greenws.testing import EchoServer
from tests.chaos.plan import Tools
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE

_SIZES = [0, 1, 100, 126, 3000, 70_000]


class Neighbour(greenws.Client):
    """Sends one message after the other, each when the one before has come back."""

    proxies = {}  # noqa: RUF012  # an option of a Client

    def begin(self, rng: random.Random) -> None:
        """Connect."""
        self.rng = rng
        #: Seconds of each round trip, without those in which the processor was somebody else's.
        self.round_trips: list[float] = []
        #: What has gone wrong.
        self.faults: list[str] = []
        self.replies: gevent.queue.Queue[Any] = gevent.queue.Queue()
        #: Cleared to have it rest.
        self.may_go = gevent.event.Event()
        self.is_resting = gevent.event.Event()
        self.start()
        assert self.wait_ready(PATIENCE), "a neighbour could not connect"
        self.talker = gevent.spawn(self._talk)

    def on_text(self, event: Any) -> None:
        self.replies.put(event.text)

    def on_binary(self, event: Any) -> None:
        self.replies.put(event.data)

    def on_disconnected(self, event: Any) -> None:
        self.faults.append(f"a neighbour has lost its connection: {event!r}")
        self.replies.put(None)

    def rest(self) -> None:
        """Stop after the message that is under way."""
        self.may_go.clear()
        if not self.is_resting.wait(PATIENCE + 1):
            self.faults.append("a neighbour does not come to rest")

    def go(self) -> None:
        """Go on."""
        self.is_resting.clear()
        self.may_go.set()

    def end(self) -> None:
        self.talker.kill()
        self.on_disconnected = lambda event: None  # type: ignore[method-assign]
        self.close()
        self.join(PATIENCE)

    def _talk(self) -> None:
        while True:
            if not self.may_go.is_set():
                self.is_resting.set()
                self.may_go.wait()
            self._exchange()
            gevent.sleep(0.002)

    def _exchange(self) -> None:
        size = self.rng.choice(_SIZES)
        message: Any = self.rng.randbytes(size)
        if self.rng.random() < 0.5:
            message = message.hex()
        watch = Stopwatch()
        try:
            if isinstance(message, str):
                self.send_text(message)
            else:
                self.send_binary(message)
            reply = self.replies.get(timeout=PATIENCE)
        except Exception as error:
            self.faults.append(f"a neighbour got no echo: {error!r}")
            self.may_go.clear()
            return
        self.round_trips.append(watch.own)
        if reply != message:
            self.faults.append(f"a neighbour got another echo: {reply[:40]!r}")


@contextlib.contextmanager
def neighbourhood(tools: Tools, count: int, seed: int) -> Iterator[list[Neighbour]]:
    """Connect neighbours: plain and TLS, compressed and not, in turn."""
    neighbours: list[Neighbour] = []
    # Servers that keep no messages, so that the memory is that of the ends.
    with (
        EchoServer(history=1) as plain,
        EchoServer(history=1, ssl_context=tools.server_context) as secure,
    ):
        try:
            for number in range(count):
                server = secure if number % 2 else plain
                url = server.url.replace("127.0.0.1", "localhost")
                neighbour = Neighbour(
                    url, compress=number % 4 > 1, ssl_cafile=tools.cafile, ping_rate=1000
                )
                neighbours.append(neighbour)
                neighbour.begin(random.Random(f"{seed}/neighbour/{number}"))
            yield neighbours
        finally:
            for neighbour in neighbours:
                neighbour.end()
