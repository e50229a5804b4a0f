"""The session: it drives a WebSocket on gevent, from the name lookup to the last byte.

One greenlet runs a session: the one that iterates over its events. It *parks* in one place only,
:meth:`GeventSession._receive`, and is woken by

* its read watcher, which stays started: a wake-up costs no system call to arm it. The watcher is
  stopped only when it fires while the greenlet is busy elsewhere, in a handler;
* its one alarm, set for what is due first (:mod:`.schedule`). A read does not touch the alarm: when
  it rings too early, it is set again;
* other greenlets that close, or whose sending failed.

Pings are sent by the alarm, in the hub. Queued frames are sent at the end of the turn, in whichever
greenlet runs then. So neither waits for a handler.

The state of a session is in leaf objects, which never call the session: where the session stands
(:mod:`.lifecycle`), what is due when (:mod:`.schedule`), how bytes come in (:mod:`.inbox`), what is
queued (:mod:`.outbox`). docs/architecture.rst has the way of a byte through all of them.

**Verbs for ending.** Each ends one thing, and each may be called twice.

================== ========================================== ==================================
verb               ends                                       may be called from
================== ========================================== ==================================
close()            the socket, now; the iteration says        any greenlet of the thread
                   ``closed``
force_disconnect() the connection, after one attempt to send  any greenlet of the thread
                   what is queued
end()              the connection, when what is queued has    the greenlet that runs the session
                   left: the server broke the protocol
_fail(reason)      nothing by itself: notes why the session   any greenlet of the thread, and the
                   is over, and wakes the greenlet to say so  hub
_linger()          our half of the stream, and waits for the  the greenlet that runs the session
                   peer's
_abandon()         the parent's connection, in a child        the fork hook
_let_go()          the socket and its watchers                all of the above
_release()         everything; the last one                   the greenlet that runs the session,
                                                              and the fork hook
================== ========================================== ==================================

Two exceptions steer: ``_End`` leaves the loop, with the reason for ``disconnected``;
``Interrupted`` gets the greenlet out of a dial, which waits in many places (:mod:`.approach`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from gevent import get_hub

from .. import constants, errors, events
from ..native import utf8
from ..options import RunDefaults
from ..protocol.frame import Payload
from ..protocol.opcode import Opcode
from ..protocol.stream import HEADROOM, Stream
from . import threads
from .approach import Approach
from .clock import NEVER
from .contract import SUPERSEDED, DrivenWebSocket, Target
from .inbox import LARGE_READ, NOTHING, Inbox
from .lifecycle import (
    CLOSING,
    DIALING,
    DROPPED,
    ENDED,
    FAILED,
    FORKED,
    LINGERING,
    READY,
    UPGRADING,
    Lifecycle,
)
from .lomond import adapt_websocket
from .metered import MeteredTransport
from .outbox import Outbox
from .reactor import HubSession, get_reactor
from .schedule import Schedule
from .transport import Transport
from .wait import Interrupted, take_turn

if TYPE_CHECKING:
    from ..events import AnyEvent

#: Seconds to wait, when all is said, for the peer to end the TCP connection (RFC 6455 section
#: 7.1.1). A server ends it in one round trip, and few round trips take a second.
LINGER = 1.0

# Bytes of one read until the handshake is done. A server can send endless 1xx responses, and HTTP
# heads parse slower than frames.
_OPENING_READ_SIZE = 8 * 1024

# Seconds that the messages of one chunk may take, where each of them may be waited for, before the
# loop gets a turn.
_LONG_CHUNK = 0.004

# As plain numbers: they are passed on, or compared with, for every frame.
_TEXT = int(Opcode.TEXT)
_CLOSE = int(Opcode.CLOSE)


class _End(Exception):
    """Leaves the loop of a session, with the reason for ``disconnected``."""

    def __init__(self, reason: str, graceful: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.graceful = graceful


# The class is over 400 lines long, since it is the control flow of one greenlet: every method of it
# may switch, end the loop, or run in the hub for it. State that does neither is in the leaf
# objects.
class GeventSession(HubSession):
    """Drive a WebSocket on gevent, cooperatively, with or without monkey patching.

    :param websocket: a :class:`~greenws.WebSocket`, or lomond's.
    """

    #: The session tells the end of the stream by ``websocket.feed_eof``, so the WebSocket can wait
    #: for the body of a rejection.
    signals_eof = True

    __slots__ = (
        "_approach",
        "_attention",
        "_inbox",
        "_is_held",
        "_late_pong",
        "_late_since",
        "_life",
        "_outbox",
        "_schedule",
        "_start_time",
        "_turned_at",
        "_websocket",
        "websocket",
    )

    def __init__(self, websocket: Any) -> None:
        HubSession.__init__(self)
        #: The WebSocket that made this session.
        self.websocket: Any = websocket  # ours, or lomond's
        self._websocket: DrivenWebSocket = adapt_websocket(websocket)
        self._life = Lifecycle(self._websocket.errors)
        self._schedule = Schedule()
        self._inbox = Inbox()
        self._outbox = Outbox(
            self._life, self, self._websocket.write_limit, self._websocket.send_timeout
        )
        # The dial that is under way, where only an exception reaches the greenlet; or None.
        self._approach: Approach | None = None
        # When the session became ready, in seconds of the monotonic clock; 0.0: not yet.
        self._start_time = 0.0
        # The payload of a ping that could not be answered yet, as the queue was full.
        self._late_pong: bytes | None = None
        # Since when the peer has taken nothing, while such a ping waits.
        self._late_since = 0.0
        # Whether the greenlet has to call _attend: something other than bytes came up.
        self._attention = False
        # Whether reading has stopped until release() is called; and when the loop last had a turn
        # in the midst of a chunk for that, in epoch seconds.
        self._is_held = False
        self._turned_at = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.websocket!r}>"

    @property
    def follows_redirects(self) -> bool:
        """Whether the session can connect elsewhere: not if the user gave a socket or a path."""
        return self._websocket.socket is None and self._websocket.unix_path is None

    @property
    def session_time(self) -> float:
        """Seconds since the WebSocket became ready; 0.0 before."""
        return monotonic() - self._start_time if self._start_time else 0.0

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to take them."""
        return self._outbox.size

    @property
    def is_running(self) -> bool:
        """Whether the iteration has begun, and holds, or will hold, an open connection."""
        return self._life.thread != 0 and self._life.state < DROPPED

    # Running

    def run(
        self,
        poll: float | None = RunDefaults.poll,
        ping_rate: float | None = RunDefaults.ping_rate,
        ping_timeout: float | None = RunDefaults.ping_timeout,
        auto_pong: bool = RunDefaults.auto_pong,
        close_timeout: float | None = RunDefaults.close_timeout,
    ) -> Generator[AnyEvent, None, None]:
        """Open the connection, and iterate over what happens until it has ended.

        Whatever ends the iteration, an exception thrown into it and its being abandoned included,
        nothing is left open.

        :param poll: seconds between poll events; None or 0: no such events.
        :param ping_rate: seconds between pings; None or 0: no pings.
        :param ping_timeout: seconds of silence after which the peer counts as unresponsive; None:
            no limit.
        :param auto_pong: answer pings.
        :param close_timeout: seconds that the peer has to answer a close frame; None or 0: no
            limit.
        :raises WebSocketUnavailable: it has run already, or this is a child process, and the
            connection its parent's.
        :raises RuntimeError: the WebSocket was connected again meanwhile, or it runs already.
        """
        if self._life.has_ended:
            raise self._life.refusal()
        if self._life.thread or self._websocket.is_taken(self):
            raise RuntimeError(SUPERSEDED)
        self._hub = get_hub()
        self._life.thread = threads.get_ident()
        self._reactor = get_reactor()
        self._crowd = self._reactor.crowd
        self._reactor.add(self)
        schedule, websocket = self._schedule, self._websocket
        schedule.poll = poll or NEVER
        schedule.ping_rate = ping_rate or NEVER
        schedule.ping_timeout = ping_timeout or NEVER
        schedule.close_timeout = close_timeout or NEVER
        started = monotonic()
        schedule.begin_opening(started, websocket.open_timeout)
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
            if not self._life.is_upgraded and not graceful:
                websocket.tracer.tell("upgrade", duration=monotonic() - asked, error=reason)
                yield self._fail_opening(errors.ConnectFail(reason), started)
            else:
                yield self._finish(reason, graceful, started)
        finally:
            self._release()

    def _finish(self, reason: str, graceful: bool, started: float) -> events.Disconnected:
        life, tracer = self._life, self._websocket.tracer
        code = 1006 if life.close_code is None else life.close_code
        facts = {"reason": reason, "graceful": graceful, "code": code, "sent_code": life.sent_code}
        transport = self._outbox.transport  # a rejected connection has none any more
        totals = transport.totals if isinstance(transport, MeteredTransport) else {}
        tracer.tell("close", **facts, **totals, duration=monotonic() - started)
        self._release()
        return events.Disconnected(reason, graceful, code, life.sent_code)

    def _fail_opening(self, error: errors.ConnectFail, started: float) -> events.ConnectFail:
        reason = str(error)
        duration = monotonic() - started
        self._websocket.tracer.tell("connect_fail", reason=reason, duration=duration)
        self._release()
        # The traceback would keep all that is alive in its frames.
        return events.ConnectFail(reason, error.with_traceback(None))

    def _connect(self) -> tuple[Target, str | None]:
        """Dial and send the request.

        :returns: the target of the websocket, and the proxy in between.
        :raises ConnectFail: whatever went wrong.
        """
        websocket, life = self._websocket, self._life
        if life.state >= FAILED:
            raise self._give_up_opening()
        target = websocket.target
        approach = Approach(websocket)
        life.step(DIALING)
        self._approach = approach
        try:
            self._arm()
            if monotonic() >= self._schedule.open_due:
                raise Interrupted
            transport, proxy = approach.run(target)
        except Interrupted:
            if life.state == DIALING:
                raise approach.expire() from None
            raise self._give_up_opening() from None
        finally:
            self._approach = None
        if life.state != DIALING:  # ended by another greenlet, just when the dial was through
            transport.close()
            raise self._give_up_opening()
        if websocket.is_traced:
            transport = websocket.tracer.meter = MeteredTransport(transport)
        self._adopt(transport)
        life.step(UPGRADING)
        try:
            self._outbox.put_bytes(websocket.build_request())
        except errors.WebSocketError as error:
            if not self._outbox.has_failed:
                raise errors.ConnectFail("unable to send the request; {}", error) from None
            self._attention = True  # the server may have answered all the same: look once
        return target, proxy

    def _give_up_opening(self) -> Exception:
        life = self._life
        return life.refusal() if life.is_forked else errors.ConnectFail(life.reason or "given up")

    def _adopt(self, transport: Transport) -> None:
        """Take over an open transport."""
        self._inbox.open(transport, self._hub.loop)
        self._outbox.open(transport, self._reactor)

    # The loop

    def _serve(self, auto_pong: bool, target: Target) -> Generator[AnyEvent, None, bool]:
        """Read and yield events until the end, which is an :class:`_End`.

        :returns: True if the websocket has to be opened somewhere else.
        """
        websocket, life, reactor = self._websocket, self._life, self._reactor
        stream = websocket.parser
        while True:
            happened: Iterable[AnyEvent] | None
            is_parsed = stream is not None and life.is_upgraded
            failure = None
            try:
                size = self._pump(stream) if is_parsed else self._receive()  # type: ignore[arg-type]
            except _End as end:
                failure, size = end, NOTHING
            if failure is not None:
                if not life.is_upgraded:
                    yield from self._end_answer()  # a whole rejection counts before a reset
                raise failure
            if size > 0:
                if is_parsed:
                    happened = websocket.pending_events()
                else:
                    data = bytes(reactor.view[:size])
                    reactor.give_back(self)
                    happened = websocket.feed(data)
                for event in happened:
                    if event.name == "ready":
                        if life.state != UPGRADING:  # another greenlet has given up meanwhile
                            raise _End(life.reason or "closed")
                        self._begin()
                        yield event
                        self._attention = True
                    elif event.name == "ping":
                        if auto_pong:
                            self._send_pong(event.data)
                        yield event
                    else:
                        if event.name == "closing" or event.name == "closed":
                            life.close_code = 1005 if event.code is None else event.code
                        yield event
                    if self._attention:
                        yield from self._attend()
                # An idle connection keeps none of its last events.
                event = happened = None  # type: ignore[assignment]
                reactor.give_back(self)
                if stream is not None:
                    self._note_read(size, stream.received_time)
            elif size == 0:
                yield from self._take_eof()
            if self._attention or not life.is_upgraded:
                yield from self._attend()
            if websocket.is_closed or life.is_shaken:
                self._linger()
                raise _End("closed", True)
            if not life.is_upgraded and websocket.target is not target:
                self._let_go()
                self._outbox.clear()  # the rest of this request is not for the next server
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
            # Handlers have taken all of it.
            if reactor.holder is self:  # nobody else has read while a handler switched
                reactor.holder = None
            if self._attention:
                return NOTHING

    def _note_read(self, size: int, since: float) -> None:
        """Take note that ``size`` bytes, read at the time ``since``, have been handled."""
        reactor = self._reactor
        if size < LARGE_READ and size < reactor.read_size:
            return
        was_quick = reactor.note_read(size, time() - since)
        self._inbox.note_handled(size, was_quick, reactor.read_size)

    def _receive(self) -> int:
        """Read into the reactor's buffer, after waiting if there is nothing. Queued frames leave
        first.

        :returns: the number of bytes; 0 at the end of the stream; NOTHING if woken without any.
        """
        inbox = self._inbox
        if inbox.transport is None:
            if self._life.is_forked:
                raise self._life.refusal()
            raise _End("closed")
        if inbox.has_bytes():
            if inbox.take_burst():
                take_turn()
            return self._read()
        outbox = self._outbox
        if outbox.is_dirty or outbox.is_stalled:
            outbox.flush()
        if inbox.take_flow():
            size = self._read()
            if size != NOTHING:
                return size
        if not self._attention and inbox.transport is not None:
            inbox.watch(self, self._reactor.is_libuv)
            self._park()
        return self._read()

    def _read(self) -> int:
        reactor = self._reactor
        view = reactor.borrow(self)
        limit = reactor.read_size if self._life.is_upgraded else _OPENING_READ_SIZE
        try:
            size = self._inbox.read(view, limit)
        except OSError as error:
            raise _End(f"socket fail; recv fail; {error}") from None
        if size > 0:
            reactor.busy_poll.received += size
            if self._schedule.ping_timeout != NEVER:
                self._schedule.note_received(monotonic())
        else:
            reactor.give_back(self)
        return size

    def hold(self) -> None:
        """Read nothing more until :meth:`release` is called: nobody takes what was received.

        Called by a handler of the parser, in the greenlet that runs the session; returns when
        reading may go on, or when the session is over. Meanwhile pings leave, deadlines hold, and
        silence is not counted against the peer: it is ours.
        """
        life, schedule = self._life, self._schedule
        self._inbox.unwatch()
        self._is_held = True
        try:
            while self._is_held and life.state < FAILED:
                self._park()
                if self._attention and life.reason is None:
                    self._attention = False
                    schedule.note_received(monotonic())
                    self._arm()
        finally:
            self._is_held = False
        schedule.note_received(monotonic())
        now, stream = time(), self._websocket.parser
        # Those that take the messages are resumed by callbacks, of which the loop runs many before
        # it looks at its descriptors.
        if stream is not None and now - max(stream.received_time, self._turned_at) > _LONG_CHUNK:
            take_turn()
            self._turned_at = time()

    def release(self) -> None:
        """Read on; idempotent."""
        if self._is_held:
            self._is_held = False
            self._reactor.turn.run_callback(self._wake_now)

    def _end_answer(self) -> Iterator[AnyEvent]:
        """Yield the rejection and leave the loop, if the answer so far is a rejection."""
        yield from self._websocket.feed_eof()
        if self._websocket.is_closed:
            raise _End("closed", True)

    def _take_eof(self) -> Iterator[AnyEvent]:
        websocket, life = self._websocket, self._life
        if not life.is_upgraded:
            yield from self._end_answer()
        if websocket.is_closed:
            raise _End("closed", True)
        if not life.is_upgraded:
            raise _End("the server closed the connection without answering the upgrade")
        if websocket.is_active:
            raise _End("socket fail; connection lost")
        # The phase is CLOSING. The end is graceful if the server has sent a close frame, too.
        raise _End("closed", life.close_code is not None)

    def __call__(self) -> None:
        """Be told by the loop that there is something to read.

        The session itself is the watcher's callback: a bound method would be one more object for
        each connection, in memory that is not in the cache.
        """
        if self._is_parked:
            if not self._crowd.wake(self):
                self._resume()
                if self._is_parked:
                    self._reactor.busy_poll.note()
        else:
            # The watcher is level-triggered: while our greenlet is busy it would fire on every
            # turn of the loop. _receive starts it again.
            self._inbox.unwatch()

    def _wake(self) -> None:
        """Have the greenlet look at ``_attention``. Safe anywhere in this thread."""
        self._attention = True
        if self._is_parked or self._approach is not None:
            self._reactor.turn.run_callback(self._wake_now)

    def _wake_now(self) -> None:
        # Things may have changed since the callback was scheduled.
        if self._is_parked:
            self._resume()
        elif self._approach is not None and self._life.state != DIALING:
            self._approach.interrupt()

    # Time

    def _begin(self) -> None:
        """Start the clocks: the websocket is ready."""
        now = monotonic()
        self._start_time = now
        self._life.step(READY)
        self._schedule.begin(now)
        self._arm()

    def _arm(self) -> None:
        """Set the alarm for what is due first."""
        due = NEVER if self._life.has_ended else self._schedule.next_due(self._attention)
        self._reactor.clock.set(self, due)

    def _ring(self, due: float, now: float) -> None:
        """Do what is due; runs in the hub."""
        schedule = self._schedule
        schedule.note_taken(self._outbox.taken_at)
        schedule.note_rung(due, now)
        if self._approach is not None:
            if now >= schedule.open_due:
                self._approach.interrupt()
            return
        is_whole = False
        try:
            if schedule.take_ping(now):
                self._send_ping()
            if self._late_pong is not None and self._outbox.has_room_for_control:
                late, self._late_pong = self._late_pong, None
                self._send_pong(late)
            is_whole = True
        finally:
            # Whatever a trace does with the record of a ping, the rest of what is due is done.
            if schedule.take_close(now):
                # The greenlet itself may be the sender that waits, and then never attends.
                self._fail(
                    f"disconnected; server didn't respond to close packet within "
                    f"{schedule.close_timeout:g}s"
                )
            if schedule.wants_attention(now) or self._life.reason is not None:
                self._attention = True
            self._arm()
            if self._attention and not is_whole:
                self._wake()  # later: an exception is on its way to the hub
        if self._attention:
            self._resume()

    def _attend(self) -> Iterator[AnyEvent]:
        """See to what came up other than bytes; runs in the greenlet, after a read."""
        life, schedule = self._life, self._schedule
        self._attention = False
        if life.is_forked:
            raise life.refusal()
        if life.reason is not None:
            if self._outbox.has_failed and not self._inbox.is_dry:
                # The peer may have said why before it closed: first what it has said.
                self._attention = True
                return
            raise _End(life.reason)
        if not life.is_upgraded:
            if monotonic() >= schedule.open_due:
                yield from self._end_answer()
                raise _End(
                    f"timed out after {self._websocket.open_timeout:g} s while waiting for the "
                    f"answer to the upgrade"
                )
            return
        now = monotonic()
        schedule.note_taken(self._outbox.taken_at)
        if schedule.is_silent(now):
            if not self._inbox.is_dry:
                # Handlers were slow, and there may be bytes to read: judge after the next read.
                self._attention = True
            elif not schedule.take_excuse(now):
                yield events.Unresponsive()
                raise _End(f"disconnected; exceeded {schedule.ping_timeout:g}s ping timeout")
            elif schedule.ping_rate != NEVER:
                # The blocked hub may have kept our pings from leaving, too.
                self._send_ping()
        if schedule.take_poll(now):
            yield events.Poll()
        if not life.has_ended:
            self._arm()

    def _send_ping(self) -> None:
        if not self._outbox.has_room_for_control:
            return  # the ping could not leave; and any received byte counts as life without it
        try:
            self._websocket.send_ping()
        except (errors.WebSocketError, self._websocket.errors.WebSocketError):
            pass  # closing, or closed already

    def _send_pong(self, data: bytes) -> None:
        if len(data) > constants.MAX_CONTROL_PAYLOAD:
            return  # lomond's WebSocket lets it in, but not out
        if not self._outbox.has_room_for_control:
            self._postpone_pong(data)
            return
        try:
            self._websocket.send_pong(data)
        except (errors.WebSocketError, self._websocket.errors.WebSocketError):
            pass  # closing, or closed already

    def _postpone_pong(self, data: bytes) -> None:
        """Keep the answer to a ping until there is room in the queue.

        Pongs must not grow the queue of a peer that reads nothing; the answer to the latest ping is
        enough (RFC 6455 section 5.5.3). A peer that takes nothing for ``send_timeout`` seconds,
        while it goes on to ping, has failed.
        """
        outbox, now, limit = self._outbox, monotonic(), self._websocket.send_timeout
        if self._late_pong is None or outbox.taken_at > self._late_since:
            self._late_since = now
        elif limit is not None and now - self._late_since >= limit:
            self._fail(f"socket fail; nothing was taken for {limit:g} s")
        self._late_pong = data
        outbox.is_awaited = True

    # Sending

    def send(self, opcode: int, payload: Payload) -> None:
        """Queue a frame. It leaves in this turn of the loop; at the high-water mark, waits.

        :raises WebSocketUnavailable: not ready, of another thread, or of the parent process.
        :raises WebSocketClosed: the connection has ended.
        :raises TransportFail: it has failed, or took nothing for ``send_timeout`` seconds.
        """
        self._outbox.put(opcode, payload, False)
        if opcode == _CLOSE:
            self._begin_closing(payload)

    def send_text(self, text: str) -> None:
        """Queue a text message that is not deflated; as :meth:`send`.

        :raises TypeError: if ``text`` is not str.
        :raises ValueError: if it has lone surrogates.
        """
        if not isinstance(text, str):
            raise TypeError("text argument must not be bytes")
        self._outbox.put(_TEXT, utf8.encode(text), False)

    def send_compressed(self, opcode: int, payload: Payload) -> None:
        """Queue a frame whose payload is deflated already; as :meth:`send`."""
        self._outbox.put(opcode, payload, True)

    def check_send(self) -> None:
        """Raise what a message to be sent now would be refused with; called before deflating it,
        which cannot be undone.

        :raises WebSocketError: as :meth:`send`.
        """
        self._outbox.check()

    def write(self, data: bytes) -> None:
        """Send bytes as they are: the opening request.

        :raises WebSocketUnavailable: there is no connection, or it is not this thread's.
        :raises TransportFail: it has failed.
        """
        self._outbox.put_bytes(data)

    def _begin_closing(self, payload: Payload) -> None:
        life = self._life
        life.sent_code = int.from_bytes(payload[:2], "big") if payload else 1005
        if life.state == READY:
            life.step(CLOSING)
        if self._schedule.close_timeout != NEVER:
            self._schedule.begin_closing(monotonic())
            self._arm()

    # Ending; see the table on top

    def close(self) -> None:
        """Close the socket; the iteration ends. Returns at once; idempotent."""
        life = self._life
        if life.is_elsewhere:
            raise life.refusal()
        self._let_go()
        if not life.has_ended:
            if life.state != DROPPED:
                life.step(DROPPED)
            self._wake()

    def force_disconnect(self) -> None:
        """Have the connection dropped, without a closing handshake. Returns at once."""
        life = self._life
        if life.is_forked or life.is_elsewhere:
            raise life.refusal()
        self._outbox.flush()
        self._fail("disconnected; forced" if life.is_upgraded else "given up by the user")

    def end(self) -> None:
        """Have the connection ended when what is queued has left, or after a second."""
        self._linger()
        self._fail("disconnected; protocol error")

    def _fail(self, reason: str) -> None:
        """Note why the session is over, and have the greenlet yield it."""
        if not self._life.has_ended:
            self._outbox.fail(reason)
            self._wake()

    def _linger(self) -> None:
        """Let the queue leave, end our half of the stream, and wait for the peer to end its half.

        A close of the socket while bytes of the peer are unread would reset the connection, and the
        peer might never see the close frame.
        """
        outbox = self._outbox
        transport = outbox.transport
        if transport is None or self._life.state >= LINGERING:
            return
        self._life.step(LINGERING)
        self._schedule.begin_lingering(monotonic(), LINGER)
        self._attention = False
        self._arm()
        try:
            outbox.flush()
            is_shut = outbox.is_empty
            if is_shut:
                transport.shutdown_write()
                if self._read() == 0:
                    return  # the peer has ended its half already, as servers do
            while outbox.transport is not None and not self._attention:
                if not is_shut and outbox.is_empty:
                    transport.shutdown_write()
                    is_shut = True
                if self._receive() == 0:
                    return
        except _End:
            pass  # the peer is gone: the end is the same

    def _abandon(self) -> None:
        """Let go of the connection without a byte: this is a forked child, and it is not ours."""
        if not self._life.has_ended:
            self._life.step(FORKED)
        self._attention = True
        if self._approach is not None:
            self._wake()
        stream = self._websocket.parser
        if stream is not None:
            stream.close()  # what is left of a chunk is the parent's, too
        self._release()

    def _detach(self) -> None:
        """Copy what is left of the reactor's buffer: another session wants to read into it."""
        stream = self._websocket.parser
        if stream is not None:
            stream.detach()

    def _let_go(self) -> None:
        """Close the transport and all that watches it; idempotent."""
        transport = self._outbox.transport  # the inbox reads from the same one
        self._inbox.close()
        self._outbox.close()
        if transport is not None:
            tracer = self._websocket.tracer
            if tracer.meter is transport:  # type: ignore[comparison-overlap]
                tracer.meter = None
            transport.close()

    def _release(self) -> None:
        """End the session: close everything, and wake every sender that waits; idempotent."""
        life = self._life
        if life.state == ENDED:
            return
        if not life.is_forked:
            self._life.step(ENDED)
        self._let_go()
        self._outbox.clear()
        if self._reactor is not None:
            self._reactor.clock.set(self, NEVER)
            self._reactor.remove(self)
        # If the websocket was connected again before this iteration was dropped, its present
        # connection is not ours.
        if not life.is_forked and self._websocket.is_driven_by(self):
            self._websocket.on_disconnect()
