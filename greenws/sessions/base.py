"""The session: it drives a WebSocket on gevent, from the name lookup to the last byte.

One greenlet runs a session, the one that iterates over its events. It is *parked* in one place
only, :meth:`GeventSession._receive`, and woken by

* its read watcher, which stays started: a wake-up costs no system call to arm it. It is stopped
  only when it fires while the greenlet is busy elsewhere, in a handler;
* its one alarm, set for what is due first: the end of the opening, poll, ping, silence, the end of
  closing. A read does not touch it: when it is rung too early, it is set again;
* other greenlets that close, or whose sending failed.

Pings are sent by the alarm itself, and queued frames by whoever is there at the end of the turn:
neither waits for a handler.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from time import monotonic, time
from typing import Any

from gevent import get_hub, getcurrent

from .. import constants, errors, events
from ..native import threads
from ..protocol.stream import HEADROOM, Stream
from .clock import NEVER
from .dial import Progress, dial
from .metered import MeteredTransport
from .options import dial_options
from .reactor import get_reactor
from .sending import Sender
from .transport import Transport
from .wait import READ

#: Seconds to wait, when all is said, for the peer to end the TCP connection (RFC 6455 7.1.1).
LINGER = 1.0

#: Reads of what TLS holds decrypted before the loop gets a turn.
_BURST = 16

# Bytes of a read after which more are likely to have come by the time it is handled.
_MUCH = 32 * 1024

# Bytes of one read before the answer is there: what it may be made of, endless interim answers
# say, takes longer to parse than frames do.
_OPENING_READ_SIZE = 8 * 1024

# An alarm that is rung later than this, in seconds, was held up by a blocked hub: pings could not
# leave, nor pongs be heard.
_LATE = 0.1

# What a read comes back with that found neither bytes nor the end of the stream.
_NOTHING = -1


class _Expired(BaseException):
    """The time for opening is over. No Exception: nothing on the way may take it for its own."""


class _Interrupted(BaseException):
    """Another greenlet has given up the opening."""


class _End(Exception):
    """The loop is over."""

    def __init__(self, reason: str, graceful: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.graceful = graceful


class GeventSession(Sender):
    """Drive a WebSocket on gevent, cooperatively, with or without monkey patching.

    :param websocket: a :class:`~greenws.WebSocket`, or lomond's.
    """

    #: A response's body is waited for, and its end reported by ``websocket.feed_eof``.
    signals_eof = True

    #: Seconds for the opening, for a websocket that does not say; None for no limit.
    open_timeout: float | None = constants.OPEN_TIMEOUT

    __slots__ = (
        "_attention",
        "_close_code",
        "_close_due",
        "_close_timeout",
        "_due",
        "_excused",
        "_has_ended",
        "_heard",
        "_is_dialing",
        "_is_dry",
        "_is_flowing",
        "_is_forked",
        "_is_reading",
        "_is_ready",
        "_linger_due",
        "_next_ping",
        "_next_poll",
        "_open_due",
        "_ping_rate",
        "_ping_timeout",
        "_poll",
        "_reader",
        "_sent_code",
        "_start_time",
        "_streak",
    )

    def __init__(self, websocket: Any) -> None:
        Sender.__init__(self, websocket)
        self._reader: Any = None
        self._is_dialing = False
        self._is_reading = False
        self._is_dry = True
        # Whether to look for more at once, and bytes read since the loop had its turn.
        self._is_flowing = False
        self._streak = 0
        # Something other than bytes wants to be looked at.
        self._attention = False
        self._has_ended = False
        self._is_forked = False
        self._is_ready = False
        self._start_time: float | None = None
        # Seconds; of the clock, for those that are due; NEVER: not at all.
        self._poll = NEVER
        self._ping_rate = NEVER
        self._ping_timeout = NEVER
        self._close_timeout = NEVER
        self._open_due = NEVER
        self._next_poll = NEVER
        self._next_ping = NEVER
        self._close_due = NEVER
        self._linger_due = NEVER
        self._heard = 0.0
        self._due = False
        # Whether silence may be our own fault: 0: no; 1: it may; 2: it was taken for that once.
        self._excused = 0
        # The closing handshake
        self._close_code: int | None = None
        self._sent_code: int | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.websocket!r}>"

    @property
    def follows_redirects(self) -> bool:
        """Whether it can connect elsewhere: not with a socket or a path it was given."""
        websocket = self.websocket
        return (
            getattr(websocket, "socket", None) is None
            and getattr(websocket, "unix_path", None) is None
        )

    @property
    def session_time(self) -> float:
        """Seconds since the WebSocket became ready; 0.0 before."""
        return 0.0 if self._start_time is None else monotonic() - self._start_time

    @property
    def meter(self) -> MeteredTransport | None:
        """What counts the bytes of a traced connection, while it is open."""
        transport = self._transport
        return transport if isinstance(transport, MeteredTransport) else None

    # Running

    def run(
        self,
        poll: float | None = 5.0,
        ping_rate: float | None = 30.0,
        ping_timeout: float | None = None,
        auto_pong: bool = True,
        close_timeout: float | None = 30.0,
    ) -> Iterator[Any]:
        """Open the connection, and iterate over what happens until it has ended.

        Whatever ends the iteration, an exception thrown into it and its being abandoned included,
        nothing is left open.

        :param poll: seconds between poll events; None or 0 for none.
        :param ping_rate: seconds between pings; None or 0 for none.
        :param ping_timeout: seconds of silence after which the peer counts as unresponsive; None
            for no limit.
        :param auto_pong: answer pings.
        :param close_timeout: seconds the peer has to answer a close frame; None or 0 for no
            limit.
        """
        self._hub = get_hub()
        self._thread = threads.get_ident()
        self._reactor = get_reactor()
        self._reactor.add(self)
        self._greenlet = getcurrent()
        self._poll = poll or NEVER
        self._ping_rate = ping_rate or NEVER
        self._ping_timeout = ping_timeout or NEVER
        self._close_timeout = close_timeout or NEVER
        websocket = self.websocket
        started = monotonic()
        open_timeout = getattr(websocket, "open_timeout", self.open_timeout)
        if open_timeout is not None:
            self._open_due = started + open_timeout
        try:
            yield events.Connecting(websocket.url)
            while True:
                try:
                    target, proxy = self._connect()
                    failure = None
                except errors.ConnectFail as error:
                    failure = self._fail_opening(error, started)
                if failure is not None:
                    # Yielded only here: Cython's generators crash when they are left while an
                    # exception is handled that has no traceback any more.
                    yield failure
                    return
                asked = monotonic()
                yield events.Connected(websocket.url, proxy)
                try:
                    if (yield from self._serve(auto_pong, target)):
                        continue
                except _End as end:
                    reason, graceful = end.reason, end.graceful
                break
            if not self._is_ready and not graceful:
                websocket._emit_trace("upgrade", duration=monotonic() - asked, error=reason)
                yield self._fail_opening(errors.ConnectFail(reason), started)
            else:
                yield self._end_session(reason, graceful, started)
        finally:
            self._release()

    def _end_session(self, reason: str, graceful: bool, started: float) -> events.Disconnected:
        # What the peer told us, and what we told it, survive the release.
        code = 1006 if self._close_code is None else self._close_code
        sent_code = self._sent_code
        facts = {"reason": reason, "graceful": graceful, "code": code, "sent_code": sent_code}
        # A rejected connection has none any more.
        totals = {} if self.meter is None else self.meter.totals
        duration = monotonic() - started
        self.websocket._emit_trace("close", **facts, **totals, duration=duration)
        self._release()
        return events.Disconnected(reason, graceful, code, sent_code)

    def _fail_opening(self, error: errors.ConnectFail, started: float) -> events.ConnectFail:
        reason = str(error)
        duration = monotonic() - started
        self.websocket._emit_trace("connect_fail", reason=reason, duration=duration)
        self._release()
        # Its traceback would keep all that was alive in its frames.
        return events.ConnectFail(reason, error.with_traceback(None))

    def _connect(self) -> tuple[Any, str | None]:
        """Dial and send the request.

        :returns: the target of the websocket, and the proxy in between.
        :raises ConnectFail: whatever went wrong.
        """
        websocket = self.websocket
        if self._abort is not None:
            raise errors.ConnectFail(self._abort)
        target = getattr(websocket, "target", None)
        progress = Progress()
        self._greenlet = getcurrent()
        try:
            self._is_dialing = True
            self._arm()
            if monotonic() >= self._open_due:
                raise _Expired
            options = dial_options(websocket, target or websocket)
            transport, proxy = dial(options, websocket._emit_trace, progress)
        except _Expired:
            reason = self._expired(f"while {progress.step}")
            progress.trace_failure(websocket._emit_trace, reason)
            raise errors.ConnectFail(reason) from None
        except _Interrupted:
            if self._is_forked:
                raise self._refusal() from None
            raise errors.ConnectFail(self._abort or "given up") from None
        finally:
            self._is_dialing = False
        if getattr(websocket, "is_traced", getattr(websocket, "trace", None)):
            transport = MeteredTransport(transport)
        self._adopt(transport)
        try:
            self.write(websocket.build_request())
        except errors.WebSocketError as error:
            raise errors.ConnectFail("unable to send the request; {}", error) from None
        return target, proxy

    def _expired(self, step: str) -> str:
        seconds = getattr(self.websocket, "open_timeout", self.open_timeout)
        return f"timed out after {seconds:g} s {step}"

    def _adopt(self, transport: Transport) -> None:
        """Take over an open transport."""
        self._transport = transport
        loop = self._hub.loop
        self._reader = loop.io(transport.fileno(), READ)
        self._is_buffering = transport.is_buffering
        self._is_dry = not transport.has_buffered

    def _let_go(self) -> None:
        """Close the transport and all that watches it; idempotent."""
        self._refuses = True
        self._is_reading = False
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._writer = None
        transport = self._transport
        if transport is not None:
            self._transport = None
            transport.close()
        self._let_senders_go()

    def _release(self) -> None:
        """Be over: close everything, and let everybody go who waits; idempotent."""
        if self._has_ended:
            return
        self._has_ended = True
        self._let_go()
        self._out = None
        if self._reactor is not None:
            self._reactor.clock.set(self, NEVER)
            self._reactor.remove(self)
        # The websocket may have been connected again, and this iteration been dropped only then.
        if not self._is_forked and getattr(self.websocket, "session", self) is self:
            self.websocket.on_disconnect()

    # The loop

    def _serve(self, auto_pong: bool, target: Any) -> Generator[Any, None, bool]:
        """Read and yield events until the end, which is an :class:`_End`.

        :returns: True if the websocket has to be opened somewhere else.
        """
        websocket = self.websocket
        # A WebSocket of ours lets its parser have the buffer itself.
        stream = websocket.stream if hasattr(websocket, "pending_events") else None
        reactor = self._reactor
        while True:
            happened: Iterable[Any] | None
            if self._is_ready and stream is not None:
                size = self._pump(stream)
            else:
                size = self._receive()
            if size > 0:
                if self._is_ready and stream is not None:
                    happened = websocket.pending_events()
                else:
                    data = bytes(reactor.view[:size])
                    reactor.give_back(self)
                    happened = websocket.feed(data)
                for event in happened:
                    name = event.name
                    if name == "ready":
                        self._begin()
                        yield event
                        self._attention = self._due = True
                    elif name == "ping":
                        if auto_pong:
                            self._send_pong(event.data)
                        yield event
                    else:
                        if name == "closing" or name == "closed":
                            self._close_code = 1005 if event.code is None else event.code
                        yield event
                    if self._attention:
                        yield from self._attend()
                # An idle connection keeps none of its last events.
                event = happened = None
                reactor.give_back(self)
                if stream is not None:
                    self._note_read(size, stream.received_time)
            elif size == 0:
                yield from self._take_eof()
            if self._attention or not self._is_ready:
                yield from self._attend()
            if websocket.is_closed:
                self._linger()
                raise _End("closed", True)
            if self._close_code is not None and self._sent_code is not None:
                self._linger()
                raise _End("closed", True)
            if not self._is_ready and getattr(websocket, "target", None) is not target:
                self._let_go()
                self._out = None  # what was not sent of the request is not for the next server
                return True

    def _pump(self, stream: Stream) -> int:
        """Read, and have the stream digest it, until it has events, or something else comes up.

        :returns: as :meth:`_receive`: the bytes, if any, are in the stream.
        """
        reactor = self._reactor
        while True:
            size = self._receive()
            if size <= 0:
                return size
            now = time()
            if not stream.digest(reactor.buffer, HEADROOM, HEADROOM + size, now):
                return size
            self._note_read(size, now)
            # All of it went to handlers.
            if reactor.holder is self:  # no other one has read while a handler switched
                reactor.holder = None
            if self._attention:
                return _NOTHING

    def _note_read(self, size: int, since: float) -> None:
        """Take note that ``size`` bytes, read at the time ``since``, have been handled."""
        reactor = self._reactor
        if size < _MUCH and size < reactor.read_size:
            return
        self._streak += size
        if reactor.note_read(size, time() - since):
            self._is_flowing = self._streak < reactor.read_size

    def _receive(self) -> int:
        """Read into the reactor's buffer, after waiting if there is nothing. Queued frames leave
        first.

        :returns: the number of bytes; 0 at the end of the stream; _NOTHING if woken without any.
        """
        transport = self._transport
        if transport is None:
            raise _End("closed")
        if self._is_dry or not self._is_buffering or not transport.has_buffered:
            if self._is_stalled:
                self.flush()
            elif self._is_dirty:
                self._reactor.flush_parking(self)
            if self._is_flowing:
                self._is_flowing = False  # until what has been read is handled as quickly
                size = self._read()
                if size != _NOTHING:
                    return size
            if not self._attention and self._transport is not None:
                self._burst = 0
                self._streak = 0
                # libuv has ceased to watch if there is an error, although bytes may come before it.
                if not self._is_reading or self._reactor.is_libuv:
                    self._reader.start(self)
                    self._is_reading = True
                self.park()
        else:
            self._burst += 1
            if self._burst > _BURST:
                self._take_turn()
        return self._read()

    def _read(self) -> int:
        transport = self._transport
        if transport is None:  # closed by another greenlet meanwhile
            return _NOTHING
        view = self._reactor.borrow(self)
        try:
            size = transport.recv_into(
                view, self._reactor.read_size if self._is_ready else _OPENING_READ_SIZE
            )
        except OSError as error:
            raise _End(f"socket fail; recv fail; {error}") from None
        if size:
            self._is_dry = False
            self._reactor.busy_poll.received += size
            if self._ping_timeout != NEVER:
                self._heard = monotonic()
                self._excused = 0
            return size
        self._is_dry = size is None
        self._reactor.give_back(self)
        return _NOTHING if size is None else 0

    def _end_answer(self) -> Iterator[Any]:
        """Have the websocket make a rejection of what there is of an answer, if it is one."""
        feed_eof = getattr(self.websocket, "feed_eof", None)
        if feed_eof is not None:
            yield from feed_eof()
        if self.websocket.is_closed:
            raise _End("closed", True)

    def _take_eof(self) -> Iterator[Any]:
        websocket = self.websocket
        if not self._is_ready:
            yield from self._end_answer()
        if websocket.is_closed:
            raise _End("closed", True)
        if not self._is_ready:
            raise _End("the server closed the connection without answering the upgrade")
        if websocket.is_active:
            raise _End("socket fail; connection lost")
        # lomond counts the end of the stream as the answer to a close frame; so does a user, if
        # the server had said that it closes.
        raise _End("closed", self._close_code is not None)

    def __call__(self) -> None:
        """Be told by the loop that there is something to read.

        The session is a callback itself: a bound method would be one more object for each
        connection, in memory that is not in the cache.
        """
        if self._is_parked:
            self._reactor.wake(self)
        elif self._reader is not None:
            # Busy in a handler: the level would fire at every turn.
            self._reader.stop()
            self._is_reading = False

    def _wake(self) -> None:
        """Have the greenlet look at ``_attention``. Safe anywhere in this thread."""
        self._attention = True
        if self._hub is not None and (self._is_parked or self._is_dialing):
            self._reactor.run_callback(self._wake_now)

    def _wake_now(self) -> None:
        # Things may have changed since the callback was scheduled.
        if self._is_parked:
            self.resume()
        elif self._is_dialing and self._abort is not None:
            self._greenlet.throw(_Interrupted)

    # Time

    def _begin(self) -> None:
        """Start the clocks: the websocket is ready."""
        now = monotonic()
        self._is_ready = True
        self._refuses = False
        self._start_time = self._heard = now
        self._open_due = NEVER
        self._next_poll = now if self._poll != NEVER else NEVER
        self._next_ping = now + self._ping_rate
        self._arm()

    def _arm(self) -> None:
        """Set the alarm for what is due first."""
        due = self._next_ping
        if not self._attention:
            # Otherwise those have been rung, and wait for the greenlet.
            due = min(
                due,
                self._open_due,
                self._next_poll,
                self._heard + self._ping_timeout,
                self._close_due,
                self._linger_due,
            )
        self._reactor.clock.set(self, NEVER if self._has_ended else due)

    def ring(self, due: float, now: float) -> None:
        """Do what is due; runs in the hub."""
        if now - due > _LATE and not self._excused:
            self._excused = 1
        if now >= self._open_due and self._is_dialing:
            self._greenlet.throw(_Expired)
            return
        if now >= self._next_ping:
            self._next_ping = now + self._ping_rate
            self._send_ping()
        if now >= self._close_due:
            # Also for those who wait to send.
            self._give_up(
                f"disconnected; server didn't respond to close packet within "
                f"{self._close_timeout:g}s"
            )
        if (
            now >= self._next_poll
            or now >= self._heard + self._ping_timeout
            or now >= self._open_due
            or now >= self._linger_due
        ):
            self._attention = self._due = True
        self._arm()
        if self._attention:
            self.resume()

    def _attend(self) -> Iterator[Any]:
        """See to what came up other than bytes; runs in the greenlet, after a read."""
        self._attention = False
        if self._is_forked:
            raise self._error(
                "WebSocketUnavailable", "the connection belongs to the parent process"
            )
        if self._abort is not None:
            raise _End(self._abort)
        if not self._is_ready:
            if monotonic() >= self._open_due:
                yield from self._end_answer()
                raise _End(self._expired("while waiting for the answer to the upgrade"))
            return
        if not self._due:
            return
        self._due = False
        now = monotonic()
        if now - self._heard >= self._ping_timeout:
            if not self._is_dry:
                # Handlers have taken their time, and there may be more to read: look again then.
                self._attention = self._due = True
            elif self._excused != 1:
                yield events.Unresponsive()
                raise _End(f"disconnected; exceeded {self._ping_timeout:g}s ping timeout")
            else:
                # Our pings may not have left: the peer gets one, and its time again, once.
                self._excused = 2
                self._heard = now
                if self._ping_rate != NEVER:
                    self._send_ping()
        if now >= self._next_poll:
            self._next_poll = now + self._poll
            yield events.Poll()
        if not self._has_ended:
            self._arm()

    def _send_ping(self) -> None:
        if self.queued_bytes >= self._write_limit:
            return  # it could not leave; and bytes that arrive count as life as well
        try:
            self.websocket.send_ping()
        except Exception as error:
            self._swallow(error)

    def _send_pong(self, data: bytes) -> None:
        if len(data) > constants.MAX_CONTROL_PAYLOAD:
            return  # lomond's WebSocket lets it in, but not out
        try:
            self.websocket.send_pong(data)
        except Exception as error:
            self._swallow(error)

    def _swallow(self, error: Exception) -> None:
        """Let pass that an answer of our own could not be sent: closing, or closed already."""
        if not isinstance(error, (errors.WebSocketError, self._vocabulary().WebSocketError)):
            raise error

    # Ending

    def _begin_closing(self, payload: bytes | bytearray | memoryview) -> None:
        self._refuses = True
        self._sent_code = int.from_bytes(payload[:2], "big") if payload else 1005
        if self._close_timeout != NEVER and self._close_due == NEVER:
            self._close_due = monotonic() + self._close_timeout
            self._arm()

    def close(self) -> None:
        """Close the socket; the iteration ends. Returns at once; idempotent."""
        if self._thread and self._thread != threads.get_ident():
            raise self._refusal()
        self._let_go()
        if not self._has_ended:
            self._wake()

    def force_disconnect(self) -> None:
        """Have the connection dropped, without a closing handshake. Returns at once."""
        if self._is_forked or (self._thread and self._thread != threads.get_ident()):
            raise self._refusal()
        self.flush()
        self._give_up("disconnected; forced" if self._is_ready else "given up by the user")

    def end(self) -> None:
        """Have the connection ended when what is queued has left, or after a second."""
        if self._transport is not None:
            self._linger()
        self._give_up("disconnected; protocol error")

    def _give_up(self, reason: str) -> None:
        if self._abort is None:
            self._abort = reason
        self._refuses = True
        self._let_senders_go()
        self._wake()

    def _linger(self) -> None:
        """Let what is queued leave, say that it was all, and wait for the peer to say so too.

        To close while bytes of the peer are unread would reset the connection, and the peer might
        never see the close frame.
        """
        transport = self._transport
        if transport is None:
            return
        self._open_due = self._next_poll = self._next_ping = self._ping_timeout = NEVER
        self._close_due = NEVER
        self._linger_due = monotonic() + min(LINGER, self._close_timeout)
        self._attention = False
        self._arm()
        try:
            self.flush()
            is_shut = not self._out and not transport.wants_write
            if is_shut:
                transport.shutdown_write()
                if self._read() == 0:
                    return  # it has said so already, as servers do
            while self._transport is not None and not self._attention:
                if not is_shut and not self._out and not transport.wants_write:
                    transport.shutdown_write()
                    is_shut = True
                if self._receive() == 0:
                    return
        except _End:
            pass  # the peer is gone: the end is the same

    def abandon(self) -> None:
        """Let go of the connection without a byte: this is a forked child, and it is not ours."""
        self._is_forked = True
        self._attention = True
        if self._is_dialing:
            self._abort = "the connection belongs to the parent process"
            self._wake()
        stream: Any = getattr(self.websocket, "stream", None)
        if hasattr(stream, "detach"):
            stream.close()  # what is left of a chunk is the parent's, too
        self._let_go()
        self._release()

    def detach(self) -> None:
        """Copy what is left of the reactor's buffer: another session wants to read into it."""
        self.websocket.stream.detach()

    # Errors

    def _refusal(self) -> Exception:
        """The error for a call that cannot be served now, or not from here."""
        if self._is_forked:
            return self._error(
                "WebSocketUnavailable", "the connection belongs to the parent process"
            )
        if self._thread and self._thread != threads.get_ident():
            return self._error(
                "WebSocketUnavailable",
                "the connection belongs to the hub of another thread; call it there, by "
                "hub.loop.run_callback_threadsafe",
            )
        if self._abort is not None:
            return self._error("TransportFail", self._abort)
        if self._sent_code is not None and not self._has_ended:
            return self._error("WebSocketClosing", "data not sent; the websocket is closing")
        if self._has_ended or self._is_ready:
            return self._error("WebSocketClosed", "data not sent; the connection has ended")
        return self._error("WebSocketUnavailable", "data not sent; not connected")

    def _error(self, name: str, message: str) -> Exception:
        error: Exception = getattr(self._vocabulary(), name)(message)
        return error

    def _vocabulary(self) -> Any:
        """The errors that the websocket's own code, and its users, catch: ours or lomond's."""
        for base in type(self.websocket).__mro__:
            package = base.__module__.rpartition(".")[0]
            module = sys.modules.get(f"{package}.errors")
            if module is not None and hasattr(module, "TransportFail"):
                return module
        return errors
