"""What the sessions of one hub share: the receive buffer, the clock, the end of a turn, and more.

**The receive buffer.** Every session of a hub reads into the same buffer. What it has read is
parsed before anybody else reads, unless a handler switches in the midst of it; then the next
session that wants to read has the first one copy the rest (*detach*). One buffer serves any
number of connections, and only bytes whose handling was interrupted are ever copied.

**The end of a turn.** Frames that were queued during a turn of the loop leave when it ends, by
one system call for each connection. With libev that is a prepare watcher of a lower priority than
gevent's own, which runs the callbacks and greenlets of the turn: it comes after them and right
before the loop waits. libuv knows no priorities; there a callback is scheduled.

**A crowd.** When many descriptors are readable at once, their sessions run one after the other
without the hub in between: each switches to the next when it parks. That is half the switches, and
with thousands of connections most of what they cost is memory that is not in the cache. For the
same reason they do not send one by one, but up to 16 of them in a row.

**Busy polls.** Where peers answer at once, the loop looks for a moment before it sleeps; see
:mod:`.busypoll`.

**A fork.** In a forked child the hub goes on running, on the parent's sockets. So every session of
the process is told, and lets go of its descriptor without a byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from gevent import get_hub, getcurrent
from greenlet import greenlet

from ..native import buffers
from ..protocol.stream import HEADROOM
from .busypoll import BusyPoll
from .clock import Alarm, Clock

# Unbound, so that a switch looks nothing up. gevent's Hub.switch would first ask the current
# greenlet for a switch_out(), which ours has not.
_switch = greenlet.switch

#: Bytes that one read takes at most: the more, the cheaper is each of them.
READ_SIZE = 768 * 1024

# What is read at first, as nobody knows yet how long messages take to handle; and the least.
_FIRST_READ_SIZE = 64 * 1024
_MIN_READ_SIZE = 8 * 1024

# Seconds that it may take to handle what one read has brought; other connections wait meanwhile.
_SLOW_READ = 0.008
_FAST_READ = 0.002

# Sessions woken in one turn that make a crowd, and turns without one until that is forgotten: for
# a few of them, the watcher at the end of a poll costs more than it saves.
_CROWD = 4
_PATIENCE = 16

# Sessions whose frames leave together, at most.
_BATCH = 16

# The lowest priority that libev knows.
_LAST = -2

# Empty buffers for frames that are kept.
_MAX_QUEUES = 16

# Sessions that run one after the other before the hub has a look.
_CHAIN = 64


class Session(Alarm):
    """What a reactor knows of a session: its greenlet, its alarm, and that it has something to
    send. To be subclassed.
    """

    __slots__ = ("_greenlet", "_hub", "_is_dirty", "_is_parked", "_reactor")

    def __init__(self) -> None:
        Alarm.__init__(self)
        self._hub: Any = None
        # There is one as soon as it runs; before that, nothing asks for it.
        self._reactor: Reactor = None  # type: ignore[assignment]
        # The greenlet that waits, or that waited last.
        self._greenlet: Any = None
        self._is_parked = False
        # It has something for flush().
        self._is_dirty = False

    def park(self) -> None:
        """Wait, in the greenlet that calls it, until :meth:`resume` is called."""
        self._greenlet = getcurrent()
        following = self._reactor.pick()
        self._is_parked = True
        try:
            _switch(self._hub if following is None else following._greenlet)
        finally:
            self._is_parked = False

    def resume(self) -> None:
        """Switch to the greenlet that waits, if it does; called in the hub's greenlet."""
        if self._is_parked:
            _switch(self._greenlet)

    def flush(self) -> None:
        """Hand over what is queued, as far as it is taken."""
        raise NotImplementedError

    def detach(self) -> None:
        """Copy what is left in the buffer."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Let go of the connection without a byte."""
        raise NotImplementedError


class Reactor:
    """The shared state of the sessions of one hub. Get it by :func:`get_reactor`."""

    __slots__ = (
        "_calm_turns",
        "_check",
        "_is_armed",
        "_is_crowded",
        "_is_flushing",
        "_next",
        "_nudge",
        "_prepare",
        "_queued",
        "_queues",
        "_ready",
        "_wakes",
        "buffer",
        "busy_poll",
        "clock",
        "holder",
        "is_libuv",
        "loop",
        "read_size",
        "sessions",
        "view",
    )

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.clock = Clock(loop)
        #: What is read into; parsers may write in the HEADROOM bytes before.
        self.buffer = bytearray()
        buffers.extend(self.buffer, HEADROOM + READ_SIZE)  # in C, memory only once it is used
        self.view = memoryview(self.buffer)[HEADROOM:]
        #: Bytes to read at once now.
        self.read_size = _FIRST_READ_SIZE
        #: The session whose bytes are in the buffer and not parsed yet.
        self.holder: Session | None = None
        #: Those that have a transport.
        self.sessions: set[Session] = set()
        self._queued: list[Session] = []
        self._queues: list[bytearray] = []
        self._is_armed = False
        self._is_flushing = False
        self._prepare: Any = None
        self._nudge = loop.timer(0)
        # Those that are readable, and of which the next to be resumed.
        self._ready: list[Session] = []
        self._next = 0
        self._wakes = 0
        self._calm_turns = 0
        self._is_crowded = False
        self._check: Any = None
        #: Whether it is a loop of libuv.
        self.is_libuv = "libev" not in type(loop).__module__
        idle = loop.idle(ref=False)
        #: Whether the loop sleeps as soon as there is nothing to do.
        self.busy_poll = BusyPoll(idle)
        if not self.is_libuv:
            self._prepare = loop.prepare(ref=False)
            # After the watchers of all descriptors that a poll has found ready.
            self._check = loop.check(ref=False)
            # Those of others come first. Set by hand, as the loop made by CFFI forgets what it was
            # told about it before.
            idle.priority = self._prepare.priority = self._check.priority = _LAST

    # Reading

    def borrow(self, session: Session) -> memoryview:
        """Return the buffer to read into; until :meth:`give_back`, ``session`` holds it."""
        holder = self.holder
        if holder is not None and holder is not session:
            holder.detach()
        self.holder = session
        return self.view

    def give_back(self, session: Session) -> None:
        """Tell that what ``session`` read has been parsed."""
        if self.holder is session:
            self.holder = None

    def note_read(self, size: int, seconds: float) -> bool:
        """Take note of how long it took to handle ``size`` bytes of messages.

        A flood whose handler is slow would keep the hub: 12,000 messages fit into one read.

        :returns: whether that was so quick that more may be read at once.
        """
        if size >= self.read_size:
            if seconds > _SLOW_READ:
                # So much as would have taken half of what is slow.
                size = int(self.read_size * _SLOW_READ / 2 / seconds)
                self.read_size = max(size, _MIN_READ_SIZE)
            elif seconds < _FAST_READ:
                self.read_size = min(self.read_size * 2, READ_SIZE)
        return seconds < _FAST_READ

    def add(self, session: Session) -> None:
        """Know a session that has a transport now."""
        self.sessions.add(session)
        if self._prepare is not None and not self._is_armed:
            # Not as late as for the first frame: a watcher that is started by one of the callbacks
            # of a turn misses the end of that turn, and the loop would sleep on the frame.
            self._is_armed = True
            self._prepare.start(self._end_turn)

    def remove(self, session: Session) -> None:
        """Forget a session; with the last one, the watchers stop."""
        self.sessions.discard(session)
        self.give_back(session)
        if self.sessions:
            return
        self.busy_poll.stop()
        if self._is_armed and self._prepare is not None:
            self._prepare.stop()
            self._is_armed = False
            self._queued.clear()
            self._disperse()

    def wake(self, session: Session) -> None:
        """Have ``session``, which is parked, resumed: it is readable. Called by the hub."""
        self._wakes += 1
        if self._is_crowded:
            self._ready.append(session)
        else:
            session.resume()
            if session._is_parked:
                self.busy_poll.note()

    def pick(self) -> Session | None:
        """Return the session to go on with when one parks; None: the hub has to go on."""
        ready = self._ready
        while self._next < len(ready) and self._next % _CHAIN:
            session = ready[self._next]
            self._next += 1
            # Should it have been resumed by another reason, it has seen what there was to read.
            if session._is_parked:
                return session
        return None

    def _resume_ready(self) -> None:
        ready = self._ready
        while self._next < len(ready):
            session = ready[self._next]
            self._next += 1
            session.resume()
        ready.clear()
        self._next = 0

    def _watch_crowd(self) -> None:
        """Begin, or cease, to resume sessions only when all that are readable are known."""
        wakes = self._wakes
        self._wakes = 0
        if not self._is_crowded:
            if wakes >= _CROWD:
                self._is_crowded = True
                self._calm_turns = 0
                self._check.start(self._resume_ready)
        elif wakes >= _CROWD:
            self._calm_turns = 0
        else:
            self._calm_turns += 1
            if self._calm_turns > _PATIENCE:
                self._disperse()

    def _disperse(self) -> None:
        if self._is_crowded:
            self._is_crowded = False
            self._check.stop()
            self._ready.clear()
            self._next = 0

    # The end of a turn

    def take_queue(self) -> bytearray:
        """Return an empty buffer for frames, one that is in the cache if there is."""
        queues = self._queues
        return queues.pop() if queues else bytearray()

    def give_queue(self, queue: bytearray) -> None:
        """Take back a buffer when its frames have left; its memory serves again."""
        if len(self._queues) < _MAX_QUEUES:
            queue.clear()
            self._queues.append(queue)

    def flush_later(self, session: Session) -> None:
        """Have ``session.flush()`` called before this turn of the loop is over."""
        self._queued.append(session)
        if not self._is_armed:
            self._is_armed = True
            self.loop.run_callback(self._flush_once)

    def flush_parking(self, session: Session) -> None:
        """Flush a session that is about to park; in a crowd, together with others.

        To send for many of them in a row, with nothing else in between, takes a sixth off what a
        message costs: the kernel's code stays in the cache.
        """
        if not self._is_crowded:
            session.flush()
        elif len(self._queued) >= _BATCH:
            self._flush()

    def _flush_once(self) -> None:
        self._is_armed = False
        self._flush()

    def _end_turn(self) -> None:
        self._watch_crowd()
        if self._queued:
            self._flush()

    def _flush(self) -> None:
        queued, self._queued = self._queued, []
        self._is_flushing = True
        for session in queued:
            if session._is_dirty:  # it may have flushed when it parked
                session.flush()
        self._is_flushing = False

    def run_callback(self, function: Callable[[], object]) -> None:
        """Have ``function`` called by the hub, soon, wherever in the turn we are."""
        self.loop.run_callback(function)
        self.stay_awake()

    def stay_awake(self) -> None:
        """Do not let the loop sleep on a callback that was scheduled while flushing.

        The callbacks of this turn have run by then, and libev would look at the new one only
        when something else happens.
        """
        if self._is_flushing:
            self._nudge.start(_do_nothing)

    def abandon(self) -> None:
        """Let go of everything: this is a child, and all of it is the parent's."""
        sessions = list(self.sessions)
        if sessions and self.is_libuv:
            # Until then both poll the same set, and to stop a watcher here would deafen the parent.
            self.loop.reinit()
        self.sessions.clear()
        self._queued.clear()
        self._ready.clear()
        self._next = 0
        self.busy_poll.stop()
        self.holder = None
        for session in sessions:
            session.abandon()


def _do_nothing() -> None:
    """Be the callback of a timer that only has to fire."""


_reactors: WeakKeyDictionary[Any, Reactor] = WeakKeyDictionary()


def get_reactor() -> Reactor:
    """Return the reactor of this thread's hub."""
    hub = get_hub()
    reactor = _reactors.get(hub)
    if reactor is None or reactor.loop is not hub.loop:
        reactor = _reactors[hub] = Reactor(hub.loop)
    return reactor


def _abandon_all() -> None:
    for reactor in list(_reactors.values()):
        reactor.abandon()


if hasattr(os, "register_at_fork"):  # not where there are no forks
    os.register_at_fork(after_in_child=_abandon_all)
