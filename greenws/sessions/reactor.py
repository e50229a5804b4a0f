"""What the sessions of one hub share: the receive buffer, the end of a turn, the news of a fork.

**The receive buffer.** Every session of a hub reads into the same buffer. What it has read is
parsed before anybody else reads, unless a handler switches in the midst of it; then the next
session that wants to read has the first one copy the rest (*detach*). One buffer serves any
number of connections, and only bytes whose handling was interrupted are ever copied.

**The end of a turn.** Frames that were queued during a turn of the loop leave when it ends, by
one system call for each connection. With libev that is a prepare watcher of a lower priority than
gevent's own, which runs the callbacks and greenlets of the turn: it comes after them and right
before the loop waits. libuv knows no priorities; there a callback is scheduled.

**A fork.** In a forked child the hub goes on running, on the parent's sockets. So every session of
the process is told, and lets go of its descriptor without a byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from gevent import get_hub

from ..protocol.stream import HEADROOM

#: Bytes that one read takes at most.
READ_SIZE = 256 * 1024


class Session(Protocol):
    """What a reactor needs of a session."""

    def detach(self) -> None:
        """Copy what is left in the buffer."""

    def flush(self) -> None:
        """Hand over what is queued, as far as it is taken."""

    def abandon(self) -> None:
        """Let go of the connection without a byte."""


class Reactor:
    """The shared state of the sessions of one hub. Get it by :func:`get_reactor`."""

    __slots__ = (
        "_is_armed",
        "_is_flushing",
        "_nudge",
        "_prepare",
        "_queued",
        "buffer",
        "holder",
        "loop",
        "sessions",
        "view",
    )

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        #: What is read into; parsers may write in the HEADROOM bytes before.
        self.buffer = bytearray(HEADROOM + READ_SIZE)
        self.view = memoryview(self.buffer)[HEADROOM:]
        #: The session whose bytes are in the buffer and not parsed yet.
        self.holder: Session | None = None
        #: Those that have a transport.
        self.sessions: set[Session] = set()
        self._queued: list[Session] = []
        self._is_armed = False
        self._is_flushing = False
        self._prepare: Any = None
        self._nudge = loop.timer(0)
        if "libev" in type(loop).__module__:
            self._prepare = loop.prepare(ref=False, priority=loop.MINPRI)

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

    def add(self, session: Session) -> None:
        """Know a session that has a transport now."""
        self.sessions.add(session)
        if self._prepare is not None and not self._is_armed:
            # Not as late as for the first frame: a watcher that is started by one of the callbacks
            # of a turn misses the end of that turn, and the loop would sleep on the frame.
            self._is_armed = True
            self._prepare.start(self._flush)

    def remove(self, session: Session) -> None:
        """Forget a session; with the last one, the watcher stops."""
        self.sessions.discard(session)
        self.give_back(session)
        if not self.sessions and self._is_armed and self._prepare is not None:
            self._prepare.stop()
            self._is_armed = False
            self._queued.clear()

    def flush_later(self, session: Session) -> None:
        """Have ``session.flush()`` called before this turn of the loop is over."""
        self._queued.append(session)
        if not self._is_armed:
            self._is_armed = True
            self.loop.run_callback(self._flush_once)

    def _flush_once(self) -> None:
        self._is_armed = False
        self._flush()

    def _flush(self) -> None:
        if self._queued:
            queued, self._queued = self._queued, []
            self._is_flushing = True
            for session in queued:
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
        self.sessions.clear()
        self._queued.clear()
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
