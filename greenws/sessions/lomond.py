"""lomond in both directions: its WebSocket on our session, its sessions under our WebSocket.

This is the only module that asks an object what it has. Everything else talks to the types of
:mod:`.contract`, which these adapters fill in for objects that were not written against them.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import errors
from ..options import TRANSPORT_OPTIONS
from ..redaction import redact_url
from ..trace import Tracer
from ..url import encode_host
from .contract import SUPERSEDED, DrivenWebSocket, FullSession, Session, Target

if TYPE_CHECKING:
    from ..events import AnyEvent
    from ..protocol.frame import Payload
    from ..protocol.traffic import Traffic

# Names of the errors by which a session of lomond's says that there is nobody to send to.
_GONE = frozenset({"TransportFail", "WebSocketClosed", "WebSocketUnavailable"})


def adapt_websocket(websocket: Any) -> DrivenWebSocket:
    """Return what a GeventSession drives: the WebSocket itself if it is ours, else an adapter."""
    return websocket if isinstance(websocket, DrivenWebSocket) else ForeignWebSocket(websocket)


def adapt_session(session: Session, websocket: DrivenWebSocket) -> FullSession:
    """Return an adapter with which a WebSocket of ours drives a session of others."""
    return ForeignSession(session, websocket)


def is_gone(error: Exception) -> bool:
    """Tell whether a session, ours or another, could not send because nobody is there."""
    if isinstance(error, errors.WebSocketError):
        return isinstance(error, (errors.WebSocketClosed, errors.TransportFail))
    return type(error).__name__ in _GONE


class ForeignTracer(Tracer):
    """Tells lomond's WebSocket of steps, by the method that lomond's own session calls."""

    __slots__ = ("_emit",)

    def __init__(self, websocket: Any) -> None:
        super().__init__("")
        self._emit = websocket._emit_trace

    @property
    def is_heard(self) -> bool:
        return True

    def _tell(self, stage: str, fields: dict[str, object]) -> None:
        self._emit(stage, **fields)


class SilentTracer(Tracer):
    """Tells nobody: lomond's older WebSockets have no trace."""

    __slots__ = ()

    @property
    def is_heard(self) -> bool:
        return False


@dataclass(frozen=True)
class Place:
    """A :class:`.contract.Target`."""

    host: str
    port: int
    is_secure: bool


class ForeignWebSocket(DrivenWebSocket):
    """lomond's WebSocket, or one that is like it, for a GeventSession.

    Options of the transport that the WebSocket has as attributes count; the others have our
    defaults.

    :raises ValueError: the host is beyond ASCII, and is not a host name.
    """

    __slots__ = ("__dict__", "__weakref__", "_target", "_tracer", "_websocket")

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self.errors: ModuleType = _find_errors(websocket)
        self._tracer = (
            ForeignTracer(websocket) if hasattr(websocket, "_emit_trace") else SilentTracer("")
        )
        for name in TRANSPORT_OPTIONS:
            if hasattr(websocket, name):
                setattr(self, name, getattr(websocket, name))
        host = getattr(websocket, "host", None)
        self._target: Target = websocket
        if isinstance(host, str) and not host.isascii():
            # lomond leaves the name as it was given.
            self._target = Place(encode_host(host), websocket.port, websocket.is_secure)

    def __repr__(self) -> str:
        # lomond's own repr shows the whole URL.
        return f"{type(self._websocket).__name__}({redact_url(self.url)!r})"

    @property
    def url(self) -> str:
        url: str = self._websocket.url
        return url

    @property
    def target(self) -> Target:
        return self._target

    home = target

    @property
    def hops(self) -> int:
        return 0  # lomond follows no redirects

    @property
    def awaits_body(self) -> bool:
        return False  # for lomond, a rejection is complete with its head

    @property
    def aside(self) -> str:
        return ""

    @property
    def given_proxies(self) -> Mapping[str, str | None] | None:
        proxies: Mapping[str, str | None] = self._websocket.proxies
        return proxies

    @property
    def tracer(self) -> Tracer:
        return self._tracer

    @property
    def is_traced(self) -> bool:
        return bool(getattr(self._websocket, "trace", None))

    @property
    def parser(self) -> None:
        return None

    @property
    def is_active(self) -> bool:
        return bool(self._websocket.is_active)

    @property
    def is_closed(self) -> bool:
        return bool(self._websocket.is_closed)

    @property
    def rejection(self) -> str:
        # lomond's users find a graceful end, with the reason "closed", after a rejection.
        return ""

    @property
    def violation(self) -> str:
        return ""

    def is_driven_by(self, session: object) -> bool:
        return getattr(self._websocket, "session", session) is session

    def is_taken(self, session: object) -> bool:
        return not self.is_driven_by(session)

    def build_request(self) -> bytes:
        request: bytes = self._websocket.build_request()
        return request

    def feed(self, data: bytes | bytearray) -> Iterable[AnyEvent]:
        events: Iterable[AnyEvent] = self._websocket.feed(data)
        return events

    def pending_events(self) -> Iterable[AnyEvent]:
        return ()

    def feed_eof(self) -> Iterable[AnyEvent]:
        return ()

    def send_ping(self, data: bytes = b"") -> None:
        self._websocket.send_ping(data)

    def send_pong(self, data: bytes = b"") -> None:
        self._websocket.send_pong(data)

    def on_disconnect(self) -> None:
        self._websocket.on_disconnect()


class ForeignSession:
    """A session of others, lomond's or a user's, for a :class:`greenws.WebSocket`."""

    __slots__ = ("_session", "_traffic", "_websocket", "is_forced", "is_running")

    def __init__(self, session: Session, websocket: DrivenWebSocket) -> None:
        self._session: Any = session
        self._websocket = websocket
        self._traffic: Traffic | None = None
        #: Whether the iteration has begun, and has not ended.
        self.is_running: bool = False
        #: Whether force_disconnect() was called.
        self.is_forced: bool = False

    @property
    def session_time(self) -> float:
        seconds: float = self._session.session_time
        return seconds

    @property
    def signals_eof(self) -> bool:
        return bool(getattr(self._session, "signals_eof", False))

    @property
    def follows_redirects(self) -> bool:
        return bool(getattr(self._session, "follows_redirects", False))

    def run(self, *args: Any, **options: Any) -> Generator[AnyEvent, None, None]:
        # A generator, as ours is: it can be closed, whatever kind of iterator the session has.
        return self._iterate(self._session.run(*args, **options))

    def _iterate(self, events: Iterator[AnyEvent]) -> Generator[AnyEvent, None, None]:
        if self.is_running or self._websocket.is_taken(self._session):
            raise RuntimeError(SUPERSEDED)
        self.is_running = True
        try:
            yield from events
        finally:
            self.is_running = False

    def count(self, traffic: Traffic) -> None:
        # Only messages: nobody tells of the bytes that such a session moves.
        self._traffic = traffic

    def send(self, opcode: int, payload: Payload) -> None:
        self._session.send(opcode, payload)
        if self._traffic is not None and opcode < 8:
            self._traffic.messages_sent += 1

    def send_compressed(self, opcode: int, payload: Payload) -> None:
        self._session.send_compressed(opcode, payload)
        if self._traffic is not None:
            self._traffic.messages_sent += 1

    def write(self, data: bytes) -> None:
        self._session.write(data)

    def close(self) -> None:
        self._session.close()

    def force_disconnect(self) -> None:
        self.is_forced = True
        self._session.force_disconnect()

    def check_send(self) -> None:
        check = getattr(self._session, "check_send", None)
        if check is not None:
            check()

    def end(self) -> None:
        # A session without end() cannot wait until the close frame is out: drop the connection.
        getattr(self._session, "end", self._session.force_disconnect)()


def _find_errors(websocket: Any) -> ModuleType:
    """Find the module of the errors that the WebSocket's own code, and its users, catch."""
    for base in type(websocket).__mro__:
        package = base.__module__.rpartition(".")[0]
        module = sys.modules.get(f"{package}.errors")
        if module is not None and hasattr(module, "TransportFail"):
            return module
    return errors
