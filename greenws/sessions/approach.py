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
from .dial import Dial
from .transport import Transport
from .wait import Interrupted


class Approach:
    """One way of a session to the server, in the greenlet that runs the session.

    :param target: where it leads.
    :param is_traced: whether anybody is told of the steps that go well.
    """

    __slots__ = ("_dial", "_greenlet", "_is_traced", "_is_under_way", "_target", "_websocket")

    def __init__(self, websocket: DrivenWebSocket, target: Target, is_traced: bool) -> None:
        self._websocket = websocket
        self._target = target
        self._is_traced = is_traced
        self._dial: Dial | None = None
        self._greenlet: Any = None
        self._is_under_way = False

    def run(self) -> tuple[Transport, str | None, bytes]:
        """Dial, and make the request.

        :returns: the transport, the URL of the proxy in between, without credentials, and the
            request.
        :raises ConnectFail: whatever went wrong.
        :raises Interrupted: by :meth:`interrupt`, or in a child that was forked off meanwhile.
        """
        websocket, target = self._websocket, self._target
        home = websocket.home
        try:
            proxy = choose_proxy(
                target.is_secure, target.host, target.port, websocket.given_proxies
            )
        except ValueError as error:
            raise ConnectFail(str(error)) from None
        dial = self._dial = Dial(
            target,
            websocket,
            proxy,
            is_home=target is home or (target.host, target.port) == (home.host, home.port),
            trace=websocket.tracer.tell,
            is_traced=self._is_traced,
        )
        self._greenlet = getcurrent()
        self._is_under_way = True
        try:
            transport, address = dial.run()
            dial.begin("upgrade", "waiting for headers()", {})
            try:
                return transport, address, websocket.build_request()
            except BaseException as error:
                transport.close()
                if not isinstance(error, Exception):
                    raise
                # Of headers(), or of the policy of the cookie jar: code of the user's.
                reason = f"unable to make the request; {type(error).__name__}: {error}"
                dial.trace_failure(reason)
                raise ConnectFail(reason) from error
        finally:
            self._is_under_way = False

    def interrupt(self) -> None:
        """Have :meth:`run` raise :class:`Interrupted`, if it is under way; called by the hub."""
        if self._is_under_way:
            self._greenlet.throw(Interrupted)

    def expire(self) -> ConnectFail:
        """Return the error for a dial that took too long; the trace has the step it was at."""
        dial = self._dial or Dial(self._target, self._websocket, trace=self._websocket.tracer.tell)
        reason = f"timed out after {self._websocket.open_timeout:g} s while {dial.step}"
        dial.trace_failure(reason)
        return ConnectFail(reason)
