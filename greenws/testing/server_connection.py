"""The connection of one client to the echo server; behaviours act on this connection."""

from __future__ import annotations

import contextlib
import enum
import ssl
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event as Flag

from ..errors import (
    CriticalProtocolError,
    HandshakeError,
    ProtocolError,
    WebSocketClosed,
    WebSocketClosing,
    WebSocketUnavailable,
)
from ..events import Binary, Closing, Event, Ping, Pong, Text
from ..protocol.frame import append_frame, build_close_payload, fit_close_reason
from ..protocol.head import HeadReader, HeadTooLarge
from ..protocol.opcode import Opcode
from ..protocol.stream import Stream
from ..status import Status
from .journal import Journal, Message
from .openings import Opening
from .upgrade import (
    BadRequest,
    Request,
    answer_offer,
    build_rejection,
    build_response,
    parse_request,
)
from .wire import Wire

# The first bytes of a client that speaks TLS: a record with a part of its handshake.
_TLS_HELLO = b"\x16\x03"

HeaderPairs = Iterable[tuple[str, str]]

_GOING_AWAY = build_close_payload(Status.GOING_AWAY, "the server stops")


class ConnectionState(enum.Enum):
    """The state of a connection. A connection only moves downwards in this list."""

    #: TCP is open, and TLS if wanted; the request for the upgrade is not answered yet.
    OPENING = enum.auto()
    #: The upgrade was accepted.
    OPEN = enum.auto()
    #: A close frame was sent; the client's close frame may still be on its way.
    CLOSING = enum.auto()
    #: No more frames will be received or sent.
    ENDED = enum.auto()


@dataclass(frozen=True)
class ServerOptions:
    """The options that all connections of one server share."""

    ssl_context: ssl.SSLContext | None
    subprotocols: Sequence[str]
    #: The keywords for answer_offer(); None: decline compression.
    compression: Mapping[str, Any] | None
    max_size: int | None
    history: int
    close_timeout: float


class ServerConnection:
    """The connection of one client.

    A behaviour gets the connection when the client has connected, and talks to the client through
    the connection. Several greenlets may use a connection, but only one at a time may receive. Each
    send is queued whole and in order. Iterating over the connection yields messages until the
    client has gone.
    """

    def __init__(
        self,
        wire: Wire,
        number: int,
        options: ServerOptions,
        journal: Journal,
        opening: Opening,
    ) -> None:
        #: The number of the connection: 1 for the first connection of the server.
        self.number = number
        #: The request for the upgrade; None before the request was read.
        self.request: Request | None = None
        #: The negotiated subprotocol, or None.
        self.subprotocol: str | None = None
        #: Whether permessage-deflate was negotiated.
        self.is_compressed: bool = False
        #: The latest messages received: text as str, binary as bytes.
        self.messages: deque[Message] = deque(maxlen=options.history)
        #: The payloads of the latest pings received.
        self.pings: deque[bytes] = deque(maxlen=options.history)
        #: The payloads of the latest pongs received.
        self.pongs: deque[bytes] = deque(maxlen=options.history)
        #: The code of the received close frame; 1005: the close frame had no code; None: no close
        #: frame was received so far.
        self.close_code: int | None = None
        #: The reason of the received close frame.
        self.close_reason: str = ""
        #: The error that ended the connection: a violation by the client, a failed TLS handshake,
        #: an exception of the behaviour; None: no error.
        self.error: BaseException | None = None
        self._wire = wire
        self._options = options
        self._journal = journal
        self._opening = opening
        self._state = ConnectionState.OPENING
        self._stream: Stream | None = None
        self._ended = Flag()

    def __repr__(self) -> str:
        state = self._state.name.lower()
        return f"<{self.__class__.__name__} {self.number} {state}, close_code={self.close_code}>"

    def __iter__(self) -> Iterator[Message]:
        try:
            while True:
                yield self.receive()
        except WebSocketClosed:
            return

    @property
    def is_open(self) -> bool:
        """Whether the upgrade was accepted and no close frame was sent."""
        return self._state is ConnectionState.OPEN

    @property
    def is_ended(self) -> bool:
        """Whether the TCP connection is closed, or about to be."""
        return self._state is ConnectionState.ENDED

    def read_request(self) -> Request:
        """Read the client's request for the upgrade; later calls return the same request.

        An invalid request is answered with 400 or 426; one that is late, with 408; one that waits
        while too many others do, with 503.

        :raises WebSocketClosed: the client has gone, or the request was invalid or late.
        """
        if self.request is None:
            reader = HeadReader()
            try:
                head = None
                with self._opening:
                    while head is None:
                        data = self._read_or_end()
                        if data.startswith(_TLS_HELLO):
                            # It has no end of a line, and would be waited for.
                            raise BadRequest("this port does not speak TLS: use ws://")
                        head = reader.feed(data)
                self.request = parse_request(head)
            except HeadTooLarge as error:
                self.error = HandshakeError(str(error))
                raise WebSocketClosed("the client's request is invalid") from self.error
            except BadRequest as error:
                self.error = error
                self._wire.write(error.build_rejection())
                raise WebSocketClosed("the client's request is invalid") from error
            except WebSocketClosed:
                refusal = self._opening.refusal
                if refusal is not None and self.error is None:
                    self.error = refusal
                    self._wire.write(refusal.build_rejection())
                raise
            self._stream = Stream(is_client=False, max_size=self._options.max_size)
            self._stream.receive(reader.rest, 0, len(reader.rest), 0.0)
            self._journal.notify_waiters()
        return self.request

    def accept(self, *, subprotocol: str | None = None, headers: HeaderPairs = ()) -> None:
        """Answer the request for the upgrade with 101.

        :param subprotocol: the subprotocol of the answer, even if the client has not offered it;
            None: the first subprotocol of the server that the client has offered.
        :param headers: more headers, as pairs.
        :raises WebSocketClosed: the client has gone, or the request was invalid.
        :raises WebSocketUnavailable: the request has been answered already.
        """
        request = self.read_request()
        self._require(ConnectionState.OPENING)
        if subprotocol is None:
            offered = request.protocols
            subprotocol = next((p for p in self._options.subprotocols if p in offered), None)
        extensions = self._agree_on_compression(request)
        self.subprotocol = subprotocol
        self._wire.write(
            build_response(
                request,
                protocol=subprotocol,
                extensions=extensions,
                headers=_encode_headers(headers),
            )
        )
        self._move_to(ConnectionState.OPEN)

    def reject(
        self,
        status: int = 403,
        reason: str = "Forbidden",
        *,
        headers: HeaderPairs = (),
        body: bytes = b"",
    ) -> None:
        """Answer the request for the upgrade with a status other than 101, and end.

        :param headers: more headers, as pairs.
        :raises WebSocketClosed: the client has gone, or the request was invalid.
        :raises WebSocketUnavailable: the request has been answered already.
        """
        self.read_request()
        self._require(ConnectionState.OPENING)
        self._wire.write(
            build_rejection(status, reason, headers=_encode_headers(headers), body=body)
        )
        self._move_to(ConnectionState.ENDED)

    def receive(self) -> Message:
        """Wait for a message: text as str, binary as bytes.

        Meanwhile, pings and a close frame are answered.

        :raises WebSocketClosed: no more messages will come.
        :raises WebSocketUnavailable: the upgrade was not accepted.
        :raises RuntimeError: another greenlet is receiving.
        """
        stream = self._stream
        if stream is None or self._state is ConnectionState.OPENING:
            raise WebSocketUnavailable("the upgrade was not accepted")
        while True:
            try:
                event = stream.next_event()
            except (ProtocolError, CriticalProtocolError) as error:
                self._refuse(error)
                raise WebSocketClosed("the client violated the protocol: {}", error) from error
            if event is None:
                if stream.is_closed:
                    raise WebSocketClosed("the connection has ended")
                data = self._read_or_end()
                stream.receive(data, 0, len(data), 0.0)
                continue
            message: Message
            if type(event) is Text:
                message = event.text
            elif type(event) is Binary:
                message = event.data
            else:
                self._handle_control(event)
                continue
            self.messages.append(message)
            self._journal.record_message(message)
            return message

    def receive_raw(self) -> bytes:
        """Wait for bytes, and return them without parsing; ``b""`` at the end.

        :raises WebSocketClosed: the connection failed or was dropped.
        :raises RuntimeError: another greenlet is receiving.
        """
        data = self._wire.read()
        if not data:
            self._move_to(ConnectionState.ENDED)
        return data

    def send(self, message: Message, compress: bool = True) -> None:
        """Send str as a text message, bytes as a binary message; see :meth:`send_text`."""
        if isinstance(message, str):
            self.send_text(message, compress)
        else:
            self.send_binary(message, compress)

    def send_text(self, text: str, compress: bool = True) -> None:
        """Send a text message; wait while more than 256 KiB are unsent.

        :param compress: whether to compress the message, if permessage-deflate was negotiated.
        :raises WebSocketUnavailable: the connection is not open yet, or not open any more.
        """
        self._send_message(Opcode.TEXT, text.encode("utf-8"), compress)

    def send_binary(self, data: bytes, compress: bool = True) -> None:
        """Send a binary message; see :meth:`send_text`."""
        self._send_message(Opcode.BINARY, data, compress)

    def send_ping(self, data: bytes = b"") -> None:
        """Send a ping. The client's answer goes to :attr:`pongs`."""
        self._require(ConnectionState.OPEN)
        self.send_frame(Opcode.PING, data)

    def send_pong(self, data: bytes = b"") -> None:
        """Send a pong."""
        self._require(ConnectionState.OPEN)
        self.send_frame(Opcode.PONG, data)

    def send_frame(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False
    ) -> None:
        """Send a frame, legal or not: for fragments, and to act as a hostile server.

        :raises WebSocketClosed: the connection has ended.
        """
        append_frame(self._wire.queue, opcode, payload, rsv1, False, fin)
        self._wire.flush_soon()

    def send_raw(self, data: bytes) -> None:
        """Send bytes unchanged, without a frame.

        :raises WebSocketClosed: the connection has ended.
        """
        self._wire.write(data)

    def flush(self) -> None:
        """Wait until the kernel has accepted everything that was sent."""
        self._wire.flush()

    def close(self, code: int | None = Status.NORMAL, reason: str = "") -> None:
        """Send a close frame, unless one was sent already, and return at once.

        The server waits for the client's close frame after the behaviour has returned.

        :param code: the close code; None for an empty close frame.
        :raises WebSocketUnavailable: the upgrade was not accepted.
        """
        if self._state is ConnectionState.OPENING:
            raise WebSocketUnavailable("the upgrade was not accepted")
        if self._state is ConnectionState.OPEN:
            self.send_frame(Opcode.CLOSE, build_close_payload(code, reason))
            self._move_to(ConnectionState.CLOSING)

    def drop(self, reset: bool = True) -> None:
        """Close the TCP connection at once, without a close frame.

        :param reset: True: close with RST; False: close with FIN.
        """
        self._opening.leave()
        self._wire.end(reset)
        if self._stream is not None:
            self._stream.close()
        self._move_to(ConnectionState.ENDED)
        self._ended.set()

    def wait_ended(self, timeout: float | None = 5.0) -> int | None:
        """Wait until the TCP connection is closed, and return :attr:`close_code`.

        :param timeout: the time limit in seconds; None: no limit.
        :raises TimeoutError: the connection is not closed in time.
        """
        if not (self._ended.is_set() or self._ended.wait(timeout)):
            raise TimeoutError(f"{self!r} has not ended within {timeout} s")
        return self.close_code

    def start_tls(self) -> None:
        """Do the TLS handshake, if the server has a certificate. The server calls this method.

        :raises WebSocketClosed: the handshake failed.
        """
        if self._options.ssl_context is not None:
            try:
                with self._opening:
                    self._wire.start_tls(self._options.ssl_context)
            except WebSocketClosed as error:
                self.error = self._opening.refusal or error
                raise
        else:
            self._opening.leave()

    def finish(self, code: int) -> None:
        """Complete the closing handshake, in bounded time. The server calls this method.

        :param code: the close code, if no close frame was sent before.
        """
        # With False, gevent.Timeout leaves the block silently when the time is over.
        with (
            contextlib.suppress(WebSocketClosed),
            gevent.Timeout(
                self._options.close_timeout,
                False,  # type: ignore[arg-type]  # not in the stubs
            ),
        ):
            if self._state is ConnectionState.OPEN:
                self.close(code)
            self._wire.flush()
            while self._state is ConnectionState.CLOSING:
                self.receive()

    def go_away(self) -> None:
        """End now. Send 1001 if the kernel accepts it. The stopping server calls this method."""
        if self._state is ConnectionState.OPEN:
            append_frame(self._wire.queue, Opcode.CLOSE, _GOING_AWAY, False, False)
        self.drop(reset=False)

    def _read_or_end(self) -> bytes:
        data = self.receive_raw()
        if not data:
            raise WebSocketClosed("the client has gone")
        return data

    def _agree_on_compression(self, request: Request) -> str | None:
        preferences = self._options.compression
        if preferences is None:
            return None
        answer = answer_offer(request.extensions, **preferences)
        if answer is None:
            return None
        assert self._stream is not None
        self._stream.deflate, extensions = answer
        self.is_compressed = True
        return extensions

    def _send_message(self, opcode: int, payload: bytes, compress: bool) -> None:
        if self._state is not ConnectionState.OPEN:
            self._require(ConnectionState.OPEN)
        assert self._stream is not None
        deflate = self._stream.deflate
        wire = self._wire
        if deflate is not None and compress:
            append_frame(wire.queue, opcode, deflate.compress(payload), True, False)
        else:
            append_frame(wire.queue, opcode, payload, False, False)
        wire.flush_soon()

    def _handle_control(self, event: Event) -> None:
        if type(event) is Ping:
            self.pings.append(event.data)
            if self._state is ConnectionState.OPEN:
                self.send_frame(Opcode.PONG, event.data)
        elif type(event) is Pong:
            self.pongs.append(event.data)
        elif type(event) is Closing:
            self.close_code = Status.NO_STATUS if event.code is None else event.code
            self.close_reason = event.reason
            if self._state is ConnectionState.OPEN:
                self.send_frame(Opcode.CLOSE, build_close_payload(event.code, event.reason))
            self._move_to(ConnectionState.ENDED)
        self._journal.notify_waiters()

    def _refuse(self, error: ProtocolError | CriticalProtocolError) -> None:
        self.error = error
        if self._state is ConnectionState.OPEN:
            self.close(error.code, fit_close_reason(str(error)))

    def _require(self, state: ConnectionState) -> None:
        if self._state is state:
            return
        if self._state is ConnectionState.ENDED:
            raise WebSocketClosed("the connection has ended")
        if self._state is ConnectionState.CLOSING:
            raise WebSocketClosing("a close frame was sent")
        if self._state is ConnectionState.OPEN:
            raise WebSocketUnavailable("the request has been answered already")
        raise WebSocketUnavailable("the upgrade was not accepted")

    def _move_to(self, state: ConnectionState) -> None:
        self._state = state
        self._journal.notify_waiters()


def _encode_headers(headers: HeaderPairs) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("utf-8")) for name, value in headers]
