"""What the sessions of one hub share.

**The receive buffer.** Every session of a hub reads into the same buffer. What a session has read
is parsed before anybody else reads, unless a handler switches in the midst of it. Then the next
session that wants to read has the first one copy the rest. One buffer serves any number of
connections, and only bytes whose handling was interrupted are ever copied.

**Leaf objects**, each with one job: the clock rings alarms (:mod:`.clock`), the crowd decides who
runs next (:mod:`.crowd`), the rota how long a turn lasts (:mod:`.rota`), the turn has frames leave
when it ends (:mod:`.turn`), the busy poll looks for the answers of quick peers before the loop
sleeps (:mod:`.busypoll`).

**Its end.** A thread refers to its reactor, and each reactor belongs to one hub. When the thread
ends, or when the hub was destroyed, the reactor closes all that is still open, and lets the buffer
go: nobody will ever run those sessions again. gevent tells nobody that a hub was destroyed. So the
next use of one of its connections, or of a new hub, or the end of the thread, closes all of them.

**A fork.** In a forked child the hub goes on running, on the parent's sockets. So every session of
the process is told, and lets go of its descriptor without a byte.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from gevent import get_hub
from gevent.monkey import get_original

from ..native import buffers
from ..protocol.stream import HEADROOM
from . import forks
from .busypoll import BusyPoll
from .clock import Clock, Loop, Watcher
from .crowd import Crowd, Member
from .rota import Rota
from .turn import BufferPool, Turn

#: Bytes that one read takes at most. A larger read costs less for each byte: 768 KiB instead of 512
#: took 64-byte messages from 1.94 to 2.05 times picows.
READ_SIZE = 768 * 1024

# Bytes of the first reads, when nobody knows yet how long messages take to handle; and the least
# that reads shrink to.
_FIRST_READ_SIZE = 64 * 1024
_MIN_READ_SIZE = 8 * 1024

# Seconds that the messages of one read take at most, or the next read is smaller. A session that
# needs longer pauses (the rota sees to that), and the rest of its bytes is copied meanwhile: reads
# shrink so that there is little to copy. Below _FAST_READ, they may grow.
_SLOW_READ = 0.008
_FAST_READ = 0.002

# The lowest priority that libev knows.
_LAST = -2


class HubSession(Member):
    """A session, as far as its reactor knows it. To be subclassed."""

    __slots__ = ("_reactor",)

    def __init__(self) -> None:
        Member.__init__(self)
        # Set when the session begins to run; nothing asks for the reactor before.
        self._reactor: Reactor = None  # type: ignore[assignment]

    def _detach(self) -> None:
        """Copy what is left in the reactor's buffer: another session wants to read into it."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Close the descriptor without a byte: this process is a forked child, and the connection
        belongs to its parent.
        """
        raise NotImplementedError

    def _expire(self) -> None:
        """Close the descriptor: the hub was destroyed, or its thread has ended."""
        raise NotImplementedError


class Deputy:
    """Goes on with a session that rests: none of its greenlets waits. To be subclassed."""

    __slots__ = ()

    def may_rest(self) -> bool:
        """Whether the session can wait without a greenlet now."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on with the session; called in the hub's greenlet in place of a switch to a greenlet
        of the session's.
        """
        raise NotImplementedError

    def take_found(self) -> int:
        """Return what was left to the greenlet that goes on now: a size, as of a read.

        :raises Exception: that is what was left.
        """
        raise NotImplementedError

    def halt(self) -> bool:
        """Have the parser pause that the hub has called; False: it was a greenlet that has."""
        raise NotImplementedError

    def read_on(self) -> bool:
        """Go on after a hold: where the parser was halted, and then with what there is to read.

        Runs in the greenlet that has taken the messages, for as long as the turn lasts.

        :returns: False if a greenlet of the session's has to go on.
        """
        raise NotImplementedError


class Reactor:
    """The shared state of the sessions of one hub. Get it by :func:`get_reactor`.

    :param hub: gevent's hub, of the thread that calls.
    """

    __slots__ = (
        "_process",
        "buffer",
        "busy_poll",
        "clock",
        "crowd",
        "holder",
        "hub",
        "is_libuv",
        "loop",
        "pool",
        "read_size",
        "rota",
        "sessions",
        "spare_ticket",
        "turn",
        "view",
    )

    def __init__(self, hub: Any) -> None:
        #: gevent's hub; None: it is over, and with it this reactor.
        self.hub: Any = hub
        loop = hub.loop
        #: gevent's loop.
        self.loop: Loop = loop
        # The process whose descriptors the sessions have.
        self._process = os.getpid()
        self.clock: Clock = Clock(loop)
        #: Buffers for frames.
        self.pool: BufferPool = BufferPool()
        #: The receive buffer; a parser may write into its first HEADROOM bytes.
        self.buffer: bytearray = bytearray()
        buffers.extend(self.buffer, HEADROOM + READ_SIZE)  # in C, memory only once it is used
        #: The part of the buffer to read into.
        self.view: memoryview = memoryview(self.buffer)[HEADROOM:]
        #: Bytes to read at once now.
        self.read_size: int = _FIRST_READ_SIZE
        #: The session whose bytes are in the buffer and not parsed yet.
        self.holder: HubSession | None = None
        #: A wait that is over, for the next one (:mod:`.mailboxes`); or None.
        self.spare_ticket: Any = None
        #: The sessions that run.
        self.sessions: set[HubSession] = set()
        #: Whether it is a loop of libuv.
        self.is_libuv: bool = "libev" not in type(loop).__module__
        idle = loop.idle(ref=False)
        prepare: Watcher = None
        check: Watcher = None
        if not self.is_libuv:
            prepare = loop.prepare(ref=False)
            check = loop.check(ref=False)
            # Watchers of others come first. The priority is set by hand, as the loop that CFFI
            # makes ignores the argument.
            idle.priority = prepare.priority = check.priority = _LAST
        #: How long a turn lasts, and who goes on in the next one.
        self.rota: Rota = Rota(loop, not self.is_libuv)
        #: Who runs next.
        self.crowd: Crowd = Crowd(check, rota=self.rota, loop=loop)
        #: What leaves at the end of a turn.
        self.turn: Turn = Turn(loop, prepare, self.crowd, self.rota)
        #: Whether the loop sleeps as soon as there is nothing to do.
        self.busy_poll: BusyPoll = BusyPoll(idle)

    def borrow(self, session: HubSession) -> memoryview:
        """Return the buffer to read into; until :meth:`give_back`, ``session`` holds it."""
        holder = self.holder
        if holder is not None and holder is not session:
            holder._detach()
        self.holder = session
        return self.view

    def give_back(self, session: HubSession) -> None:
        """Take note that the bytes of ``session`` in the buffer are parsed."""
        if self.holder is session:
            self.holder = None

    def note_read(self, size: int, seconds: float) -> bool:
        """Take note of how long it took to handle ``size`` bytes of messages.

        12,000 messages fit into one read, and their handler may be slow.

        :returns: whether the handling was so quick that more may be read at once.
        """
        if size >= self.read_size:
            if seconds > _SLOW_READ:
                # Shrink so that, at this rate, one read takes half of _SLOW_READ.
                size = int(self.read_size * _SLOW_READ / 2 / seconds)
                self.read_size = max(size, _MIN_READ_SIZE)
            elif seconds < _FAST_READ:
                self.read_size = min(self.read_size * 2, READ_SIZE)
        return seconds < _FAST_READ

    def note_pause(self) -> None:
        """Take note that a session pauses in the midst of what it has read: that was too much."""
        self.read_size = max(self.read_size // 2, _MIN_READ_SIZE)

    def add(self, session: HubSession) -> None:
        """Take in a session that runs now, so that it is told of a fork."""
        self.sessions.add(session)
        self.turn.start()

    def remove(self, session: HubSession) -> None:
        """Forget a session; with the last one, the watchers stop."""
        self.sessions.discard(session)
        self.give_back(session)
        if not self.sessions:
            self.busy_poll.stop()
            self.turn.stop()

    def forget(self, session: HubSession) -> None:
        """Forget a session of a loop that was destroyed; called in any thread."""
        self.sessions.discard(session)
        self.give_back(session)

    def is_over(self) -> bool:
        """Whether the hub was destroyed, or its thread has ended."""
        return self.hub is None or self.hub.loop is None

    def expire(self) -> None:
        """Close everything: the hub was destroyed, or its thread ends. Idempotent."""
        _reactors.discard(self)
        self.hub = None
        if self._process != os.getpid():
            # A child ends the other threads of its parent before it calls the hooks of a fork.
            self.abandon()
        sessions = list(self.sessions)
        self.sessions.clear()
        forks.call_each([session._expire for session in sessions])
        self.clock.close()
        self.turn.close()
        self.rota.close()
        self.busy_poll.close()
        self.holder = None
        # Whoever keeps a session or a client keeps the reactor, but not its memory.
        self.view = memoryview(b"")
        self.buffer = bytearray()
        self.pool.clear()

    def abandon(self) -> None:
        """Let go of everything: this process is a forked child, and all of it is its parent's."""
        self._process = os.getpid()
        sessions = list(self.sessions)
        self.sessions.clear()
        self.turn.clear()
        self.busy_poll.stop()
        self.holder = None
        try:
            if sessions and self.is_libuv:
                # Parent and child poll the same set of descriptors until the child's loop is made
                # anew: a watcher that is stopped before would be stopped in the parent, too.
                self.loop.reinit()
        finally:
            forks.call_each([session._abandon for session in sessions])


class _Home:
    """What a thread refers to: it goes when the thread ends, and then the reactor is over."""

    __slots__ = ("_is_exiting", "reactor")

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self._is_exiting = sys.is_finalizing  # at the very end, modules lose their names

    def __del__(self) -> None:
        if not self._is_exiting():
            self.reactor.expire()


# In a patched process, _thread._local() is of a greenlet.
class _Thread(get_original("_thread", "_local")):  # type: ignore[misc]
    home: _Home | None = None


_thread = _Thread()

# Those of all threads.
_reactors: set[Reactor] = set()


def get_reactor() -> Reactor:
    """Return the reactor of this thread's hub."""
    hub = get_hub()
    home = _thread.home
    if home is not None and home.reactor.hub is hub:
        return home.reactor
    if home is not None:  # the hub before was destroyed
        home.reactor.expire()
    reactor = Reactor(hub)
    _reactors.add(reactor)
    _thread.home = _Home(reactor)
    return reactor


def _abandon_all() -> None:
    forks.call_each([reactor.abandon for reactor in list(_reactors)])


forks.call_in_child(_abandon_all)
