"""The clients of a group, as far as they run in this process on one hub.

A :class:`Herd` has the counts of a :class:`greenws.ClientGroup` and its queue. A client that is in
the group has a :class:`Membership`, tells it where it stands, and lets go of it when it has ended.
The herd refers to no client: its members are found among those that run on the hub.

**The places of openings.** A place is taken while a member stands at CONNECTING, and only
:meth:`Membership.move` changes that. So whatever takes a member away from there frees its place:

============================================== ==================================================
what happens                                   the place is freed by
============================================== ==================================================
the connection is ready                        the event ``ready``, before its handler
it could not be opened, or was refused         the event ``connect_fail`` or ``rejected``, likewise
no session could be made                       that exception, before ``on_error``
a session of others ends without a word        the back-off, or the end of the client
close()                                        the event ``connect_fail``, or the end of the client
kill, GreenletExit, gevent.Timeout, SystemExit the end of the client, when its socket is closed
killed after its turn, and before it ever ran  the end of the client
a start() of the user's own raises             :meth:`Herd.leave`
close() or kill() while it waits for its turn  it leaves the queue at the end of the client
a fork                                         the child begins with a herd of its own
============================================== ==================================================
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Any

from gevent.event import Event

from .admission import Admission, Turn
from .constants import LONGEST_WAIT
from .protocol.traffic import Traffic
from .sessions import forks
from .sessions.roster import Roster

log: logging.Logger = logging.getLogger("greenws.group")


class Standing(enum.IntEnum):
    """Where a member of a group stands."""

    QUEUED = 0  #: not started yet, or waits for its turn to connect
    CONNECTING = 1  #: a connection is being opened, and takes a place
    READY = 2  #: the connection became ready, and has not ended
    MISSED = 3  #: the connection could not be opened
    WAITING = 4  #: the wait before the next connection
    ENDED = 5  #: it has ended
    FAILED = 6  #: it has ended by an exception of a handler, or as it could not connect


# The members by names of the module. To look one up in the class takes ten times as long before
# Python 3.12.
QUEUED, CONNECTING, READY, MISSED, WAITING, ENDED, FAILED = Standing

_FROM_RUNNING = frozenset({WAITING, ENDED, FAILED})

#: The standings that may follow each standing.
STANDING_STEPS: dict[Standing, frozenset[Standing]] = {
    QUEUED: frozenset({CONNECTING, ENDED, FAILED}),
    CONNECTING: _FROM_RUNNING | {READY, MISSED},
    READY: _FROM_RUNNING,
    MISSED: _FROM_RUNNING,
    WAITING: frozenset({QUEUED, CONNECTING, ENDED, FAILED}),
    ENDED: frozenset(),
    FAILED: frozenset(),
}

OnEnd = Callable[[Any], object]


class Membership(Turn):
    """What one client has of its group, from its start to its end."""

    __slots__ = ("has_opened", "herd", "standing")

    def __init__(self, herd: Herd) -> None:
        #: Where the others are.
        self.herd: Herd = herd
        #: Where the client stands.
        self.standing: Standing = QUEUED
        #: Whether a connection of the client became ready.
        self.has_opened: bool = False
        herd.counts[QUEUED] += 1
        herd.present += 1

    @property
    def traffic(self) -> Traffic:
        """Where the connections of the client are counted."""
        return self.herd.traffic

    def move(self, standing: Standing) -> None:
        """Go on to another standing. To leave CONNECTING frees the place."""
        before, herd = self.standing, self.herd
        if standing is before:
            return
        if standing not in STANDING_STEPS[before]:
            raise RuntimeError(f"a member cannot go from {before.name} to {standing.name}")
        self.standing = standing
        herd.counts[before] -= 1
        herd.counts[standing] += 1
        if before is QUEUED:
            herd.admission.withdraw(self)
        elif before is CONNECTING:
            herd.admission.free()
        if herd.settled is not None:
            herd.note_settled()

    def begin(self) -> None:
        """Be told that the turn has come to connect."""
        self.move(CONNECTING)

    @property
    def is_admitted(self) -> bool:
        """Whether the client may open its connection now."""
        return self.standing is CONNECTING

    def ask(self) -> bool:
        """Take a place, if there is one, and nobody waits for it; tell whether that was so."""
        if not self.herd.admission.ask():
            return False
        self.move(CONNECTING)
        return True

    def queue(self, wake: Callable[[], object]) -> None:
        """Queue up for a place. ``wake`` is called when it is taken."""
        self.move(QUEUED)
        self.herd.admission.wait(self, wake)

    def note_ready(self) -> None:
        """Take note that a connection is ready."""
        if self.standing is not CONNECTING:
            return  # a session of others says so twice
        herd = self.herd
        herd.opened += 1
        if self.has_opened:
            herd.reconnects += 1
        self.has_opened = True
        self.move(READY)

    def note_missed(self) -> None:
        """Take note that a connection could not be opened."""
        if self.standing is CONNECTING:
            self.move(MISSED)

    def note_back_off(self) -> None:
        """Take note that the client waits before the next connection."""
        self.move(WAITING)

    def end(self, client: Any, error: BaseException | None, was_asked: bool) -> None:
        """Take note that the client has ended.

        :param error: what came out of a handler, or None.
        :param was_asked: whether somebody has called close() or kill().
        """
        herd = self.herd
        is_failure = error is not None or (self.standing is MISSED and not was_asked)
        if not self.has_opened:
            herd.missed += 1
        self.move(FAILED if is_failure else ENDED)
        herd.take_end(client, error)


class Herd:
    """The members of a group in this process, on one hub.

    :param max_connecting: openings under way; None: no limit.
    :param rate: openings a second; None: no limit.
    :param on_end: called with each client that has ended; None: nobody wants to know.
    """

    __slots__ = (
        "_generation",
        "_over",
        "admission",
        "counts",
        "draining",
        "error",
        "is_error_taken",
        "is_judged",
        "missed",
        "on_end",
        "opened",
        "present",
        "reconnects",
        "roster",
        "settled",
        "traffic",
    )

    def __init__(
        self, max_connecting: int | None, rate: float | None, on_end: OnEnd | None, roster: Roster
    ) -> None:
        #: Those that run on the same hub.
        self.roster: Roster = roster
        self.admission: Admission = Admission(max_connecting, rate)
        self.on_end: OnEnd | None = on_end
        #: The members at each :class:`Standing`; of the ended ones, all there were.
        self.counts: list[int] = [0] * len(Standing)
        #: The connections that became ready; and those that were not their client's first.
        self.opened: int = 0
        self.reconnects: int = 0
        self.traffic: Traffic = Traffic()
        #: The members that have not ended, or whose end ``on_end`` is being told of.
        self.present: int = 0
        #: The members that have ended without a connection since the first of a batch was added;
        #: a batch is what is added between two answers of wait_ready().
        self.missed: int = 0
        self.is_judged: bool = False
        #: The first exception out of a handler; and whether join() has raised it.
        self.error: BaseException | None = None
        self.is_error_taken: bool = False
        #: The drains that are under way.
        self.draining: int = 0
        # Signals: no member is on its way to a connection; none is left. Each is made only when
        # somebody waits for it.
        self.settled: Event | None = None
        self._over: Event | None = None
        self._generation = forks.generation

    @property
    def is_of_parent(self) -> bool:
        """Whether this process is a forked child, and the members are its parent's."""
        return self._generation != forks.generation

    @property
    def unsettled(self) -> int:
        """The members that are on their way to a connection."""
        counts = self.counts
        return counts[QUEUED] + counts[CONNECTING] + counts[MISSED] + counts[WAITING]

    def enter(self) -> Membership:
        """Take in a client that is about to begin."""
        if self.is_judged:
            self.is_judged = False
            self.missed = 0
        if self.is_error_taken:
            self.is_error_taken = False
            self.error = None
        return Membership(self)

    def settle_down(self, roster: Roster) -> None:
        """Belong to another hub from now on: there are no members."""
        self.roster = roster
        self.admission.reset()

    def leave(self, member: Membership) -> None:
        """Take a client out again that could not begin."""
        self.counts[member.standing] -= 1
        self.note_settled()
        self._count_down()

    def take_end(self, client: Any, error: BaseException | None) -> None:
        """Take note that a client has ended, and tell ``on_end``."""
        try:
            if error is not None:
                self._note_error(f"{client!r} has ended by an exception", client, error)
            if self.on_end is not None:
                try:
                    self.on_end(client)
                except Exception as failure:
                    self._note_error(f"on_end failed for {client!r}", client, failure)
        finally:
            self._count_down()

    def _count_down(self) -> None:
        self.present -= 1
        if self._over is not None and not self.present:
            self._over.set()
            self._over = None

    def _note_error(self, what: str, client: Any, error: BaseException) -> None:
        if isinstance(error, Exception):
            websocket = client.websocket
            fields = websocket.tracer.describe(websocket.state.close_code)
            log.error("%s", what, exc_info=error, extra=fields)
        if self.error is None:
            self.error = error

    def wait_settled(self, timeout: float | None) -> bool:
        """Wait until no member is on its way to a connection; in a forked child, no more. Some are
        when this is called.

        :returns: whether that is so.
        """
        if self.settled is None:
            self.settled = Event()
        return self._wait(self.settled, timeout)

    def note_settled(self) -> None:
        """Have those go on that wait for it, if no member is on its way any more."""
        if self.settled is not None and not self.unsettled:
            self.settled.set()
            self.settled = None

    def wait_over(self, timeout: float | None) -> bool:
        """Wait until no member is left, likewise."""
        if self._over is None:
            self._over = Event()
        return self._wait(self._over, timeout)

    def _wait(self, signal: Event, timeout: float | None) -> bool:
        with forks.set_in_child(signal):
            limit = None if timeout is None else min(timeout, LONGEST_WAIT)
            return bool(signal.wait(limit)) and not self.is_of_parent
