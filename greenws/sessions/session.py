"""The session: it drives a WebSocket on gevent, from the name lookup to the last byte.

One greenlet runs a session: the one that iterates over its events. It *parks* in one place only,
:meth:`GeventSession._receive`, and is woken by

* its read watcher, which stays started: a wake-up costs no system call to arm it. The watcher is
  stopped only when it fires while the greenlet is busy elsewhere, in a handler;
* its one alarm, set for what is due first (:mod:`.schedule`). A read does not touch the alarm: when
  it rings too early, it is set again;
* other greenlets that close, or whose sending failed.

A session can also *rest*: no greenlet waits, the iteration is left where it is, and the hub reads.
A :class:`greenws.Connection` wants that; :mod:`.resting` does it.

Pings are sent by the alarm, in the hub. Queued frames are sent at the end of the turn, in whichever
greenlet runs then. So neither waits for a handler.

The state of a session is in leaf objects, which never call the session: where the session stands
(:mod:`.lifecycle`), what is due when (:mod:`.schedule`), how bytes come in (:mod:`.inbox`), what is
queued (:mod:`.outbox`). docs/architecture.rst has the way of a byte through all of them.

This module has the half of a session that runs. The half that others call, in particular all verbs
for ending, is in :mod:`.commands`.

Two exceptions steer: ``End`` leaves the loop, with the reason for ``disconnected``;
``Interrupted`` gets the greenlet out of a dial, which waits in many places (:mod:`.approach`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gevent import get_hub, getcurrent

from .. import constants, errors, events
from ..native import ticks, utf8
from ..options import RunDefaults
from ..protocol import slices
from ..protocol.frame import Payload, read_close_code
from ..protocol.opcode import Opcode
from ..protocol.stream import HEADROOM, Stream
from ..redaction import MAX_MESSAGE, printable
from ..trace import Tracer
from . import threads
from .approach import Approach
from .clock import NEVER
from .commands import HUB_IS_OVER, CommandedSession
from .contract import SUPERSEDED, DrivenWebSocket
from .inbox import LARGE_READ, NOTHING
from .lifecycle import CLOSING, DIALING, ENDED, FAILED, LINGERING, READY, UPGRADING
from .metered import MeteredTransport
from .reactor import get_reactor
from .transport import Transport
from .wait import Interrupted, take_turn

if TYPE_CHECKING:
    from ..events import AnyEvent

#: Seconds to wait, when all is said, for the peer to end the TCP connection (RFC 6455 section
#: 7.1.1). A server ends it in one round trip, and few round trips take a second.
LINGER = 1.0

#: Seconds of silence after which the body of a rejection counts as complete. A server may leave the
#: connection open behind a body without a length, or never send all that it has announced. A body
#: of 64 KiB at most has few gaps of a second, and the rest of it would change nothing.
BODY_SILENCE = 1.0

# Bytes of one read until the handshake is done. A server can send endless 1xx responses, and HTTP
# heads parse slower than frames.
_OPENING_READ_SIZE = 8 * 1024

# Seconds that the messages of one chunk may take, where each of them may be waited for, before the
# loop gets a turn.
_LONG_CHUNK = 0.004

# As plain numbers: they are passed on, or compared with, for every frame.
_TEXT = int(Opcode.TEXT)
_LARGE = slices.LARGE
_CLOSE = int(Opcode.CLOSE)
_MESSAGES = frozenset(("text", "binary"))


def _forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of a failed opening, which would keep all that is alive in its frames.

    An exception of the user's code keeps its own: only that says where the code has failed.
    """
    while error is not None:
        if isinstance(error, (OSError, errors.WebSocketError)):
            error.__traceback__ = None
        if error.__cause__ is None and error.__suppress_context__:
            error.__context__ = None
        error = error.__cause__ or error.__context__


def explain_text(text: object) -> str:
    """Return the message of the error for a text that is none."""
    if isinstance(text, (bytes, bytearray, memoryview)):
        return "text argument must not be bytes, but str; send_binary() sends bytes"
    kind = type(text).__name__
    return f"text argument must be str, not {kind}; send_json() sends objects"


# What GeventSession._pump returns in place of a size: the session may rest.
_REST = -3

#: What the iteration of a session yields when it rests, in place of an event: it need not be
#: continued before the session asks for that. See :meth:`.resting.Regulator.rest`.
RESTING: Any = events.Event()


class End(Exception):
    """Leaves the loop of a session, with the reason for ``disconnected``."""

    def __init__(self, reason: str, graceful: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.graceful = graceful


# The class is over 400 lines long, since it is the control flow of one greenlet: every method of it
# may switch, end the loop, or run in the hub for it. State that does neither is in the leaf
# objects.
class GeventSession(CommandedSession):
    """Drive a WebSocket on gevent, cooperatively, with or without monkey patching.

    :param websocket: a :class:`~greenws.WebSocket`, or lomond's.
    """

    #: The session tells the end of the stream by ``websocket.feed_eof``, so the WebSocket can wait
    #: for the body of a rejection.
    signals_eof = True

    __slots__ = ("_is_traced", "_late_pong", "_late_since", "_turned_at")

    def __init__(self, websocket: Any) -> None:
        CommandedSession.__init__(self, websocket)
        # Whether anybody is told of the steps of the present connection.
        self._is_traced = False
        # The payload of a ping that could not be answered yet, as the queue was full.
        self._late_pong: bytes | None = None
        # Since when the peer has taken nothing, while such a ping waits.
        self._late_since = 0.0
        # When the loop last had a turn in the midst of a chunk that is held, in epoch seconds.
        self._turned_at = 0.0

    @property
    def follows_redirects(self) -> bool:
        """Whether the session can connect elsewhere: not if the user gave a socket or a path."""
        websocket = self._get_websocket()
        return websocket.socket is None and websocket.unix_path is None

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
        schedule, websocket, life = self._schedule, self._get_websocket(), self._life
        if life.has_ended():
            raise life.refusal()
        if life.thread or websocket.is_taken(self):
            raise RuntimeError(SUPERSEDED)
        self._hub = get_hub()
        life.thread = threads.get_ident()
        self._reactor = get_reactor()
        self._crowd = self._reactor.crowd
        self._reactor.add(self)
        self._kept = None
        schedule.poll = poll or NEVER
        schedule.ping_rate = ping_rate or NEVER
        schedule.ping_timeout = ping_timeout or NEVER
        schedule.close_timeout = close_timeout or NEVER
        started = ticks.precise()
        schedule.begin_opening(started, websocket.open_timeout)
        try:
            yield events.Connecting(websocket.url)
            while True:
                hops, proxy, failure = self._open(websocket, started)
                if failure is not None:
                    yield failure
                    return
                asked = ticks.precise()
                is_done = False
                yield events.Connected(websocket.url, proxy)
                try:
                    stream = self._open_stream(websocket)
                    while True:
                        is_parsed = stream is not None and life.is_upgraded
                        try:
                            size = self._pump(stream if is_parsed else None)
                        except (End, SystemExit, KeyboardInterrupt) as error:
                            size = self._note_failure(error, is_parsed)
                        if size == _REST:
                            # The greenlet that waited last may refer to the Connection, which would
                            # never be collected.
                            self._greenlet = None
                            self._is_resting = True
                            try:
                                yield RESTING
                            finally:
                                self._is_resting = False
                            size = self._take_found()
                            if size == NOTHING:
                                continue  # first a read: what came up is judged after it
                        happened = self._find_events(websocket, is_parsed, size)
                        try:
                            for event in happened:
                                name = event.name
                                if name == "ready":
                                    self._begin()
                                    yield event
                                    self._attention = True
                                else:
                                    if name not in _MESSAGES:
                                        self._note_event(event, name, auto_pong)
                                    yield event
                                if self._attention:
                                    yield from self._attend()
                                if stream is None:
                                    self._yield_turn()
                        except GeneratorExit:
                            self._is_left = True
                            raise
                        # An idle connection keeps none of its last events.
                        event = happened = None  # type: ignore[assignment]
                        if size > 0:
                            self._note_taken(stream, size)
                        if self._attention or not life.is_upgraded:
                            yield from self._attend()
                        if self._end_closed(websocket):
                            reason, graceful, is_done = "closed", True, True
                            break
                        if not life.is_upgraded and websocket.hops != hops:
                            break  # a redirect
                except End as end:
                    reason, graceful = end.reason, end.graceful
                    break
                if is_done:
                    break
                self._let_go()
                self._outbox.clear()  # the rest of this request is not for the next server
            if not self._life.is_upgraded and websocket.rejection:
                yield self._finish(websocket.rejection, False, started)
            elif not self._life.is_upgraded and not graceful:
                websocket.tracer.tell("upgrade", duration=ticks.precise() - asked, error=reason)
                yield self._fail_opening(errors.ConnectFail(reason), started)
            else:
                yield self._finish(reason, graceful, started)
        finally:
            if self._life.state != ENDED:
                # Whoever collects an iteration clears weak references first.
                self._kept = websocket
                self._release()

    def _open(
        self, websocket: DrivenWebSocket, started: float
    ) -> tuple[int, str | None, events.ConnectFail | None]:
        """Connect as :meth:`_connect`, and return the event of a failure as well.

        It is yielded outside of the ``except``: Cython's generators crash when they are left while
        an exception is handled that has no traceback any more.
        """
        try:
            return (*self._connect(websocket), None)
        except errors.ConnectFail as error:
            return 0, None, self._fail_opening(error, started)

    def _finish(self, reason: str, graceful: bool, started: float) -> events.Disconnected:
        life = self._life
        # The peer knows best why it has closed. What fails after a violation comes of that.
        reason_of_peer = life.reason_of_peer()
        websocket = self._get_websocket()
        if reason_of_peer:
            reason = printable(reason_of_peer, MAX_MESSAGE)
        elif not graceful:
            reason = websocket.violation or reason
        code = 1006 if life.close_code is None else life.close_code
        tracer = websocket.tracer
        if self._is_traced or type(tracer) is not Tracer:  # another one decides by itself
            transport = self._outbox.transport  # a rejected connection has none any more
            totals = transport.totals if isinstance(transport, MeteredTransport) else {}
            tracer.tell(
                "close",
                reason=reason,
                graceful=graceful,
                code=code,
                sent_code=life.sent_code,
                **totals,
                duration=ticks.precise() - started,
            )
        self._release()
        return events.Disconnected(reason, graceful, code, life.sent_code)

    def _fail_opening(self, error: errors.ConnectFail, started: float) -> events.ConnectFail:
        reason = str(error) + self._get_websocket().aside
        error.args = (reason,)
        duration = ticks.precise() - started
        self._get_websocket().tracer.tell("connect_fail", reason=reason, duration=duration)
        self._release()
        _forget_frames(error)
        return events.ConnectFail(reason, error)

    def _connect(self, websocket: DrivenWebSocket) -> tuple[int, str | None]:
        """Dial and send the request.

        :returns: the redirects that have led here, and the proxy in between.
        :raises ConnectFail: whatever went wrong.
        """
        life = self._life
        if life.state >= FAILED:
            raise self._give_up_opening()
        hops = websocket.hops
        self._is_traced = websocket.is_traced
        approach = Approach(websocket, websocket.target, self._is_traced)
        life.step(DIALING)
        self._approach = approach
        try:
            self._arm()
            if ticks.precise() >= self._schedule.open_due:
                raise Interrupted
            transport, proxy, request = approach.run()
        except Interrupted:
            if life.state == DIALING:
                raise approach.expire() from None
            raise self._give_up_opening() from None
        finally:
            self._approach = None
        if life.state != DIALING:  # ended by another greenlet, just when the dial was through
            transport.close()
            raise self._give_up_opening()
        if self._is_traced:
            transport = websocket.tracer.meter = MeteredTransport(transport)
        self._adopt(transport)
        life.step(UPGRADING)
        try:
            self._outbox.put_bytes(request)
        except errors.WebSocketError as error:
            if not self._outbox.has_failed:
                raise errors.ConnectFail("unable to send the request; {}", error) from None
            self._attention = True  # the server may have answered all the same: look once
        return hops, proxy

    def _give_up_opening(self) -> Exception:
        life = self._life
        return life.refusal() if life.is_forked() else errors.ConnectFail(life.reason or "given up")

    def _adopt(self, transport: Transport) -> None:
        """Take over an open transport."""
        self._inbox.open(transport, self._hub.loop)
        self._outbox.open(transport, self._reactor, self)

    # The loop

    def _open_stream(self, websocket: DrivenWebSocket) -> Stream | None:
        """Return what parses the frames; None if the WebSocket does so by itself."""
        stream = websocket.parser
        if stream is not None:
            stream.allowance = self._reactor.rota
        return stream

    def _note_failure(self, error: BaseException, is_parsed: bool) -> int:
        """Decide how to go on after reading has failed, or a handler has asked to exit.

        :returns: what the reading would have returned, see :meth:`_receive`.
        """
        if not isinstance(error, End):
            self._get_websocket().take_exit(error)
            # What is left of the chunk, if there is one, is parsed before the next read.
            return 1 if is_parsed else NOTHING
        if self._life.is_upgraded:
            raise error
        self._failure = error
        return 0

    def _find_events(
        self, websocket: DrivenWebSocket, is_parsed: bool, size: int
    ) -> Iterable[AnyEvent]:
        """Return the events of what was read."""
        reactor = self._reactor
        if size == 0:
            return self._take_eof()
        if size < 0:
            return ()
        if is_parsed:
            return websocket.pending_events()
        data = bytes(reactor.view[:size])
        reactor.give_back(self)
        return websocket.feed(data)

    def _note_event(self, event: Any, name: str, auto_pong: bool) -> None:
        """Do what an event that is no message asks of the session, before it is told.

        :param name: of the event, which is a look-up of its own.
        """
        if name == "ping":
            if auto_pong:
                self._send_pong(event.data)
        elif name == "closing" or name == "closed":
            life = self._life
            life.close_code = 1005 if event.code is None else event.code
            life.close_reason = event.reason

    def _yield_turn(self) -> None:
        """Let the loop run if this turn has lasted: a parser of others cannot pause by itself."""
        if self._reactor.rota.is_over():
            self._reactor.rota.wait()

    def _note_taken(self, stream: Stream | None, size: int) -> None:
        """Take note that the events of what was read have been handed out."""
        if stream is None or not stream.is_paused:
            self._reactor.give_back(self)
            if stream is not None:
                self._note_read(size, stream.received_time)
        if not self._life.is_upgraded and self._get_websocket().awaits_body:
            self._schedule.linger_due = ticks.precise() + BODY_SILENCE

    def _end_closed(self, websocket: DrivenWebSocket) -> bool:
        """Linger, if both sides have closed; return whether they have."""
        if not self._life.is_shaken() and not websocket.is_closed:
            return False
        self._linger()
        return True

    def _pump(self, stream: Stream | None) -> int:
        """Read, and have the stream digest it, until it has events, or something else comes up.

        :param stream: None: the bytes are left in the buffer. The greenlet waits as deep in its
            stack as with a stream, so that the copy of its stack keeps its size. Copies that grow
            leave holes in the heap: 0.8 KiB for each idle connection.
        :returns: as :meth:`_receive`: the bytes, if any, are in the stream.
        """
        if stream is None:
            return self._receive()
        reactor = self._reactor
        # Noted once, and not by each wait: it stays the same until this returns.
        self._greenlet = getcurrent()
        while True:
            if stream.is_paused:
                size = self._pause()
                is_done = stream.resume()
            else:
                size = self._receive(True)
                if size <= 0:
                    return size
                is_done = stream.digest_viewed(
                    reactor.buffer, HEADROOM, HEADROOM + size, ticks.epoch(), reactor.view
                )
            if not is_done:
                if not stream.is_paused:
                    return size
                if self._attention:
                    return NOTHING
                continue
            self._note_digested(stream, size)
            if self._attention:
                return NOTHING

    def _pause(self) -> int:
        """Wait for another turn, in the midst of what was read.

        :returns: 1, which stands for some bytes.
        """
        self._has_paused = True
        reactor = self._reactor
        reactor.note_pause()
        reactor.rota.wait()
        if self._inbox.transport is None:
            raise self._say_closed()
        return 1

    def _say_closed(self) -> Exception:
        return self._life.refusal() if self._life.is_forked() else End("closed")

    def _note_digested(self, stream: Stream, size: int) -> None:
        """Take note that handlers have taken all of what was read."""
        self._note_read(size, stream.received_time)
        self._reactor.give_back(self)

    def _note_read(self, size: int, since: float) -> None:
        """Take note that ``size`` bytes, read at the time ``since``, have been handled."""
        if self._has_paused:
            self._has_paused = False
            return
        reactor = self._reactor
        if size < LARGE_READ and size < reactor.read_size:
            return
        was_quick = reactor.note_read(size, ticks.epoch() - since)
        self._inbox.note_handled(size, was_quick, reactor.read_size)

    def _receive(self, is_pumping: bool = False) -> int:
        """Read into the reactor's buffer, after waiting if there is nothing. Queued frames leave
        first; in a crowd, as soon as there is a batch of them.

        :param is_pumping: whether :meth:`_pump` calls, which has noted its greenlet, and where the
            hub may wait instead if nothing is against it.
        :returns: the number of bytes; 0 at the end of the stream; NOTHING if woken without any;
            _REST if the hub is to wait.
        """
        inbox = self._inbox
        if inbox.transport is None:
            raise self._say_closed()
        if inbox.has_bytes():
            if inbox.take_burst() or self._reactor.rota.is_over():
                self._reactor.rota.wait()
            return self._read()
        outbox = self._outbox
        if outbox.is_stalled or (outbox.is_dirty and not self._crowd.is_crowded):
            outbox.flush()
        elif outbox.is_dirty:
            self._reactor.turn.flush_batch()
        if inbox.take_flow():
            size = self._read()
            if size != NOTHING:
                return size
        if not self._attention and inbox.transport is not None:
            inbox.watch(self, self._reactor.is_libuv)
            deputy = self._deputy
            if is_pumping and deputy is not None and deputy.may_rest():
                return _REST
            if is_pumping:
                self._park_again()
            else:
                self._park()
        size = self._read()
        if size == NOTHING and self._is_over():
            raise End(HUB_IS_OVER)  # to wait for a hub that is over would be no waiting
        return size

    def _take_found(self) -> int:
        """Return what the hub has left to the greenlet, as :meth:`_receive` does."""
        deputy = self._deputy
        return NOTHING if deputy is None else deputy.take_found()

    def _read(self) -> int:
        reactor = self._reactor
        view = reactor.borrow(self)
        limit = reactor.read_size if self._life.is_upgraded else _OPENING_READ_SIZE
        try:
            size = self._inbox.read(view, limit)
        except OSError as error:
            step = "" if self._life.is_upgraded else " while waiting for the answer to the upgrade"
            raise End(f"socket fail; recv fail; {error}{step}") from None
        if size > 0:
            reactor.busy_poll.received += size
            if self._schedule.ping_timeout != NEVER:
                self._schedule.note_received(ticks.precise())
        else:
            reactor.give_back(self)
        return size

    def _hold(self) -> bool:
        """Read nothing more until :meth:`_go_on` is called: nobody takes what was received.

        Called by a handler of the parser, in the greenlet that runs the session; returns when
        reading may go on, or when the session is over. Meanwhile pings leave, deadlines hold, and
        silence is not counted against the peer: it is ours.

        A parser that the hub has called cannot wait; it is halted. This returns at once then.

        :returns: False if the session is over.
        """
        life, schedule = self._life, self._schedule
        self._inbox.unwatch()
        self._is_held = True
        if self._deputy is not None and self._deputy.halt():
            return True
        try:
            while self._is_held and life.state < FAILED:
                self._park()
                if self._attention and life.reason is None:
                    self._attention = False
                    schedule.note_received(ticks.precise())
                    self._arm()
        finally:
            self._is_held = False
        schedule.note_received(ticks.precise())
        now, stream = ticks.epoch(), self._get_websocket().parser
        # Those that take the messages are resumed by callbacks, of which the loop runs many before
        # it looks at its descriptors.
        if stream is not None and now - max(stream.received_time, self._turned_at) > _LONG_CHUNK:
            take_turn()
            self._turned_at = ticks.epoch()
        return life.state < FAILED

    def _go_on(self) -> None:
        """Read on; idempotent."""
        if not self._is_held:
            return
        is_done = False
        try:
            if self._is_resting and self._deputy is not None:
                is_done = self._deputy.read_on()
        finally:
            if not is_done:
                self._is_held = False
                self._reactor.turn.run_callback(self._wake_now)

    def _end_answer(self) -> Iterator[AnyEvent]:
        """Yield the rejection and leave the loop, if the answer so far is a rejection."""
        yield from self._get_websocket().feed_eof()
        if self._get_websocket().is_closed:
            raise End("closed", True)

    def _take_eof(self) -> Iterator[AnyEvent]:
        websocket, life = self._get_websocket(), self._life
        if not life.is_upgraded:
            yield from self._end_answer()
        if websocket.is_closed:
            raise End("closed", True)
        if not life.is_upgraded:
            failure, self._failure = self._failure, None
            try:
                raise failure or End(
                    "the server closed the connection without answering the upgrade"
                    + ("" if websocket.target.is_secure else "; a port with TLS needs wss://")
                )
            finally:
                del failure  # it refers to this frame
        if websocket.is_active:
            raise End("socket fail; connection lost")
        # The phase is CLOSING. The end is graceful if the server has sent a close frame, too.
        raise End("closed", life.close_code is not None)

    def __call__(self) -> None:
        """Be told by the loop that there is something to read.

        The session itself is the watcher's callback: a bound method would be one more object for
        each connection, in memory that is not in the cache.
        """
        if self._is_parked or self._is_resting:
            if not self._crowd.wake(self):
                self._resume()
                if self._is_parked:
                    self._reactor.busy_poll.note()
            elif self._reactor.is_libuv:
                # Thousands may wait for later turns; in each, their watchers would fire again.
                self._inbox.unwatch()
        else:
            # The watcher is level-triggered: while our greenlet is busy it would fire on every
            # turn of the loop. _receive starts it again.
            self._inbox.unwatch()

    # Time

    def _begin(self) -> None:
        """Start the clocks: the websocket is ready."""
        if self._life.state != UPGRADING:  # another greenlet has given up meanwhile
            raise End(self._life.reason or "closed")
        now = ticks.precise()
        self._start_time = now
        self._life.step(READY)
        self._schedule.begin(now)
        self._arm()

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
        if life.is_forked():
            raise life.refusal()
        if life.reason is not None:
            if self._outbox.has_failed and self._has_unread():
                # The peer may have said why before it closed: first what it has said.
                self._attention = True
                return
            if self._outbox.has_failed and not life.is_upgraded:
                raise End(f"{life.reason} while sending the request")
            raise End(life.reason)
        if not life.is_upgraded:
            now = ticks.precise()
            if now >= schedule.linger_due:
                yield from self._end_answer()  # no more of its body comes
            if now >= schedule.open_due:
                yield from self._end_answer()
                raise End(
                    f"timed out after {self._get_websocket().open_timeout:g} s while waiting for "
                    f"the answer to the upgrade"
                )
            self._arm()  # linger_due may have been set, or moved on after it had rung
            return
        now = ticks.precise()
        schedule.note_taken(self._outbox.taken_at)
        if schedule.is_silent(now):
            if self._has_unread():
                # Handlers were slow, and there may be bytes to read: judge after the next read.
                self._attention = True
            elif not schedule.take_excuse(now):
                yield events.Unresponsive()
                raise End(f"disconnected; exceeded {schedule.ping_timeout:g}s ping timeout")
            elif schedule.ping_rate != NEVER:
                # The blocked hub may have kept our pings from leaving, too.
                self._send_ping()
        if schedule.take_poll(now):
            yield events.Poll()
        if not life.has_ended():
            self._arm()

    def _has_unread(self) -> bool:
        """Whether there may be bytes of the peer that are not parsed yet."""
        stream = self._get_websocket().parser
        return not self._inbox.is_dry or (stream is not None and stream.is_paused)

    def _send_ping(self) -> None:
        if not self._outbox.has_room_for_control or not self._has_websocket():
            return  # the ping could not leave; and any received byte counts as life without it
        try:
            self._get_websocket().send_ping()
        except (errors.WebSocketError, self._get_websocket().errors.WebSocketError):
            pass  # closing, or closed already

    def _send_pong(self, data: bytes) -> None:
        if len(data) > constants.MAX_CONTROL_PAYLOAD or not self._has_websocket():
            return  # lomond's WebSocket lets it in, but not out
        if not self._outbox.has_room_for_control:
            self._postpone_pong(data)
            return
        try:
            self._get_websocket().send_pong(data)
        except (errors.WebSocketError, self._get_websocket().errors.WebSocketError):
            pass  # closing, or closed already

    def _postpone_pong(self, data: bytes) -> None:
        """Keep the answer to a ping until there is room in the queue.

        Pongs must not grow the queue of a peer that reads nothing; the answer to the latest ping is
        enough (RFC 6455 section 5.5.3). A peer that takes nothing for ``send_timeout`` seconds,
        while it goes on to ping, has failed.
        """
        outbox, now, limit = self._outbox, ticks.precise(), self._get_websocket().send_timeout
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
            raise TypeError(explain_text(text))
        if len(text) > _LARGE:
            self._outbox.put_steps(_TEXT, slices.encode(text), False)
            return
        self._outbox.put(_TEXT, utf8.encode(text), False)

    def send_compressed(self, opcode: int, payload: Payload | slices.Steps) -> None:
        """Queue a frame whose payload is deflated already; as :meth:`send`.

        :param payload: the bytes; or a generator of them, for a large message. The loop has its
            turns between two of its steps, and messages of other greenlets wait; a close frame goes
            behind the message. If the caller is killed, nothing was sent.
        """
        if isinstance(payload, (bytes, bytearray, memoryview)):
            self._outbox.put(opcode, payload, True)
        else:
            self._outbox.put_steps(opcode, payload, True)

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
        if self._is_over():
            return
        life = self._life
        payload = bytes(payload)
        life.sent_code = read_close_code(payload)
        if life.close_code is None:
            life.sent_reason = payload[2:]
        if life.state == READY:
            life.step(CLOSING)
        if self._schedule.close_timeout != NEVER:
            self._schedule.begin_closing(ticks.precise())
            self._arm()

    # Ending; see the table of all verbs in commands.py

    def end(self) -> None:
        """Have the connection ended when what is queued has left, or after a second."""
        self._linger()
        self._fail(self._get_websocket().violation or "disconnected; protocol error")

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
        self._schedule.begin_lingering(ticks.precise(), LINGER)
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
        except End:
            pass  # the peer is gone: the end is the same
