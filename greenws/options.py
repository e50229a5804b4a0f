"""Every option of a connection, once: its default, its type, its unit and its check.

The defaults are class attributes, which :class:`greenws.WebSocket` and :class:`greenws.Client`
inherit: an instance holds only the options that differ. The ``TypedDict`` classes give the same
names to type checkers, for keyword arguments. A test keeps all of these, and the signatures of
``WebSocket`` and of its ``connect()``, in step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from . import constants

if TYPE_CHECKING:
    import ssl
    from http.cookiejar import CookieJar

Path = str | os.PathLike[str]
Name = str | bytes
#: Headers as a user may give them: a mapping, or pairs of name and value.
HeaderSource = Mapping[str, Name] | Mapping[bytes, Name] | Iterable[tuple[Name, Name]]
#: ``(level, option, value)``, as ``setsockopt`` takes them.
SocketOption = tuple[int, int, int | bytes]
#: The password of a key, or a callable that returns it.
Password = str | bytes | Callable[[], str | bytes]
#: Called with the facts of a step: their types depend on the step.
TraceCallback = Callable[[dict[str, Any]], object]


class ConnectedSocket(Protocol):
    """A socket that the user has connected: the standard library's, patched or not, or gevent's."""

    def fileno(self) -> int: ...
    def getpeername(self) -> object: ...
    def detach(self) -> int: ...


class WebSocketOptions(TypedDict, total=False):
    """The options of :class:`greenws.WebSocket`, as keyword arguments."""

    proxies: Mapping[str, str | None] | None
    protocols: Sequence[str] | None
    agent: str | None
    compress: bool
    ssl_context: ssl.SSLContext | None
    ssl_verify: bool
    ssl_cafile: Path | None
    ssl_certfile: Path | None
    ssl_keyfile: Path | None
    ssl_password: Password | None
    server_hostname: str | None
    headers: HeaderSource | Callable[[], HeaderSource] | None
    origin: str | None
    cookies: CookieJar | None
    max_redirects: int
    max_size: int | None
    open_timeout: float | None
    send_timeout: float | None
    write_limit: int
    source_address: tuple[str, int] | None
    socket: ConnectedSocket | None
    unix_path: Path | bytes | None
    socket_options: Sequence[SocketOption]
    trace: TraceCallback | None


class RunOptions(TypedDict, total=False):
    """The options of ``WebSocket.connect()`` but ``session_class``, which Session.run() gets."""

    poll: float | None
    ping_rate: float | None
    ping_timeout: float | None
    auto_pong: bool
    close_timeout: float | None


class RequestDefaults:
    """The options that shape the opening request, as attributes with their defaults."""

    __slots__ = ()

    #: Proxy URLs by kind of traffic; None: the environment's; empty: no proxy.
    proxies: Mapping[str, str | None] | None = None
    #: Subprotocols to offer, the preferred one first.
    protocols: Sequence[str] | None = None
    #: The ``User-Agent``; None: ``constants.USER_AGENT``.
    agent: str | None = None
    #: Offer permessage-deflate (RFC 7692).
    compress: bool = False
    #: Headers to add to the request, or a callable that returns them at each connect.
    headers: HeaderSource | Callable[..., HeaderSource] | None = None
    #: The value of the ``Origin`` header.
    origin: str | None = None
    #: A cookie jar to send cookies from, and to store cookies in.
    cookies: CookieJar | None = None
    #: Redirects to follow; 0: none.
    max_redirects: int = constants.MAX_REDIRECTS
    #: Called with a dict for each step.
    trace: Callable[..., object] | None = None


class TransportDefaults:
    """The options by which a session opens and runs a transport, as attributes with their
    defaults. Every WebSocket that a session drives has all of them.
    """

    __slots__ = ()

    #: Used for wss as it is, in place of a context made of the other ``ssl_`` options.
    ssl_context: ssl.SSLContext | None = None
    #: Verify the server's certificate.
    ssl_verify: bool = True
    #: PEM file of the authorities to trust; None: certifi's.
    ssl_cafile: Path | None = None
    #: PEM file of the client's certificate.
    ssl_certfile: Path | None = None
    #: PEM file of the key of that certificate; None: the key is in ``ssl_certfile``.
    ssl_keyfile: Path | None = None
    #: The password of that key.
    ssl_password: Password | None = None
    #: Name that the certificate must have, sent as SNI; None: the host of the URL.
    server_hostname: str | None = None
    #: Bytes of one received message, after inflation; None: no limit.
    max_size: int | None = constants.MAX_MESSAGE_SIZE
    #: Seconds from the name lookup to the end of the handshake; None: no limit.
    open_timeout: float | None = constants.OPEN_TIMEOUT
    #: Seconds that a send waits while the queue is full; None: no limit.
    send_timeout: float | None = constants.SEND_TIMEOUT
    #: Bytes in the queue from which on senders wait.
    write_limit: int = constants.WRITE_LIMIT
    #: ``(host, port)`` to connect from.
    source_address: tuple[str, int] | None = None
    #: A connected socket to use in place of a new one.
    socket: ConnectedSocket | None = None
    #: Path of a unix socket to connect to; the URL then only makes the request.
    unix_path: Path | bytes | None = None
    #: ``(level, option, value)`` to set on the socket.
    socket_options: Sequence[SocketOption] = ()


class WebSocketDefaults(RequestDefaults, TransportDefaults):
    """All options of :class:`greenws.WebSocket`, as attributes with their defaults."""

    __slots__ = ()


class RunDefaults:
    """The options of a session's run, as attributes with their defaults."""

    __slots__ = ()

    #: Seconds between poll events; None or 0: no such events.
    poll: float | None = 5.0
    #: Seconds between pings; None or 0: no pings.
    ping_rate: float | None = 30.0
    #: Seconds of silence after which the server counts as unresponsive; None: no limit.
    ping_timeout: float | None = None
    #: Answer pings.
    auto_pong: bool = True
    #: Seconds that the server has to answer a close frame; None or 0: no limit.
    close_timeout: float | None = 30.0


#: The names of the options, in the order of the signatures.
WEBSOCKET_OPTIONS: tuple[str, ...] = tuple(WebSocketOptions.__annotations__)
TRANSPORT_OPTIONS: tuple[str, ...] = tuple(TransportDefaults.__annotations__)
RUN_OPTIONS: tuple[str, ...] = tuple(RunOptions.__annotations__)


# Checks. Each takes the name and the value of an option, and returns nothing: an option is kept as
# the user gave it. The modules that know a grammar (headers, protocols, proxy URLs) check it.

Check = Callable[[str, object], None]

# The largest number that fits into the C integers of the compiled build, with room for a sum.
_LARGEST = 1 << 62


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def _check_text(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be str")


def _check_path(name: str, value: object) -> None:
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path: str or os.PathLike")


def _check_unix_path(name: str, value: object) -> None:
    if value is not None and not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"{name} must be a path: str, bytes or os.PathLike")


def _check_password(name: str, value: object) -> None:
    if value is not None and not isinstance(value, (str, bytes)) and not callable(value):
        raise TypeError(f"{name} must be str, bytes or a callable that returns one")


def _check_bound(
    name: str, value: object, kinds: tuple[type[int] | type[float], ...], noun: str
) -> None:
    if value is None:
        return
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{name} must be {noun} or None")
    if not 0 < value < _LARGEST:
        raise ValueError(f"{name} must be more than 0, and less than 2 ** 62")


def _check_timeout(name: str, value: object) -> None:
    _check_bound(name, value, (int, float), "a number")


def _check_size(name: str, value: object) -> None:
    _check_bound(name, value, (int,), "an int")


def _check_write_limit(name: str, value: object) -> None:
    _check_size(name, value)
    if value is None:
        raise ValueError(f"{name} must be a number: there is no unlimited queue")


def _check_max_redirects(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be an int, 0 or more")


def _check_proxies(name: str, value: Any) -> None:
    if value is not None and type(value) is not dict and not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping or None")


def _check_protocols(name: str, value: object) -> None:
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be a list of str, not one")


def _check_source_address(name: str, value: object) -> None:
    if value is None:
        return
    if (
        not isinstance(value, (tuple, list))
        or len(value) != 2
        or not isinstance(value[0], str)
        or not isinstance(value[1], int)
    ):
        raise TypeError(f"{name} must be a pair of host (str) and port (int)")


def _check_socket_options(name: str, value: object) -> None:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list of (level, option, value)")
    for option in value:
        if (
            not isinstance(option, (tuple, list))
            or len(option) != 3
            or not isinstance(option[0], int)
            or not isinstance(option[1], int)
            or not isinstance(option[2], (int, bytes))
        ):
            raise TypeError(f"{name} must be a list of (level, option, value), not of {option!r}")


def _check_max_queue(name: str, value: object) -> None:
    _check_size(name, value)
    if value is None:
        raise ValueError(f"{name} must be a number: there is no unlimited queue")


def _check_callable(name: str, value: object) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable")


def _check_nothing(name: str, value: object) -> None:
    """Leave the check to the module that uses the option."""


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, or None")
    if not value >= 0:
        raise ValueError(f"{name} must not be negative")


CHECKS: dict[str, Check] = {
    "proxies": _check_proxies,
    "protocols": _check_protocols,
    "agent": _check_text,
    "compress": _check_flag,
    "ssl_context": _check_nothing,  # checked by the sessions, which may import ssl
    "ssl_verify": _check_flag,
    "ssl_cafile": _check_path,
    "ssl_certfile": _check_path,
    "ssl_keyfile": _check_path,
    "ssl_password": _check_password,
    "server_hostname": _check_text,
    "headers": _check_nothing,  # checked by the opening handshake, which knows the grammar
    "origin": _check_text,
    "cookies": _check_nothing,  # checked by greenws.cookies, which may import http.cookiejar
    "max_redirects": _check_max_redirects,
    "max_size": _check_size,
    "open_timeout": _check_timeout,
    "send_timeout": _check_timeout,
    "write_limit": _check_write_limit,
    "source_address": _check_source_address,
    "socket": _check_nothing,  # checked by the dial, which knows the kinds of sockets
    "unix_path": _check_unix_path,
    "socket_options": _check_socket_options,
    "trace": _check_callable,
    "poll": _check_seconds,
    "ping_rate": _check_seconds,
    "ping_timeout": _check_seconds,
    "auto_pong": _check_flag,
    "close_timeout": _check_seconds,
    "max_queue": _check_max_queue,
    "reply_key": _check_callable,
}


def check_option(name: str, value: object) -> None:
    """Check the type and the range of one option's value.

    :raises TypeError: if the value has a wrong type; the message names the option.
    :raises ValueError: if the value is out of its range, likewise.
    """
    CHECKS[name](name, value)


# Names of options in other libraries, and ours.
_FOREIGN: dict[str, str] = {
    "additional_headers": "headers",
    "compression": "compress",
    "extra_headers": "headers",
    "header": "headers",
    "http_headers": "headers",
    "open_time": "open_timeout",
    "ping_interval": "ping_rate",
    "proxy": "proxies",
    "ssl": "ssl_context",
    "sslopt": "ssl_context",
    "subprotocols": "protocols",
    "timeout": "open_timeout",
    "user_agent": "agent",
    "user_agent_header": "agent",
}


def explain_unknown(owner: str, name: str, known: Collection[str]) -> TypeError:
    """Return the error for an option that does not exist, which names the one that was meant.

    :param owner: what has the options.
    :param known: the names of its options.
    """
    from difflib import get_close_matches  # imported here: it is needed for mistakes alone

    near = [_FOREIGN[name]] if name in _FOREIGN else get_close_matches(name, sorted(known), 1)
    hint = f"; did you mean {near[0]!r}?" if near and near[0] in known else ""
    return TypeError(f"{owner} has no option {name!r}{hint}")
