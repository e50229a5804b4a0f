"""One client's connection as the echo server sees it, for the behaviours to act on."""

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
from ..protocol.compression import answer_offer
from ..protocol.frame import append_frame, build_close_payload, fit_close_reason
from ..protocol.handshake import (
    BadRequest,
    Request,
    build_rejection,
    build_response,
    parse_request,
)
from ..protocol.head import HeadReader
from ..protocol.opcode import Opcode
from ..protocol.stream import Stream
from ..status import Status
from .journal import Journal, Message
from .wire import Wire

Headers = Iterable[tuple[str, str]]

_GOING_AWAY = build_close_payload(Status.GOING_AWAY, "the server stops")


class State(enum.Enum):
    """How far a connection has come; it only moves downwards."""

    #: TCP is open, and TLS if there is any; no answer was given to the upgrade.
    OPENING = enum.auto()
    #: The upgrade was accepted.
    OPEN = enum.auto()
    #: A close frame was sent; the client's may still be on its way.
    CLOSING = enum.auto()
    #: No more frames will come or go.
    ENDED = enum.auto()


@dataclass(frozen=True)
class Options:
    """What all connections of one server have in common."""

    ssl_context: ssl.SSLContext | None
    subprotocols: Sequence[str]
    #: Keywords for answer_offer(), as the user gave them; None: compression is declined.
    compression: Mapping[str, Any] | None
    max_size: int | None
    history: int
    close_timeout: float


class Connection:
    """One client's connection.

    A behaviour gets it when the client has connected, and talks to the client with it. It may be
    used from other greenlets too, one of them receiving at a time: what they send is queued whole
    and in order. Iterating over it yields messages until the client has gone.
    """

    def __init__(self, wire: Wire, number: int, options: Options, journal: Journal) -> None:
        #: 1 for the first connection the server got, 2 for the second.
        self.number = number
        #: The request for the upgrade, once it was read.
        self.request: Request | None = None
        #: The subprotocol that was agreed on, or None.
        self.subprotocol: str | None = None
        #: Whether the client sends and understands compressed messages.
        self.is_compressed: bool = False
        #: The latest messages received, text as str and binary as bytes.
        self.messages: deque[Message] = deque(maxlen=options.history)
        #: Payloads of the latest pings received.
        self.pings: deque[bytes] = deque(maxlen=options.history)
        #: Payloads of the latest pongs received.
        self.pongs: deque[bytes] = deque(maxlen=options.history)
        #: The code of the close frame received: 1005 if it had none; None: no close frame so far.
        self.close_code: int | None = None
        #: The reason of the close frame received.
        self.close_reason: str = ""
        #: What ended the connection before its time: a violation by the client, a failed TLS
        #: handshake, an exception out of the behaviour; or None.
        self.error: BaseException | None = None
        self._wire = wire
        self._options = options
        self._journal = journal
        self._state = State.OPENING
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
        """Whether the upgrade was accepted and no close frame was sent since."""
        return self._state is State.OPEN

    @property
    def is_ended(self) -> bool:
        """Whether the TCP connection is closed, or about to be."""
        return self._state is State.ENDED

    def read_request(self) -> Request:
        """Read the client's request for the upgrade, or return it again.

        An invalid one is answered with 400 or 426.

        :raises WebSocketClosed: if the client has gone, or its request was invalid.
        """
        if self.request is None:
            reader = HeadReader()
            try:
                head = None
                while head is None:
                    head = reader.feed(self._read_or_end())
                self.request = parse_request(head)
            except HandshakeError as error:
                self.error = error
                if isinstance(error, BadRequest):
                    self._wire.write(error.build_rejection())
                raise WebSocketClosed("the client's request is invalid") from error
            self._stream = Stream(is_client=False, max_size=self._options.max_size)
            self._stream.receive(reader.rest, 0, len(reader.rest), 0.0)
            self._journal.note_change()
        return self.request

    def accept(self, *, subprotocol: str | None = None, headers: Headers = ()) -> None:
        """Answer the request for the upgrade with 101.

        :param subprotocol: the subprotocol to name, whether the client offered it or not; None:
            the first of the server's that the client offered.
        :param headers: further headers, as pairs.
        :raises WebSocketClosed: if the client has gone, or its request was invalid.
        :raises WebSocketUnavailable: if the request has been answered already.
        """
        request = self.read_request()
        self._expect(State.OPENING)
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
        self._move(State.OPEN)

    def reject(
        self,
        status: int = 403,
        reason: str = "Forbidden",
        *,
        headers: Headers = (),
        body: bytes = b"",
    ) -> None:
        """Answer the request for the upgrade with another status than 101, and end.

        :param headers: further headers, as pairs.
        :raises WebSocketClosed: if the client has gone, or its request was invalid.
        :raises WebSocketUnavailable: if the request has been answered already.
        """
        self.read_request()
        self._expect(State.OPENING)
        self._wire.write(
            build_rejection(status, reason, headers=_encode_headers(headers), body=body)
        )
        self._move(State.ENDED)

    def receive(self) -> Message:
        """Wait for a message: text as str, binary as bytes.

        Pings that come before it are answered; a close frame is, too.

        :raises WebSocketClosed: if no message will come any more.
        :raises WebSocketUnavailable: if the upgrade was not accepted.
        :raises RuntimeError: if another greenlet is receiving.
        """
        stream = self._stream
        if stream is None or self._state is State.OPENING:
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
                self._control(event)
                continue
            self.messages.append(message)
            self._journal.note_message(message)
            return message

    def receive_raw(self) -> bytes:
        """Wait for bytes and return them as they are, below WebSocket; ``b""`` at the end.

        :raises WebSocketClosed: if the connection failed or was dropped.
        :raises RuntimeError: if another greenlet is receiving.
        """
        data = self._wire.read()
        if not data:
            self._move(State.ENDED)
        return data

    def send(self, message: Message, compress: bool = True) -> None:
        """Send str as a text message, bytes as a binary one; see :meth:`send_text`."""
        if isinstance(message, str):
            self.send_text(message, compress)
        else:
            self.send_binary(message, compress)

    def send_text(self, text: str, compress: bool = True) -> None:
        """Send a text message; wait while more than 256 KiB are unsent.

        :param compress: if compression was agreed on, make use of it.
        :raises WebSocketUnavailable: if it cannot be sent: not open yet, or no longer.
        """
        self._send_message(Opcode.TEXT, text.encode("utf-8"), compress)

    def send_binary(self, data: bytes, compress: bool = True) -> None:
        """Send a binary message; see :meth:`send_text`."""
        self._send_message(Opcode.BINARY, data, compress)

    def send_ping(self, data: bytes = b"") -> None:
        """Send a ping; the answer goes to :attr:`pongs` when it is received."""
        self._expect(State.OPEN)
        self.send_frame(Opcode.PING, data)

    def send_pong(self, data: bytes = b"") -> None:
        """Send a pong."""
        self._expect(State.OPEN)
        self.send_frame(Opcode.PONG, data)

    def send_frame(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False
    ) -> None:
        """Send a frame, whether it is legal or not: for fragments, and for hostile servers.

        :raises WebSocketClosed: if the connection has ended.
        """
        append_frame(self._wire.queue, opcode, payload, rsv1, False, fin)
        self._wire.flush_soon()

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, below WebSocket.

        :raises WebSocketClosed: if the connection has ended.
        """
        self._wire.write(data)

    def flush(self) -> None:
        """Wait until the kernel has all that was sent."""
        self._wire.flush()

    def close(self, code: int | None = Status.NORMAL, reason: str = "") -> None:
        """Send a close frame, once; return at once.

        The client's close frame is waited for when the behaviour has returned.

        :param code: the close code; None for an empty close frame.
        :raises WebSocketUnavailable: if the upgrade was not accepted.
        """
        if self._state is State.OPENING:
            raise WebSocketUnavailable("the upgrade was not accepted")
        if self._state is State.OPEN:
            self.send_frame(Opcode.CLOSE, build_close_payload(code, reason))
            self._move(State.CLOSING)

    def drop(self, reset: bool = True) -> None:
        """Close the TCP connection at once, without a close frame.

        :param reset: with RST; False: with FIN.
        """
        self._wire.end(reset)
        if self._stream is not None:
            self._stream.close()
        self._move(State.ENDED)
        self._ended.set()

    def wait_ended(self, timeout: float | None = 5.0) -> int | None:
        """Wait until the TCP connection is closed, and return :attr:`close_code`.

        :param timeout: seconds, or None to wait for ever.
        :raises TimeoutError: if it is not closed in time.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self!r} has not ended within {timeout} s")
        return self.close_code

    def start_tls(self) -> None:
        """Do the TLS handshake, if the server has a certificate: called by the server.

        :raises WebSocketClosed: if it failed.
        """
        if self._options.ssl_context is not None:
            try:
                self._wire.start_tls(self._options.ssl_context)
            except WebSocketClosed as error:
                self.error = error
                raise

    def finish(self, code: int) -> None:
        """Do what is left of the closing handshake, in bounded time: called by the server.

        :param code: what to close with if no close frame was sent before.
        """
        # False: when the time is up, go on after the block.
        with (
            contextlib.suppress(WebSocketClosed),
            gevent.Timeout(
                self._options.close_timeout,
                False,  # type: ignore[arg-type]  # not in the stubs
            ),
        ):
            if self._state is State.OPEN:
                self.close(code)
            self._wire.flush()
            while self._state is State.CLOSING:
                self.receive()

    def go_away(self) -> None:
        """End now, with 1001 as far as the kernel takes it: called by the server as it stops."""
        if self._state is State.OPEN:
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
        if self._state is not State.OPEN:
            self._expect(State.OPEN)
        assert self._stream is not None
        deflate = self._stream.deflate
        wire = self._wire
        if deflate is not None and compress:
            append_frame(wire.queue, opcode, deflate.compress(payload), True, False)
        else:
            append_frame(wire.queue, opcode, payload, False, False)
        wire.flush_soon()

    def _control(self, event: Event) -> None:
        if type(event) is Ping:
            self.pings.append(event.data)
            if self._state is State.OPEN:
                self.send_frame(Opcode.PONG, event.data)
        elif type(event) is Pong:
            self.pongs.append(event.data)
        elif type(event) is Closing:
            self.close_code = Status.NO_STATUS if event.code is None else event.code
            self.close_reason = event.reason
            if self._state is State.OPEN:
                self.send_frame(Opcode.CLOSE, build_close_payload(event.code, event.reason))
            self._move(State.ENDED)
        self._journal.note_change()

    def _refuse(self, error: ProtocolError | CriticalProtocolError) -> None:
        self.error = error
        if self._state is State.OPEN:
            self.close(error.code, fit_close_reason(str(error)))

    def _expect(self, state: State) -> None:
        if self._state is state:
            return
        if self._state is State.ENDED:
            raise WebSocketClosed("the connection has ended")
        if self._state is State.CLOSING:
            raise WebSocketClosing("a close frame was sent")
        if self._state is State.OPEN:
            raise WebSocketUnavailable("the request was answered already")
        raise WebSocketUnavailable("the upgrade was not accepted")

    def _move(self, state: State) -> None:
        self._state = state
        self._journal.note_change()


def _encode_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("utf-8")) for name, value in headers]
