"""The WebSocket: what a user calls, and what a session drives. It does no I/O itself."""

from __future__ import annotations

import enum
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from . import constants, errors, events
from .opening import (
    Headers,
    Opening,
    Refused,
    RequestOptions,
    Upgraded,
    check_header,
    check_headers,
)
from .protocol.compression import NAME as PERMESSAGE_DEFLATE
from .protocol.compression import Deflate
from .protocol.frame import Payload, build_close_payload, fit_close_reason
from .protocol.handshake import check_extensions, check_protocols
from .protocol.opcode import Opcode
from .protocol.response import Response
from .protocol.stream import Stream
from .proxies.address import choose_proxy, parse_proxy
from .redaction import redact_url
from .sessions.base import GeventSession
from .status import Status
from .url import URL, parse_url

if TYPE_CHECKING:
    import ssl
    from http.cookiejar import CookieJar

log = logging.getLogger("greenws.websocket")


class Phase(enum.IntEnum):
    """Where a connection stands (the CONNECTING to CLOSED of RFC 6455, and before)."""

    NEW = 0  #: no request was made yet
    OPENING = 1  #: the request for the upgrade was made
    OPEN = 2  #: messages may be sent
    CLOSING = 3  #: a close frame was sent
    CLOSED = 4  #: nothing more goes in or out


# Members by names of our own: through those of the class it takes ten times as long before
# Python 3.12.
_NEW, _OPENING, _OPEN, _CLOSING, _CLOSED = Phase

# What may follow what. A step that is not here is a mistake of ours, never a peer's.
_NEXT: dict[Phase, frozenset[Phase]] = {
    _NEW: frozenset({_OPENING, _CLOSED}),
    _OPENING: frozenset({_OPENING, _OPEN, _CLOSED}),
    _OPEN: frozenset({_CLOSING, _CLOSED}),
    _CLOSING: frozenset({_CLOSED}),
    _CLOSED: frozenset({_CLOSED}),
}


# The options of connect() that are seconds.
_RATES = ("poll", "ping_rate", "ping_timeout", "close_timeout")


class State:
    """What belongs to one connection of a WebSocket, and to no later one."""

    __slots__ = (
        "compression",
        "has_ended",
        "opening",
        "phase",
        "sent_close_time",
        "session",
        "stream",
    )

    def __init__(self, opening: Opening, stream: Stream) -> None:
        self.phase = _NEW
        self.opening: Opening | None = opening
        self.stream = stream
        self.session: Any = None
        self.compression: Deflate | None = None
        self.sent_close_time: float | None = None
        #: Whether the session was closed.
        self.has_ended = False

    def step(self, phase: Phase) -> None:
        """Go on to ``phase``."""
        assert phase in _NEXT[self.phase], (self.phase, phase)
        self.phase = phase


class WebSocket:
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
    :param compress: offer permessage-deflate (RFC 7692).
    :param ssl_context: used for wss as it is, instead of a context made of the other options.
    :param ssl_verify: verify the certificate of the server.
    :param ssl_cafile: path of a PEM file of the authorities to trust, instead of certifi's.
    :param ssl_certfile: path of a PEM file with the client's certificate.
    :param ssl_keyfile: path of its key, if that is in another file.
    :param ssl_password: the password of the key.
    :param server_hostname: the name that the certificate has to have, and that is sent as SNI,
        if it is not the host of the URL.
    :param headers: headers to add to the request: a mapping, pairs, or a callable that returns
        one of these and is called at every connect. Names and values are str or bytes.
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

    # A dict of so many names would be the largest part of an idle connection. Names of the user's
    # own still find a place.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_request",
        "_url",
        "agent",
        "compress",
        "given_proxies",
        "host",
        "max_size",
        "open_timeout",
        "port",
        "protocols",
        "resource",
        "scheme",
        "send_timeout",
        "server_hostname",
        "socket",
        "socket_options",
        "source_address",
        "ssl_cafile",
        "ssl_certfile",
        "ssl_context",
        "ssl_keyfile",
        "ssl_password",
        "ssl_verify",
        "state",
        "trace",
        "unix_path",
        "url",
        "write_limit",
    )

    def __init__(
        self,
        url: str,
        proxies: Mapping[str, str | None] | None = None,
        protocols: Sequence[str] | None = None,
        agent: str | None = None,
        compress: bool = False,
        *,
        ssl_context: ssl.SSLContext | None = None,
        ssl_verify: bool = True,
        ssl_cafile: str | os.PathLike[str] | None = None,
        ssl_certfile: str | os.PathLike[str] | None = None,
        ssl_keyfile: str | os.PathLike[str] | None = None,
        ssl_password: str | bytes | None = None,
        server_hostname: str | None = None,
        headers: Headers | Callable[[], Headers] | None = None,
        origin: str | None = None,
        cookies: CookieJar | None = None,
        max_redirects: int = constants.MAX_REDIRECTS,
        max_size: int | None = constants.MAX_MESSAGE_SIZE,
        open_timeout: float | None = constants.OPEN_TIMEOUT,
        send_timeout: float | None = constants.SEND_TIMEOUT,
        write_limit: int = constants.WRITE_LIMIT,
        source_address: tuple[str, int] | None = None,
        socket: Any = None,
        unix_path: str | bytes | os.PathLike[str] | None = None,
        socket_options: Sequence[tuple[int, int, int | bytes]] = (),
        trace: Callable[[dict[str, Any]], object] | None = None,
    ) -> None:
        parts = self._url = parse_url(url)
        self.url = url
        #: ``"ws"`` or ``"wss"``.
        self.scheme = parts.scheme
        self.host = parts.host
        self.port = parts.port
        #: Path and query, as they are sent.
        self.resource = parts.resource
        #: The proxies as given; None: the environment is asked at every connect.
        self.given_proxies = None if proxies is None else _check_proxies(proxies)
        self.protocols = _check_protocols(protocols) if protocols else []
        if agent is not None:
            if not isinstance(agent, str):
                raise TypeError("agent must be str")
            check_header("User-Agent", agent)
        self.agent = constants.USER_AGENT if agent is None else agent
        self.compress = compress
        self.ssl_context = ssl_context
        self.ssl_verify = ssl_verify
        self.ssl_cafile = ssl_cafile
        self.ssl_certfile = ssl_certfile
        self.ssl_keyfile = ssl_keyfile
        self.ssl_password = ssl_password
        self.server_hostname = server_hostname
        # The defaults, which most have, need no check.
        if max_size is not constants.MAX_MESSAGE_SIZE:
            _check_limit("max_size", max_size, int)
        self.max_size = max_size
        if open_timeout is not constants.OPEN_TIMEOUT:
            _check_limit("open_timeout", open_timeout)
        self.open_timeout = open_timeout
        if send_timeout is not constants.SEND_TIMEOUT:
            _check_limit("send_timeout", send_timeout)
        self.send_timeout = send_timeout
        if write_limit is not constants.WRITE_LIMIT:
            _check_limit("write_limit", write_limit, int)
            if write_limit is None:
                raise ValueError("write_limit must be a number: there is no unlimited queue")
        self.write_limit = write_limit
        self.source_address = source_address
        self.socket = socket
        self.unix_path = unix_path
        self.socket_options = socket_options
        if trace is not None and not callable(trace):
            raise TypeError("trace must be callable")
        self.trace = trace
        if headers is not None and not callable(headers):
            headers = check_headers(headers)
        if origin is not None:
            if not isinstance(origin, str):
                raise TypeError("origin must be str")
            check_header("Origin", origin)
        if not isinstance(max_redirects, int) or max_redirects < 0:
            raise ValueError("max_redirects must be an int, 0 or more")
        self._request = RequestOptions(
            protocols=self.protocols,
            agent=self.agent,
            compress=compress,
            headers=headers,
            origin=origin,
            cookies=cookies,
            max_redirects=max_redirects,
        )
        self.state = self._new_state(None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({redact_url(self.url)!r})"

    def __iter__(self) -> Iterator[Any]:
        return self.connect()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the session, and with it the socket."""
        if self.session is not None:
            self.session.close()

    # What it is

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
    def is_secure(self) -> bool:
        """Whether the URL is a wss one: TLS is spoken."""
        return self._url.is_secure

    @property
    def target(self) -> URL:
        """Where the session has to connect to: the URL, or where redirects have led."""
        opening = self.state.opening
        return self._url if opening is None else opening.target

    @property
    def session(self) -> Any:
        """The session of the present or last connection, or None."""
        return self.state.session

    @property
    def stream(self) -> Stream:
        """The parser of the present or last connection.

        Between :meth:`connect` and the first step of its iteration, handlers may be set that take
        messages straight from it; what they take is not yielded.
        """
        return self.state.stream

    @property
    def key(self) -> bytes:
        """The Sec-WebSocket-Key of the request, while the connection is being opened."""
        opening = self.state.opening
        return b"" if opening is None else opening.key

    @property
    def is_ready(self) -> bool:
        """Whether messages may be sent."""
        return self.state.phase is _OPEN

    @property
    def is_active(self) -> bool:
        """Whether the WebSocket is neither closing nor closed."""
        return self.state.phase < _CLOSING

    @property
    def is_closing(self) -> bool:
        """Whether a close frame was sent, and the connection has not ended yet."""
        return self.state.phase is _CLOSING

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self.state.phase is _CLOSED

    @property
    def sent_close_time(self) -> float | None:
        """Seconds since the session started at which a close frame was sent, or None."""
        return self.state.sent_close_time

    @property
    def supports_compression(self) -> bool:
        """Whether permessage-deflate was agreed on."""
        return self.state.compression is not None

    # Opening

    def add_header(self, header: bytes, value: bytes) -> None:
        """Add a header to the requests to come.

        :raises TypeError: if an argument is not bytes.
        :raises ValueError: if the name is not a token or is one that the handshake sets itself,
            or the value has a line break or a NUL.
        """
        if not isinstance(header, bytes):
            raise TypeError("'header' must be bytes")
        if not isinstance(value, bytes):
            raise TypeError("'value' must be bytes")
        self._request.added_headers += (check_header(header, value),)

    def connect(
        self,
        session_class: Callable[[Any], Any] = GeventSession,
        poll: float = 5.0,
        ping_rate: float = 30.0,
        ping_timeout: float | None = None,
        auto_pong: bool = True,
        close_timeout: float | None = 30.0,
    ) -> Iterator[Any]:
        """Open the connection and iterate over its events.

        :param session_class: called with this WebSocket; what it returns moves the bytes.
        :param poll: seconds between poll events; 0 for none.
        :param ping_rate: seconds between pings; 0 for none.
        :param ping_timeout: seconds without any received byte after which the server counts as
            unresponsive and the connection is dropped; None for no limit. Twice ``ping_rate`` is
            a good start.
        :param auto_pong: answer pings.
        :param close_timeout: seconds the server has to answer a close frame; None or 0 for no
            limit.
        :returns: an iterator of :class:`~greenws.events.Event`.
        :raises TypeError: if a number is none.
        :raises ValueError: if a number is negative.
        """
        check_rates(poll, ping_rate, ping_timeout, close_timeout)
        options = {
            "poll": poll,
            "ping_rate": ping_rate,
            "ping_timeout": ping_timeout,
            "auto_pong": auto_pong,
            "close_timeout": close_timeout,
        }
        session = session_class(self)
        state = self.state = self._new_state(session)
        if state.stream.tracer is not None:
            self._emit_trace("connect_start", **options)
        run: Iterator[Any] = session.run(**options)
        return run

    def reset(self) -> None:
        """Forget the last connection."""
        self.state = self._new_state(None)

    def _new_state(self, session: Any) -> State:
        stream = Stream(True, self.max_size)
        if self._is_heard():
            stream.tracer = self._trace_message
        follows = getattr(session, "follows_redirects", False)
        state = State(Opening(self._url, self._request, follows), stream)
        state.session = session
        return state

    def build_request(self) -> bytes:
        """Return the opening request (RFC 6455 section 4.1). Called by the session."""
        opening = self.state.opening
        if opening is None:
            raise errors.WebSocketUnavailable("the opening handshake is over")
        self.state.step(_OPENING)
        opening.request_time = monotonic()
        return opening.build_request()

    def on_response(self, response: Response) -> tuple[str | None, set[str]]:
        """Check the answer to the request, and set up what it agrees to.

        :returns: the subprotocol, or None, and the names of the extensions.
        :raises HandshakeError: if it is not the upgrade that was asked for.
        """
        opening = self.state.opening
        if opening is None:
            raise errors.WebSocketUnavailable("the opening handshake is over")
        protocol, extensions, deflate = opening.check_response(response)
        self._use(deflate)
        return protocol, extensions

    def process_extensions(self, extensions: Sequence[str]) -> set[str]:
        """Set up the extensions the server has chosen.

        :param extensions: the elements of its Sec-WebSocket-Extensions.
        :returns: their names.
        :raises HandshakeError: if one of them is unknown, or a parameter is invalid.
        """
        if not extensions:
            return set()
        deflate = check_extensions(", ".join(extensions), True)
        self._use(deflate)
        return set() if deflate is None else {PERMESSAGE_DEFLATE}

    def _use(self, deflate: Deflate | None) -> None:
        self.state.compression = self.state.stream.deflate = deflate

    # Receiving

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Any]:
        """Take received bytes and iterate over the events they make. Called by the session.

        :param data: the bytes. A bytearray is read in place: it may change when the iteration has
            ended.
        """
        state = self.state
        if state.phase is _CLOSED:
            return
        if not isinstance(data, (bytes, bytearray)):
            data = bytes(data)
        received_time = time()
        try:
            if state.opening is not None:
                event, data = self._feed_opening(state.opening, bytes(data), received_time)
                if event is not None:
                    yield event
                if not data:
                    return
            state.stream.receive(data, 0, len(data), received_time)
            yield from self.pending_events()
        except GeneratorExit:
            # The consumer has left in the midst of an event: no session may keep the socket open
            # for nobody.
            if self.state is state:
                self.on_disconnect()
            raise

    def pending_events(self) -> Iterator[Any]:
        """Iterate over the events of what :attr:`stream` has received. Called by a session that
        gives its bytes to the stream itself.
        """
        state = self.state
        next_event = state.stream.next_event
        try:
            while True:
                event = next_event()
                if event is None:
                    return
                if event.name == "closing":
                    yield from self._on_close(event)
                    return
                yield event
        except (errors.ProtocolError, errors.CriticalProtocolError) as error:
            self._emit_trace("protocol_error", error=str(error))
            self.close(error.code, fit_close_reason(str(error)))
            yield events.ProtocolError(str(error), error.critical)
            if state.session is not None:
                # One that can, waits for the close frame to be out before it closes the socket.
                getattr(state.session, "end", state.session.force_disconnect)()

    def _feed_opening(
        self, opening: Opening, data: bytes, received_time: float
    ) -> tuple[Any, bytes]:
        """Take bytes of the answer to the request; return what they come to, an event or None,
        and those that follow the answer.
        """
        outcome = opening.feed(data)
        state = self.state
        if outcome is None and not getattr(state.session, "signals_eof", False):
            outcome = opening.end()  # this session will not say when a body has ended
        if outcome is None:
            return None, b""
        response = outcome.response
        is_heard = self._is_heard()
        if is_heard:
            self._trace_upgrade(opening, response)
        if isinstance(outcome, Upgraded):
            try:
                protocol, extensions = self.on_response(response)
            except errors.HandshakeError as error:
                return self._reject(response, str(error), received_time), b""
            state.opening = None
            state.step(_OPEN)
            if is_heard:
                names = sorted(extensions)
                self._emit_trace("handshake_ready", protocol=protocol, extensions=names)
            ready = events.Ready(response, protocol, extensions)
            ready.received_time = received_time
            return ready, outcome.rest
        if isinstance(outcome, Refused):
            return self._reject(response, outcome.reason, received_time), b""
        self._emit_trace(
            "redirect",
            status_code=response.status_code,
            target=redact_url(opening.target.redact()),
        )
        return None, b""

    def feed_eof(self) -> Iterator[Any]:
        """Take the end of what the server sends, and iterate over the events it makes."""
        opening = self.state.opening
        outcome = None if opening is None else opening.end()
        if outcome is not None and opening is not None:
            self._trace_upgrade(opening, outcome.response)
            yield self._reject(outcome.response, outcome.reason, time())

    def _reject(self, response: Response, reason: str, received_time: float) -> events.Rejected:
        self._emit_trace("handshake_rejected", reason=reason, status_code=response.status_code)
        self.on_disconnect()
        event = events.Rejected(response, reason)
        event.received_time = received_time
        return event

    def _on_close(self, event: Any) -> Iterator[Any]:
        """Go through the closing handshake (RFC 6455 section 5.5.1)."""
        phase = self.state.phase
        if phase is _CLOSING:
            closed = events.Closed(event.code, event.reason)
            closed.received_time = event.received_time
            self.state.step(_CLOSED)
            yield closed
        elif phase is not _CLOSED:
            # First the event, so that its handler may still send; then the echo.
            yield event
            self.close(event.code, event.reason if event.code is not None else "")

    def on_disconnect(self) -> None:
        """Close the session, and be closed. Called when the connection has ended."""
        state = self.state
        if state.session is not None:
            state.session.close()
        if state.phase is not _CLOSED:
            state.step(_CLOSED)
        if not state.has_ended:
            state.has_ended = True
            self._emit_trace("disconnected")
        state.stream.close()

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
            raise TypeError("text argument must not be bytes")
        state = self.state
        if state.phase is _OPEN and state.compression is None and self.trace is None:
            state.session.send(1, text.encode("utf-8"))  # the usual case, without a detour
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
                raise TypeError("data argument must be bytes")
            if isinstance(data, memoryview):
                data = bytes(data)  # its length may count items of more than a byte
        self._send_message(Opcode.BINARY, data, compress)

    def send_json(self, _obj: Any = ..., **kwargs: Any) -> None:
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
        if code is None and reason == b"goodbye":
            reason = b""
        payload = build_close_payload(code, reason)
        state = self.state
        session = state.session
        if session is None or state.phase >= _CLOSING:
            return
        if state.phase is not _OPEN:
            session.force_disconnect()
            return
        try:
            session.send(Opcode.CLOSE, payload)
        except Exception as error:
            if not _is_gone(error):
                raise
            # It has ended already: the iteration will say so.
        if state.phase is _OPEN:
            state.step(_CLOSING)
        state.sent_close_time = session.session_time
        if self._is_heard():
            self._emit_trace("close_requested", code=code, reason=_text(reason))

    def force_disconnect(self) -> None:
        """Close the socket now, without a closing handshake."""
        if self.state.session is not None:
            # Nor shall what was received already be handled.
            self.state.stream.is_closed = True
            self.state.session.force_disconnect()

    def _send_message(self, opcode: int, payload: Payload, compress: bool) -> None:
        state = self.state
        if state.phase is not _OPEN:
            raise self._unavailable()
        if self.trace is not None:
            kind = "send_text" if opcode == Opcode.TEXT else "send_binary"
            deflated = compress and state.compression is not None
            self._emit_trace(kind, length=len(payload), compressed=deflated)
        if compress and state.compression is not None:
            check = getattr(state.session, "check_send", None)
            if check is not None:
                check()  # a message that is deflated has to be sent
            # From here to the queue there is no switch: the wire has the order of deflating.
            state.session.send_compressed(opcode, state.compression.compress(payload))
        else:
            state.session.send(opcode, payload)

    def _send_control(self, opcode: int, data: bytes) -> None:
        kind = "ping" if opcode == Opcode.PING else "pong"
        if not isinstance(data, bytes):
            raise TypeError("data argument must be bytes")
        if len(data) > constants.MAX_CONTROL_PAYLOAD:
            raise ValueError(f"{kind} data should be <= 125 bytes")
        if self.state.phase is not Phase.OPEN:
            raise self._unavailable()
        self._emit_trace(f"send_{kind}", length=len(data))
        self.state.session.send(opcode, data)

    def _unavailable(self) -> errors.WebSocketUnavailable:
        phase = self.state.phase
        if phase is Phase.CLOSING:
            return errors.WebSocketClosing("data not sent; the websocket is closing")
        if phase is Phase.CLOSED:
            return errors.WebSocketClosed("data not sent; the websocket is closed")
        return errors.WebSocketUnavailable("data not sent; the websocket is not ready")

    # Tracing

    @property
    def is_traced(self) -> bool:
        """Whether anybody wants to know of bytes and messages: ``trace``, or logging at DEBUG."""
        return self.state.stream.tracer is not None

    def _emit_trace(self, stage: str, **fields: Any) -> None:
        """Tell ``trace``, and the log at DEBUG, of a step. Part of the contract with sessions.

        :param fields: facts that may be shown: no payload, no value of a header, no secret.
        """
        if not self._is_heard():
            return
        meter = getattr(self.state.session, "meter", None)
        if meter is not None:
            for kind, length in meter.take():
                self._tell(kind, {"length": length})
        self._tell(stage, fields)

    def _is_heard(self) -> bool:
        """Whether anybody listens now: the level of the log may change at any time."""
        return self.trace is not None or log.isEnabledFor(logging.DEBUG)

    def _tell(self, stage: str, fields: dict[str, Any]) -> None:
        url = redact_url(self.url)
        if log.isEnabledFor(logging.DEBUG):
            facts = " ".join(f"{name}={value!r}" for name, value in fields.items())
            log.debug("%s: %s %s", url, stage, facts)
        if self.trace is not None:
            self.trace({"stage": stage, "url": url, **fields})

    def _trace_upgrade(self, opening: Opening, response: Response) -> None:
        duration = monotonic() - opening.request_time
        self._emit_trace("upgrade", status_code=response.status_code, duration=duration)

    def _trace_message(self, stage: str, length: int) -> None:
        self._emit_trace(stage, length=length)


def _check_proxies(proxies: Mapping[str, str | None]) -> dict[str, str | None]:
    if type(proxies) is not dict and not isinstance(proxies, Mapping):
        raise TypeError("proxies must be a mapping or None")
    for key, url in proxies.items():
        if url:
            parse_proxy(url, f"proxies[{key!r}]")
    return dict(proxies)


def _check_protocols(protocols: Sequence[str]) -> list[str]:
    if isinstance(protocols, (str, bytes)):
        raise TypeError("protocols must be a list of str, not one")
    checked = list(protocols)
    if not all(isinstance(protocol, str) for protocol in checked):
        raise TypeError("protocols must be a list of str")
    check_protocols(checked)
    return checked


def check_rates(*values: Any) -> None:
    """Check the numbers among the options of :meth:`WebSocket.connect`.

    :param values: ``poll``, ``ping_rate``, ``ping_timeout`` and ``close_timeout``.
    :raises TypeError: if one is no number.
    :raises ValueError: if one is negative.
    """
    for name, value in zip(_RATES, values, strict=True):
        if value is None:
            continue
        if not isinstance(value, (int, float)):
            raise TypeError(f"{name} must be a number of seconds, or None")
        if not value >= 0:
            raise ValueError(f"{name} must not be negative")


def _is_gone(error: Exception) -> bool:
    """Tell whether a session, ours or lomond's, could not send because there is nobody there."""
    if isinstance(error, errors.WebSocketError):
        return isinstance(error, (errors.WebSocketClosed, errors.TransportFail))
    return type(error).__name__ in ("TransportFail", "WebSocketClosed", "WebSocketUnavailable")


def _check_limit(name: str, value: Any, kind: Any = (int, float)) -> None:
    if value is None:
        return
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} must be {'an int' if kind is int else 'a number'} or None")
    if not 0 < value < 1 << 62:
        raise ValueError(f"{name} must be more than 0, and less than 2 ** 62")


def _text(reason: str | bytes) -> str:
    return reason if isinstance(reason, str) else reason.decode("utf-8")
