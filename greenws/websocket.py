"""The WebSocket, as its user sees it. It does no I/O itself; a session drives it."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import is_not
from typing import TYPE_CHECKING, cast

from . import constants
from .endpoint import Endpoint
from .options import (
    RUN_OPTIONS,
    TRANSPORT_OPTIONS,
    WEBSOCKET_OPTIONS,
    CompressOptions,
    ConnectedSocket,
    HeaderSource,
    Password,
    Path,
    RequestDefaults,
    RunDefaults,
    SocketOption,
    TransportDefaults,
    check_option,
    names_options,
)
from .protocol import slices
from .protocol.client_protocol import CLOSED, CLOSING, OPEN
from .protocol.frame import Payload, build_close_payload
from .protocol.handshake import check_protocols
from .protocol.opcode import Opcode
from .protocol.opening import (
    PLAIN_REQUEST,
    CookieStore,
    RequestOptions,
    check_header,
    check_headers,
)
from .protocol.traffic import Traffic
from .proxies.address import choose_proxy, parse_proxy
from .redaction import redact_url
from .sessions import forks
from .sessions.commands import count_session
from .sessions.context import check_context
from .sessions.contract import Session, SessionClass
from .sessions.lomond import ForeignSession, adapt_session, is_gone
from .sessions.session import GeventSession, explain_text
from .status import Status
from .trace import Tracer
from .url import encode_host, parse_url

if TYPE_CHECKING:
    import ssl
    from http.cookiejar import CookieJar

    from .events import AnyEvent
    from .options import TraceCallback

_TRANSPORT_DEFAULTS = tuple(getattr(TransportDefaults, name) for name in TRANSPORT_OPTIONS)

# The arguments of _check_request, in their order.
_WISHES = ("protocols", "agent", "compress", "headers", "origin", "cookies", "max_redirects")
_WISH_DEFAULTS = tuple(getattr(RequestDefaults, name) for name in _WISHES)

_RATES = ("poll", "ping_rate", "ping_timeout", "close_timeout")
_RATE_DEFAULTS = tuple(getattr(RunDefaults, name) for name in _RATES)

# To look a member up in its class takes ten times as long before Python 3.12.
_CLOSE = Opcode.CLOSE


_OPTIONS = frozenset({"url", *WEBSOCKET_OPTIONS})
_CONNECT_OPTIONS = frozenset({"session_class", *RUN_OPTIONS})


# The class is over 400 lines long, as lomond's API has all of these members on one object. A third
# of the lines are docstrings; no method but __init__ and connect() is long.
class WebSocket(Endpoint):
    """A WebSocket connection, independent of how its bytes are moved.

    Iterating it, or :meth:`connect`, opens the connection and yields its events; meanwhile, from
    any greenlet, the ``send_`` methods send. The instance can be connected again when an
    iteration has ended.

    :param url: a URL that begins with ``ws://`` or ``wss://``. A user and a password in it are
        sent as Basic credentials, unless an ``Authorization`` header is given.
    :param proxies: proxy URLs by the kind of traffic they are for: ``"http"`` for ws, ``"https"``
        for wss, ``"all"`` for both. None looks into the environment; an empty dict switches
        proxies off.
    :param protocols: subprotocols to offer, the preferred one first.
    :param agent: the User-Agent; None for ``constants.USER_AGENT``.
    :param compress: offer permessage-deflate (RFC 7692); or a mapping of what to offer, and how to
        compress: :class:`~greenws.options.CompressOptions`. An empty one is True.
    :param ssl_context: used for wss as it is, instead of a context made of the other options.
    :param ssl_verify: verify the certificate of the server.
    :param ssl_cafile: path of a PEM file of the authorities to trust, instead of certifi's.
    :param ssl_certfile: path of a PEM file with the client's certificate.
    :param ssl_keyfile: path of its key, if that is in another file.
    :param ssl_password: the password of the key.
    :param server_hostname: the name that the certificate has to have, and that is sent as SNI,
        if it is not the host of the URL.
    :param headers: headers to add to the request: a mapping, pairs, or a callable that returns
        one of these and is called at every connect. Names and values are str or bytes. The callable
        may wait; its exceptions make the opening fail.
    :param origin: the value of the ``Origin`` header.
    :param cookies: a cookie jar: its cookies are sent, and those of the answers put into it.
    :param max_redirects: redirects that are followed; 0 for none. Never from wss to ws; headers,
        cookies and credentials meant for one origin are not sent to another.
    :param max_size: bytes of one received message, after inflation; None for no limit. A larger
        one closes the connection with 1009.
    :param open_timeout: seconds from the name lookup to the end of the handshake together; None
        for no limit.
    :param send_timeout: seconds a send waits while the queue is full; None for no limit.
    :param write_limit: bytes queued for sending from which on senders wait.
    :param source_address: ``(host, port)`` to connect from.
    :param socket: a connected socket to use instead of opening one.
    :param unix_path: path of a unix socket to connect to; the URL only makes the request.
    :param socket_options: ``(level, option, value)`` to set on the socket.
    :param trace: called with a dict for each step; its ``stage`` names the step.
    :raises TypeError: if an argument has a wrong type.
    :raises ValueError: if an argument has an impossible value: a URL with another scheme, without
        a host or with a bad port, say, or a line break in a header.
    """

    # An idle connection has to be small. Options that have their defaults are attributes of the
    # class. Other options, and attributes that a user adds, make a dict, which most never need.
    __slots__ = ("__dict__", "__weakref__", "given_proxies", "url")

    @names_options("WebSocket()", _OPTIONS, dict.fromkeys(_CONNECT_OPTIONS, "connect()"))
    def __init__(
        self,
        url: str,
        proxies: Mapping[str, str | None] | None = None,
        protocols: Sequence[str] | None = None,
        agent: str | None = None,
        compress: bool | CompressOptions = False,
        *,
        ssl_context: ssl.SSLContext | None = None,
        ssl_verify: bool = True,
        ssl_cafile: Path | None = None,
        ssl_certfile: Path | None = None,
        ssl_keyfile: Path | None = None,
        ssl_password: Password | None = None,
        server_hostname: str | None = None,
        headers: HeaderSource | Callable[[], HeaderSource] | None = None,
        origin: str | None = None,
        cookies: CookieJar | None = None,
        max_redirects: int = constants.MAX_REDIRECTS,
        max_size: int | None = constants.MAX_MESSAGE_SIZE,
        open_timeout: float | None = constants.OPEN_TIMEOUT,
        send_timeout: float | None = constants.SEND_TIMEOUT,
        write_limit: int = constants.WRITE_LIMIT,
        source_address: tuple[str, int] | None = None,
        socket: ConnectedSocket | None = None,
        unix_path: Path | bytes | None = None,
        socket_options: Sequence[SocketOption] = (),
        trace: TraceCallback | None = None,
    ) -> None:
        parts = parse_url(url)
        #: The URL as it was given.
        self.url: str = url
        #: The proxies as they were given; None: the environment is asked at each connect.
        self.given_proxies: Mapping[str, str | None] | None = None
        if proxies is not None:
            self.given_proxies = _read_proxies(proxies)
        # The defaults, which most options have, need no check.
        if trace is not None:
            check_option("trace", trace)
        # In the order of TRANSPORT_OPTIONS. Most users change none of them.
        options = (
            ssl_context,
            ssl_verify,
            ssl_cafile,
            ssl_certfile,
            ssl_keyfile,
            ssl_password,
            server_hostname,
            max_size,
            open_timeout,
            send_timeout,
            write_limit,
            source_address,
            socket,
            unix_path,
            socket_options,
        )
        # By identity: 1 equals True, and is no flag.
        if any(map(is_not, options, _TRANSPORT_DEFAULTS)):
            self._set_options(options)
        request = PLAIN_REQUEST
        wishes = (protocols, agent, compress, headers, origin, cookies, max_redirects)
        if any(map(is_not, wishes, _WISH_DEFAULTS)):
            request = _check_request(*wishes)
        Endpoint.__init__(self, parts, request, Tracer(url, trace))

    def _set_options(self, options: tuple[object, ...]) -> None:
        for name, value, default in zip(
            TRANSPORT_OPTIONS, options, _TRANSPORT_DEFAULTS, strict=True
        ):
            if value is not default:
                check_option(name, value)
                setattr(self, name, value)
        check_context(self.ssl_context)
        if self.server_hostname is not None:
            encode_host(self.server_hostname.removesuffix("."), "server_hostname")
        if self.source_address is not None and self.source_address[0]:
            encode_host(self.source_address[0], "source_address")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({redact_url(self.url)!r})"

    def __iter__(self) -> Iterator[AnyEvent]:
        return self.connect()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the session, and with it the socket."""
        if self._driver is not None:
            self._driver.close()

    # What it is

    @property
    def scheme(self) -> str:
        """``"ws"`` or ``"wss"``."""
        return self.home.scheme

    @property
    def host(self) -> str:
        """The host of the URL, as a resolver takes it."""
        return self.home.host

    @property
    def port(self) -> int:
        """The port of the URL."""
        return self.home.port

    @property
    def resource(self) -> str:
        """Path and query of the URL, as they are sent."""
        return self.home.resource

    @property
    def is_secure(self) -> bool:
        """Whether the URL is a wss one: TLS is spoken."""
        return self.home.is_secure

    @property
    def protocols(self) -> Sequence[str]:
        """The subprotocols to offer."""
        return list(self._request.protocols)

    @property
    def agent(self) -> str:
        """The User-Agent."""
        return self._request.agent

    @property
    def compress(self) -> bool | CompressOptions:
        """Whether permessage-deflate is offered, or the mapping that says what of it."""
        return self._request.compress

    @property
    def proxies(self) -> Mapping[str, str | None]:
        """Proxy URLs by ``"http"`` and ``"https"``: those given, or those of the environment."""
        if self.given_proxies is not None:
            return self.given_proxies
        http = choose_proxy(False, self.host, self.port, None)
        https = choose_proxy(True, self.host, self.port, None)
        return {
            "http": None if http is None else http.url,
            "https": None if https is None else https.url,
        }

    @property
    def trace(self) -> TraceCallback | None:
        """The callable that is given a dict for each step, or None."""
        return self.tracer.callback

    @trace.setter
    def trace(self, callback: TraceCallback | None) -> None:
        self.tracer.callback = callback

    @property
    def session(self) -> Session | None:
        """The session of the present or last connection, or None."""
        return self._session

    @property
    def is_ready(self) -> bool:
        """Whether messages may be sent."""
        # In a forked child, the phase is that of the parent's connection.
        return self._protocol.phase is OPEN and self._generation == forks.generation

    @property
    def is_active(self) -> bool:
        """Whether the WebSocket is neither closing nor closed."""
        return self._protocol.phase < CLOSING

    @property
    def is_closing(self) -> bool:
        """Whether a close frame was sent, and the connection has not ended yet."""
        return self._protocol.phase is CLOSING

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._protocol.phase is CLOSED

    @property
    def sent_close_time(self) -> float | None:
        """Seconds since the session started at which a close frame was sent, or None."""
        return self._sent_close_time

    @property
    def supports_compression(self) -> bool:
        """Whether permessage-deflate was agreed on."""
        return self._protocol.compression is not None

    def log_fields(self, code: int | None = None) -> dict[str, object]:
        """Return the fields that the log records of greenws have, for ``extra`` of your own.

        :param code: the close code that your record is about, if there is one.
        :returns: ``url``, without credentials and values of the query; ``connection``, the number
            of the present or last connection among all of this process, or None; and ``code``.
        """
        return self.tracer.describe(code)

    def _find_direct(self) -> GeventSession | None:
        """Return the session if messages may go straight to it: nothing is deflated or traced, and
        it is of no subclass, which may have a ``send()`` of its own.
        """
        protocol, session = self._protocol, self._session
        is_plain = protocol.compression is None and protocol.stream.tracer is None
        return session if type(session) is GeventSession and is_plain else None

    # Opening

    def add_header(self, header: bytes, value: bytes) -> None:
        """Add a header to the requests to come.

        :raises TypeError: if an argument is not bytes.
        :raises ValueError: if the name is not a token or is one that the handshake sets itself,
            or the value has a line break or a NUL.
        """
        if not isinstance(header, bytes):
            raise TypeError(f"'header' must be bytes, not {type(header).__name__}")
        if not isinstance(value, bytes):
            raise TypeError(f"'value' must be bytes, not {type(value).__name__}")
        added = (*self._request.added_headers, check_header(header, value))
        self._change_request(replace(self._request, added_headers=added))

    def _forget_headers(self) -> None:
        """Let go of a callable ``headers``, which may refer to whoever has this connection."""
        if callable(self._request.headers):
            self._change_request(replace(self._request, headers=_refuse_headers))

    @names_options("connect()", _CONNECT_OPTIONS, dict.fromkeys(_OPTIONS, "WebSocket()"))
    def connect(
        self,
        session_class: SessionClass = GeventSession,
        poll: float | None = RunDefaults.poll,
        ping_rate: float | None = RunDefaults.ping_rate,
        ping_timeout: float | None = RunDefaults.ping_timeout,
        auto_pong: bool = RunDefaults.auto_pong,
        close_timeout: float | None = RunDefaults.close_timeout,
    ) -> Generator[AnyEvent, None, None]:
        """Open the connection and iterate over its events.

        :param session_class: called with this WebSocket; the session that it returns moves the
            bytes (:class:`greenws.sessions.contract.Session`).
        :param poll: seconds between poll events; 0 or None: no such events.
        :param ping_rate: seconds between pings; 0 or None: no pings.
        :param ping_timeout: seconds without any received byte after which the server counts as
            unresponsive and the connection is dropped; None: no limit. Twice ``ping_rate`` is a
            good start.
        :param auto_pong: answer pings.
        :param close_timeout: seconds that the server has to answer a close frame; 0 or None: no
            limit.
        :returns: an iterator of :data:`~greenws.events.AnyEvent`.
        :raises TypeError: if ``session_class`` cannot be called, or a number is none.
        :raises ValueError: if a number is negative.
        :raises RuntimeError: the first step of the iteration raises it if an earlier iteration has
            not ended, or if :meth:`connect` was called again meanwhile: a WebSocket has one
            connection at a time. An iteration that was abandoned has ended.
        """
        check_run_options(poll, ping_rate, ping_timeout, auto_pong, close_timeout)
        check_session_class(session_class)
        return self._start(session_class, poll, ping_rate, ping_timeout, auto_pong, close_timeout)

    def _start(
        self,
        session_class: SessionClass,
        poll: float | None,
        ping_rate: float | None,
        ping_timeout: float | None,
        auto_pong: bool,
        close_timeout: float | None,
    ) -> Generator[AnyEvent, None, None]:
        """Connect as :meth:`connect`, for callers within greenws that have checked the options."""
        if self._driver is not None and self._is_busy:
            return self._connect_later(
                session_class, poll, ping_rate, ping_timeout, auto_pong, close_timeout
            )
        session = session_class(self)
        driver = session if isinstance(session, GeventSession) else adapt_session(session, self)
        self._renew(session, driver)
        if self._protocol.stream.tracer is not None:
            self.tracer.tell(
                "connect_start",
                poll=poll,
                ping_rate=ping_rate,
                ping_timeout=ping_timeout,
                auto_pong=auto_pong,
                close_timeout=close_timeout,
            )
        return driver.run(
            poll=poll,
            ping_rate=ping_rate,
            ping_timeout=ping_timeout,
            auto_pong=auto_pong,
            close_timeout=close_timeout,
        )

    def _connect_later(
        self,
        session_class: SessionClass,
        poll: float | None,
        ping_rate: float | None,
        ping_timeout: float | None,
        auto_pong: bool,
        close_timeout: float | None,
    ) -> Generator[AnyEvent, None, None]:
        """Connect at the first step. ``iteration = websocket.connect()`` abandons the iteration
        that had the name, but only after the call.
        """
        self._check_idle()
        yield from self._start(
            session_class, poll, ping_rate, ping_timeout, auto_pong, close_timeout
        )

    def _count(self, traffic: Traffic) -> None:
        """Have messages and bytes of the connection counted that is about to begin. Called between
        :meth:`connect` and the first step of its iteration, by a client that is in a group.
        """
        self._protocol.count(traffic, self.max_size)
        driver = self._driver
        if isinstance(driver, GeventSession):
            count_session(driver, traffic)
        elif isinstance(driver, ForeignSession):
            driver.count(traffic)

    def reset(self) -> None:
        """Forget the last connection.

        :raises RuntimeError: if its iteration has not ended.
        """
        self._check_idle()
        self._renew(None, None)

    # Sending

    def send_text(self, text: str, compress: bool = True) -> None:
        """Send a text message.

        :param compress: deflate it, if permessage-deflate was agreed on.
        :raises TypeError: if ``text`` is not str.
        :raises ValueError: if it has lone surrogates, which UTF-8 cannot carry.
        :raises WebSocketUnavailable: if the WebSocket is not ready, is closing
            (:class:`~greenws.errors.WebSocketClosing`) or closed
            (:class:`~greenws.errors.WebSocketClosed`). Nothing was sent.
        :raises TransportFail: if the connection failed, or did not take the message in
            ``send_timeout`` seconds, after which it is dropped.
        """
        if not isinstance(text, str):
            raise TypeError(explain_text(text))
        if len(text) > slices.LARGE and self._protocol.stream.tracer is None:
            self._send_large_text(text, compress)
        else:
            self._send_message(Opcode.TEXT, text.encode("utf-8"), compress)

    def send_binary(self, data: Payload, compress: bool = True) -> None:
        """Send a binary message.

        :param data: bytes, bytearray or memoryview; free to be changed when the call returns.
        :param compress: deflate it, if permessage-deflate was agreed on.
        :raises TypeError: if ``data`` is not bytes.
        :raises WebSocketUnavailable: as :meth:`send_text`.
        :raises TransportFail: as :meth:`send_text`.
        """
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(
                    f"data argument must be bytes, not {type(data).__name__}; "
                    f"send_text() sends str, and send_json() objects"
                )
            if isinstance(data, memoryview):
                data = bytes(data)  # its len() counts items, which may be larger than a byte
        self._send_message(Opcode.BINARY, data, compress)

    def send_json(self, _obj: object = ..., **kwargs: object) -> None:
        """Send an object, or the keyword arguments as one, as JSON in a text message.

        :raises TypeError: if it cannot be encoded.
        :raises ValueError: if there are both, an object and keyword arguments.
        :raises WebSocketUnavailable: as :meth:`send_text`.
        :raises TransportFail: as :meth:`send_text`.
        """
        if kwargs and _obj is not ...:
            raise ValueError("send_json requires positional argument OR keyword arguments")
        self.send_text(json.dumps(kwargs if _obj is ... else _obj))

    def send_ping(self, data: bytes = b"") -> None:
        """Send a ping.

        :param data: at most 125 bytes.
        :raises TypeError: if ``data`` is not bytes.
        :raises ValueError: if it is longer.
        :raises WebSocketUnavailable: as :meth:`send_text`.
        """
        self._send_control(Opcode.PING, data)

    def send_pong(self, data: bytes = b"") -> None:
        """Send a pong, in answer to a ping or unasked.

        :param data: at most 125 bytes.
        :raises TypeError: if ``data`` is not bytes.
        :raises ValueError: if it is longer.
        :raises WebSocketUnavailable: as :meth:`send_text`.
        """
        self._send_control(Opcode.PONG, data)

    def close(self, code: int | None = Status.NORMAL, reason: str | bytes = b"goodbye") -> None:
        """Begin the closing handshake; a connection that is still being opened is given up.

        Returns at once. What was sent before goes first; nothing may be sent afterwards. The
        iteration ends when the server has answered, or after ``close_timeout``.

        :param code: a close code (:class:`~greenws.Status`), or None for none at all.
        :param reason: at most 123 bytes of UTF-8, for the server's developers.
        :raises TypeError: if an argument has a wrong type.
        :raises ValueError: if the code must not be sent, or the reason is too long.
        """
        payload = build_user_close(code, reason)
        protocol, driver = self._protocol, self._driver
        phase = protocol.phase
        if driver is None or phase >= CLOSING:
            return
        if phase is not OPEN:
            driver.force_disconnect()
            return
        try:
            driver.send(_CLOSE, payload)
        except Exception as error:
            if not is_gone(error):
                raise
            # The connection has ended already, and the iteration says so.
        protocol.begin_close(payload)
        self._sent_close_time = driver.session_time
        if protocol.stream.tracer is not None:
            text = reason if isinstance(reason, str) else reason.decode("utf-8")
            self.tracer.tell("close_requested", code=code, reason=text)

    def force_disconnect(self) -> None:
        """Close the socket now, without a closing handshake."""
        if self._driver is not None:
            self._driver.force_disconnect()
            # Messages that were received and not handled yet are dropped as well; only now, as the
            # session refuses a call from another thread.
            self._protocol.stream.is_closed = True

    def _send_message(self, opcode: int, payload: Payload, compress: bool) -> None:
        protocol, driver = self._protocol, self._driver
        if protocol.phase is not OPEN or driver is None:
            protocol.check_open()
        assert driver is not None  # a connection opens by its session
        compression = protocol.compression if compress else None
        if compression is not None and len(payload) < compression.min_size:
            compression = None
        if protocol.stream.tracer is not None:
            stage = "send_text" if opcode == Opcode.TEXT else "send_binary"
            is_compressed = compression is not None
            self.tracer.tell(stage, length=len(payload), compressed=is_compressed)
        if compression is None:
            driver.send(opcode, payload)
        elif len(payload) > slices.LARGE and type(driver) is GeventSession:
            steps = compression.compress_steps(slices.cut(bytes(payload)))
            driver.send_compressed(opcode, steps)
        else:
            driver.check_send()  # first, as a message that is deflated has to be sent
            # No switch from here to the queue: the wire has the order of deflating.
            driver.send_compressed(opcode, compression.compress(payload))

    def _send_large_text(self, text: str, compress: bool) -> None:
        protocol, driver = self._protocol, self._driver
        if protocol.phase is not OPEN or driver is None:
            protocol.check_open()
        compression = protocol.compression if compress else None
        if compression is not None and _is_shorter(text, compression.min_size):
            compression = None
        if type(driver) is not GeventSession:  # its own methods are to be called
            self._send_message(Opcode.TEXT, text.encode("utf-8"), compress)
        elif compression is None:
            driver.send_text(text)
        else:
            driver.send_compressed(Opcode.TEXT, compression.compress_steps(slices.encode(text)))

    def _send_control(self, opcode: int, data: bytes) -> None:
        kind = "ping" if opcode == Opcode.PING else "pong"
        if not isinstance(data, bytes):
            raise TypeError(f"data argument must be bytes, not {type(data).__name__}")
        if len(data) > constants.MAX_CONTROL_PAYLOAD:
            raise ValueError(f"{kind} data should be <= 125 bytes")
        self._protocol.check_open()
        assert self._driver is not None  # a connection opens by its session
        # The frame first: a trace that raises, or waits where it must not, delays no ping.
        self._driver.send(opcode, data)
        if self._protocol.stream.tracer is not None:
            self.tracer.tell(f"send_{kind}", length=len(data))


def forget_headers(websocket: WebSocket) -> None:
    """Let go of a callable ``headers``, which may refer to whoever has a Connection. Called when
    that is open, and needs no more requests.
    """
    websocket._forget_headers()


def build_user_close(code: int | None, reason: str | bytes) -> bytes:
    """Return the payload of the close frame for these arguments of :meth:`WebSocket.close`.

    :raises TypeError: if an argument has a wrong type.
    :raises ValueError: if the code must not be sent, or the reason is too long.
    """
    if code is None and reason == b"goodbye":
        reason = b""
    return build_close_payload(code, reason)


def _read_proxies(proxies: Mapping[str, str | None]) -> dict[str, str | None]:
    check_option("proxies", proxies)
    for key, url in proxies.items():
        if url is not None and url != "":
            parse_proxy(url, f"proxies[{redact_url(key)!r}]")
    return dict(proxies)


def _check_request(
    protocols: Sequence[str] | None,
    agent: str | None,
    compress: bool | CompressOptions,
    headers: HeaderSource | Callable[[], HeaderSource] | None,
    origin: str | None,
    cookies: CookieJar | None,
    max_redirects: int,
) -> RequestOptions:
    """Check the arguments of these names of :class:`WebSocket`; errors as there."""
    if compress is not False and compress is not True:
        check_option("compress", compress)
        compress = cast(CompressOptions, dict(compress))  # the user may change it
    if max_redirects is not constants.MAX_REDIRECTS:
        check_option("max_redirects", max_redirects)
    return RequestOptions(
        protocols=() if protocols is None else _list_protocols(protocols),
        agent=constants.USER_AGENT if agent is None else _check_field("agent", "User-Agent", agent),
        compress=compress,
        headers=None if headers is None else _check_headers(headers),
        origin=None if origin is None else _check_field("origin", "Origin", origin),
        cookies=None if cookies is None else _wrap_cookies(cookies),
        max_redirects=max_redirects,
    )


def _list_protocols(protocols: Sequence[str]) -> list[str]:
    check_option("protocols", protocols)
    checked = list(protocols)
    if not all(isinstance(protocol, str) for protocol in checked):
        raise TypeError("protocols must be a list of str")
    check_protocols(checked)
    return checked


def _check_headers(
    headers: HeaderSource | Callable[[], HeaderSource],
) -> HeaderSource | Callable[[], HeaderSource]:
    return headers if callable(headers) else check_headers(headers)


def _is_shorter(text: str, size: int) -> bool:
    """Tell whether a large text has fewer bytes of UTF-8 than ``size``."""
    # Most texts are known to be long enough, or too short, without a look at them.
    if len(text) >= size:
        return False
    return len(text) * 4 < size or sum(map(len, slices.encode(text))) < size


def _refuse_headers() -> HeaderSource:
    raise RuntimeError("headers() of a Connection is called for its own opening only")


def _check_field(option: str, header: str, value: str) -> str:
    """Check an option that becomes the value of a header."""
    check_option(option, value)
    check_header(header, value)
    return value


def _wrap_cookies(jar: CookieJar) -> CookieStore:
    # Imported here, so that a program without cookies does not pay for urllib.request.
    from .cookies import Cookies

    return Cookies(jar)


def check_session_class(session_class: object) -> None:
    """Check the option ``session_class``.

    :raises TypeError: if it cannot make sessions.
    """
    # A session is callable, too, for its watcher.
    if not callable(session_class) or isinstance(session_class, GeventSession):
        raise TypeError(
            f"session_class must be callable, as a class is, not {type(session_class).__name__}"
        )


def check_run_options(
    poll: float | None,
    ping_rate: float | None,
    ping_timeout: float | None,
    auto_pong: bool,
    close_timeout: float | None,
) -> None:
    """Check the options of :meth:`WebSocket.connect`, but for ``session_class``.

    :raises TypeError: if one has a wrong type.
    :raises ValueError: if a number is negative.
    """
    values = (poll, ping_rate, ping_timeout, close_timeout)
    # Each connection of a client comes through here, so the usual values are not looked at.
    if any(map(is_not, values, _RATE_DEFAULTS)):
        for name, value, default in zip(_RATES, values, _RATE_DEFAULTS, strict=True):
            if value is not default:
                check_option(name, value)
    if auto_pong is not True:
        check_option("auto_pong", auto_pong)
