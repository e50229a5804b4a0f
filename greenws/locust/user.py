"""The user of a load test: a Locust user that has WebSockets."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from time import time
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast, overload
from urllib.parse import urlsplit

from gevent import Greenlet, GreenletExit, joinall

from .. import constants
from ..backoff import Backoff, read_reconnect
from ..connection import ConnectionOptions, Message
from ..handlers import FOREIGN_HANDLERS
from ..options import (
    RUN_OPTIONS,
    WEBSOCKET_OPTIONS,
    RunDefaults,
    WebSocketDefaults,
    check_attribute,
    check_option,
    find_near_miss,
)
from ..sessions.contract import SessionClass
from ..sessions.session import GeventSession
from ..status import Status
from ..trace import build_log_fields
from ..websocket import check_session_class
from .answer import STEERING, Answer
from .base import StopTest, StopUser, User
from .failures import QUIET, quieten
from .user_connection import Terms, UserConnection, find_latency

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..events import Binary, Text

log: logging.Logger = logging.getLogger("greenws.locust")

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class WebSocketUser(User, WebSocketDefaults, RunDefaults):
    """A Locust user that has WebSockets, to be subclassed.

    .. code-block:: python

        from locust import constant_pacing, task

        from greenws.locust import WebSocketUser

        class Trader(WebSocketUser):
            wait_time = constant_pacing(1)

            def on_start(self):
                self.connect("/v1/stream")

            @task
            def quote(self):
                self.request({"op": "quote"}, name="quote", timeout=5)

    What a connection does is a row in Locust's statistics: ``WS`` an opening, ``WSS`` a message
    sent, ``WSQ`` a request and its reply, ``WSR`` a push, ``WSC`` the end.

    The options of :func:`greenws.connect` are class attributes. ``send()``, ``request()``,
    ``receive()`` and ``close()`` of the user belong to :attr:`connection`; each connection has
    them, too.
    """

    abstract = True

    #: Called with the WebSocket; returns the session that moves the bytes.
    session_class: SessionClass = GeventSession
    #: Messages received and not taken at which reading stops.
    max_queue: int = constants.MAX_QUEUE
    #: Seconds that the server has to answer a close frame; None or 0: no limit.
    close_timeout: float | None = 5.0
    #: Open a connection again that has ended: False, True, or a :class:`~greenws.Backoff`.
    reconnect: bool | Backoff = False
    #: Close codes of the server that are no failures; 1006 is that of an end without close frame.
    normal_codes: Iterable[int] = ()

    #: The connection that ``send()`` and the other methods belong to: the first one that was opened
    #: and has not ended; None: there was none.
    connection: UserConnection | None = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Refuse a handler or an option whose name is a slip of the pen, or of another library.

        :raises TypeError: there is one; the message has the right name.
        """
        super().__init_subclass__(**keywords)
        _check_names(cls.__name__, vars(cls))

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._connections: set[UserConnection] = set()
        self._backoff = read_reconnect(self.reconnect)
        check_session_class(self.session_class)
        for name in _CHECKED:
            value = getattr(self, name)
            if value is not _DEFAULTS[name]:
                check_option(name, value)

    # To be overridden

    def on_text(self, event: Text) -> None:
        """A text message that no request waits for. Without an override, it is for
        :meth:`receive`.

        Called in the greenlet that receives: what it waits for, the connection's next messages wait
        for, too.
        """

    def on_binary(self, event: Binary) -> None:
        """A binary message that no request waits for; as :meth:`on_text`."""

    def on_reconnect(self, connection: UserConnection) -> None:
        """A connection was opened again, as ``reconnect`` asks: time to subscribe again."""

    def reply_key(self, event: Text | Binary) -> Hashable | None:
        """Return the key of a message, by which :meth:`request` finds its reply; None: it is no
        reply. Called only while a request waits by key.
        """
        return None

    # Connections

    def connect(
        self,
        path: str = "",
        *,
        name: str | None = None,
        on_text: Callable[[Text], object] | None = None,
        on_binary: Callable[[Binary], object] | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> UserConnection:
        """Open a connection: a row ``WS``.

        :param path: what follows ``host`` in the URL; or a whole URL, with a scheme.
        :param name: of the connection's rows; None: the path without its query.
        :param on_text: called with the texts of this connection, in place of :meth:`on_text`.
        :param on_binary: likewise.
        :param options: of :func:`greenws.connect`; they win over the class attributes.
        :raises greenws.errors.ConnectFail: it could not be opened. A task that lets it out just
            ends; in ``on_start`` the user ends.
        :raises StopTest: there is no ``host``, or none with a scheme of ``http``, ``https``, ``ws``
            or ``wss``.
        """
        url = self._build_url(path)
        terms = Terms(
            url,
            name or urlsplit(url).path or "/",
            cast(ConnectionOptions, {**self._options(), **options}),
            on_text or (self.on_text if self._overrides("on_text") else None),
            on_binary or (self.on_binary if self._overrides("on_binary") else None),
            self._backoff,
            frozenset(self.normal_codes),
        )
        connection = UserConnection(self, terms)
        try:
            connection.open()
        except Exception as error:
            raise quieten(error) from error.__cause__
        if self.connection is None or self.connection not in self._connections:
            self.connection = connection
        return connection

    def send(self, message: object, *, name: str | None = None) -> None:
        """Send a message: a row ``WSS``; see :meth:`UserConnection.send`."""
        self._main.send(message, name=name)

    def receive(self, timeout: float | None = None, *, name: str | None = None) -> Message:
        """Return the next message; see :meth:`UserConnection.receive`."""
        return self._main.receive(timeout, name=name)

    @overload
    def request(
        self,
        message: object,
        *,
        name: str | None = None,
        match: Callable[[Text | Binary], object] | None = None,
        key: Hashable | None = None,
        timeout: float | None = None,
        catch_response: Literal[False] = False,
    ) -> Text | Binary: ...

    @overload
    def request(
        self,
        message: object,
        *,
        name: str | None = None,
        match: Callable[[Text | Binary], object] | None = None,
        key: Hashable | None = None,
        timeout: float | None = None,
        catch_response: Literal[True],
    ) -> Answer: ...

    def request(
        self,
        message: object,
        *,
        name: str | None = None,
        match: Callable[[Text | Binary], object] | None = None,
        key: Hashable | None = None,
        timeout: float | None = None,
        catch_response: bool = False,
    ) -> Text | Binary | Answer:
        """Send a message and wait for its reply: a row ``WSQ``; see
        :meth:`UserConnection.request`.
        """
        request: Callable[..., Text | Binary | Answer] = self._main.request
        return request(
            message,
            name=name,
            match=match,
            key=key,
            timeout=timeout,
            catch_response=catch_response,
        )

    def record(
        self,
        name: str,
        *,
        since: float | None = None,
        length: int = 0,
        exception: Exception | str | None = None,
    ) -> None:
        """Make a row ``WSR``, of a push.

        :param since: when it was sent, in seconds of the epoch: the time of the row is that from
            then to now. None: the time is 0.
        :param length: bytes of the push.
        :param exception: makes it a failure.
        """
        self.report("WSR", name, find_latency(since), length, exception)

    def close(self, code: int | None = Status.NORMAL, reason: str = "") -> None:
        """Close :attr:`connection`: a row ``WSC``; see
        :meth:`UserConnection.close`.
        """
        self._main.close(code, reason)

    @property
    def _main(self) -> UserConnection:
        if self.connection is None:
            raise RuntimeError(f"{type(self).__name__} has no connection: connect() opens one")
        return self.connection

    # The life of a user

    if not TYPE_CHECKING:  # Locust's run() is final

        def run(self):
            """Run the user, as Locust does; then close what is open."""
            with self._life():
                super().run()

    @contextmanager
    def _life(self) -> Iterator[None]:
        """Surround the run of the user. At its end all connections are closed with 1001, which
        takes ``close_timeout`` seconds at most.

        A failure in ``on_start`` that is a row already ends the user without a traceback, and one
        in ``on_stop`` has no further consequence.
        """
        on_start, on_stop = self.on_start, self.on_stop

        def start() -> None:
            try:
                on_start()
            except QUIET:
                raise GreenletExit from None

        def stop() -> None:
            try:
                on_stop()
            except QUIET:
                return  # the end of the connection is told in its row

        # Attributes of the object, as Locust looks them up there.
        self.__dict__.update(on_start=start, on_stop=stop)
        try:
            yield
        finally:
            del self.on_start, self.on_stop
            self._close_all()

    def _close_all(self) -> None:
        """Close all connections at the same time. A kill meanwhile leaves them to themselves: each
        ends in its ``close_timeout``.
        """
        connections = list(self._connections)
        if len(connections) == 1:
            connections[0].close(Status.GOING_AWAY)
        elif connections:
            joinall([Greenlet.spawn(each.close, Status.GOING_AWAY) for each in connections])

    # As the owner of connections

    def report(
        self,
        kind: str,
        name: str,
        response_time: float,
        response_length: int,
        exception: Exception | str | None = None,
        response: object = None,
        url: str | None = None,
    ) -> None:
        """Make a row: fire Locust's event ``request``.

        :param kind: the type of the row.
        :param response_time: milliseconds.
        :param response_length: bytes.
        """
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=response_time,
            response_length=response_length,
            exception=exception,
            context=self.context(),
            start_time=time() - response_time / 1000,
            response=response,
            url=url,
        )

    def take_failure(self, error: Exception) -> None:
        """Deal with an exception out of a handler as Locust deals with one out of a task: it is
        told, and the user goes on. One of Locust's own steers the user.
        """
        if isinstance(error, (StopUser, StopTest)):
            self._end_by(error)
        elif not isinstance(error, STEERING):
            environment = self.environment
            environment.events.user_error.fire(
                user_instance=self, exception=error, tb=error.__traceback__
            )
            log.error(
                "%s\n%s",
                error,
                "".join(traceback.format_exception(error)),
                extra=build_log_fields(),
            )
            if not environment.catch_exceptions:
                self._end_by(error)

    def _end_by(self, error: Exception) -> None:
        greenlet = self.greenlet
        if greenlet is not None:  # None: run_single_user() has none
            greenlet.kill(error, block=False)

    def keep(self, connection: UserConnection) -> None:
        """Close a connection when the user stops."""
        self._connections.add(connection)

    def release(self, connection: UserConnection) -> None:
        """Forget a connection that has ended for good."""
        self._connections.discard(connection)

    # Options

    def _build_url(self, path: str) -> str:
        scheme, separator, rest = path.partition("://")
        if separator and scheme.lower() in _SCHEMES:
            return f"{_SCHEMES[scheme.lower()]}://{rest}"
        host = (self.host or "").strip()
        scheme, separator, rest = host.partition("://")
        if not host:
            _refuse_host("there is no host")
        if not separator or scheme.lower() not in _SCHEMES:
            _refuse_host(f"the host {host!r} has no such scheme")
        base = f"{_SCHEMES[scheme.lower()]}://{rest.rstrip('/')}"
        return base + (f"/{path}" if path and path[0] not in "/?" else path)

    def _options(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        given = {}
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value is not default:
                given[name] = value
        if self._overrides("reply_key"):
            given["reply_key"] = self.reply_key
        given["close_timeout"] = self.close_timeout
        return given

    def _overrides(self, name: str) -> bool:
        default = vars(WebSocketUser)[name]
        return name in vars(self) or getattr(type(self), name) is not default


_HANDLERS = ("on_text", "on_binary", "on_reconnect")
_RUN = tuple(name for name in RUN_OPTIONS if name != "poll")
_CHECKED = (*WEBSOCKET_OPTIONS, *_RUN, "max_queue")
_DEFAULTS: dict[str, object] = {
    name: getattr(WebSocketUser, name) for name in (*_CHECKED, "session_class")
}
_OPTIONS = frozenset({*_DEFAULTS, "reply_key", "reconnect", "normal_codes"})
_MEMBERS = frozenset(dir(WebSocketUser)) - {"poll"}
# Options that may be methods.
_CALLABLE = frozenset({"headers", "trace", "ssl_password", "session_class", "reply_key"})
# A word of other libraries, and ours.
_FOREIGN = {"on_message": "on_text or on_binary", "on_back_off": "on_reconnect"}


def _check_names(owner: str, attributes: Mapping[str, object]) -> None:
    for name, value in attributes.items():
        if name.startswith("_") or name in _MEMBERS or name in _OPTIONS:
            continue
        if name.startswith("on_"):
            meant = _FOREIGN.get(name) or find_near_miss(name, _HANDLERS)
            if meant is None and "on_text" in FOREIGN_HANDLERS.get(name, ""):
                meant = FOREIGN_HANDLERS[name]
            if meant is not None:
                raise TypeError(f"{owner}.{name} is no handler of a user; {meant} is meant")
            continue
        # A user has no poll events, and so no such option.
        meant = "ping_rate" if name == "poll" else None
        check_attribute(owner, name, value, _OPTIONS, _CALLABLE, meant)


def _refuse_host(why: str) -> NoReturn:
    raise StopTest(
        f"{why}: give ws://, wss://, http:// or https:// and a name, as the attribute host of the "
        "class, or by --host"
    )
