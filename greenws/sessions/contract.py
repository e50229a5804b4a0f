"""The seam between a WebSocket and the session that moves its bytes.

:class:`Session` is what any session offers to the WebSocket that it was made for; implement it to
run :class:`greenws.WebSocket` on something other than gevent. :class:`DrivenWebSocket` is what a
:class:`~greenws.GeventSession` needs of a WebSocket. Neither side asks the other what it is:
lomond's WebSocket, and sessions written for lomond, are met by the adapters of :mod:`.lomond`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from .. import errors
from ..options import TransportDefaults

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..events import AnyEvent
    from ..protocol.frame import Payload
    from ..protocol.stream import Stream
    from ..trace import Tracer


class Session(Protocol):
    """A session: it owns the socket and the clock of one connection.

    A WebSocket makes it by calling its class, or any callable, with itself as the only argument.
    A session need not derive from this class; one that does has to have all of the methods.
    """

    @property
    @abstractmethod
    def session_time(self) -> float:
        """Seconds since the WebSocket became ready; 0.0 before."""

    @abstractmethod
    def run(
        self,
        poll: float | None,
        ping_rate: float | None,
        ping_timeout: float | None,
        auto_pong: bool,
        close_timeout: float | None,
    ) -> Iterator[AnyEvent]:
        """Open the connection, and iterate over its events until it has ended.

        The session sends ``websocket.build_request()``, gives what it receives to
        ``websocket.feed()``, yields the events that come of it, and calls
        ``websocket.on_disconnect()`` at the end.
        """

    @abstractmethod
    def send(self, opcode: int, payload: Payload) -> None:
        """Send a frame with this payload.

        :raises WebSocketUnavailable: if that is not possible now.
        :raises TransportFail: if the connection has failed.
        """

    @abstractmethod
    def send_compressed(self, opcode: int, payload: Payload) -> None:
        """Send a frame with the RSV1 bit: its payload is deflated already. Frames leave in the
        order of the calls.
        """

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes as they are."""

    @abstractmethod
    def close(self) -> None:
        """Close the socket now. The WebSocket calls it when the connection has ended."""

    @abstractmethod
    def force_disconnect(self) -> None:
        """Drop the connection, without a closing handshake; called from any greenlet."""


class FullSession(Session, Protocol):
    """A session with the further abilities that :class:`~greenws.GeventSession` has.

    A session of others may offer some of them; the adapter in :mod:`.lomond` makes up for the rest.
    """

    def run(
        self,
        poll: float | None,
        ping_rate: float | None,
        ping_timeout: float | None,
        auto_pong: bool,
        close_timeout: float | None,
    ) -> Generator[AnyEvent, None, None]:
        """As of :class:`Session`; a generator, which can be closed."""

    @property
    def is_running(self) -> bool:
        """Whether the iteration has begun, and has not ended."""

    @property
    def is_forced(self) -> bool:
        """Whether force_disconnect() is the reason for the end."""

    @property
    def signals_eof(self) -> bool:
        """Whether the session calls ``websocket.feed_eof()`` at the end of the stream. Only then
        can the WebSocket wait for the body of a rejection.
        """

    @property
    def follows_redirects(self) -> bool:
        """Whether the session connects to ``websocket.target`` when ``websocket.hops`` grows."""

    def check_send(self) -> None:
        """Raise an error if a message would be refused now.

        The WebSocket calls it before deflating a message, which cannot be undone.
        """

    def end(self) -> None:
        """End the connection when the queue has left: the server broke the protocol."""


#: Why an iteration may not begin.
SUPERSEDED = "this iteration is not the WebSocket's: connect() or reset() was called since"

SessionClass = Callable[[Any], Session]


class Target(Protocol):
    """The place to connect to; a :class:`greenws.url.URL` is one."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def is_secure(self) -> bool: ...


class DrivenWebSocket(TransportDefaults):
    """What a :class:`~greenws.GeventSession` needs of the WebSocket that it drives.

    :class:`greenws.WebSocket` derives from it. The options of the transport are attributes.
    """

    __slots__ = ()

    #: The module of the errors that users of this WebSocket catch.
    errors: ModuleType = errors

    @property
    def url(self) -> str:
        """The URL as it was given."""
        raise NotImplementedError

    @property
    def target(self) -> Target:
        """Where to connect to now: the URL, or where redirects have led."""
        raise NotImplementedError

    @property
    def hops(self) -> int:
        """The number of redirects that were followed: when it has grown, ``target`` is to be
        connected to, even if it is the same as before.
        """
        raise NotImplementedError

    @property
    def awaits_body(self) -> bool:
        """Whether the answer is a rejection whose body has not ended."""
        raise NotImplementedError

    @property
    def aside(self) -> str:
        """What is known beside the reason of a failed opening: the end of its message, or empty."""
        raise NotImplementedError

    @property
    def home(self) -> Target:
        """Where the URL leads: credentials of TLS are for this server alone."""
        raise NotImplementedError

    @property
    def given_proxies(self) -> Mapping[str, str | None] | None:
        """Proxy URLs by kind of traffic; None: look into the environment."""
        raise NotImplementedError

    @property
    def tracer(self) -> Tracer:
        """The tracer, to be told of each step."""
        raise NotImplementedError

    @property
    def is_traced(self) -> bool:
        """Whether this connection's bytes are counted for the trace."""
        raise NotImplementedError

    @property
    def parser(self) -> Stream | None:
        """The parser, for bytes received once ready; None: ``feed`` takes those, too."""
        raise NotImplementedError

    @property
    def is_active(self) -> bool:
        """Whether the WebSocket is neither closing nor closed."""
        raise NotImplementedError

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over for the WebSocket."""
        raise NotImplementedError

    @property
    def rejection(self) -> str:
        """The answer that was no upgrade, for the reason of the last event; empty: none was."""
        raise NotImplementedError

    @property
    def violation(self) -> str:
        """The violation of the protocol that ends the connection, likewise; empty: none."""
        raise NotImplementedError

    def is_driven_by(self, session: object) -> bool:
        """Whether the present connection is this session's, and not a later one's."""
        raise NotImplementedError

    def is_taken(self, session: object) -> bool:
        """Whether another session was connected since ``session`` was made."""
        raise NotImplementedError

    def build_request(self) -> bytes:
        """Return the opening request for ``target``."""
        raise NotImplementedError

    def feed(self, data: bytes | bytearray) -> Iterable[AnyEvent]:
        """Take received bytes, and iterate over their events."""
        raise NotImplementedError

    def pending_events(self) -> Iterable[AnyEvent]:
        """Iterate over the events of what ``parser`` has been given."""
        raise NotImplementedError

    def feed_eof(self) -> Iterable[AnyEvent]:
        """Take the end of the stream before the upgrade, or the decision not to wait for more of a
        body, and iterate over the events it makes.
        """
        raise NotImplementedError

    def send_ping(self, data: bytes = b"") -> None:
        """Send a ping."""
        raise NotImplementedError

    def send_pong(self, data: bytes = b"") -> None:
        """Send a pong."""
        raise NotImplementedError

    def take_exit(self, error: BaseException) -> None:
        """Take note that the process is to end: a handler says so, or Ctrl-C has come.

        :raises BaseException: ``error``, if nobody wants to end the connection in good order first.
        """
        raise error

    def on_disconnect(self) -> None:
        """Take note that the connection has ended."""
        raise NotImplementedError
