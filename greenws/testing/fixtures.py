"""What the fixtures for pytest are made of. The fixtures themselves are in ``pytest_greenws``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..sessions.roster import get_roster
from .authority import Authority
from .behaviour import Behaviour, echo
from .threaded import ThreadedEchoServer

if TYPE_CHECKING:
    from types import TracebackType


class ServerFactory:
    """Starts the servers of one test: the fixture ``websocket_server``.

    ::

        def test_client_survives_a_reset(websocket_server):
            server = websocket_server(drop(after=1))
            ...

    :param find_authority: returns the authority for servers with TLS; called when one is wanted.
    """

    def __init__(self, find_authority: Callable[[], Authority]) -> None:
        self._find_authority = find_authority
        self._stack = ExitStack()

    def __enter__(self) -> ServerFactory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop all servers, and end the clients that a test has left connected to them.

        :raises Exception: the first exception that came out of a behaviour.
        """
        self._stack.__exit__(kind, error, traceback)

    def __call__(
        self, handler: Behaviour = echo, *, tls: bool = False, **options: Any
    ) -> ThreadedEchoServer:
        """Start a server, which runs until the end of the test.

        :param handler: the behaviour after the upgrade.
        :param tls: serve ``wss://``, with a certificate of the fixture ``websocket_authority``.
        :param options: those of :class:`EchoServer`; ``ssl_context`` for a certificate of yours.
        """
        if tls:
            if options.get("ssl_context") is not None:
                raise TypeError("give either tls=True or an ssl_context, not both")
            options["ssl_context"] = self._find_authority().server_context()
        server = self._stack.enter_context(ThreadedEchoServer(handler, **options))
        self._stack.callback(_end_clients, server.port)
        return server


def _end_clients(port: int) -> None:
    """End the clients and connections of this thread's hub whose server is on this port.

    A test that fails leaves its clients behind, and one with ``reconnect`` would try for ever.
    """
    for resident in get_roster().present():
        if resident.websocket.port == port:
            resident.kill()
