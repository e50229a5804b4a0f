"""The server: a listening socket, and a greenlet for each connection."""

from __future__ import annotations

import _socket
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

import gevent
from gevent.socket import getaddrinfo

from ..constants import MAX_MESSAGE_SIZE
from ..errors import WebSocketClosed
from ..status import Status
from .behaviour import Behaviour, accept, echo
from .connection import Connection, Options
from .journal import Journal, Message
from .wire import Wire

T = TypeVar("T")

# Connections the kernel holds until they are accepted; it has a limit of its own.
_BACKLOG = 4096

# Accepted in a row before others get their turn.
_ACCEPT_BATCH = 64

# Seconds to wait when descriptors or memory have run out: the socket stays readable meanwhile.
_ACCEPT_PAUSE = 0.1


class EchoServer:
    """A WebSocket server in this process, on gevent, for the tests of a client.

    ::

        with EchoServer() as server:
            client = MyClient(server.url).start()
            ...

    It sends every message back, unless it is given another behaviour. It runs in the hub of the
    thread that started it, patches nothing, and needs nothing patched. Leaving the block closes
    everything, and raises the first exception that came out of a behaviour.

    :param handler: what to do with a connection once it is open: a callable that gets a
        :class:`Connection`.
    :param opening: what to do with a connection in place of the upgrade; the handler runs
        afterwards if the upgrade was accepted.
    :param host: the address to listen on.
    :param port: the port to listen on; 0: one that is free.
    :param ssl_context: for ``wss://``: a context with the server's certificate, of ``ssl`` or of
        ``gevent.ssl``.
    :param subprotocols: those the server speaks, the preferred one first.
    :param compress: accept an offer of permessage-deflate; a mapping accepts it and has the
        server's preferences, with the names of RFC 7692 section 7.1, like
        ``{"server_max_window_bits": 10, "client_no_context_takeover": True}``.
    :param max_size: bytes a message may have after inflation; None: no limit.
    :param history: how many messages and ended connections to remember, the latest.
    :param receive_buffer: bytes of the kernel's buffer for receiving, for each connection; None:
        the system's default. A small one fills up soon when nothing is read.
    :param close_timeout: seconds to wait for the client in the closing handshake.
    """

    def __init__(
        self,
        handler: Behaviour = echo,
        *,
        opening: Behaviour = accept,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        subprotocols: Sequence[str] = (),
        compress: bool | Mapping[str, int] = True,
        max_size: int | None = MAX_MESSAGE_SIZE,
        history: int = 1000,
        receive_buffer: int | None = None,
        close_timeout: float = 5.0,
    ) -> None:
        _check_behaviour("handler", handler)
        _check_behaviour("opening", opening)
        if isinstance(subprotocols, str):
            raise TypeError("subprotocols must be a list of str, not str")
        self.handler = handler
        self.opening = opening
        self.host = host
        #: The port; with 0 given, known once the server was started, and kept from then on.
        self.port: int = port
        if compress is True:
            compress = {}
        self._options = Options(
            ssl_context=ssl_context,
            subprotocols=tuple(subprotocols),
            compression=None if compress is False else dict(compress),
            max_size=max_size,
            history=history,
            close_timeout=close_timeout,
        )
        self._receive_buffer = receive_buffer
        self._journal = Journal(history)
        self._accepted = 0
        self._current: dict[Connection, gevent.Greenlet[..., object]] = {}
        self._ended: deque[Connection] = deque(maxlen=history)
        self._listener: _socket.socket | None = None
        self._acceptor: gevent.Greenlet[..., object] | None = None

    def __repr__(self) -> str:
        state = "stopped" if self._listener is None else f"{self.host}:{self.port}"
        return f"<{self.__class__.__name__} {state}, {len(self._current)} connections>"

    def __enter__(self) -> EchoServer:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        # What failed in a behaviour is the likely cause of what failed in the block, which stays
        # visible as its context.
        if exc_value is None or isinstance(exc_value, Exception):
            self._journal.raise_error()

    @property
    def url(self) -> str:
        """The URL to connect to; its path, ``/``, may be replaced by any other one.

        :raises RuntimeError: if the port is not known yet.
        """
        if not self.port:
            raise RuntimeError("the port is not known before the server is started")
        scheme = "ws" if self._options.ssl_context is None else "wss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/"

    @property
    def connections(self) -> list[Connection]:
        """The connections, in order of their coming; of those that ended, the latest."""
        return sorted([*self._ended, *self._current], key=lambda connection: connection.number)

    @property
    def open_connections(self) -> list[Connection]:
        """The connections whose upgrade was accepted, and that are not closing."""
        return [connection for connection in self._current if connection.is_open]

    @property
    def connection_count(self) -> int:
        """How many connections there were in all, the refused ones included."""
        return self._accepted

    @property
    def messages(self) -> list[Message]:
        """The latest messages received on all connections, in order of arrival."""
        return list(self._journal.messages)

    @property
    def message_count(self) -> int:
        """How many messages were received in all."""
        return self._journal.message_count

    @property
    def errors(self) -> list[BaseException]:
        """The exceptions that came out of behaviours."""
        return list(self._journal.errors)

    def start(self) -> EchoServer:
        """Listen, and accept connections.

        :raises RuntimeError: if it runs already.
        :raises OSError: if the address cannot be had.
        """
        if self._listener is not None:
            raise RuntimeError("the server runs already")
        self._listener = self._listen()
        self.port = self._listener.getsockname()[1]
        self._acceptor = gevent.spawn(self._accept, self._listener)
        self._journal.note_change()
        return self

    def stop(self) -> None:
        """Close everything: the listening socket and, with code 1001, all connections.

        Nobody is waited for. The server may be started again, on the same port.

        :raises Exception: the first one that came out of a behaviour and was not raised yet.
        """
        self._stop()
        self._journal.raise_error()

    def serve_forever(self) -> None:
        """Start, and serve until the greenlet that called is killed or interrupted."""
        self.start()
        assert self._acceptor is not None
        try:
            self._acceptor.get()
        finally:
            self.stop()

    def wait_for(self, condition: Callable[[], T], timeout: float | None = 5.0) -> T:
        """Wait until ``condition()`` is true, and return what it returned.

        It is asked again whenever something happened: the server began to listen; a connection
        came, was opened or went; a message, a ping, a pong or a close frame was received.

        :param timeout: seconds, or None to wait for ever.
        :raises TimeoutError: if it is not true in time.
        :raises Exception: the first one that came out of a behaviour and was not raised yet.
        """
        return self._journal.wait_for(condition, timeout)

    def wait_connections(self, count: int = 1, timeout: float | None = 5.0) -> list[Connection]:
        """Wait until ``count`` connections are open at the same time, and return them.

        :raises TimeoutError: if they are not in ``timeout`` seconds.
        """

        def are_open() -> list[Connection]:
            connections = self.open_connections
            return connections if len(connections) >= count else []

        return self.wait_for(are_open, timeout)

    def wait_messages(self, count: int = 1, timeout: float | None = 5.0) -> list[Message]:
        """Wait until ``count`` messages have been received in all; return :attr:`messages`.

        :raises TimeoutError: if they have not in ``timeout`` seconds.
        """
        self.wait_for(lambda: self.message_count >= count, timeout)
        return self.messages

    def wait_idle(self, timeout: float | None = 5.0) -> None:
        """Wait until there is no connection, of those that came before.

        :raises TimeoutError: if there is one after ``timeout`` seconds.
        """
        self.wait_for(lambda: not self._current, timeout)

    def _listen(self) -> _socket.socket:
        family, kind, proto, _name, address = getaddrinfo(
            self.host, self.port, type=_socket.SOCK_STREAM
        )[0]
        # Not gevent's socket, nor whatever socket.socket is where it is patched: this one is
        # never waited on but through the hub.
        listener = _socket.socket(family, kind, proto)
        try:
            listener.setblocking(False)
            listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            if self._receive_buffer is not None:
                # Before listen(), so that connections are born with it.
                listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, self._receive_buffer)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener

    def _accept(self, listener: _socket.socket) -> None:
        hub = gevent.get_hub()
        watcher = hub.loop.io(listener.fileno(), 1)
        try:
            while True:
                hub.wait(watcher)
                try:
                    for _ in range(_ACCEPT_BATCH):
                        descriptor, _address = listener._accept()  # type: ignore[attr-defined]
                        self._welcome(_socket.socket(fileno=descriptor))
                except BlockingIOError:
                    continue
                except OSError:
                    gevent.sleep(_ACCEPT_PAUSE)
        finally:
            watcher.close()

    def _welcome(self, sock: _socket.socket) -> None:
        sock.setblocking(False)
        # Fails if the client has gone already; then there is nothing to be quick for.
        with contextlib.suppress(OSError):
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self._accepted += 1
        connection = Connection(Wire(sock), self._accepted, self._options, self._journal)
        self._current[connection] = gevent.spawn(self._serve, connection)
        self._journal.note_change()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.start_tls()
            _run(self.opening, connection)
            if connection.is_open:
                _run(self.handler, connection)
            connection.finish(Status.NORMAL)
        except WebSocketClosed:
            connection.finish(Status.NORMAL)
        except gevent.GreenletExit:
            connection.go_away()
        except (Exception, gevent.Timeout) as error:  # noqa: BLE001  # raised by stop()
            connection.error = error
            self._journal.note_error(error)
            connection.finish(Status.UNEXPECTED_CONDITION)
        finally:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        connection.drop(reset=False)
        del self._current[connection]
        self._ended.append(connection)
        self._journal.note_change()

    def _stop(self) -> None:
        if self._listener is None:
            return
        assert self._acceptor is not None
        self._acceptor.kill()
        self._listener.close()
        self._listener = self._acceptor = None
        me = gevent.getcurrent()  # a behaviour, perhaps
        others = [greenlet for greenlet in self._current.values() if greenlet is not me]
        gevent.killall(others)
        # A greenlet killed before its first turn never runs.
        for connection, greenlet in list(self._current.items()):
            if greenlet is not me:
                self._forget(connection)


def _run(behaviour: Behaviour, connection: Connection) -> None:
    result = behaviour(connection)
    if callable(result):
        raise TypeError(f"{behaviour!r} returned a behaviour: it has to be called first")


def _check_behaviour(name: str, behaviour: object) -> None:
    if not callable(behaviour):
        raise TypeError(f"{name} must be callable, not {type(behaviour).__name__}")
