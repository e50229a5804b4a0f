"""The half of a WebSocket that a session drives: received bytes in, events out.

:class:`greenws.WebSocket` derives from :class:`Endpoint`, and adds the half that a user calls. The
methods of this module are for sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import time
from typing import TYPE_CHECKING, Any

from . import errors, events
from .protocol.client_protocol import CLOSED, NEW, ClientProtocol
from .protocol.frame import fit_close_reason
from .protocol.opening import RequestOptions
from .protocol.response import Response
from .protocol.stream import Stream
from .sessions import forks
from .sessions.contract import DrivenWebSocket, FullSession, Session
from .trace import Tracer
from .url import URL

if TYPE_CHECKING:
    from .events import AnyEvent


class Endpoint(DrivenWebSocket):
    """The half of a WebSocket that a session drives. To be subclassed.

    :param url: where to connect to.
    :param request: what the user wants in the opening request.
    :param tracer: told of the steps.
    """

    __slots__ = (
        "_driver",
        "_generation",
        "_has_ended",
        "_protocol",
        "_request",
        "_sent_close_time",
        "_session",
        "home",
        "tracer",
    )

    def __init__(self, url: URL, request: RequestOptions, tracer: Tracer) -> None:
        #: Where the URL leads, before any redirect.
        self.home: URL = url
        #: The tracer, which tells ``trace`` and the log of the steps.
        self.tracer: Tracer = tracer
        self._request = request
        self._session: Session | None = None
        self._renew(None, None)

    def _renew(self, session: Session | None, driver: FullSession | None) -> None:
        """Forget the last connection, and prepare for the next one.

        :param session: the session of the next connection, as ``session_class`` returned it.
        :param driver: the same session, or the adapter of a session of others.
        """
        tracer = self.tracer
        tracer.meter = None
        # One that was made and never used serves the first connection.
        if driver is None or self._session is not None or self._protocol.phase is not NEW:
            self._protocol: ClientProtocol = ClientProtocol(self.home, self._request, self.max_size)
        if driver is not None:
            tracer.begin()
            self._protocol.adapt(
                driver.follows_redirects, driver.signals_eof, tracer if tracer.is_heard else None
            )
        self._session = session
        self._driver = driver
        # The process whose connection it is.
        self._generation = forks.generation
        self._has_ended = False
        self._sent_close_time: float | None = None

    def _change_request(self, request: RequestOptions) -> None:
        self._request = request
        self._protocol.change_request(request)

    @property
    def _is_busy(self) -> bool:
        """Whether an iteration has begun and not ended; one that nothing refers to has ended."""
        return self._driver is not None and self._driver.is_running and not self._has_ended

    def _check_idle(self) -> None:
        """Raise an error while an iteration runs: another one would take its connection away."""
        if self._is_busy:
            raise RuntimeError(f"{self!r} is connected already; that iteration has not ended")

    def close(self, code: int | None, reason: str | bytes) -> None:
        """Send a close frame, if there is none yet."""
        raise NotImplementedError

    # What the connection is

    @property
    def is_forced(self) -> bool:
        """Whether force_disconnect() is the reason why the present or last connection ended."""
        return self._driver is not None and self._driver.is_forced

    @property
    def target(self) -> URL:
        """Where the session has to connect to: the URL, or where redirects have led."""
        return self._protocol.target or self.home

    @property
    def hops(self) -> int:
        """The number of redirects that were followed. The session has to connect to :attr:`target`
        when it has grown: a redirect may lead to where the session is connected already.
        """
        return self._protocol.hops

    @property
    def awaits_body(self) -> bool:
        """Whether the answer is a rejection whose body has not ended. A session that has waited
        enough for more of it calls :meth:`feed_eof`.
        """
        return self._protocol.awaits_body

    @property
    def aside(self) -> str:
        """What is known beside the reason of a failed opening: the end of its message, or empty."""
        return self._protocol.aside

    @property
    def state(self) -> ClientProtocol:
        """The protocol of the present or last connection: its phase and its close codes."""
        return self._protocol

    @property
    def stream(self) -> Stream:
        """The parser of the present or last connection.

        Between :meth:`connect` and the first step of its iteration, handlers may be set that take
        messages straight from the parser; the messages that they take are not yielded.
        """
        return self._protocol.stream

    parser = stream

    @property
    def rejection(self) -> str:
        """The answer of the present or last connection, if it was no upgrade; else empty."""
        return self._protocol.rejection

    @property
    def violation(self) -> str:
        """The violation that ends the present or last connection, as a reason; else empty."""
        violation = self._protocol.violation
        return f"disconnected; protocol error; {violation}" if violation else ""

    def is_driven_by(self, session: object) -> bool:
        """Whether ``session`` is the session of the present or last connection."""
        return self._session is session

    def is_taken(self, session: object) -> bool:
        """Whether another session was connected since ``session`` was made."""
        return self._session is not None and self._session is not session

    @property
    def key(self) -> bytes:
        """The Sec-WebSocket-Key of the request, while the connection is being opened."""
        return self._protocol.key

    @property
    def is_traced(self) -> bool:
        """Whether ``trace``, or the log at DEBUG, is told of the messages and bytes of this
        connection. connect() decides, for the whole connection.
        """
        return self._protocol.stream.tracer is not None

    # Opening

    def build_request(self) -> bytes:
        """Return the opening request (RFC 6455 section 4.1). Called by the session."""
        return self._protocol.build_request()

    def on_response(self, response: Response) -> tuple[str | None, set[str]]:
        """Check the answer to the request, and set up what it agrees to.

        :returns: the subprotocol, or None, and the names of the extensions.
        :raises HandshakeError: if it is not the upgrade that was asked for.
        """
        return self._protocol.check_response(response)

    def process_extensions(self, extensions: Sequence[str]) -> set[str]:
        """Set up the extensions that the server has chosen.

        :param extensions: the elements of its Sec-WebSocket-Extensions.
        :returns: their names.
        :raises HandshakeError: if one of them is unknown, or a parameter is invalid.
        """
        return self._protocol.set_extensions(list(extensions))

    # Receiving

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[AnyEvent]:
        """Take received bytes and iterate over the events they make. Called by the session.

        :param data: the bytes. A bytearray is read in place: it must not change before the
            iteration has ended.
        """
        protocol = self._protocol
        if protocol.phase is CLOSED:
            return
        if not isinstance(data, (bytes, bytearray)):
            data = bytes(data)
        try:
            is_opening = protocol.is_opening
            protocol.receive(data, time())
            if is_opening:
                event = protocol.next_event()
                if event is None:
                    return
                if event.name == "rejected":
                    self.on_disconnect()
                    yield event
                    return
                yield event
            yield from self.pending_events()
        except GeneratorExit:
            # The iteration was abandoned at this event. Nobody will read on, so the session must
            # not keep the socket open.
            if self._protocol is protocol:
                self.on_disconnect()
            raise

    def feed_eof(self) -> Iterator[AnyEvent]:
        """Take the end of what the server sends, and iterate over the events it makes."""
        if self._protocol.is_opening:
            self._protocol.receive_eof()
            event = self._protocol.next_event()
            if event is not None:  # a rejection, which ends where the stream does
                self.on_disconnect()
                yield event

    def pending_events(self) -> Iterator[AnyEvent]:
        """Iterate over the events of what :attr:`stream` has received. Called by a session that
        gives its bytes to the stream itself.
        """
        protocol, driver = self._protocol, self._driver
        next_event = protocol.stream.next_event
        try:
            while True:
                try:
                    event = next_event()
                except (SystemExit, KeyboardInterrupt) as error:  # out of a handler
                    self.take_exit(error)
                    continue
                if event is None:
                    return
                if event.name == "closing":
                    yield from self._on_close(event)
                    return
                yield event
        except (errors.ProtocolError, errors.CriticalProtocolError) as error:
            protocol.violation = str(error)
            self.tracer.tell("protocol_error", error=protocol.violation)
            self.close(error.code, fit_close_reason(str(error)))
            yield events.ProtocolError(str(error), error.critical)
            if driver is not None:
                driver.end()

    def take_exit(self, error: BaseException) -> None:
        """Take note that the process is to end: a handler says so, or Ctrl-C has come.

        :raises BaseException: ``error``, if nobody wants to end the connection in good order first.
        """
        # The parser itself tells of exceptions only; this is no error of a handler.
        handler_failed: Any = self._protocol.stream.handler_failed
        if handler_failed is None:
            raise error
        handler_failed(error)

    def _on_close(self, frame: events.Closing) -> Iterator[AnyEvent]:
        """Go through the closing handshake (RFC 6455 section 5.5.1)."""
        event = self._protocol.take_close(frame)
        if event is None:
            return
        # First the event, so that its handler may still send; then the echo.
        yield event
        if event is frame:
            self.close(event.code, event.reason if event.code is not None else "")

    def on_disconnect(self) -> None:
        """Take note that the connection has ended, and close the session; idempotent."""
        if self._driver is not None:
            self._driver.close()
        protocol = self._protocol
        is_traced = protocol.stream.tracer is not None
        protocol.end()  # which has the parser forget the tracer
        if not self._has_ended:
            self._has_ended = True
            if is_traced:
                self.tracer.tell("disconnected")

    def _emit_trace(self, stage: str, **fields: object) -> None:
        """Tell of a step. Sessions that were written for lomond call it by this name."""
        self.tracer.tell(stage, **fields)
