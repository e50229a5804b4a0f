"""A dial that its session can cut short from outside, at any switch."""

from __future__ import annotations

from typing import Any

from gevent import getcurrent

from ..errors import ConnectFail
from ..proxies.address import choose_proxy
from .contract import DrivenWebSocket, Target
from .dial import DialProgress, dial
from .transport import Transport
from .wait import Interrupted


class Approach:
    """One dial of a session, in the greenlet that runs the session."""

    __slots__ = ("_greenlet", "_is_under_way", "_progress", "_websocket")

    def __init__(self, websocket: DrivenWebSocket) -> None:
        self._websocket = websocket
        self._progress = DialProgress()
        self._greenlet: Any = None
        self._is_under_way = False

    def run(self, target: Target) -> tuple[Transport, str | None]:
        """Dial.

        :returns: the transport, and the URL of the proxy in between, without credentials.
        :raises ConnectFail: whatever went wrong.
        :raises Interrupted: by :meth:`interrupt`, or in a child that was forked off meanwhile.
        """
        websocket, home = self._websocket, self._websocket.home
        try:
            proxy = choose_proxy(
                target.is_secure, target.host, target.port, websocket.given_proxies
            )
        except ValueError as error:
            raise ConnectFail(str(error)) from None
        self._greenlet = getcurrent()
        self._is_under_way = True
        try:
            return dial(
                target,
                websocket,
                proxy,
                is_home=(target.host, target.port) == (home.host, home.port),
                trace=websocket.tracer.tell,
                is_traced=websocket.is_traced,
                progress=self._progress,
            )
        finally:
            self._is_under_way = False

    def interrupt(self) -> None:
        """Have :meth:`run` raise :class:`Interrupted`, if it is under way; called by the hub."""
        if self._is_under_way:
            self._greenlet.throw(Interrupted)

    def expire(self) -> ConnectFail:
        """Return the error for a dial that took too long; the trace has the step it was at."""
        seconds = self._websocket.open_timeout
        reason = f"timed out after {seconds:g} s while {self._progress.step}"
        self._progress.trace_failure(self._websocket.tracer.tell, reason)
        return ConnectFail(reason)
