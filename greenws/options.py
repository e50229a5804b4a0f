"""Every option of a connection, once: its default, its type, its unit and its check.

The defaults are class attributes, which :class:`greenws.WebSocket` and :class:`greenws.Client`
inherit: an instance holds only the options that differ. The ``TypedDict`` classes give the same
names to type checkers, for keyword arguments. A test keeps all of these, and the signatures of
``WebSocket`` and of its ``connect()``, in step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, cast, runtime_checkable

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


@runtime_checkable
class ConnectedSocket(Protocol):
    """A socket that the user has connected: the standard library's, patched or not, or gevent's."""

    def fileno(self) -> int: ...
    def getpeername(self) -> object: ...
    def detach(self) -> int: ...


class CompressOptions(TypedDict, total=False):
    """The keys of ``compress`` as a mapping: what is offered, and how we compress.

    The first four are the parameters of an offer (RFC 7692 section 7.1), with their names there.
    """

    #: Our window, as a power of two in bytes, 8 to 15; without it, the server chooses.
    client_max_window_bits: int
    #: The server's window, likewise; without it, 15. The server has to agree, or not to compress.
    server_max_window_bits: int
    #: Compress each message for itself: we keep no memory of the messages before.
    client_no_context_takeover: bool
    #: The same of the server, which has to agree, or not to compress.
    server_no_context_takeover: bool
    #: zlib's level of our compressing: 0 (stored) to 9 (smallest), or -1 (zlib's default).
    level: int
    #: Bytes; smaller messages are sent as they are.
    min_size: int


class WebSocketOptions(TypedDict, total=False):
    """The options of :class:`greenws.WebSocket`, as keyword arguments."""

    proxies: Mapping[str, str | None] | None
    protocols: Sequence[str] | None
    agent: str | None
    compress: bool | CompressOptions
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
    #: Offer permessage-deflate (RFC 7692), or what to offer of it.
    compress: bool | CompressOptions = False
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
#: The keys of ``compress``.
COMPRESS_OPTIONS: tuple[str, ...] = tuple(CompressOptions.__annotations__)


# Checks. Each takes the name and the value of an option, and returns nothing: an option is kept as
# the user gave it. The modules that know a grammar (headers, protocols, proxy URLs) check it.

Check = Callable[[str, object], None]

# The largest number that fits into the C integers of the compiled build, with room for a sum.
_LARGEST = 1 << 62
# The numbers that the system takes as a level, an option or a value of a socket: a C int.
_C_INT = range(-(1 << 31), 1 << 31)
_PORTS = range(1 << 16)
# RFC 7692 section 7.1.2.
_WINDOW_BITS = range(8, 16)
_ZLIB_LEVELS = range(-1, 10)
# The largest number of characters that an error shows of a value.
_SHOWN = 60


def _show(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"a number of {value.bit_length()} bits"  # repr() refuses thousands of digits
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}... ({type(value).__name__})"


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {_show(value)}")


def _check_compress(name: str, value: object) -> None:
    if isinstance(value, bool):
        return
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be True or False, not {_show(value)}; it may also be a mapping such as "
            f"{{'server_no_context_takeover': True}}"
        )
    for key, entry in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{name} must have keys that are str, not {_show(key)}")
        check = _COMPRESS_CHECKS.get(key)
        if check is None:
            raise refuse_option(name, key, COMPRESS_OPTIONS)
        check(f"{name}[{key!r}]", entry)


def _check_range(name: str, value: object, numbers: range) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {_show(value)}")
    if value not in numbers:
        raise ValueError(f"{name} must be {numbers[0]} to {numbers[-1]}, not {_show(value)}")


def _check_window_bits(name: str, value: object) -> None:
    if value is None:
        raise TypeError(f"{name} must be an int, not None; without it, the server may choose")
    _check_range(name, value, _WINDOW_BITS)


def _check_level(name: str, value: object) -> None:
    _check_range(name, value, _ZLIB_LEVELS)


def _check_min_size(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, a number of bytes, not {_show(value)}")
    if not 0 <= value < _LARGEST:
        raise ValueError(f"{name} must be 0 or more, and less than 2 ** 62")


_COMPRESS_CHECKS: dict[str, Check] = {
    "client_max_window_bits": _check_window_bits,
    "server_max_window_bits": _check_window_bits,
    "client_no_context_takeover": _check_flag,
    "server_no_context_takeover": _check_flag,
    "level": _check_level,
    "min_size": _check_min_size,
}


def _check_text(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str, not {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be text, without surrogates") from None


def _check_path(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path: str or os.PathLike, not {type(value).__name__}")
    if b"\0" in _encode_path(name, value):
        raise ValueError(f"{name} must be a path, which has no NUL")


def _check_unix_path(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(
            f"{name} must be a path: str, bytes or os.PathLike, not {type(value).__name__}"
        )
    path = _encode_path(name, value)
    if b"\0" in path and not path.startswith(b"\0"):  # an abstract socket of Linux
        raise ValueError(
            f"{name} must be a path, which has no NUL but the first of an abstract one"
        )


def _encode_path(name: str, value: str | bytes | os.PathLike[Any]) -> bytes:
    try:
        return os.fsencode(value)
    except UnicodeError:
        raise ValueError(f"{name} must be a path that the file system can express") from None


def _check_password(name: str, value: object) -> None:
    if value is not None and not isinstance(value, (str, bytes)) and not callable(value):
        raise TypeError(f"{name} must be str, bytes or a callable that returns one")


def _check_bound(
    name: str, value: object, kinds: tuple[type[int] | type[float], ...], noun: str
) -> None:
    if value is None:
        return
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{name} must be {noun} or None, not {_show(value)}")
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
    if value is None:
        return
    if type(value) is not dict and not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be a mapping such as {{'https': 'http://proxy:3128'}}, or None, "
            f"not {type(value).__name__}"
        )
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{name} must have keys that are str, not {type(key).__name__}")
        if key.endswith("://"):
            raise _refuse_proxy(name, key)
    if not _PROXY_KEYS.intersection(value):
        for key in value:
            # The connection would go past the proxy without a word. What urllib.request has beside
            # the known keys, in getproxies(), may be there.
            if key not in _OTHER_PROXY_KEYS:
                raise _refuse_proxy(name, key)


_PROXY_KEYS = frozenset({"http", "ws", "https", "wss", "all"})
_OTHER_PROXY_KEYS = frozenset({"no", "ftp", "gopher"})


def _refuse_proxy(name: str, key: str) -> ValueError:
    return ValueError(f"{name} has the keys 'http', 'https' and 'all', not {key[:_SHOWN]!r}")


def _check_protocols(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be a list of str, not one")
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise TypeError(f"{name} must be a list of str, not {type(value).__name__}")


def _check_source_address(name: str, value: object) -> None:
    if value is None:
        return
    if (
        not isinstance(value, (tuple, list))
        or len(value) != 2
        or not isinstance(value[0], str)
        or not isinstance(value[1], int)
        or isinstance(value[1], bool)
    ):
        raise TypeError(f"{name} must be a pair of host (str) and port (int), not {_show(value)}")
    if value[1] not in _PORTS:
        raise ValueError(f"{name} must have a port of 0 to 65535, not {value[1]}")


def _check_socket(name: str, value: object) -> None:
    # Any object may act as a socket; the dial sees whether it does.
    if isinstance(value, (bool, int, str, bytes, tuple, list)):
        raise TypeError(f"{name} must be a connected socket, not {type(value).__name__}")


def _check_socket_options(name: str, value: object) -> None:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(
            f"{name} must be a list of (level, option, value), not {type(value).__name__}"
        )
    for option in value:
        if (
            not isinstance(option, (tuple, list))
            or len(option) != 3
            or not isinstance(option[0], int)
            or not isinstance(option[1], int)
            or not isinstance(option[2], (int, bytes))
        ):
            raise TypeError(
                f"{name} must be a list of (level, option, value), not of {_show(option)}"
            )
        if any(isinstance(number, int) and number not in _C_INT for number in option):
            raise ValueError(f"{name} must have numbers of 32 bits, not {_show(option)}")


def _check_max_queue(name: str, value: object) -> None:
    _check_size(name, value)
    if value is None:
        raise ValueError(f"{name} must be a number: there is no unlimited queue")


def _check_callable(name: str, value: object) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable, not {type(value).__name__}")


def _check_nothing(name: str, value: object) -> None:
    """Leave the check to the module that uses the option."""


def check_seconds(name: str, value: object) -> None:
    """Check a number of seconds, or None; errors as :func:`check_option`."""
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, or None, not {_show(value)}")
    if value != value:
        raise ValueError(f"{name} must be a number of seconds, not nan")
    if value < 0:
        raise ValueError(f"{name} must not be negative")
    _check_magnitude(name, value)


def check_number(name: str, value: object, is_whole: bool = False) -> None:
    """Check that a value is a number, of any size; errors as :func:`check_option`.

    :param is_whole: whether it has to be an int.
    """
    if not isinstance(value, int if is_whole else (int, float)) or isinstance(value, bool):
        noun = "an int" if is_whole else "a number"
        raise TypeError(f"{name} must be {noun}, not {_show(value)}")
    _check_magnitude(name, value)


def _check_magnitude(name: str, value: object) -> None:
    # A float has room for any number of seconds, and an int may be too large for a float.
    if isinstance(value, int) and not -_LARGEST < value < _LARGEST:
        raise ValueError(f"{name} must be less than 2 ** 62")


CHECKS: dict[str, Check] = {
    "proxies": _check_proxies,
    "protocols": _check_protocols,
    "agent": _check_text,
    "compress": _check_compress,
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
    "socket": _check_socket,
    "unix_path": _check_unix_path,
    "socket_options": _check_socket_options,
    "trace": _check_callable,
    "poll": check_seconds,
    "ping_rate": check_seconds,
    "ping_timeout": check_seconds,
    "auto_pong": _check_flag,
    "close_timeout": check_seconds,
    "max_queue": _check_max_queue,
    "reply_key": _check_callable,
}


def check_option(name: str, value: object) -> None:
    """Check the type and the range of one option's value.

    :raises TypeError: if the value has a wrong type; the message names the option.
    :raises ValueError: if the value is out of its range, likewise.
    """
    CHECKS[name](name, value)


# Names. A wrong one is a TypeError that says which one is right.

#: Options of other libraries, with the names of ours.
FOREIGN_OPTIONS: dict[str, str] = {
    "additional_headers": "headers",
    "auto_reconnect": "reconnect",
    "ca_certs": "ssl_cafile",
    "cafile": "ssl_cafile",
    "certfile": "ssl_certfile",
    "client_context_takeover": "client_no_context_takeover",
    "compress_level": "level",
    "compression": "compress",
    "compression_level": "level",
    "compression_threshold": "min_size",
    "connect_timeout": "open_timeout",
    "cookie": "cookies",
    "cookie_jar": "cookies",
    "cookiejar": "cookies",
    "custom_headers": "headers",
    "enable_compression": "compress",
    "extra_headers": "headers",
    "handshake_timeout": "open_timeout",
    "header": "headers",
    "heartbeat": "ping_rate",
    "heartbeat_interval": "ping_rate",
    "http_headers": "headers",
    "http_proxy": "proxies",
    "http_proxy_host": "proxies",
    "http_proxy_port": "proxies",
    "https_proxy": "proxies",
    "keyfile": "ssl_keyfile",
    "local_addr": "source_address",
    "max_message_size": "max_size",
    "max_msg_size": "max_size",
    "max_payload_size": "max_size",
    "max_queue_size": "write_limit",
    "max_window_bits": "client_max_window_bits",
    "ping_interval": "ping_rate",
    "pong_timeout": "ping_timeout",
    "protocol": "protocols",
    "proxy": "proxies",
    "proxy_url": "proxies",
    "receive_timeout": "ping_timeout",
    "reconnect_interval": "reconnect",
    "server_context_takeover": "server_no_context_takeover",
    "sock": "socket",
    "sockopt": "socket_options",
    "ssl": "ssl_context",
    "ssl_options": "ssl_context",
    "sslopt": "ssl_context",
    "subprotocol": "protocols",
    "subprotocols": "protocols",
    "threshold": "min_size",
    "timeout": "open_timeout",
    "uri": "url",
    "user_agent": "agent",
    "user_agent_header": "agent",
    "verify": "ssl_verify",
    "verify_ssl": "ssl_verify",
    "wbits": "client_max_window_bits",
    "window_bits": "client_max_window_bits",
    "write_timeout": "send_timeout",
    "zlib_level": "level",
}

# A word of this many letters may be another one by a single letter: on_next is no on_text. Longer
# words of one topic differ by more than that.
_SHORT, _LONG = 6, 10


def find_option(name: str, known: Iterable[str]) -> str | None:
    """Find the option that a wrong name means.

    :param known: the names of the options.
    :returns: one of ``known``; None: the name is like none of them.
    """
    known = tuple(known)
    meant = FOREIGN_OPTIONS.get(name.lower())
    if meant in known:
        return meant
    # Another ending makes another word: agents, tracer.
    stem, ending = name[:-1], name[-1:]
    return find_near_miss(
        name, [word for word in known if word != stem or ending in (word[-1], "_")]
    )


def find_near_miss(name: str, known: Iterable[str]) -> str | None:
    """Find the word that ``name`` is a slip of the pen for, or None.

    A slip: capitals, a lost, doubled, foreign or swapped letter, an underscore too many or too few.
    The first letter is right in nearly every slip.
    """
    plain = name.lower().replace("_", "")
    nearest, fewest = None, 3
    for word in known:
        right = word.replace("_", "")
        if plain[:1] != right[:1]:
            continue
        slips = _count_slips(plain, right, len(right) > _SHORT)
        if slips < fewest and slips <= (2 if len(right) >= _LONG else 1):
            nearest, fewest = word, slips
    return nearest


def _count_slips(written: str, right: str, has_replaced: bool) -> int:
    """Count the slips between two words, as optimal string alignment does.

    :param has_replaced: whether a letter in place of another one is one slip, or two.
    """
    if abs(len(written) - len(right)) > 2:
        return 3
    replaced = 1 if has_replaced else 2
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, letter in enumerate(written, 1):
        before, above, row = row, before, [i]
        for j, other in enumerate(right, 1):
            cost = 0 if letter == other else replaced
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + cost)
            if i > 1 and j > 1 and letter == right[j - 2] and written[i - 2] == other:
                least = min(least, above[j - 2] + 1)
            row.append(least)
    return row[-1]


def refuse_option(
    who: str, name: str, known: Iterable[str], others: Mapping[str, str] = MappingProxyType({})
) -> TypeError:
    """Return the error for an option that does not exist.

    :param who: whose option it should be: ``"WebSocket()"``.
    :param known: the names of the options that there are.
    :param others: options of other calls, with the names of the calls.
    """
    meant, other = find_option(name, known), find_option(name, others)
    if name in others:
        hint = f"; it is an option of {others[name]}"
    elif meant is not None:
        hint = f"; the option is called {meant!r}"
    elif other is not None:
        hint = f"; the option is called {other!r}, and is one of {others[other]}"
    elif name.startswith("on_"):
        hint = "; a handler is a method of a subclass of greenws.Client"
    else:
        hint = ""
    if hint and name.lower() == "timeout":
        hint += ", and 'send_timeout', 'ping_timeout' and 'close_timeout' are further ones"
    return TypeError(f"{who} has no option {name!r}{hint}")


def check_attribute(
    owner: str,
    name: str,
    value: object,
    known: Iterable[str],
    callables: Collection[str],
    meant: str | None = None,
) -> None:
    """Check that an attribute of a user's class is no slip for an option.

    :param owner: the name of the class.
    :param known: the names of the options, of which ``name`` is none.
    :param callables: the options that may be methods. A method whose name is like that of another
        option is the user's own.
    :param meant: the option that the name stands for, if that is known already.
    :raises TypeError: it is one; the message has the right name.
    """
    meant = meant or find_option(name, known)
    if meant is None or (
        meant not in callables
        and (callable(value) or isinstance(value, (property, classmethod, staticmethod)))
    ):
        return
    error = refuse_option(owner, name, known)
    raise TypeError(f"{error}; an attribute of your own needs another name")


_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])


def names_options(
    who: str, known: frozenset[str], others: Mapping[str, str]
) -> Callable[[_FunctionT], _FunctionT]:
    """Make a decorator that refuses a keyword that is no option by a hint to the right one.

    :param who: whose options they are, for the error.
    :param known: the keywords that there are.
    :param others: the options of another call, with its name.
    """

    def decorate(function: _FunctionT) -> _FunctionT:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            for name in options:
                if name not in known:
                    raise refuse_option(who, name, known, others)
            return function(*arguments, **options)

        return cast(_FunctionT, call)

    return decorate
