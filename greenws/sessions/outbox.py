"""The sending half of a session: a queue of frames, and the senders that wait while it is full.

Frames are built in one buffer, the queue. The queue is handed to the transport at the end of the
turn, when the session parks, or when the queue is large; the greenlet that runs at that moment, or
the hub, does it. Bytes that the peer does not take stay until the descriptor is writable.

Behind the queue may stand frames that are too large to be masked at once (:mod:`.bulk`), and frames
behind those. Whenever the queue is empty, the next slice of the first of them becomes the queue.

A sender may *reserve* the outbox, while a large message is encoded or deflated step by step with
turns of the loop in between. Other messages wait until it is queued: the wire has the order of
deflating. Control frames do not wait, but for the close frame, which is the last.

A message that is sent in pieces reserves the outbox, too, for as long as its sender likes. Control
frames go between its pieces then, and so does the close frame: it is the end of that message.

An outbox never calls its session. When sending fails, it notes why in the session's
:class:`~.lifecycle.Lifecycle`, and has the session's alarm rung.
"""

from __future__ import annotations

from collections import deque

from gevent import get_hub, getcurrent
from gevent.event import Event

from ..constants import LONGEST_WAIT, MAX_CONTROL_PAYLOAD
from ..native import ticks
from ..protocol.frame import Payload, append_frame
from ..protocol.opcode import Opcode
from ..protocol.slices import Steps
from ..protocol.traffic import Traffic
from . import threads
from .bulk import BULK, BulkFrame
from .clock import Alarm, Watcher, close_watcher
from .lifecycle import CLOSING, READY, Lifecycle
from .reactor import Reactor
from .transport import Transport
from .turn import Flushable
from .wait import WRITE, take_turn

# Bytes that are handed to the kernel before the turn is over, while they are still in the cache.
# Second level caches have 512 KiB and more on the machines at hand; 64 KiB of it leave room for
# the payloads themselves.
_FLUSH_SIZE = 64 * 1024

_BULK = BULK  # these second names are C integers when compiled
_CLOSE = int(Opcode.CLOSE)

# A control frame of a client: two bytes of head, the key of the mask, 125 bytes of payload.
_MAX_CONTROL_FRAME = 2 + 4 + MAX_CONTROL_PAYLOAD


class Room(Event):
    """The wait of one sender for its turn.

    :param passes: it waits for room in the queue, but not for the message of another sender: its
        own frame is queued already, or a piece of the message that is being sent.
    """

    def __init__(self, passes: bool) -> None:
        super().__init__()
        self.passes = passes


class Outbox(Flushable):
    """The queue of one session.

    :param life: where the session stands: frames are taken while it is READY.
    :param alarm: the alarm to ring when sending has failed, which is the session itself.
    :param write_limit: the high-water mark, in bytes.
    :param send_timeout: seconds that a sender waits at the mark; None: no limit.
    """

    __slots__ = (
        "_alarm",
        "_behind",
        "_is_buffering",
        "_is_reserved",
        "_last_words",
        "_life",
        "_passed",
        "_passing",
        "_queue",
        "_reactor",
        "_send_timeout",
        "_streamer",
        "_taken",
        "_traffic",
        "_waiters",
        "_watcher",
        "_write_limit",
        "has_failed",
        "is_awaited",
        "is_stalled",
        "taken_at",
        "transport",
    )

    def __init__(self, life: Lifecycle, write_limit: int, send_timeout: float | None) -> None:
        Flushable.__init__(self)
        self._life = life
        # Set together with the transport, and forgotten with it: it is the session, which keeps
        # this queue.
        self._alarm: Alarm | None = None
        self._write_limit = write_limit
        self._send_timeout = send_timeout
        # Set together with the transport; nothing asks for the reactor before.
        self._reactor: Reactor = None  # type: ignore[assignment]
        #: Where the bytes go; None: there is no connection.
        self.transport: Transport | None = None
        # Whether the transport may keep bytes of its own, which have to be flushed too.
        self._is_buffering = False
        #: Whether TLS takes nothing before the session has read more.
        self.is_stalled: bool = False
        # The queued bytes; None: there are none.
        self._queue: bytearray | None = None
        # What follows the queue: large frames, and built frames behind them; None: nothing.
        self._behind: deque[BulkFrame | bytearray] | None = None
        # Whether a message is being made, which other messages have to wait for; and the payload
        # of the close frame that follows the message, or None.
        self._is_reserved = False
        self._last_words: Payload | None = None
        # The greenlet whose message in pieces has reserved the outbox; and the senders that may go
        # on all the same when there is room, or None.
        self._streamer: object = None
        self._passing: deque[Room] | None = None
        self._watcher: Watcher = None
        # The senders that wait for room, in order of asking, each by an event of its own; None:
        # nobody waits.
        self._waiters: deque[Room] | None = None
        # Bytes that the transport has taken.
        self._taken = 0
        # Where messages are counted when they are queued, and bytes when they have left; None:
        # nobody counts them.
        self._traffic: Traffic | None = None
        #: When it last took some of a queue that had to wait, by the monotonic clock; 0.0: never.
        #: The peer lives then, whatever it says.
        self.taken_at: float = 0.0
        #: Whether the alarm is to be rung when half of the queue has left.
        self.is_awaited: bool = False
        #: Whether a write has failed. What the peer has sent before may still be there to read.
        self.has_failed: bool = False
        # Bytes that were flushed early, since a sender let the loop have its turn.
        self._passed = 0

    def count(self, traffic: Traffic) -> None:
        """Have messages and bytes counted, from now on."""
        self._traffic = traffic

    def open(self, transport: Transport, reactor: Reactor, alarm: Alarm) -> None:
        """Send to ``transport`` from now on; ``alarm`` is rung when the session has to look."""
        self._reactor = reactor
        self._alarm = alarm
        self.transport = transport
        self._is_buffering = transport.is_buffering

    def close(self) -> None:
        """Forget the transport, which the caller closes; senders that wait go on. Idempotent."""
        self.transport = None
        self._alarm = None
        self._unwatch()
        self._release_all()

    def clear(self) -> None:
        """Drop what is queued."""
        self._queue = None
        self._behind = None

    @property
    def size(self) -> int:
        """Bytes that wait for the peer to take them."""
        queue = self._queue
        size = 0 if queue is None else len(queue)
        if self._behind is not None:
            for item in self._behind:
                size += item.left if isinstance(item, BulkFrame) else len(item)
        return size

    @property
    def is_empty(self) -> bool:
        """Whether everything has left, the transport's own bytes included."""
        transport = self.transport
        if self._queue or self._behind is not None or self._last_words is not None:
            return False
        return transport is None or not transport.wants_write

    @property
    def is_full(self) -> bool:
        """Whether the high-water mark is reached."""
        return self.size >= self._write_limit

    @property
    def has_room_for_control(self) -> bool:
        """Whether a control frame can be queued without waiting: it stays below the mark, or the
        queue is empty.
        """
        return not self.size or self.size + _MAX_CONTROL_FRAME < self._write_limit

    # Queueing

    def check(self) -> None:
        """Wait for room for a frame that is about to be made, and raise what it would be refused
        with. The frame has to be put before the caller switches.
        """
        life = self._life
        if life.state != READY or life.thread != threads.get_ident():
            raise life.refusal()
        if self.is_full or self._waiters is not None:
            self._wait_for_room()
            while self._is_reserved:  # by another sender, before this one was resumed
                self._wait_for_room()
            if life.state != READY:
                raise life.refusal()

    def put(self, opcode: int, payload: Payload, rsv1: bool) -> None:
        """Queue a frame. It leaves in this turn of the loop; at the high-water mark, wait.

        A message waits before it is queued. Control frames are queued at once, and so are deflated
        messages, whose order is fixed already: they have called :meth:`check`. At the mark, each
        sender waits afterwards too, but for a close frame.

        :param rsv1: the payload is deflated.
        :raises WebSocketError: it cannot be sent, as :meth:`.lifecycle.Lifecycle.refusal` says; or
            it was not taken in ``send_timeout`` seconds (TransportFail).
        """
        life = self._life
        if life.state != READY or life.thread != threads.get_ident():
            raise life.refusal()
        queue = self._queue
        if (
            (
                self._waiters is not None
                or (queue is not None and len(queue) >= self._write_limit)
                or (self._behind is not None and self.is_full)
            )
            and opcode < 8
            and not rsv1
        ):
            # Each sender waits before its frame is queued: ten thousand greenlets with a message
            # each would fill the memory otherwise.
            self.check()
            queue = self._queue
        if type(payload) is not bytes:
            payload = bytes(memoryview(payload))  # another thread may change it at any moment
        if opcode < 8 and self._traffic is not None:
            self._traffic.messages_sent += 1
        if len(payload) >= _BULK:
            self._append_bulk(BulkFrame(opcode, [payload], rsv1))
            self._flush_early()
            return
        if opcode == _CLOSE and self._is_reserved and self._streamer is None:
            self._last_words = payload
            return
        if self._behind is not None:
            queue = self._find_end()
            append_frame(queue, opcode, payload, rsv1, True)
        elif queue is not None:
            append_frame(queue, opcode, payload, rsv1, True)
        else:
            queue = self._reactor.pool.take(len(payload))
            append_frame(queue, opcode, payload, rsv1, True, True, True)
            self._queue = queue
        if not self.is_dirty:
            self.is_dirty = True
            self._reactor.turn.flush_later(self)
        size = len(queue)
        if size >= _FLUSH_SIZE or size >= self._write_limit:
            if opcode != 8:
                self._flush_early()
        elif self._waiters is not None:
            self._release_next()

    def _append_bulk(self, frame: BulkFrame) -> None:
        if self._behind is None:
            self._behind = deque()
        self._behind.append(frame)
        self._flush_later()

    def _append(self, opcode: int, payload: Payload, rsv1: bool, fin: bool = True) -> None:
        queue = self._queue if self._behind is None else self._find_end()
        if queue is None:
            queue = self._reactor.pool.take(len(payload))
            append_frame(queue, opcode, payload, rsv1, True, fin, True)
            self._queue = queue
        else:
            append_frame(queue, opcode, payload, rsv1, True, fin)
        self._flush_later()

    def _flush_later(self) -> None:
        if not self.is_dirty:
            self.is_dirty = True
            self._reactor.turn.flush_later(self)

    def _find_end(self) -> bytearray:
        """Return the buffer for frames behind the large ones."""
        behind = self._behind
        assert behind is not None
        last = behind[len(behind) - 1]
        if isinstance(last, BulkFrame):
            last = bytearray()
            behind.append(last)
        return last

    def put_steps(self, opcode: int, steps: Steps, rsv1: bool) -> None:
        """Queue a message whose payload is made step by step, with turns of the loop in between.

        The hub itself cannot wait, and makes all of it at once. If the caller is killed, or a step
        raises, nothing was queued, and ``steps`` is closed.

        :param rsv1: the payload is deflated.
        :raises WebSocketError: as :meth:`put`.
        """
        try:
            self.check()
            pieces = list(steps) if getcurrent() is get_hub() else self._collect(steps)
        finally:
            steps.close()
        if self._traffic is not None:
            self._traffic.messages_sent += 1
        if sum(map(len, pieces)) < _BULK:
            self._append(opcode, b"".join(pieces), rsv1)
        else:
            self._append_bulk(BulkFrame(opcode, pieces, rsv1))
        if self._is_reserved:
            self._release_reserved()
        self._flush_early()

    def _collect(self, steps: Steps) -> list[bytes]:
        """Make a payload, while other messages wait. On success, the outbox stays reserved."""
        life, rota = self._life, self._reactor.rota
        self._is_reserved = True
        if self._waiters is None:
            self._waiters = deque()
        pieces = []
        try:
            for piece in steps:
                pieces.append(piece)
                if rota.is_over():
                    rota.wait()
                    # A close frame that was asked for meanwhile follows the message.
                    if life.state != READY and (life.state != CLOSING or self._last_words is None):
                        raise life.refusal()
        except BaseException:
            self._release_reserved()
            raise
        return pieces

    def _release_reserved(self) -> None:
        """Let other messages go on, and the close frame follow that was asked for meanwhile."""
        self._is_reserved = False
        self._streamer = None
        passing, self._passing = self._passing, None
        if passing is not None:
            # They have waited for less, and so are the first.
            passing.extend(self._waiters or ())
            self._waiters = passing
        last_words, self._last_words = self._last_words, None
        if last_words is not None and self.transport is not None:
            self._append(_CLOSE, last_words, False)
        if self._waiters:
            self._release_next()
        else:
            self._waiters = None

    def begin_pieces(self) -> None:
        """Reserve the outbox, when it is its turn, for a message that the calling greenlet sends in
        pieces; other messages wait until :meth:`end_pieces`.

        :raises WebSocketError: as :meth:`put`.
        :raises RuntimeError: the caller is sending one already.
        """
        self.check()
        self._is_reserved = True
        self._streamer = getcurrent()
        waiting = self._waiters or ()
        self._passing = deque(room for room in waiting if room.passes) or None
        self._waiters = deque(room for room in waiting if not room.passes)
        self._release_next()

    def put_piece(self, opcode: int, payload: Payload, rsv1: bool, fin: bool) -> None:
        """Queue a fragment of the message that has reserved the outbox. It leaves in this turn of
        the loop; at the high-water mark, wait, but not with the last one.

        :param opcode: of the message, or 0 for all fragments but the first.
        :param rsv1: the message is deflated; of its first fragment.
        :param fin: it is the last one.
        :raises WebSocketError: as :meth:`put`.
        """
        life = self._life
        if life.state != READY or life.thread != threads.get_ident():
            raise life.refusal()
        if fin:
            # Without a wait: whatever ends the call from here on, the message is complete.
            self._append(opcode, payload, rsv1, fin)
            return
        if self.is_full:
            self._wait_for_room(True)
            if life.state != READY:
                raise life.refusal()
        self._append(opcode, payload, rsv1, fin)
        if self.size >= min(_FLUSH_SIZE, self._write_limit):
            self._flush_early()
        elif self._passing is not None:
            self._release_next()
        # Deflating, and what makes the pieces, takes its time of this turn.
        if self._reactor.rota.is_over() and getcurrent() is not get_hub():
            self._reactor.rota.wait()

    def end_pieces(self) -> None:
        """Let other messages go on: the last piece is queued, or will never be."""
        if self._streamer is not None:
            self._release_reserved()

    def put_bytes(self, data: bytes) -> None:
        """Send bytes as they are: the opening request.

        :raises WebSocketError: there is no connection, or sending has failed.
        """
        life = self._life
        if self.transport is None or life.thread != threads.get_ident():
            raise life.refusal()
        self._queue = (self._queue or bytearray()) + data
        self.flush()
        if life.reason is not None:
            raise life.refusal()

    # Handing over

    def flush(self) -> None:
        """Hand over to the transport what it takes now; never waits."""
        if self.is_dirty:
            self.is_dirty: bool = False
            self._reactor.turn.unqueue(self)
        transport = self.transport
        if transport is None:
            return
        try:
            is_left = self._hand_over(transport)
        except OSError as error:
            self.has_failed = True
            self.fail(f"socket fail; {error}")
            return
        except BaseException as error:
            # A signal handler of the user's has raised in the midst of a system call. Nobody knows
            # what has left.
            self.fail(f"socket fail; interrupted by {type(error).__name__}")
            raise
        if not is_left:
            if self._watcher is not None:
                self._unwatch()
        elif self._watcher is None:
            self._watcher = self._reactor.loop.io(transport.fileno(), WRITE)
            self._watcher.start(self.flush)
        if (self._waiters is not None or self.is_awaited) and self.size <= self._write_limit // 2:
            self._release_next()
            if self.is_awaited and self._alarm is not None:
                self.is_awaited = False
                self._reactor.clock.set(self._alarm, ticks.precise())

    def _hand_over(self, transport: Transport) -> bool:
        """Returns whether bytes are left that can leave when the descriptor is writable."""
        queue = self._queue
        if not queue and self._behind is not None:
            queue = self._take_behind()
        while queue:
            sent = transport.send(queue)
            if sent is None:
                break
            self._taken += sent
            if self._traffic is not None:
                self._traffic.bytes_sent += sent
            if self._watcher is not None:
                self.taken_at = ticks.precise()
            if sent < len(queue):
                del queue[:sent]
                break
            self._queue = None
            self._reactor.pool.put(queue)
            queue = None
            if self._behind is not None:
                queue = self._take_behind()
                if self._reactor.rota.is_over():
                    break  # the descriptor is writable, so it goes on in the next turn
        is_left = bool(queue)
        if self._is_buffering:
            if not is_left and transport.wants_write:
                is_left = not transport.flush()
            # The session flushes a stalled outbox again after its next read.
            self.is_stalled = is_left and transport.wants_read
            is_left = is_left and not self.is_stalled
        return is_left

    def _take_behind(self) -> bytearray | None:
        """Make a queue of what comes next behind the last one."""
        behind = self._behind
        assert behind is not None
        first = behind[0]
        if isinstance(first, BulkFrame):
            queue = first.take()
            if not first.left:
                behind.popleft()
        else:
            queue = first
            behind.popleft()
        if not behind:
            self._behind = None
        self._queue = queue
        return queue

    def _flush_early(self) -> None:
        """Flush a large queue before the turn is over; at the mark, wait until half has left."""
        self._passed += self.size
        self.flush()
        if getcurrent() is get_hub():
            return
        life = self._life
        if life.reason is None and self.transport is not None:
            if self.size < self._write_limit:
                # The peer takes everything as fast as it comes, so the sender never waits: without
                # this turn, the sender would keep the hub.
                if self._passed >= self._write_limit:
                    self._passed = 0
                    take_turn()
                return
            self._wait_for_room(True)
            self._release_next()
        self._check_lasting()

    # Senders that wait

    def _wait_for_room(self, passes: bool = False) -> None:
        """Wait until it is the turn of this sender, and there is room.

        :param passes: as of :class:`Room`.
        :raises TransportFail: the session has ended meanwhile, or the peer took nothing for
            ``send_timeout`` seconds. As long as it takes some, senders wait on.
        :raises RuntimeError: the caller would wait for the message that it sends in pieces.
        """
        life = self._life
        current = getcurrent()
        is_behind = self._is_reserved and not passes
        if is_behind and current is self._streamer:
            raise RuntimeError("this greenlet is sending a message in pieces")
        if current is get_hub():
            if self._is_reserved and (is_behind or self._streamer is None):
                what = "made" if self._streamer is None else "sent in pieces"
                raise life.errors.WebSocketUnavailable(
                    f"a large message is being {what}, and the hub itself cannot wait"
                )
            if not self.is_full:
                return
            raise life.errors.WebSocketUnavailable(
                "the send queue is full, and the hub itself cannot wait"
            )
        room = Room(passes)
        if passes and self._streamer is not None:
            if self._passing is None:
                self._passing = deque()
            self._passing.append(room)
        else:
            if self._waiters is None:
                self._waiters = deque()
            self._waiters.append(room)
        try:
            taken = self._taken
            timeout = self._send_timeout
            limit = None if timeout is None else min(timeout, LONGEST_WAIT)
            while not room.wait(limit):
                if self._taken == taken and not self._may_be_still(room):
                    self.fail(f"socket fail; nothing was taken for {self._send_timeout:g} s")
                    break
                taken = self._taken
        except BaseException:
            # Killed, or a timeout of the caller's. Its turn, if it had come, is the next one's.
            if not self._forget(room):
                self._release_next()
            raise
        self._check_lasting()

    def _may_be_still(self, room: Room) -> bool:
        """Whether a sender may wait although the peer takes nothing: for another one's message."""
        return self._is_reserved and (self._streamer is None or not room.passes)

    def _check_lasting(self) -> None:
        """Raise the error of a send whose session ended before the message was queued."""
        life = self._life
        if life.is_forked():
            raise life.refusal()
        if life.reason is not None or self.transport is None:
            raise life.errors.TransportFail("{}", life.reason or "the connection has ended")

    def _forget(self, room: Room) -> bool:
        """Take a sender off the list; False: it is not there any more."""
        passing, waiters = self._passing, self._waiters
        if passing is not None and room in passing:
            passing.remove(room)
            if not passing:
                self._passing = None
            return True
        if waiters is None or room not in waiters:
            return False
        waiters.remove(room)
        if not waiters and not self._is_reserved:
            self._waiters = None
        return True

    def _release_next(self) -> None:
        """Have the sender go on that waits longest; it releases the next, if there is room left."""
        waiters = self._passing if self._is_reserved else self._waiters
        if waiters is None or self.is_full:
            return
        waiters.popleft().set()
        if not waiters:
            if self._is_reserved:
                self._passing = None
            else:
                self._waiters = None
        self._reactor.turn.stay_awake()

    def _release_all(self) -> None:
        """Have all senders that wait go on: the session is over."""
        for waiters in (self._passing, self._waiters):
            if waiters is not None:
                for room in waiters:
                    room.set()
                self._reactor.turn.stay_awake()
        self._passing = self._waiters = None

    def fail(self, reason: str) -> None:
        """Note why the session is over, let senders go, and have the session say so."""
        self.clear()
        self._unwatch()
        self._life.fail(reason)
        self._release_all()
        if self._alarm is not None:
            self._reactor.clock.set(self._alarm, ticks.precise())

    def _unwatch(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            close_watcher(watcher)
