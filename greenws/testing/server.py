"""The echo server: a listening socket, and a greenlet for each connection."""

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
from ..options import check_number, check_option, check_seconds
from ..status import Status
from .behaviour import Behaviour, accept, echo
from .journal import Journal, Message
from .openings import Opening, Openings
from .server_connection import ServerConnection, ServerOptions
from .wire import Wire

T = TypeVar("T")

# The number of connections that the kernel holds until the server accepts them. The kernel has a
# limit of its own (on Linux 4096, net.core.somaxconn).
_BACKLOG = 4096

# The number of connections to accept in a row before other greenlets get their turn. A
# connection takes about 15 us, so 64 of them keep the hub for a millisecond.
_ACCEPT_BATCH = 64


class EchoServer:
    """A WebSocket server in this process, on gevent, for the tests of a client.

    .. code-block:: python

        import greenws
        from greenws.testing import EchoServer

        with EchoServer() as server:
            with greenws.connect(server.url) as connection:
                connection.send("hello")
            assert server.messages == ["hello"]

    The server echoes every message, unless it gets another behaviour. The server runs in the hub of
    the thread that started it, patches nothing, and needs no patching. Leaving the block closes
    everything, and raises the first exception that came out of a behaviour.

    :param handler: the behaviour after the upgrade: a callable that gets a
        :class:`ServerConnection`.
    :param opening: the behaviour in place of the upgrade. If the opening accepts the upgrade, the
        handler runs afterwards.
    :param host: the address to listen on.
    :param port: the port to listen on; 0: a free port.
    :param ssl_context: a context with the server's certificate, of ``ssl`` or ``gevent.ssl``, for
        ``wss://``.
    :param subprotocols: the subprotocols of the server, the preferred one first.
    :param compress: whether to accept an offer of permessage-deflate. A mapping accepts offers and
        has the server's preferences, with the names of RFC 7692 section 7.1, for example
        ``{"server_max_window_bits": 10, "client_no_context_takeover": True}``.
    :param max_size: the largest message after inflation, in bytes; None: no limit.
    :param history: the number of latest messages and ended connections to keep.
    :param receive_buffer: the size of the kernel's receive buffer of each connection, in bytes;
        None: the default of the system. If nothing is read, a small buffer fills up soon.
    :param close_timeout: the seconds to wait for the client in the closing handshake.
    :param open_timeout: the seconds to wait for the client in the opening: for its part of the TLS
        handshake and for its request, together. An opening that stalls by itself is not limited.
        None: no limit.
    :param max_openings: the largest number of openings that wait for their client at the same time.
        The kernel keeps the connections beyond; meanwhile the server refuses openings that have
        been waiting for half a second. None: no limit.
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
        open_timeout: float | None = 10.0,
        max_openings: int | None = 1000,
    ) -> None:
        _check_behaviour("handler", handler)
        _check_behaviour("opening", opening)
        if not isinstance(host, str):
            raise TypeError(f"host must be str, not {type(host).__name__}")
        check_number("port", port, is_whole=True)
        if not 0 <= port < 1 << 16:
            raise ValueError("port must be 0 to 65535")
        _check_subprotocols(subprotocols)
        if not isinstance(compress, (bool, Mapping)):
            kind = type(compress).__name__
            raise TypeError(f"compress must be True, False or a mapping, not {kind}")
        check_option("max_size", max_size)
        check_number("history", history, is_whole=True)
        if history < 0:
            raise ValueError("history must be 0 or more")
        check_seconds("close_timeout", close_timeout)
        if open_timeout is not None:
            check_number("open_timeout", open_timeout)
        if open_timeout is not None and not open_timeout > 0:
            raise ValueError("open_timeout must be more than 0, or None")
        _check_count("receive_buffer", receive_buffer)
        _check_count("max_openings", max_openings)
        self.handler = handler
        self.opening = opening
        self.host = host
        #: The port. A free port is chosen at the first start, and kept from then on.
        self.port: int = port
        if compress is True:
            compress = {}
        self._options = ServerOptions(
            ssl_context=ssl_context,
            subprotocols=tuple(subprotocols),
            compression=None if compress is False else dict(compress),
            max_size=max_size,
            history=history,
            close_timeout=close_timeout,
        )
        self._receive_buffer = receive_buffer
        self._journal = Journal(history)
        self._openings = Openings(open_timeout, max_openings)
        self._accepted = 0
        self._current: dict[ServerConnection, gevent.Greenlet[..., object]] = {}
        self._ended: deque[ServerConnection] = deque(maxlen=history)
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
        # A failure in a behaviour is the likely cause of a failure in the block. The failure in the
        # block stays visible as the context.
        if exc_value is None or isinstance(exc_value, Exception):
            self._journal.raise_error()

    @property
    def url(self) -> str:
        """The URL to connect to. The path is ``/``; the server accepts every other path, too.

        :raises RuntimeError: the port is not known yet.
        """
        if not self.port:
            raise RuntimeError("the port is not known before the server is started")
        scheme = "ws" if self._options.ssl_context is None else "wss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/"

    @property
    def connections(self) -> list[ServerConnection]:
        """The open connections and the latest ended ones, in the order in which they came."""
        return sorted([*self._ended, *self._current], key=lambda connection: connection.number)

    @property
    def open_connections(self) -> list[ServerConnection]:
        """The connections whose upgrade was accepted and that are not closing."""
        return [connection for connection in self._current if connection.is_open]

    @property
    def connection_count(self) -> int:
        """The number of all connections so far, including refused ones."""
        return self._accepted

    @property
    def messages(self) -> list[Message]:
        """The latest messages received on all connections, in order of arrival."""
        return list(self._journal.messages)

    @property
    def message_count(self) -> int:
        """The number of all messages received so far."""
        return self._journal.message_count

    @property
    def errors(self) -> list[BaseException]:
        """The exceptions that came out of behaviours."""
        return list(self._journal.errors)

    def start(self) -> EchoServer:
        """Listen, and accept connections.

        :raises RuntimeError: the server is running already.
        :raises OSError: the address is not available.
        """
        if self._listener is not None:
            raise RuntimeError("the server is already running")
        self._listener = self._listen()
        self.port = self._listener.getsockname()[1]
        self._acceptor = gevent.spawn(self._accept, self._listener)
        self._journal.notify_waiters()
        return self

    def stop(self) -> None:
        """Close the listening socket and, with code 1001, all connections.

        ``stop()`` does not wait for the clients. The server may be started again, on the same port.

        :raises Exception: the first exception of a behaviour that was not raised yet.
        """
        self._stop()
        self._journal.raise_error()

    def serve_forever(self) -> None:
        """Start, and serve until the calling greenlet is killed or interrupted."""
        self.start()
        assert self._acceptor is not None
        try:
            self._acceptor.get()
        finally:
            self.stop()

    def wait_for(self, condition: Callable[[], T], timeout: float | None = 5.0) -> T:
        """Wait until ``condition()`` is true, and return its result.

        The condition is checked again after each of these: the server begins to listen; a
        connection arrives, opens or ends; a message, a ping, a pong or a close frame arrives.

        :param timeout: the time limit in seconds; None: no limit.
        :raises TimeoutError: the condition is not true in time.
        :raises Exception: the first exception of a behaviour that was not raised yet.
        """
        return self._journal.wait_for(condition, timeout)

    def wait_connections(
        self, count: int = 1, timeout: float | None = 5.0
    ) -> list[ServerConnection]:
        """Wait until ``count`` connections are open at the same time, and return them.

        :raises TimeoutError: fewer are open after ``timeout`` seconds.
        """

        def are_open() -> list[ServerConnection]:
            connections = self.open_connections
            return connections if len(connections) >= count else []

        return self.wait_for(are_open, timeout)

    def wait_messages(self, count: int = 1, timeout: float | None = 5.0) -> list[Message]:
        """Wait until ``count`` messages have been received in all; return :attr:`messages`.

        :raises TimeoutError: fewer have been received after ``timeout`` seconds.
        """
        self.wait_for(lambda: self.message_count >= count, timeout)
        return self.messages

    def wait_idle(self, timeout: float | None = 5.0) -> None:
        """Wait until every connection that has arrived so far has ended.

        :raises TimeoutError: a connection is left after ``timeout`` seconds.
        """
        self.wait_for(lambda: not self._current, timeout)

    def _listen(self) -> _socket.socket:
        family, kind, proto, _name, address = getaddrinfo(
            self.host, self.port, type=_socket.SOCK_STREAM
        )[0]
        # _socket.socket is the same class whether socket is patched or not. The server waits on
        # this socket only through the hub.
        listener = _socket.socket(family, kind, proto)
        try:
            listener.setblocking(False)
            listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            if self._receive_buffer is not None:
                # The option is set before listen(), so that accepted connections inherit it.
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
                if not self._accept_some(listener):
                    self._openings.make_room()
        finally:
            watcher.close()

    def _accept_some(self, listener: _socket.socket) -> bool:
        """Accept what waits, at most a batch; return False if there is no room for more."""
        for _ in range(_ACCEPT_BATCH):
            if self._openings.is_full:
                return False
            try:
                descriptor, _address = listener._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return True
            except ConnectionError:
                continue  # the client has gone already; others may wait
            except OSError:  # no descriptors, no memory
                return False
            # With all of its arguments, the socket asks the kernel for nothing, which might fail.
            sock = _socket.socket(listener.family, listener.type, listener.proto, descriptor)
            try:
                self._welcome(sock)
            except Exception as error:  # noqa: BLE001  # stop() raises the error
                # One connection must not end the loop that accepts all others.
                sock.close()
                self._journal.record_error(error)
        return True

    def _welcome(self, sock: _socket.socket) -> None:
        sock.setblocking(False)
        # This fails if the client has gone already. Then the option does not matter.
        with contextlib.suppress(OSError):
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self._accepted += 1
        wire = Wire(sock)
        opening = self._openings.begin(wire)
        try:
            connection = self._make_connection(wire, opening)
            self._current[connection] = gevent.spawn(self._serve, connection)
        except BaseException:
            opening.leave()
            wire.end()
            raise
        self._journal.notify_waiters()

    def _make_connection(self, wire: Wire, opening: Opening) -> ServerConnection:
        return ServerConnection(wire, self._accepted, self._options, self._journal, opening)

    def _serve(self, connection: ServerConnection) -> None:
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
        except (Exception, gevent.Timeout) as error:  # noqa: BLE001  # stop() raises the error
            connection.error = error
            self._journal.record_error(error)
            # The first failure is the one to raise, and may be the cause of another one here.
            with contextlib.suppress(Exception):
                connection.finish(Status.UNEXPECTED_CONDITION)
        finally:
            self._forget(connection)

    def _forget(self, connection: ServerConnection) -> None:
        try:
            connection.drop(reset=False)
        finally:
            del self._current[connection]
            self._ended.append(connection)
            self._journal.notify_waiters()

    def _stop(self) -> None:
        if self._listener is None:
            return
        assert self._acceptor is not None
        self._acceptor.kill()
        self._listener.close()
        self._listener = self._acceptor = None
        me = gevent.getcurrent()  # a behaviour may call stop()
        others = [greenlet for greenlet in self._current.values() if greenlet is not me]
        gevent.killall(others)
        # A greenlet killed before its first turn never runs.
        for connection, greenlet in list(self._current.items()):
            if greenlet is not me:
                self._forget(connection)


def _run(behaviour: Behaviour, connection: ServerConnection) -> None:
    result = behaviour(connection)
    if callable(result):
        raise TypeError(
            f"{behaviour!r} returned a behaviour: call it, and give the result to the server"
        )


def _check_subprotocols(value: object) -> None:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"subprotocols must be a list of str, not {type(value).__name__}")
    for name in value:
        if not isinstance(name, str):
            raise TypeError(f"subprotocols must be a list of str, not of {type(name).__name__}")


def _check_count(name: str, value: object) -> None:
    """Check an int that is more than 0, or None."""
    if value is None:
        return
    check_number(name, value, is_whole=True)
    assert isinstance(value, int)
    if value <= 0:
        raise ValueError(f"{name} must be more than 0, or None")


def _check_behaviour(name: str, behaviour: object) -> None:
    if not callable(behaviour):
        raise TypeError(f"{name} must be callable, not {type(behaviour).__name__}")
