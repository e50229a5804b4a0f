"""Clients for the tests of groups, and a server that counts the openings under way."""

from __future__ import annotations

from typing import Any, ClassVar

import gevent

from greenws import Backoff, Client
from greenws.testing import ServerConnection, accept

QUICK = Backoff(min_wait=0.001, max_wait=0.01)

NOWHERE = "ws://127.0.0.1:1/"  # tcpmux: nobody listens


class Feed(Client):
    """Takes what comes, and what goes wrong."""

    proxies: ClassVar[Any] = {}

    def on_connect_fail(self, event: Any) -> None:
        """No warning in the log."""

    def on_rejected(self, event: Any) -> None:
        """Likewise."""

    def on_text(self, event: Any) -> None:
        """Wants its messages."""


class Failing(Feed):
    """Its first handler fails."""

    def on_ready(self, event: Any) -> None:
        raise LookupError(self.url)


class Counter:
    """An opening that counts how many of its kind are under way."""

    def __init__(self, seconds: float = 0.002) -> None:
        self.now = self.most = self.total = 0
        self._seconds = seconds

    def __call__(self, connection: ServerConnection) -> None:
        self.now += 1
        self.total += 1
        self.most = max(self.most, self.now)
        try:
            gevent.sleep(self._seconds)
        finally:
            # It is over for the server when the answer is made; the client gets it later.
            self.now -= 1
        accept(connection)
