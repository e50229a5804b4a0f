"""Sequential code: a connection whose messages are sent and received by calls.

:func:`connect` returns a :class:`Connection`. Behind it the *reader* iterates over the WebSocket.
The messages go from the parser to a :class:`~.sessions.mailboxes.Mailbox`. The calls take from
there. While nothing but messages comes, the hub reads, and the reader has no greenlet;
docs/architecture.rst says when one comes. The reader does not know the Connection, so that one that
nobody refers to any more is collected, and ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from gevent import GreenletExit, getcurrent

from . import constants, errors
from .drain import drain_at_exit
from .fragments import FirstPiece, Incoming, Outgoing, PieceSender, ReceivedPieces, check_chunks
from .options import (
    RUN_OPTIONS,
    WEBSOCKET_OPTIONS,
    RunDefaults,
    WebSocketOptions,
    check_option,
    refuse_option,
)
from .protocol.frame import Payload
from .protocol.response import Response
from .protocol.stream import PieceHandler
from .replies import (
    Replies,
    ReplyKey,
    build_closed,
    check_request,
    check_timeout,
    encode_request,
    send_in_time,
)
from .sessions import forks
from .sessions.contract import Session, SessionClass
from .sessions.lifecycle import OF_THE_PARENT
from .sessions.mailboxes import Gate, Mailbox, Ticket, measure
from .sessions.resting import Regulator
from .sessions.roster import ResidentGreenlet, Roster, get_roster
from .sessions.session import RESTING, GeventSession
from .status import Status
from .websocket import WebSocket, build_user_close, forget_headers

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from .events import AnyEvent, Binary, Text

#: A received message: a text is str, a binary message bytes.
Message = str | bytes

# Bytes of the payload of a ping: enough that no two pings under way have the same.
_PING_SIZE = 8

# The close codes after which an iteration just ends.
_QUIET = frozenset({Status.NORMAL, Status.GOING_AWAY})


class ConnectionOptions(WebSocketOptions, total=False):
    """The options of :func:`greenws.connect`, as keyword arguments."""

    session_class: SessionClass
    ping_rate: float | None
    ping_timeout: float | None
    auto_pong: bool
    close_timeout: float | None
    max_queue: int
    reply_key: ReplyKey | None


_OPTIONS = frozenset({*WEBSOCKET_OPTIONS, *ConnectionOptions.__annotations__})


def connect(url: str, **options: Unpack[ConnectionOptions]) -> Connection:
    """Open a connection, and wait until messages may be sent.

    .. code-block:: python

        import greenws

        with greenws.connect("wss://example.org/rpc", open_timeout=5) as connection:
            connection.send("hello")
            print(connection.receive(timeout=5))

    :param url: the URL.
    :param options: the options of :class:`~greenws.WebSocket` and of its ``connect()`` but
        ``poll``; ``max_queue``: messages received and not taken at which reading stops;
        ``reply_key``: returns the key of a message, for :meth:`Connection.request`.
    :raises greenws.errors.ConnectFail: it could not be opened: a
        :class:`~greenws.errors.ProxyFail` if that was a proxy's fault,
        :class:`~greenws.errors.Rejected` if the server has refused. Nothing stays open.
    :raises TypeError: for an unknown option, or one of a wrong type.
    :raises ValueError: for an impossible value.
    """
    given: dict[str, Any] = dict(options)
    for name in given:
        if name not in _OPTIONS:
            raise refuse_option("connect()", name, _OPTIONS)
    max_queue = given.pop("max_queue", constants.MAX_QUEUE)
    check_option("max_queue", max_queue)
    reply_key = given.pop("reply_key", None)
    check_option("reply_key", reply_key)
    session_class = given.pop("session_class", GeventSession)
    run = {name: given.pop(name) for name in RUN_OPTIONS if name in given}
    check_option("auto_pong", run.get("auto_pong", True))
    websocket = WebSocket(url, **given)
    return Connection(websocket, session_class, run, max_queue, reply_key)


class Listener(Protocol):
    """Who takes the messages of a connection as they come, and is told its end."""

    def take(self, message: Text | Binary) -> bool:
        """Take a message that is no reply; False: it is for :meth:`Connection.receive`.

        Called in the greenlet that reads, and must raise nothing.
        """

    def ended(self, error: errors.WebSocketClosed) -> None:
        """The connection has ended; called once, with the error that every call raises now."""


class Connection:
    """A connection whose messages are sent and received by calls. :func:`connect` opens it.

    Any greenlet of its thread may call any method at any time. A call that waits may be ended by a
    kill or by a ``gevent.Timeout``; the connection stays usable, and no message is lost.

    Use it as a context manager, which closes it. One that nothing refers to any more is dropped
    without a close frame.
    """

    __slots__ = (
        "__weakref__",
        "_close_timeout",
        "_direct",
        "_outgoing",
        "_reader",
        "_reply_key",
        "websocket",
    )

    def __init__(
        self,
        websocket: WebSocket,
        session_class: SessionClass,
        run: Mapping[str, Any],
        max_queue: int,
        reply_key: ReplyKey | None,
    ) -> None:
        #: The WebSocket underneath.
        self.websocket: WebSocket = websocket
        self._reply_key = reply_key
        self._close_timeout: float | None = run.get("close_timeout", RunDefaults.close_timeout)
        iteration = websocket.connect(session_class, **{"poll": None, **run})
        reader = self._reader = _Reader(websocket, iteration, max_queue)
        reader.open()
        session = websocket.session
        # The session, if messages go straight to it: nothing is deflated or traced, and it is no
        # subclass, whose own send() is to be called.
        self._direct: GeventSession | None = None
        # Made by the first message that is sent in pieces on a session of others.
        self._outgoing: Outgoing | None = None
        if (
            type(session) is GeventSession
            and not websocket.is_traced
            and not websocket.supports_compression
        ):
            self._direct = session

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<{type(self).__name__} {self.websocket!r} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close: with 1000, or with 1011 after an exception. A kill, or a ``gevent.Timeout``, does
        not wait for the end.
        """
        if error is None:
            self.close()
        elif isinstance(error, Exception):
            self.close(Status.UNEXPECTED_CONDITION)
        else:
            self._begin_close(Status.GOING_AWAY, "")

    def __del__(self) -> None:
        try:
            reader = self._reader
        except AttributeError:  # it could not be opened
            return
        reader.abandon()

    # What it is

    @property
    def url(self) -> str:
        """The URL as it was given."""
        return self.websocket.url

    @property
    def session(self) -> Session | None:
        """The session underneath."""
        return self.websocket.session

    @property
    def protocol(self) -> str | None:
        """The subprotocol that the server chose, or None."""
        return self._reader.protocol

    @property
    def response(self) -> Response:
        """The server's answer to the upgrade."""
        return self._reader.response

    @property
    def is_open(self) -> bool:
        """Whether messages may be sent."""
        return self._reader.end is None and self.websocket.is_ready

    @property
    def close_code(self) -> int | None:
        """The close code received, 1005 if the close frame had none, 1006 if there was no close
        frame; None before the end.
        """
        end = self._reader.end
        return None if end is None else end.code

    @property
    def close_reason(self) -> str | None:
        """The reason of the server's close frame, or why the connection has ended; None before the
        end.
        """
        end = self._reader.end
        return None if end is None else end.reason

    @property
    def sent_code(self) -> int | None:
        """The close code sent, 1005 for an empty close frame; None: no close frame was sent."""
        return self._reader.state.sent_code

    @property
    def latency(self) -> float | None:
        """Seconds there and back of the last :meth:`ping` that was answered, or None."""
        return self._reader.latency

    # Sending

    def send(self, message: str | Payload) -> None:
        """Send a message: str as text; bytes, bytearray or memoryview as binary.

        Waits while the send queue is full, for at most ``send_timeout`` seconds.

        :raises TypeError: if it is neither.
        :raises ValueError: if a text has lone surrogates.
        :raises WebSocketClosed: the connection has ended.
        :raises TransportFail: the server took nothing for ``send_timeout`` seconds.
        """
        if isinstance(message, str):
            session = self._direct
            if session is None:
                self.send_text(message)
                return
            try:
                session.send_text(message)
            except errors.WebSocketError as error:
                raise self._reader.explain(error) from None
        elif isinstance(message, (bytes, bytearray, memoryview)):
            self.send_binary(message)
        else:
            kind = type(message).__name__
            raise TypeError(
                f"a message must be str or bytes, not {kind}; send_json() sends objects"
            )

    def send_text(self, text: str, compress: bool = True) -> None:
        """Send a text message; errors as of :meth:`send`.

        :param compress: deflate it, if permessage-deflate was agreed on.
        """
        session = self._direct
        try:
            if session is not None:
                session.send_text(text)
                return
            if self._outgoing is not None:
                self._outgoing.wait(self._reader.mailbox)
            self.websocket.send_text(text, compress)
        except errors.WebSocketError as error:
            raise self._reader.explain(error) from None

    def send_binary(self, data: Payload, compress: bool = True) -> None:
        """Send a binary message; as :meth:`send_text`."""
        try:
            if self._outgoing is not None:
                self._outgoing.wait(self._reader.mailbox)
            self.websocket.send_binary(data, compress)
        except errors.WebSocketError as error:
            raise self._reader.explain(error) from None

    def send_json(self, _obj: object = ..., **kwargs: object) -> None:
        """Send an object, or the keyword arguments as one, as JSON in a text message.

        :raises TypeError: if it cannot be encoded.
        :raises ValueError: if there are both, an object and keyword arguments.
        """
        try:
            if self._outgoing is not None:
                self._outgoing.wait(self._reader.mailbox)
            self.websocket.send_json(_obj, **kwargs)
        except errors.WebSocketError as error:
            raise self._reader.explain(error) from None

    def send_stream(self, chunks: Iterable[str] | Iterable[Payload], compress: bool = True) -> None:
        """Send one message in pieces: each chunk leaves as it comes, as a fragment or several.

        Other messages wait from the first chunk to the end; pings, pongs and a close frame go
        between. If the end is not reached, as ``chunks`` raises, has another kind in it, or this
        call is ended by a kill or a ``gevent.Timeout``, the message cannot be completed, and the
        connection is closed with 1011. A list or a tuple is checked before; and before the first
        chunk nothing is lost.

        :param chunks: an iterable of str, for a text; or of bytes, bytearray or memoryview. Without
            any chunk, no message is sent.
        :param compress: deflate it, if permessage-deflate was agreed on.
        :raises TypeError: if it is none, or of mixed kinds.
        :raises ValueError: if a text has lone surrogates.
        :raises RuntimeError: if ``chunks`` itself sends a message, after its first chunk.
        :raises WebSocketClosed: the connection has ended.
        :raises TransportFail: the server took nothing for ``send_timeout`` seconds.
        """
        check_chunks(chunks)
        reader = self._reader
        reader.mailbox.check_thread()
        if reader.end is not None:
            raise reader.make_error()
        if self._outgoing is None and not isinstance(self.websocket.session, GeventSession):
            self._outgoing = Outgoing()
        sender = PieceSender(self.websocket, reader.mailbox, self._outgoing, compress)
        try:
            for chunk in chunks:
                sender.put(chunk)
            sender.end()
        except errors.WebSocketError as error:
            raise reader.explain(error) from None
        finally:
            sender.leave()
            if sender.is_cut_short and self.is_open:
                reader.break_off()

    # Receiving

    def receive(self, timeout: float | None = None) -> Message:
        """Return the next message: a text as str, a binary message as bytes.

        Those that wait are served in the order of their calls, and each message goes to one.

        :param timeout: seconds to wait; None: no limit.
        :raises TimeoutError: there was none in time. The connection goes on.
        :raises WebSocketClosed: the connection has ended, and all messages are taken.
        :raises RuntimeError: a :meth:`receive_stream` has not ended.
        """
        if timeout is not None:
            check_timeout(timeout)
        message = self._reader.mailbox.take(timeout)
        return message.text if message.name == "text" else message.data

    def receive_json(self, timeout: float | None = None) -> Any:
        """Return the next message decoded as JSON; otherwise as :meth:`receive`.

        :raises ValueError: it is not JSON. The message is taken.
        """
        if timeout is not None:
            check_timeout(timeout)
        message = self._reader.mailbox.take(timeout)
        return message.json

    def __iter__(self) -> Iterator[Message]:
        """Iterate over the messages to come.

        Ends when the connection was closed normally: with 1000 or 1001, or by :meth:`close`.

        :raises WebSocketClosed: it has ended in another way.
        """
        reader = self._reader
        take = reader.mailbox.take
        while True:
            try:
                message = take(None)
            except errors.WebSocketClosed:
                if reader.is_quiet:
                    return
                raise
            yield message.text if message.name == "text" else message.data

    def request(
        self,
        message: object,
        match: Callable[[Text | Binary], object] | None = None,
        *,
        key: Hashable | None = None,
        timeout: float | None = None,
    ) -> Text | Binary:
        """Send a message, and wait for its reply, which goes to nobody else.

        :param message: what :meth:`send` takes; a dict or a list is sent as JSON.
        :param match: called with each message that comes; true for the reply. Requests are asked in
            the order in which they were made. It must not wait.
        :param key: the reply is the first message for which ``reply_key`` returns an equal key.
        :param timeout: seconds to wait; None: no limit. A reply that comes later is a message like
            any other.
        :returns: the event of the reply: ``.json``, or ``.message`` as :meth:`receive` returns it.
        :raises TimeoutError: there was no reply in time. The connection goes on.
        :raises WebSocketClosed: the connection has ended before the reply.
        :raises TypeError: there is not just one of ``match`` and ``key``; or by key, and
            :func:`connect` was given no ``reply_key``.
        :raises ValueError: another request waits for the same key.
        :raises Exception: what came out of ``match``.
        """
        check_request(match, key, self._reply_key)
        check_timeout(timeout)
        payload = encode_request(message)
        reader = self._reader
        mailbox = reader.mailbox
        mailbox.check_thread()
        if reader.end is not None:
            raise reader.make_error()
        return reader.get_replies().ask(
            lambda: self.send(payload),
            mailbox.wait,
            match,
            key,
            self._reply_key,
            timeout,
            mailbox.give_back,
        )

    def receive_stream(self, timeout: float | None = None) -> ReceivedPieces:
        """Return an iterator over the pieces of the next message, as they arrive.

        The message may be larger than the memory, and than ``max_size``. Its pieces are cut
        anywhere; those of a text are str, cut between characters. One that is left early is
        skipped, and the connection goes on.

        The iteration takes its place among those that receive with its first step. While a
        :meth:`request` waits, a message may be its reply: then a message comes in pieces only when
        4 MiB of it have arrived.

        :param timeout: seconds to wait for each piece; None: no limit. After a ``TimeoutError`` the
            iteration may go on.
        :raises RuntimeError: another such iteration has not ended.
        :raises WebSocketClosed: the connection has ended, and all messages are taken.
        """
        check_timeout(timeout)
        return ReceivedPieces(self, self._reader.begin_pieces(), timeout)

    def ping(self, timeout: float | None = None) -> float:
        """Send a ping, and wait for its pong.

        While reading has stopped, as nobody takes the messages, no pong is seen either.

        :returns: seconds there and back.
        :raises TimeoutError: there was no pong in time. The connection goes on.
        :raises WebSocketClosed: the connection has ended.
        """
        check_timeout(timeout)
        reader = self._reader
        reader.mailbox.check_thread()
        if reader.end is not None:
            raise reader.make_error()
        ticket = Ticket()
        data = os.urandom(_PING_SIZE)
        if reader.pings is None:
            reader.pings = {}
        reader.pings[data] = (ticket, monotonic())
        latency: float
        try:
            send_in_time(lambda: self.websocket.send_ping(data), timeout)
            latency = reader.mailbox.wait(ticket, timeout)
        except (errors.WebSocketUnavailable, errors.TransportFail) as error:
            raise reader.explain(error) from None
        finally:
            reader.pings.pop(data, None)
        return latency

    def listen(self, listener: Listener) -> None:
        """Have a listener take the messages before :meth:`receive`, and be told the end.

        Called right after :func:`connect`, it misses nothing. The listener is kept until the end.
        """
        self._reader.listen(listener)

    # The end

    def close(self, code: int | None = Status.NORMAL, reason: str = "") -> None:
        """Close, and wait for the end, for at most ``close_timeout`` seconds; idempotent.

        What was sent before goes first. Messages that were received can still be taken; those that
        come now and find the queue full are dropped. Called by the hub, or by a function that
        :meth:`request` was given, it does not wait.

        :param code: a close code; None: none at all.
        :param reason: at most 123 bytes of UTF-8, for the server's developers.
        :raises ValueError: if the code must not be sent, or the reason is too long.
        :raises WebSocketUnavailable: called in another thread.
        """
        self._begin_close(code, reason)
        reader = self._reader
        if reader.end is None and reader.mailbox.may_wait:
            session = self.websocket.session
            limit = None if isinstance(session, GeventSession) else self._close_timeout
            reader.wait_end(limit or None)

    def _begin_close(self, code: int | None, reason: str) -> None:
        build_user_close(code, reason)  # a mistake is told, whatever the state
        reader = self._reader
        if reader.end is not None:
            return
        reader.mailbox.check_thread()
        reader.close(code, reason)


class _End:
    """How a connection has ended."""

    __slots__ = ("cause", "code", "graceful", "is_quiet", "reason", "sent_code")

    def __init__(self, code: int, reason: str, sent_code: int | None, graceful: bool) -> None:
        self.code = code
        self.reason = reason
        self.sent_code = sent_code
        self.graceful = graceful
        # Whether an iteration just ends.
        self.is_quiet = code in _QUIET
        # The exception of the user's that has ended it, or None.
        self.cause: BaseException | None = None


class _Last:
    """What an iteration has said of its end."""

    __slots__ = ("graceful", "is_first", "is_over", "reason", "violation")

    def __init__(self) -> None:
        #: Whether the iteration has ended, or has to.
        self.is_over = True
        self.reason = "killed"
        self.graceful = False
        #: Whether the server was the first to close.
        self.is_first = False
        #: How the server has violated the protocol, or None.
        self.violation: str | None = None


class _Reader:
    """Iterates over a WebSocket, and gives what comes to those who wait.

    A greenlet iterates. While the session rests (:meth:`.resting.Regulator.rest`) there is none.

    :param iteration: of the WebSocket; it has not begun.
    """

    __slots__ = (
        "__weakref__",
        "_ended",
        "_error",
        "_greenlet",
        "_head",
        "_is_broken_off",
        "_iteration",
        "_listener",
        "_replies",
        "_response",
        "_roster",
        "_websocket",
        "end",
        "latency",
        "mailbox",
        "pings",
        "protocol",
        "state",
    )

    # Set by open(), without which there is no Connection.
    protocol: str | None
    # The head of the server's answer. What is parsed from it takes more than a KiB.
    _head: bytes

    def __init__(
        self, websocket: WebSocket, iteration: Generator[AnyEvent, None, None], max_queue: int
    ) -> None:
        self._websocket = websocket
        self._iteration = iteration
        #: The protocol of this connection.
        self.state = websocket.state
        max_bytes = websocket.max_size
        self.mailbox = Mailbox(
            max_queue, constants.MAX_MESSAGE_SIZE if max_bytes is None else max_bytes
        )
        #: The pings under way, by payload: who waits, and since when; None: there was none.
        self.pings: dict[bytes, tuple[Ticket, float]] | None = None
        self.latency: float | None = None
        #: How the connection has ended; None: it has not.
        self.end: _End | None = None
        self._replies: Replies | None = None
        # Whether a message could not be completed: the end is no normal one then.
        self._is_broken_off = False
        self._listener: Listener | None = None
        # Those that wait for the end.
        self._ended: tuple[Ticket, ...] = ()
        # The exception out of reply_key that ends the connection.
        self._error: Exception | None = None
        # The greenlet that iterates, or that did last; None: the session rests.
        self._greenlet: ResidentGreenlet | None = None
        # Those that run on the same hub, once this one runs.
        self._roster: Roster | None = None
        # The server's answer, once somebody has asked for it.
        self._response: Response | None = None

    # Opening, in the greenlet of the caller

    def open(self) -> None:
        """Iterate until messages may be sent; then start a greenlet that goes on.

        :raises ConnectFail: it could not be opened.
        """
        websocket, stream = self._websocket, self._websocket.stream
        # One bound method for both: an idle connection has to be small.
        stream.text_handler = stream.binary_handler = self.mailbox.accept
        stream.find_taker = self._find_taker
        if not self.mailbox.may_wait:
            raise RuntimeError("the hub itself cannot wait; spawn a greenlet for that")
        failure: errors.ConnectFail | None = None
        is_ready = False
        try:
            for event in self._iteration:
                if event.name == "ready":
                    self.protocol, self._head = event.protocol, event.response.raw
                    is_ready = True
                    break
                if event.name == "rejected":
                    failure = errors.Rejected(event.reason, response=event.response)
                    break
                if event.name == "connect_fail":
                    failure = event.error or errors.ConnectFail(event.reason)
                elif event.name == "disconnected" and failure is None:
                    failure = errors.ConnectFail(event.reason)
        finally:
            if not is_ready:
                self._iteration.close()
        if not is_ready:
            raise failure or errors.ConnectFail("the session has ended without a word")
        forget_headers(websocket)
        session = websocket.session
        if isinstance(session, GeventSession):
            regulator = Regulator(session)
            regulator.rest(self.mailbox, self._rouse)
            self.mailbox.regulate(regulator)
        else:
            self.mailbox.regulate(Gate(self.mailbox.reactor))
        greenlet = self._make_greenlet()
        _readers.add(self)
        self._roster = get_roster()
        self._roster.add(self)
        drain_at_exit()
        greenlet.start()

    @property
    def response(self) -> Response:
        """The server's answer to the upgrade."""
        if self._response is None:
            self._response = Response(self._head)
        return self._response

    # Reading

    def _make_greenlet(self) -> ResidentGreenlet:
        greenlet = self._greenlet = ResidentGreenlet(None, self)
        self.mailbox.own(greenlet)
        return greenlet

    def _rouse(self) -> None:
        """Go on in a greenlet, as the session cannot rest any more; called by the hub."""
        self._make_greenlet().switch()

    def _run_apart(self) -> None:
        """Iterate until the end, or until the session rests."""
        last = _Last()
        try:
            for event in self._iteration:
                if event is RESTING:
                    last.is_over = False
                    break
                if event.name == "pong":
                    self._take_pong(event.data)
                elif event.name == "closing":
                    last.is_first = True
                elif event.name == "protocol_error":
                    last.violation = event.error
                elif event.name == "disconnected":
                    last.reason, last.graceful = event.reason, event.graceful
                del event  # an idle connection keeps none of its last events
        except GreenletExit:
            raise
        except Exception as error:  # of the user's trace, say
            last.reason, self._error = f"{type(error).__name__}: {error}", error
        finally:
            if last.is_over:
                self._conclude(last)
            else:
                self._greenlet = None
                self.mailbox.own(None)

    def _conclude(self, last: _Last) -> None:
        """Close what is open, and tell those that wait of the end."""
        self._iteration.close()
        state, reason = self.state, last.reason
        if state.close_code is not None:
            reason = state.close_reason
        elif self._error is not None:
            reason = f"{type(self._error).__name__}: {self._error}"
        elif last.violation is not None:
            reason = last.violation
        end = _End(state.close_code or Status.ABNORMAL, reason, state.sent_code, last.graceful)
        if self._error is not None or self._is_broken_off:
            end.is_quiet, end.cause = False, self._error
        elif state.sent_code is not None and not last.is_first and last.violation is None:
            end.is_quiet = True  # the user has closed
        is_told = self.end is not None  # in a forked child, where it has ended before
        self._finish(end)
        if self._listener is not None and not is_told:
            self._listener.ended(self.make_error())

    def _take(self, event: Text | Binary) -> None:
        if self._replies is None or not self._replies.take(event):
            self.mailbox.put(event, measure(event))

    def _find_taker(self, is_large: bool) -> PieceHandler | None:
        """Return who takes a message in pieces. For a large one, wait for somebody to come."""
        mailbox = self.mailbox
        while True:
            first = mailbox.first
            if isinstance(first, FirstPiece) and (is_large or self._may_begin()):
                return first.incoming.begin()
            if not is_large or first is not None or self._replies:
                return None  # it is joined, or refused
            if not mailbox.await_receiver():
                return _drop  # the connection is closing: what it is does not matter any more
            if not self._websocket.stream.is_joining:
                return None  # who has come has taken it

    def _may_begin(self) -> bool:
        """Whether a message may be taken in pieces: it is no reply."""
        return not self._replies

    def begin_pieces(self) -> Incoming:
        """Begin to receive a message in pieces; see :meth:`Connection.receive_stream`."""
        mailbox = self.mailbox
        mailbox.check_thread()
        if self.end is not None and not len(mailbox):
            raise self.make_error()
        incoming = Incoming(mailbox, self._websocket.stream, self.make_error, self._may_begin)
        mailbox.begin_pieces(incoming)
        return incoming

    def listen(self, listener: Listener) -> None:
        """Give messages that are no replies to ``listener`` first."""
        stream = self._websocket.stream
        self._listener = listener
        self.mailbox.share()
        stream.text_handler = stream.binary_handler = self._offer
        # The listener takes whole messages, so a large one waits for no receiver: it is joined.
        stream.find_taker = None

    def _offer(self, event: Text | Binary) -> None:
        assert self._listener is not None
        if self._replies is not None and self._replies.take(event):
            return
        if not self._listener.take(event):
            self.mailbox.put(event, measure(event))

    def _take_pong(self, data: bytes) -> None:
        if self.pings is None or data not in self.pings:
            return
        now = monotonic()
        # A pong may answer the latest of several pings alone (RFC 6455 section 5.5.3).
        for payload, (ticket, since) in list(self.pings.items()):
            del self.pings[payload]
            ticket.settle(now - since)
            if payload == data:
                self.latency = now - since
                return

    def _fail(self, error: Exception) -> None:
        """End the connection: a function of the user's has failed, and no request is to blame."""
        if self._error is None:
            self._error = error
            self.mailbox.open()
            self._websocket.close(Status.UNEXPECTED_CONDITION, "reply_key failed")

    def break_off(self) -> None:
        """Close the connection: a message that was begun will not be completed."""
        self._is_broken_off = True
        self.close(Status.UNEXPECTED_CONDITION, "a message was not completed")

    def get_replies(self) -> Replies:
        """Return the requests that wait, for one that is about to."""
        if self._replies is None:
            self._replies = Replies()
            self.mailbox.share()
            stream = self._websocket.stream
            stream.handler_failed = self._fail
            if self._listener is None:
                stream.text_handler = stream.binary_handler = self._take
        self.mailbox.call()
        return self._replies

    # The end

    @property
    def is_quiet(self) -> bool:
        """Whether an iteration just ends."""
        return self.end is not None and self.end.is_quiet

    def make_error(self) -> errors.WebSocketClosed:
        """Return the error of a call after the end."""
        end = self.end
        assert end is not None
        return build_closed(end.code, end.reason, end.sent_code, end.graceful, end.cause)

    def explain(self, error: errors.WebSocketError) -> errors.WebSocketError:
        """Return the error of a call that the session, or the WebSocket, has refused."""
        if self.end is not None:
            return self.make_error()
        state = self.state
        if state.close_code is not None and isinstance(error, errors.WebSocketUnavailable):
            # The server has closed; only the end of the TCP connection is missing.
            return build_closed(state.close_code, state.close_reason, state.sent_code, True)
        session = self._websocket.session
        if (
            isinstance(error, errors.TransportFail)
            and isinstance(session, GeventSession)
            and Regulator(session).has_broken
        ):
            # The connection is lost, and the reader is about to say so.
            return build_closed(Status.ABNORMAL, str(error), state.sent_code, False)
        return error

    def wait_end(self, limit: float | None) -> None:
        """Wait for the end; drop the connection if it does not come in time."""
        ticket = Ticket()
        self._ended += (ticket,)
        try:
            ticket.wait(self.mailbox.reactor, limit)
        except TimeoutError:
            self.abandon()
            ticket.wait(self.mailbox.reactor)
        finally:
            self._ended = tuple(found for found in self._ended if found is not ticket)

    # As a resident of its hub, which drain() and the exit of the program close

    @property
    def is_running(self) -> bool:
        """Whether the connection has not ended."""
        return self.end is None

    @property
    def is_caller(self) -> bool:
        """Whether the caller is a function that request() was given."""
        return getcurrent() is self._greenlet

    @property
    def websocket(self) -> WebSocket:
        """The WebSocket underneath."""
        return self._websocket

    def close(self, code: int | None, reason: str) -> None:
        """Begin to close. Returns at once."""
        self.mailbox.open()
        self._websocket.close(code, reason)

    def kill(self) -> None:
        """Drop the connection, soon."""
        self.abandon()

    def abandon(self) -> None:
        """Drop the connection, soon. Called from anywhere, also by the garbage collector."""
        if self.end is not None or self._roster is None:
            return
        try:
            if self.mailbox.is_elsewhere:
                self.mailbox.reactor.loop.run_callback_threadsafe(self._drop)
            else:
                self.mailbox.reactor.turn.run_callback(self._drop)
        except Exception:
            # The hub was destroyed, or the interpreter ends: nothing runs there any more.
            return

    def _drop(self) -> None:
        """Drop the connection now; called by the hub. What was sent before has one attempt to
        leave.
        """
        session = self._websocket.session
        try:
            if self.end is None and isinstance(session, GeventSession):
                Regulator(session).flush()
        finally:
            greenlet = self._greenlet
            if greenlet is not None:
                # At once: a kill() would come later, when the session may rest.
                greenlet.throw(GreenletExit)
            if greenlet is None or greenlet.dead:
                self._conclude(_Last())

    def disown(self) -> None:
        """Let go of a connection that is the parent's, as this process is a forked child."""
        self.abandon()
        self._finish(_End(Status.ABNORMAL, OF_THE_PARENT, None, False))

    def _finish(self, end: _End) -> None:
        if self.end is not None:
            return
        self.end = end
        _readers.discard(self)
        if self._roster is not None:
            self._roster.remove(self)
        self.mailbox.end(self.make_error)
        if self.mailbox.piecemeal is not None:
            self.mailbox.piecemeal.wake()
        if self._replies is not None:
            self._replies.fail(self.make_error)
        for ticket, _since in (self.pings or {}).values():
            ticket.fail(self.make_error())
        for ticket in self._ended:
            ticket.settle(None)


def _drop(piece: object, final: bool) -> None:
    """Take the pieces of a message that nobody wants."""


# Those that run.
_readers: WeakSet[_Reader] = WeakSet()


def _disown_all() -> None:
    forks.call_each([reader.disown for reader in list(_readers)])


forks.call_in_child(_disown_all)
