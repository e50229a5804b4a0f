"""The client: a WebSocket in a greenlet of its own, whose events are methods of a subclass."""

from __future__ import annotations

import logging
from collections.abc import Callable
from operator import attrgetter
from time import monotonic
from typing import Any, TypeVar

from gevent import Greenlet, GreenletExit, getcurrent
from gevent.event import Event

from . import events
from .backoff import Backoff, find_retry_after
from .constants import (
    MAX_MESSAGE_SIZE,
    MAX_REDIRECTS,
    OPEN_TIMEOUT,
    SEND_TIMEOUT,
    SHORTEST_WAIT,
    WRITE_LIMIT,
)
from .errors import WebSocketError
from .protocol.frame import Payload
from .protocol.stream import Stream
from .sessions.base import GeventSession
from .status import Status
from .websocket import WebSocket, check_rates

log = logging.getLogger("greenws.client")

ClientT = TypeVar("ClientT", bound="Client")

_CONNECT_OPTIONS = (
    "session_class",
    "poll",
    "ping_rate",
    "ping_timeout",
    "auto_pong",
    "close_timeout",
)


class _ClientGreenlet(Greenlet):  # type: ignore[type-arg]  # a generic for mypy alone
    # gevent would keep ten frames of whoever started it, for every connection.
    spawning_stack_limit = 0


class Client:
    """A WebSocket client, to be subclassed.

    Options are class attributes of the subclass, or keywords of the constructor, which win. They
    are those of :class:`~greenws.WebSocket` and of :meth:`~greenws.WebSocket.connect`, with the
    same defaults, and ``reconnect``. ``headers`` and ``trace`` may be methods of the subclass.

    Handlers are methods ``on_<name>(event)``, called one after the other in the greenlet that
    runs the client. They may switch; only this connection waits meanwhile. Only those that a
    subclass overrides cost anything.

    ::

        class Ticker(greenws.Client):
            compress = True

            def on_ready(self, event):
                self.send_json(op="subscribe", channel="trades")

            def on_text(self, event):
                print(event.json)

        Ticker("wss://example.org/feed").run()

    :param url: the URL; None: the class attribute ``url``.
    :param options: as above.
    :raises TypeError: for an unknown option, or one of a wrong type.
    :raises ValueError: for an impossible value.
    """

    #: The URL, for a subclass that knows its own.
    url: str | None = None

    proxies: Any = None
    protocols: Any = None
    agent: Any = None
    compress: Any = False
    ssl_context: Any = None
    ssl_verify: Any = True
    ssl_cafile: Any = None
    ssl_certfile: Any = None
    ssl_keyfile: Any = None
    ssl_password: Any = None
    server_hostname: Any = None
    headers: Any = None
    origin: Any = None
    cookies: Any = None
    max_redirects: Any = MAX_REDIRECTS
    max_size: Any = MAX_MESSAGE_SIZE
    open_timeout: Any = OPEN_TIMEOUT
    send_timeout: Any = SEND_TIMEOUT
    write_limit: Any = WRITE_LIMIT
    source_address: Any = None
    socket: Any = None
    unix_path: Any = None
    socket_options: Any = ()
    trace: Any = None

    session_class: Any = GeventSession
    poll: Any = 5.0
    ping_rate: Any = 30.0
    ping_timeout: Any = None
    auto_pong: Any = True
    close_timeout: Any = 30.0

    #: Connect again after a connection has ended, or could not be opened: False, True (with the
    #: defaults of :class:`~greenws.Backoff`), or a :class:`~greenws.Backoff`.
    reconnect: bool | Backoff = False

    def __init__(self, url: str | None = None, **options: Any) -> None:
        for name, value in options.items():
            if name not in _OPTIONS:
                raise TypeError(f"{type(self).__name__}() has no option {name!r}")
            setattr(self, name, value)
        if url is not None:
            self.url = url
        if self.url is None:
            raise TypeError(f"{type(self).__name__}() needs a url")
        self._backoff = _check_reconnect(self.reconnect)
        check_rates(self.poll, self.ping_rate, self.ping_timeout, self.close_timeout)
        #: The WebSocket underneath: one object, whatever the number of connections.
        self.websocket = WebSocket(self.url, **self._websocket_options())
        # Of the events worth asking beforehand (_COSTLY), those that are handled.
        self._handlers: frozenset[str] = frozenset()
        self._greenlet: _ClientGreenlet | None = None
        # The greenlet that calls the handlers, while they are called.
        self._runner: Any = None
        # The session, while messages may go straight there: nothing is deflated, nor traced.
        self._direct: GeventSession | None = None
        self._is_running = False
        self._is_stopped = False
        self._is_killed = False
        # When the present connection became ready, in seconds of the monotonic clock, or None.
        self._ready_time: float | None = None
        self._error: BaseException | None = None
        # Events somebody may wait for; made when somebody does.
        self._settled: Event | None = None
        self._ended: Event | None = None
        self._stopped: Event | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.websocket!r}>"

    # Running

    def start(self: ClientT) -> ClientT:
        """Run in a greenlet of its own, and return at once.

        :raises RuntimeError: if it runs already.
        """
        self._begin()
        self._greenlet = _ClientGreenlet.spawn(self._run)
        return self

    def run(self) -> None:
        """Run in this greenlet until the connection, or the reconnecting, has ended.

        A connection that could not be opened is an event, not an error.

        :raises RuntimeError: if it runs already.
        :raises Exception: what came out of a handler, unless ``on_error`` has dealt with it.
        """
        self._begin()
        self._greenlet = None
        self._run()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for ``timeout`` seconds.

        :raises Exception: what came out of a handler, as from :meth:`run`.
        :raises RuntimeError: if a handler calls it without a timeout: it would wait for itself.
        """
        if self._is_running:
            if timeout is None and self._runner is getcurrent():
                raise RuntimeError(f"{self!r} cannot wait for itself")
            if self._ended is None:
                self._ended = Event()
            if not self._ended.wait(timeout):
                return
        if self._error is not None:
            raise self._error

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until messages may be sent.

        :returns: True when they may, or might for a moment, as a server can close at once; False
            if ``timeout`` seconds have passed, or the opening has failed for good.
        """
        before = self._ready_time
        if not self.is_ready and self._is_running:
            if self._settled is None:
                self._settled = Event()
            self._settled.wait(timeout)
        return self.is_ready or self._ready_time not in (None, before)

    @property
    def is_ready(self) -> bool:
        """Whether messages may be sent."""
        return self.websocket.is_ready

    @property
    def is_running(self) -> bool:
        """Whether it is connected, connecting, or waiting to connect again."""
        return self._is_running

    def close(self, code: int | None = Status.NORMAL, reason: str | bytes = b"goodbye") -> None:
        """Begin the closing handshake, and stop reconnecting. Returns at once.

        :raises ValueError: if the code must not be sent, or the reason is too long.
        """
        self.websocket.close(code, reason)
        self._stop()

    def kill(self) -> None:
        """End at once, whatever is going on, without a closing handshake; stop reconnecting.

        Waits until the greenlet of the client has ended, and ``on_close`` with it; called from
        that greenlet, or for a client run by :meth:`run`, returns at once.
        """
        self._stop()
        greenlet = self._greenlet
        if greenlet is None or greenlet is getcurrent():
            self.websocket.force_disconnect()
            return
        if not self._is_killed:
            # Once: a second exception would interrupt on_close.
            self._is_killed = True
            greenlet.kill(block=False)
            # Should a handler catch GreenletExit, the connection ends all the same.
            self.websocket.force_disconnect()
        greenlet.join()
        if self._is_running:  # killed before it ever ran
            self._finish()

    # Sending

    def send_text(self, text: str, compress: bool = True) -> None:
        """Send a text message; see :meth:`greenws.WebSocket.send_text`."""
        session = self._direct
        if session is not None:
            session.send_text(text)
        else:
            self.websocket.send_text(text, compress)

    def send_binary(self, data: Payload, compress: bool = True) -> None:
        """Send a binary message; see :meth:`greenws.WebSocket.send_binary`."""
        session = self._direct
        if session is not None:
            session.send_binary(data)
        else:
            self.websocket.send_binary(data, compress)

    def send_json(self, _obj: Any = ..., **kwargs: Any) -> None:
        """Send an object as JSON; see :meth:`greenws.WebSocket.send_json`."""
        self.websocket.send_json(_obj, **kwargs)

    def send_ping(self, data: bytes = b"") -> None:
        """Send a ping; see :meth:`greenws.WebSocket.send_ping`."""
        self.websocket.send_ping(data)

    def send_pong(self, data: bytes = b"") -> None:
        """Send a pong; see :meth:`greenws.WebSocket.send_pong`."""
        self.websocket.send_pong(data)

    # Handlers

    def on_connecting(self, event: events.Connecting) -> None:
        """A connection is about to be opened."""

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        """The connection could not be opened; ``event.reason`` says which step failed and why.

        ``event.error`` is a :class:`~greenws.errors.ProxyFail` if it was a proxy that refused.
        """

    def on_connected(self, event: events.Connected) -> None:
        """The transport is open, and the request for the upgrade is on its way."""

    def on_rejected(self, event: events.Rejected) -> None:
        """The server refused the upgrade; ``event.response`` is what it said."""

    def on_ready(self, event: events.Ready) -> None:
        """Messages may be sent."""

    def on_poll(self, event: events.Poll) -> None:
        """``poll`` seconds have passed."""

    def on_text(self, event: events.Text) -> None:
        """A text message: ``event.text``, or decoded ``event.json``."""

    def on_binary(self, event: events.Binary) -> None:
        """A binary message: ``event.data``."""

    def on_ping(self, event: events.Ping) -> None:
        """A ping. It has been answered already, unless ``auto_pong`` is off."""

    def on_pong(self, event: events.Pong) -> None:
        """A pong."""

    def on_unresponsive(self, event: events.Unresponsive) -> None:
        """Nothing was heard for ``ping_timeout`` seconds; the connection is dropped."""

    def on_closing(self, event: events.Closing) -> None:
        """The server closes. Messages may be sent until this method returns."""

    def on_closed(self, event: events.Closed) -> None:
        """The server has answered our close."""

    def on_protocol_error(self, event: events.ProtocolError) -> None:
        """The server violated the protocol; it has been told, and the connection ends."""

    def on_disconnected(self, event: events.Disconnected) -> None:
        """A connection that had been opened, or rejected, has ended."""

    def on_back_off(self, event: events.BackOff) -> None:
        """The next connection comes in ``event.delay`` seconds."""

    def on_unknown(self, event: events.UnknownMessage) -> None:
        """A message with an unknown opcode. Only another session class may yield these."""

    def on_close(self, event: events.Disconnected) -> None:
        """The end of what began with :meth:`on_ready`: called exactly once for each connection
        that became ready, whatever ended it, :meth:`kill` included, and last.

        :param event: ``event.code`` is the close code received, ``event.reason`` why it ended.
        """

    def on_error(self, error: Exception) -> None:
        """A handler raised ``error``.

        As it is, the server is told with 1011, no message is handled any more, and the exception
        comes out of :meth:`run` and :meth:`join`. Override it and return, and the connection goes
        on as if nothing had happened.
        """
        raise error

    # How it works

    def _begin(self) -> None:
        if self._is_running:
            raise RuntimeError(f"{self!r} is running already")
        self._is_running = True
        self._is_stopped = self._is_killed = False
        self._error = None
        self._settled = self._ended = self._stopped = None

    def _stop(self) -> None:
        self._is_stopped = True
        if self._stopped is not None:
            self._stopped.set()

    def _finish(self) -> None:
        self._is_running = False
        self._runner = None
        self._handlers = frozenset()
        for event in (self._settled, self._ended):
            if event is not None:
                event.set()

    def _run(self) -> None:
        self._runner = getcurrent()
        try:
            self._handlers = self._find_handlers()
            self._run_connections()
        except GreenletExit:
            raise
        except BaseException as error:
            # A gevent.Timeout of the user's is none of Exception, and no less an error.
            self._error = error
            raise
        finally:
            self._finish()

    def _find_handlers(self) -> frozenset[str]:
        """Find which of the costly events have a handler, of a subclass or of this instance."""
        handlers: frozenset[str] = frozenset()
        for name, attribute, unhandled in _COSTLY:
            if getattr(getattr(self, attribute), "__func__", None) is not unhandled:
                handlers |= {name}
        # Thousands of clients have one and the same.
        return _COMBINATIONS.setdefault(handlers, handlers)

    def _run_connections(self) -> None:
        backoff = self._backoff
        failures = 0
        while not self._is_stopped:
            retry_after = self._run_connection()
            if self._error is not None:
                raise self._error
            if backoff is None or self._is_stopped:
                return
            # From ready on: an opening may take long to fail, and has failed all the same.
            ready_time = self._ready_time
            if ready_time is not None and monotonic() - ready_time >= backoff.reset_after:
                failures = 0
            failures += 1
            if backoff.is_exhausted(failures):
                return
            delay = backoff.delay(failures) if retry_after is None else retry_after
            self._dispatch(events.BackOff(delay))
            if self._error is not None:
                raise self._error
            if not self._is_stopped:
                self._stopped = Event()
                self._stopped.wait(max(SHORTEST_WAIT, delay))

    def _run_connection(self) -> float | None:
        """Run one connection; return what a rejection's ``Retry-After`` asks for, or None."""
        retry_after = None
        last: events.Disconnected | None = None
        self._ready_time = None
        connection = self.websocket.connect(**self._connect_options())
        self._attach(self.websocket.stream)
        try:
            for event in connection:
                name = event.name
                if name == "ready":
                    self._ready_time = monotonic()
                    self._direct = self._find_direct()
                    if self._settled is not None:
                        self._settled.set()
                        self._settled = None
                elif name == "rejected" or name == "connect_fail":
                    retry_after = find_retry_after(event)
                elif name == "disconnected":
                    last = event
                self._dispatch(event)
                del event  # an idle connection keeps none of its last events
        finally:
            self._direct = None
            # Close what is open first: on_close finds the connection ended, also after a kill.
            close = getattr(connection, "close", None)
            if close is not None:
                close()
            if self._ready_time is not None:
                if last is None:
                    last = events.Disconnected("killed")
                self._dispatch(last, "close")
        return retry_after

    def _find_direct(self) -> GeventSession | None:
        websocket = self.websocket
        session = websocket.session
        if websocket.is_traced or websocket.supports_compression:
            return None
        # A subclass may have a send() of its own, which is to be called.
        return session if type(session) is GeventSession else None

    def _websocket_options(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        values = _get_websocket_options(self)
        return {
            name: value
            for name, value, default in zip(
                _WEBSOCKET_OPTIONS, values, _WEBSOCKET_DEFAULTS, strict=True
            )
            if value is not default
        }

    def _connect_options(self) -> dict[str, Any]:
        session_class = self.session_class
        poll = self.poll
        if (
            "poll" not in self._handlers
            and isinstance(session_class, type)
            and issubclass(session_class, GeventSession)
        ):
            poll = 0  # nobody looks: no reason to wake up for it
        return {
            "session_class": session_class,
            "poll": poll,
            "ping_rate": self.ping_rate,
            "ping_timeout": self.ping_timeout,
            "auto_pong": self.auto_pong,
            "close_timeout": self.close_timeout,
        }

    def _attach(self, stream: Stream) -> None:
        """Have the parser of a connection call the handlers of messages itself."""
        text = self.on_text if "text" in self._handlers else None
        binary = self.on_binary if "binary" in self._handlers else None
        stream.skip_text = text is None
        stream.skip_binary = binary is None
        stream.text_handler = text
        stream.binary_handler = binary
        stream.handler_failed = self._handler_failed

    def _dispatch(self, event: Any, name: str | None = None) -> None:
        attribute = _HANDLERS.get(name or event.name)
        if attribute is None:  # another session class may have events of its own
            return
        # One that is not overridden is called as well: that is cheaper than to find out.
        handler: Callable[[Any], object] = getattr(self, attribute)
        try:
            handler(event)
        except Exception as error:
            self._handler_failed(error)

    def _handler_failed(self, error: Exception) -> None:
        """Let on_error decide what an exception of a handler means."""
        if self._error is not None:
            # It is over already, and one exception can come out of run(); this one is another.
            log.error("%r: a handler failed while closing", self, exc_info=error)
            return
        try:
            self.on_error(error)
        except Exception as final:
            self._error = final
            self._is_stopped = True
            stream = self.websocket.stream
            stream.skip_text = stream.skip_binary = True
            try:
                self.websocket.close(Status.UNEXPECTED_CONDITION, "handler failed")
            except WebSocketError:
                log.debug("%r: the server could not be told", self, exc_info=True)


# The handler of each event, by the event's name.
_HANDLERS = {name[3:]: name for name in vars(Client) if name.startswith("on_")}
del _HANDLERS["error"]
# Handlers of events that are not even made when nobody handles them, and what says so.
_COSTLY = (
    ("text", "on_text", Client.on_text),
    ("binary", "on_binary", Client.on_binary),
    ("poll", "on_poll", Client.on_poll),
)
_COMBINATIONS: dict[frozenset[str], frozenset[str]] = {}
_WEBSOCKET_OPTIONS = tuple(WebSocket.__init__.__annotations__.keys() - {"url", "return"})
_get_websocket_options = attrgetter(*_WEBSOCKET_OPTIONS)
_WEBSOCKET_DEFAULTS = _get_websocket_options(Client)
_OPTIONS = frozenset({*_WEBSOCKET_OPTIONS, *_CONNECT_OPTIONS, "reconnect"})


def _check_reconnect(reconnect: bool | Backoff) -> Backoff | None:
    if reconnect is True:
        return Backoff()
    if reconnect is False or reconnect is None:
        return None
    if not isinstance(reconnect, Backoff):
        raise TypeError("reconnect must be False, True or a Backoff")
    return reconnect
