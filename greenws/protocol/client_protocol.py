"""One connection of a client, without I/O: bytes in, events and bytes out (RFC 6455).

:class:`ClientProtocol` is what remains of a WebSocket connection when sockets, clocks and greenlets
are taken away. A :class:`greenws.WebSocket` drives one for each connection; anybody else can do the
same by bytes alone::

    protocol = ClientProtocol(parse_url("ws://example.org/feed"))
    sock.sendall(protocol.build_request())
    while not protocol.is_closed:
        for event in protocol.feed(sock.recv(65536)):
            if event.name == "text":
                sock.sendall(protocol.encode(Opcode.TEXT, b"thanks"))
            elif event.name == "ping":
                sock.sendall(protocol.encode(Opcode.PONG, event.data))
            elif event.name == "closing":
                sock.sendall(protocol.encode_close(event.code))

The connection goes through the phases of :class:`Phase`, and :data:`PHASE_STEPS` has every step
between two of them::

    NEW -> OPENING -> OPEN -> CLOSING -> CLOSED

    OPENING -> OPENING    the request was made again, where a redirect leads
    any     -> CLOSED     the connection has ended
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from .. import errors, events
from ..constants import MAX_CONTROL_PAYLOAD, MAX_MESSAGE_SIZE
from ..redaction import MAX_MESSAGE, printable, redact_url
from ..status import Status
from ..trace import Tracer
from ..url import URL
from .compression import Deflate
from .extensions import PERMESSAGE_DEFLATE
from .frame import Payload, build_close_payload, build_frame, read_close_code
from .handshake import check_extensions
from .opcode import Opcode
from .opening import PLAIN_REQUEST, Opening, Outcome, Refused, RequestOptions, Upgraded
from .response import Response
from .stream import Stream
from .traffic import CountedStream, Traffic


class Phase(enum.IntEnum):
    """Where a connection stands: the states of RFC 6455, and the time before them."""

    NEW = 0  #: no request was made yet
    OPENING = 1  #: the request for the upgrade was made
    OPEN = 2  #: messages may be sent
    CLOSING = 3  #: our close frame was made
    CLOSED = 4  #: nothing more goes in or out


# The members by names of the module. To look one up in the class takes ten times as long before
# Python 3.12.
NEW, OPENING, OPEN, CLOSING, CLOSED = Phase

#: The phases that may follow each phase. Any other step is a fault of greenws, never of a peer.
PHASE_STEPS: dict[Phase, frozenset[Phase]] = {
    NEW: frozenset({OPENING, CLOSED}),
    OPENING: frozenset({OPENING, OPEN, CLOSED}),
    OPEN: frozenset({CLOSING, CLOSED}),
    CLOSING: frozenset({CLOSED}),
    CLOSED: frozenset(),
}


_NO_STATUS: int = Status.NO_STATUS


class ClientProtocol:
    """The client's side of one connection.

    :param url: the URL to connect to.
    :param request: what the user wants in the opening request; None: the defaults.
    :param max_size: bytes of one received message, after inflation; None: no limit.
    :param follows_redirects: whether the driver can connect again, to the new :attr:`target`, each
        time that :attr:`hops` has grown.
    :param waits_for_body: whether the driver calls :meth:`receive_eof`; if not, a
        rejection is complete with its head, as nobody would tell where its body ends.
    :param tracer: told of the steps of the handshake; None: nobody listens.
    """

    __slots__ = (
        "_opening",
        "_tracer",
        "close_code",
        "close_reason",
        "compression",
        "hops",
        "phase",
        "sent_code",
        "stream",
        "violation",
    )

    def __init__(
        self,
        url: URL,
        request: RequestOptions | None = None,
        max_size: int | None = MAX_MESSAGE_SIZE,
        *,
        follows_redirects: bool = False,
        waits_for_body: bool = True,
        tracer: Tracer | None = None,
    ) -> None:
        #: Where the connection stands.
        self.phase: Phase = NEW
        #: The parser of frames. A driver may give received bytes to it directly once the phase is
        #: OPEN, and set handlers that take messages straight from it.
        self.stream: Stream = Stream(True, max_size)
        #: The number of redirects that were followed. When it has grown, the driver has to connect
        #: to :attr:`target`, which may be where it is connected already, and to send another
        #: request there.
        self.hops: int = 0
        #: The agreement on permessage-deflate, or None.
        self.compression: Deflate | None = None
        #: The close code received: 1005 if the close frame had none; None: no close frame yet.
        self.close_code: int | None = None
        #: The reason in that close frame.
        self.close_reason: str = ""
        #: The close code of our own close frame, likewise.
        self.sent_code: int | None = None
        #: How the server has violated the protocol, as far as the driver has noted that here.
        self.violation: str = ""
        self._opening: Opening | None = Opening(
            url, request or PLAIN_REQUEST, follows_redirects, waits_for_body
        )
        self._tracer = tracer

    def adapt(self, follows_redirects: bool, waits_for_body: bool, tracer: Tracer | None) -> None:
        """Have the parameters of these names changed, before the first request.

        A :class:`greenws.WebSocket` learns only at connect() who drives it.
        """
        opening = self._require_opening()
        opening.follows_redirects = follows_redirects
        opening.waits_for_body = waits_for_body
        self._tracer = tracer
        self.stream.tracer = None if tracer is None else tracer.tell_message

    def change_request(self, request: RequestOptions) -> None:
        """Have the requests to come changed, if the opening handshake is not over."""
        if self._opening is not None:
            self._opening.options = request

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.phase.name}>"

    def _step(self, phase: Phase) -> None:
        if phase not in PHASE_STEPS[self.phase]:
            raise RuntimeError(f"a connection cannot go from {self.phase.name} to {phase.name}")
        self.phase = phase

    def count(self, traffic: Traffic, max_size: int | None) -> None:
        """Have messages counted. Called before anything was received, and before handlers are set.

        :param max_size: as of the class.
        """
        tracer = self.stream.tracer
        self.stream = CountedStream(traffic, max_size)
        self.stream.tracer = tracer

    # What it is

    @property
    def is_opening(self) -> bool:
        """Whether the received bytes are still those of the answer to the request."""
        return self._opening is not None

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self.phase is CLOSED

    @property
    def target(self) -> URL | None:
        """Where the request goes: the URL, or where redirects have led. None: it is answered."""
        return None if self._opening is None else self._opening.target

    @property
    def key(self) -> bytes:
        """The Sec-WebSocket-Key of the request, while there is no answer to it."""
        return b"" if self._opening is None else self._opening.key

    @property
    def awaits_body(self) -> bool:
        """Whether the answer is a rejection whose body has not ended. A body may have no length, or
        never reach it: a driver with a clock calls :meth:`receive_eof` when it has waited enough.
        """
        return self._opening is not None and self._opening.awaits_body

    @property
    def aside(self) -> str:
        """What is known beside the reason of a failed opening: the end of its message, or empty."""
        return "" if self._opening is None else self._opening.aside

    @property
    def rejection(self) -> str:
        """The status of the answer, and why it is no upgrade; empty: there is no such answer."""
        return "" if self._opening is None else self._opening.rejection

    # Opening

    def build_request(self) -> bytes:
        """Return the opening request (RFC 6455 section 4.1).

        :raises Exception: what the user's ``headers``, or the cookie jar, has raised.
        :raises WebSocketUnavailable: if the opening handshake is over.
        """
        opening = self._require_opening()
        self._step(OPENING)
        request = opening.build_request()
        if self._tracer is not None:
            opening.requested_at = self._tracer.now()
        return request

    def check_response(self, response: Response) -> tuple[str | None, set[str]]:
        """Check a response with the status 101, and set up what it agrees to.

        :returns: the subprotocol, or None, and the names of the extensions.
        :raises HandshakeError: if the response is not the upgrade that was asked for.
        :raises WebSocketUnavailable: if the opening handshake is over.
        """
        protocol, extensions, deflate = self._require_opening().check_response(response)
        self._set_compression(deflate)
        return protocol, extensions

    def set_extensions(self, extensions: list[str]) -> set[str]:
        """Set up the extensions that the server has chosen.

        :param extensions: the elements of its Sec-WebSocket-Extensions.
        :returns: the names of the extensions.
        :raises HandshakeError: if one of them is unknown, or a parameter is invalid.
        """
        if not extensions:
            return set()
        opening = self._opening
        deflate = check_extensions(
            ", ".join(extensions), True if opening is None else opening.compress or True
        )
        self._set_compression(deflate)
        return set() if deflate is None else {PERMESSAGE_DEFLATE}

    def _set_compression(self, deflate: Deflate | None) -> None:
        self.compression = self.stream.deflate = deflate

    def _require_opening(self) -> Opening:
        if self._opening is None:
            raise errors.WebSocketUnavailable("the opening handshake is over")
        return self._opening

    # Receiving

    def feed(
        self, data: bytes | bytearray, received_time: float = 0.0
    ) -> Iterator[events.AnyEvent]:
        """Take received bytes, and iterate over the events that they make.

        :param data: the bytes; b"" is the end of the stream. A bytearray is read in place: it must
            not change before the iteration has ended.
        :param received_time: epoch seconds at which the bytes were received, for the events.
        :raises ProtocolError: the server has violated the protocol. The error's ``code`` is the
            close code to answer with; nothing more can be received.
        :raises CriticalProtocolError: the data cannot be decoded; likewise.
        """
        if data:
            self.receive(data, received_time)
        else:
            self.receive_eof()
        while (event := self.next_event()) is not None:
            yield event
        if not data:
            self.end()

    def receive(self, data: bytes | bytearray, received_time: float = 0.0) -> None:
        """Take received bytes for :meth:`next_event`; parameters as of :meth:`feed`."""
        if self._opening is not None:
            self.stream.received_time = received_time
            self._opening.unread += data
        elif self.phase is not CLOSED:
            self.stream.receive(data, 0, len(data), received_time)

    def receive_eof(self) -> None:
        """Take the end of the stream.

        If the answer to the request is a rejection whose body had not ended, :meth:`next_event`
        returns the rejection now, with the body so far. The phase stays: the driver judges whether
        the connection has ended, and calls :meth:`end`.
        """
        if self._opening is not None:
            self._opening.is_at_end = True

    def next_event(self) -> events.AnyEvent | None:
        """Return the next event that the received bytes make, or None; errors as :meth:`feed`."""
        if self._opening is not None:
            return self._next_of_opening(self._opening)
        if self.phase is CLOSED:
            return None
        event = self.stream.next_event()
        return self.take_close(event) if isinstance(event, events.Closing) else event

    def take_close(self, event: events.Closing) -> events.Closing | events.Closed | None:
        """Take a close frame of the server's.

        :returns: the event for the user: ``closing`` if the server is the first to close, and
            has to be answered by :meth:`encode_close`; ``closed`` if the frame is the server's
            answer; None after the end.
        """
        if self.close_code is None:
            self.close_code = _NO_STATUS if event.code is None else event.code
            self.close_reason = event.reason
        if self.phase is CLOSED:
            return None
        if self.phase is not CLOSING:
            return event
        self._step(CLOSED)
        closed = events.Closed(event.code, event.reason)
        closed.received_time = event.received_time
        return closed

    def _next_of_opening(self, opening: Opening) -> events.AnyEvent | None:
        if self.phase is CLOSED:
            return None
        data, opening.unread = opening.unread, b""
        outcome: Outcome | None = opening.feed(data) if data else None
        if outcome is None and (opening.is_at_end or not opening.waits_for_body):
            outcome = opening.end()
        if outcome is None:
            return None
        response, tracer = outcome.response, self._tracer
        if tracer is not None:
            duration = tracer.now() - opening.requested_at
            tracer.tell("upgrade", status_code=response.status_code, duration=duration)
        if isinstance(outcome, Upgraded):
            return self._upgrade(response, outcome.rest)
        if isinstance(outcome, Refused):
            return self._reject(response, outcome.reason + _quote_message(response))
        self.hops = opening.hops
        target = opening.target
        if tracer is not None:
            shown = redact_url(target.redact())
            tracer.tell("redirect", status_code=response.status_code, target=shown)
        return None

    def _upgrade(self, response: Response, rest: bytes) -> events.Ready | events.Rejected:
        try:
            protocol, extensions = self.check_response(response)
        except errors.HandshakeError as error:
            return self._reject(response, str(error) + self._require_opening().detour)
        self._opening = None
        self._step(OPEN)
        if self._tracer is not None:
            names = sorted(extensions)
            self._tracer.tell("handshake_ready", protocol=protocol, extensions=names)
        ready = events.Ready(response, protocol, extensions)
        ready.received_time = self.stream.received_time
        if rest:
            self.stream.receive(rest, 0, len(rest), self.stream.received_time)
        return ready

    def _reject(self, response: Response, reason: str) -> events.Rejected:
        code = response.status_code
        reason = printable(reason, MAX_MESSAGE)  # may quote the server
        if self._tracer is not None:
            self._tracer.tell("handshake_rejected", reason=reason, status_code=code)
        self._step(CLOSED)
        self._require_opening().rejection = _describe_rejection(response, reason)
        event = events.Rejected(response, reason)
        event.received_time = self.stream.received_time
        return event

    # Sending

    def check_open(self) -> None:
        """Raise an error if a message cannot be sent now.

        :raises WebSocketUnavailable: before the upgrade.
        :raises WebSocketClosing: after our close frame.
        :raises WebSocketClosed: after the end.
        """
        phase = self.phase
        if phase is OPEN:
            return
        if phase is CLOSING:
            raise errors.WebSocketClosing("data not sent; the websocket is closing")
        if phase is CLOSED:
            raise errors.WebSocketClosed("data not sent; the websocket is closed")
        raise errors.WebSocketUnavailable(
            "data not sent; the websocket is not ready: wait for the event ready"
        )

    def encode(self, opcode: int, payload: Payload, compress: bool = True) -> bytes:
        """Return the frame of one message, ping or pong. It has to be sent before the next one.

        :param opcode: :class:`.opcode.Opcode`, but CLOSE, which :meth:`encode_close` is for.
        :param compress: deflate a message, if permessage-deflate was agreed on, and the message
            is not smaller than the user's ``min_size``.
        :raises WebSocketUnavailable: as :meth:`check_open`.
        :raises ValueError: if the payload of a ping or a pong is longer than 125 bytes.
        """
        self.check_open()
        if opcode == Opcode.CLOSE:
            raise ValueError("a close frame is made by encode_close()")
        if opcode >= Opcode.CLOSE and len(payload) > MAX_CONTROL_PAYLOAD:
            raise ValueError(f"a ping or a pong carries at most {MAX_CONTROL_PAYLOAD} bytes")
        compression = self.compression if compress and opcode < Opcode.CLOSE else None
        if compression is not None:
            # The len() of a memoryview counts items, which may be larger than a byte.
            size = payload.nbytes if isinstance(payload, memoryview) else len(payload)
            if size >= compression.min_size:
                return build_frame(opcode, compression.compress(payload), rsv1=True)
        return build_frame(opcode, payload)

    def encode_close(self, code: int | None = Status.NORMAL, reason: str | bytes = b"") -> bytes:
        """Return our close frame, the last frame of ours; errors as :meth:`begin_close`."""
        payload = build_close_payload(code, reason)
        self.check_open()
        self.begin_close(payload)
        return build_frame(Opcode.CLOSE, payload)

    def begin_close(self, payload: bytes) -> None:
        """Note that a close frame with ``payload`` goes out: nothing may be sent after it."""
        self.sent_code = read_close_code(payload)
        if self.phase is OPEN:
            # Where the server has closed first, our frame completes the handshake; the end comes
            # with the end of the stream all the same (RFC 6455 section 7.1.1).
            self._step(CLOSING)

    def end(self) -> None:
        """Take the end of the connection: nothing more goes in or out; idempotent."""
        if self.phase is not CLOSED:
            self._step(CLOSED)
        self.stream.close()


def _quote_message(response: Response) -> str:
    message = response.message
    return f"; the server says '{message}'" if message else ""


def _describe_rejection(response: Response, reason: str) -> str:
    """Return the reason of a rejection, with the status of the response in any case."""
    code = response.status_code
    if code is None or str(code) in reason:
        return f"rejected; {reason}"
    return f"rejected; {reason} (code={code})"
