"""A dial, and the making of the request, which a session can cut short from outside, at any switch.

The request belongs to it because it may have to wait: ``headers`` may be a callable of the user's,
which fetches a token.
"""

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
    """One way of a session to the server, in the greenlet that runs the session."""

    __slots__ = ("_greenlet", "_is_under_way", "_progress", "_websocket")

    def __init__(self, websocket: DrivenWebSocket) -> None:
        self._websocket = websocket
        self._progress = DialProgress()
        self._greenlet: Any = None
        self._is_under_way = False

    def run(self, target: Target) -> tuple[Transport, str | None, bytes]:
        """Dial, and make the request.

        :returns: the transport, the URL of the proxy in between, without credentials, and the
            request.
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
            transport, address = dial(
                target,
                websocket,
                proxy,
                is_home=(target.host, target.port) == (home.host, home.port),
                trace=websocket.tracer.tell,
                is_traced=websocket.is_traced,
                progress=self._progress,
            )
            return transport, address, self._build_request(transport)
        finally:
            self._is_under_way = False

    def _build_request(self, transport: Transport) -> bytes:
        progress = self._progress
        progress.begin("upgrade", "waiting for headers()", {})
        try:
            return self._websocket.build_request()
        except BaseException as error:
            transport.close()
            if not isinstance(error, Exception):
                raise
            # Of headers(), or of the policy of the cookie jar: code of the user's.
            reason = f"unable to make the request; {type(error).__name__}: {error}"
            progress.trace_failure(self._websocket.tracer.tell, reason)
            raise ConnectFail(reason) from error

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
