"""The sending half of a session: a queue of frames, and the senders that wait while it is full.

Frames are built in one buffer, the queue. The queue is handed to the transport at the end of the
turn, when the session parks, or when the queue is large; the greenlet that runs at that moment, or
the hub, does it. Bytes that the peer does not take stay until the descriptor is writable.

An outbox never calls its session. When sending fails, it notes why in the session's
:class:`~.lifecycle.Lifecycle`, and has the session's alarm rung.
"""

from __future__ import annotations

from collections import deque
from time import monotonic

from gevent import get_hub, getcurrent
from gevent.event import Event as Room

from ..constants import MAX_CONTROL_PAYLOAD
from ..protocol.frame import Payload, append_frame
from . import threads
from .clock import Alarm, Watcher, close_watcher
from .lifecycle import READY, Lifecycle
from .reactor import Reactor
from .transport import Transport
from .turn import Flushable
from .wait import WRITE, take_turn

# Bytes that are handed to the kernel before the turn is over, while they are still in the cache.
# Second level caches have 512 KiB and more on the machines at hand; 64 KiB of it leave room for
# the payloads themselves.
_FLUSH_SIZE = 64 * 1024

# A control frame of a client: two bytes of head, the key of the mask, 125 bytes of payload.
_MAX_CONTROL_FRAME = 2 + 4 + MAX_CONTROL_PAYLOAD


class Outbox(Flushable):
    """The queue of one session.

    :param life: where the session stands: frames are taken while it is READY.
    :param alarm: the alarm to ring when sending has failed, which is the session itself.
    :param write_limit: the high-water mark, in bytes.
    :param send_timeout: seconds that a sender waits at the mark; None: no limit.
    """

    __slots__ = (
        "_alarm",
        "_is_buffering",
        "_life",
        "_passed",
        "_queue",
        "_reactor",
        "_send_timeout",
        "_taken",
        "_waiters",
        "_watcher",
        "_write_limit",
        "has_failed",
        "is_awaited",
        "is_stalled",
        "taken_at",
        "transport",
    )

    def __init__(
        self, life: Lifecycle, alarm: Alarm, write_limit: int, send_timeout: float | None
    ) -> None:
        Flushable.__init__(self)
        self._life = life
        self._alarm = alarm
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
        self._watcher: Watcher = None
        # The senders that wait for room, in order of asking, each by an event of its own; None:
        # nobody waits.
        self._waiters: deque[Room] | None = None
        # Bytes that the transport has taken.
        self._taken = 0
        #: When it last took some of a queue that had to wait, by the monotonic clock; 0.0: never.
        #: The peer lives then, whatever it says.
        self.taken_at: float = 0.0
        #: Whether the alarm is to be rung when half of the queue has left.
        self.is_awaited: bool = False
        #: Whether a write has failed. What the peer has sent before may still be there to read.
        self.has_failed: bool = False
        # Bytes that were flushed early, since a sender let the loop have its turn.
        self._passed = 0

    def open(self, transport: Transport, reactor: Reactor) -> None:
        """Send to ``transport`` from now on."""
        self._reactor = reactor
        self.transport = transport
        self._is_buffering = transport.is_buffering

    def close(self) -> None:
        """Forget the transport, which the caller closes; senders that wait go on. Idempotent."""
        self.transport = None
        self._unwatch()
        self._release_all()

    def clear(self) -> None:
        """Drop what is queued."""
        self._queue = None

    @property
    def size(self) -> int:
        """Bytes that wait for the peer to take them."""
        queue = self._queue
        return 0 if queue is None else len(queue)

    @property
    def is_empty(self) -> bool:
        """Whether everything has left, the transport's own bytes included."""
        transport = self.transport
        return not self._queue and (transport is None or not transport.wants_write)

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
            queue is not None
            and (len(queue) >= self._write_limit or self._waiters is not None)
            and opcode < 8
            and not rsv1
        ):
            # Each sender waits before its frame is queued: ten thousand greenlets with a message
            # each would fill the memory otherwise.
            self.check()
            queue = self._queue
        if queue is None:
            queue = self._queue = self._reactor.pool.take()
        append_frame(queue, opcode, payload, rsv1, True)
        if not self.is_dirty:
            self.is_dirty = True
            self._reactor.turn.flush_later(self)
        size = len(queue)
        if size >= _FLUSH_SIZE or size >= self._write_limit:
            if opcode != 8:
                self._flush_early()
        elif self._waiters is not None:
            self._release_next()

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
        self.is_dirty: bool = False
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
            if self.is_awaited:
                self.is_awaited = False
                self._reactor.clock.set(self._alarm, monotonic())

    def _hand_over(self, transport: Transport) -> bool:
        """Returns whether bytes are left that can leave when the descriptor is writable."""
        queue = self._queue
        if queue:
            sent = transport.send(queue)
            if sent is not None:
                self._taken += sent
                if self._watcher is not None:
                    self.taken_at = monotonic()
                if sent == len(queue):
                    self._queue = None
                    self._reactor.pool.put(queue)
                    queue = None
                else:
                    del queue[:sent]
        is_left = bool(queue)
        if self._is_buffering:
            if not is_left and transport.wants_write:
                is_left = not transport.flush()
            # The session flushes a stalled outbox again after its next read.
            self.is_stalled = is_left and transport.wants_read
            is_left = is_left and not self.is_stalled
        return is_left

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
            self._wait_for_room()
            self._release_next()
        self._check_lasting()

    # Senders that wait

    def _wait_for_room(self) -> None:
        """Wait until it is the turn of this sender, and there is room.

        :raises TransportFail: the session has ended meanwhile, or the peer took nothing for
            ``send_timeout`` seconds. As long as it takes some, senders wait on.
        """
        life = self._life
        if getcurrent() is get_hub():
            if not self.is_full:
                return
            raise life.errors.WebSocketUnavailable(
                "the send queue is full, and the hub itself cannot wait"
            )
        room = Room()
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(room)
        try:
            taken = self._taken
            while not room.wait(self._send_timeout):
                if self._taken == taken:
                    self.fail(f"socket fail; nothing was taken for {self._send_timeout:g} s")
                    break
                taken = self._taken
        except BaseException:
            # Killed, or a timeout of the caller's. Its turn, if it had come, is the next one's.
            if not self._forget(room):
                self._release_next()
            raise
        self._check_lasting()

    def _check_lasting(self) -> None:
        """Raise the error of a send whose session ended before the message was queued."""
        life = self._life
        if life.is_forked:
            raise life.refusal()
        if life.reason is not None or self.transport is None:
            raise life.errors.TransportFail("{}", life.reason or "the connection has ended")

    def _forget(self, room: Room) -> bool:
        """Take a sender off the list; False: it is not there any more."""
        waiters = self._waiters
        if waiters is None or room not in waiters:
            return False
        waiters.remove(room)
        if not waiters:
            self._waiters = None
        return True

    def _release_next(self) -> None:
        """Have the sender go on that waits longest; it releases the next, if there is room left."""
        waiters = self._waiters
        if waiters is None or self.is_full:
            return
        waiters.popleft().set()
        if not waiters:
            self._waiters = None
        self._reactor.turn.stay_awake()

    def _release_all(self) -> None:
        """Have all senders that wait go on: the session is over."""
        waiters, self._waiters = self._waiters, None
        if waiters is not None:
            for room in waiters:
                room.set()
            self._reactor.turn.stay_awake()

    def fail(self, reason: str) -> None:
        """Note why the session is over, let senders go, and have the session say so."""
        self.clear()
        self._unwatch()
        self._life.fail(reason)
        self._release_all()
        if self._reactor is not None:
            self._reactor.clock.set(self._alarm, monotonic())

    def _unwatch(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            close_watcher(watcher)
