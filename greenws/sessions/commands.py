"""What others tell a session: to go on, and to end.

:class:`.session.GeventSession` adds the half that runs, the loop of one greenlet. The methods of
this module are called by other greenlets, handlers, the hub, the garbage collector and forked
children.

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
_expire()          the connection of a hub that is over       the reactor
_let_go()          the socket and its watchers                all of the above
_release()         everything; the last one                   whoever ends the iteration, in any
                                                              thread; fork hook; reactor
================== ========================================== ==================================

**Who keeps whom.** Loop, clock and reactor keep a session that runs. Such a session does not keep
its WebSocket: the iteration does. So an iteration that was abandoned can be collected, though its
WebSocket refers to it, by a headers callback for example. The end of the iteration is the end of
the session. The garbage collector may run in another thread than the hub.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from ..native import ticks
from ..protocol.traffic import Traffic
from .approach import Approach
from .clock import NEVER
from .contract import DrivenWebSocket
from .inbox import Inbox
from .lifecycle import DIALING, DROPPED, ENDED, FORKED, Lifecycle
from .lomond import adapt_websocket
from .outbox import Outbox
from .reactor import Deputy, HubSession
from .schedule import Schedule
from .transport import Transport

# The reasons for an end by force_disconnect(), after and before the upgrade.
_FORCED = "disconnected; forced"
_GIVEN_UP = "given up by the user"

#: Why a session ends whose hub was destroyed.
HUB_IS_OVER = "the hub of this connection was destroyed"


def _refer(value: Any) -> Callable[[], Any]:
    """Return a weak reference to a WebSocket, or a strong one to what allows no weak one."""
    try:
        return ref(value)
    except TypeError:
        return lambda: value


class CommandedSession(HubSession):
    """The half of a session that others call. To be subclassed.

    :param websocket: a :class:`~greenws.WebSocket`, or lomond's.
    """

    __slots__ = (
        "_approach",
        "_attention",
        "_deputy",
        "_failure",
        "_given",
        "_has_paused",
        "_inbox",
        "_is_held",
        "_is_left",
        "_kept",
        "_life",
        "_outbox",
        "_reference",
        "_schedule",
        "_start_time",
    )

    def __init__(self, websocket: Any) -> None:
        HubSession.__init__(self)
        driven = adapt_websocket(websocket)
        # The WebSocket that made this session, ours or lomond's, and what the session drives.
        self._given = _refer(websocket)
        self._reference = self._given if driven is websocket else _refer(driven)
        # The latter again, kept alive; None while the iteration keeps it.
        self._kept: DrivenWebSocket | None = driven
        # Whether the iteration was left in the midst of its events.
        self._is_left = False
        self._life = Lifecycle(driven.errors)
        self._schedule = Schedule()
        self._inbox = Inbox()
        self._outbox = Outbox(self._life, driven.write_limit, driven.send_timeout)
        # The dial that is under way, where only an exception reaches the greenlet; or None.
        self._approach: Approach | None = None
        # When the session became ready, in seconds of the monotonic clock; 0.0: not yet.
        self._start_time = 0.0
        # Whether the greenlet has to call _attend: something other than bytes came up.
        self._attention = False
        # Whether reading has stopped until _go_on() is called.
        self._is_held = False
        # Whether the handling of what was read last had to pause.
        self._has_paused = False
        # Before the upgrade, why reading has failed: a whole rejection that was read before counts
        # first. Or None.
        self._failure: Exception | None = None
        # What goes on with the session while it rests; None: it never does.
        self._deputy: Deputy | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._get_websocket()!r}>"

    @property
    def websocket(self) -> Any:
        """The WebSocket that made this session; None if it is gone."""
        return self._given()

    def _get_websocket(self) -> DrivenWebSocket:
        """Return what the session drives. Outside of the iteration it may be gone, and be None: a
        look at :meth:`_has_websocket` comes first.
        """
        websocket = self._kept
        return self._reference() if websocket is None else websocket

    def _has_websocket(self) -> bool:
        return self._kept is not None or self._reference() is not None

    @property
    def is_running(self) -> bool:
        """Whether the iteration has begun, and holds, or will hold, an open connection."""
        return self._life.thread != 0 and self._life.state < DROPPED

    @property
    def is_forced(self) -> bool:
        """Whether :meth:`force_disconnect` is the reason for the end."""
        return self._life.reason in (_FORCED, _GIVEN_UP)

    def _has_broken(self) -> bool:
        """Whether the connection was found broken by a write."""
        return self._outbox.has_failed

    @property
    def session_time(self) -> float:
        """Seconds since the WebSocket became ready; 0.0 before."""
        return ticks.precise() - self._start_time if self._start_time else 0.0

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to take them."""
        return self._outbox.size

    def _count(self, traffic: Traffic) -> None:
        """Have messages and bytes counted. Called before the iteration begins."""
        self._inbox.count(traffic)
        self._outbox.count(traffic)

    # Going on

    def _arm(self) -> None:
        """Set the alarm for what is due first."""
        due = NEVER if self._life.has_ended() else self._schedule.next_due(self._attention)
        self._reactor.clock.set(self, due)

    def _wake(self) -> None:
        """Have the greenlet look at ``_attention``. Safe anywhere in this thread."""
        self._attention = True
        if self._is_parked or self._is_resting or self._approach is not None:
            self._reactor.turn.run_callback(self._wake_now)

    def _wake_now(self) -> None:
        # Things may have changed since the callback was scheduled.
        if self._is_parked or self._is_resting:
            self._resume()
        elif self._approach is not None and self._life.state != DIALING:
            self._approach.interrupt()

    def _resume(self) -> None:
        """Go on; called in the hub's greenlet."""
        if self._is_resting:
            assert self._deputy is not None
            self._deputy.resume()
        else:
            HubSession._resume(self)

    # Ending; see the table on top

    def close(self) -> None:
        """Close the socket; the iteration ends. Returns at once; idempotent."""
        life = self._life
        if life.is_elsewhere():
            if self._is_left:
                return  # the WebSocket knows that nobody reads on; _release() is about to follow
            raise life.refusal()
        if self._is_over():
            return
        self._let_go()
        if not life.has_ended():
            if life.state != DROPPED:
                life.step(DROPPED)
            self._wake()

    def force_disconnect(self) -> None:
        """Have the connection dropped, without a closing handshake. Returns at once."""
        life = self._life
        if life.is_forked() or life.is_elsewhere():
            raise life.refusal()
        if self._is_over():
            return
        self._outbox.flush()
        self._fail(_FORCED if life.is_upgraded else _GIVEN_UP)

    def _fail(self, reason: str) -> None:
        """Note why the session is over, and have the greenlet yield it."""
        if not self._life.has_ended():
            self._outbox.fail(reason)
            self._wake()

    def _abandon(self) -> None:
        """Let go of the connection without a byte: this is a forked child, and it is not ours."""
        if not self._life.has_ended():
            self._life.step(FORKED)
        self._attention = True
        if self._approach is not None:
            self._wake()
        try:
            if self._has_websocket():
                stream = self._get_websocket().parser
                if stream is not None:
                    stream.close()  # what is left of a chunk is the parent's, too
        finally:
            self._release()

    def _expire(self) -> None:
        """End without a byte: no loop will ever run this session again."""
        self._life.fail(HUB_IS_OVER)
        self._release()

    def _is_over(self) -> bool:
        """Whether the hub was destroyed; if so, all of its sessions end."""
        reactor = self._reactor
        if reactor is None or not reactor.is_over():
            return False
        reactor.expire()
        return True

    def _detach(self) -> None:
        """Copy what is left of the reactor's buffer: another session wants to read into it."""
        if self._has_websocket():
            stream = self._get_websocket().parser
            if stream is not None:
                stream.detach()

    def _let_go(self) -> None:
        """Close the transport and all that watches it; idempotent."""
        transport = self._outbox.transport  # the inbox reads from the same one
        try:
            self._inbox.close()
        finally:
            try:
                self._outbox.close()
            finally:
                if transport is not None:
                    self._close_transport(transport)

    def _close_transport(self, transport: Transport) -> None:
        try:
            if self._has_websocket():
                tracer = self._get_websocket().tracer
                if tracer.meter is transport:  # type: ignore[comparison-overlap]
                    tracer.meter = None
        finally:
            transport.close()

    def _release(self) -> None:
        """End the session: close everything, and wake every sender that waits; idempotent."""
        life = self._life
        if life.state == ENDED:
            return
        if not life.is_forked():
            if life.is_elsewhere() and self._hand_over():
                return
            life.step(ENDED)
        self._deputy = self._failure = None
        self._is_held = False
        try:
            self._let_go()
        finally:
            self._outbox.clear()
            self._leave()
        # If the websocket was connected again before this iteration was dropped, its present
        # connection is not ours.
        if life.is_forked() or not self._has_websocket():
            return
        websocket = self._kept = self._get_websocket()
        if websocket.is_driven_by(self):
            websocket.on_disconnect()
            # It keeps its session: a cycle would be left to the garbage collector.
            self._kept = None

    def _hand_over(self) -> bool:
        """Have the hub, which is another thread's, release the session: nobody else may touch its
        watchers.

        :returns: False: the hub is over, and nothing watches any more.
        """
        loop = self._hub.loop
        if loop is None:
            return False
        try:
            loop.run_callback_threadsafe(self._release)
        except Exception:
            return False  # the loop was destroyed just now; each kind has an error of its own
        return True

    def _leave(self) -> None:
        """Be no session of the reactor's any more."""
        reactor = self._reactor
        if reactor is None:
            return
        if self._life.is_elsewhere() and not self._life.is_forked():
            reactor.forget(self)  # its loop is over, as _hand_over() has found
        elif reactor.is_over():
            reactor.expire()
        else:
            reactor.clock.set(self, NEVER)
            reactor.remove(self)


def count_session(session: CommandedSession, traffic: Traffic) -> None:
    """Have messages and bytes of a session counted whose iteration has not begun."""
    session._count(traffic)
