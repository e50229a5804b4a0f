"""Where a session stands: one state, one table of the steps between states, and why it ends.

::

    NEW -> DIALING -> UPGRADING -> READY -> CLOSING -> LINGERING -> ENDED
              ^           |
              +-----------+ a redirect leads elsewhere

Any of them may go to FAILED or DROPPED, as another greenlet, or the hub, can end a session at any
moment. The greenlet that runs the session sees the new state when it is woken, yields the event
with the reason, and goes on to ENDED.
Any of them may go to FORKED: the process is a child, and the connection belongs to its parent.
"""

from __future__ import annotations

import enum
from types import ModuleType

from . import threads


class SessionLife(enum.IntEnum):
    """The states of a session."""

    NEW = 0  #: run() has not begun
    DIALING = 1  #: on the way to the server: name, address, proxy, TLS
    UPGRADING = 2  #: the request is out, its answer is awaited
    READY = 3  #: messages go both ways
    CLOSING = 4  #: our close frame is queued or out
    LINGERING = 5  #: the server has to end the TCP connection (RFC 6455 section 7.1.1)
    FAILED = 6  #: there is a reason to end, which run() has not yielded yet
    DROPPED = 7  #: close() has closed the socket, and run() has not yielded the end yet
    ENDED = 8  #: nothing is open any more; run() is over, or yields its last event
    FORKED = 9  #: the connection belongs to the parent process


_FROM_ANYWHERE = frozenset(
    {SessionLife.FAILED, SessionLife.DROPPED, SessionLife.ENDED, SessionLife.FORKED}
)

#: The states that may follow each state.
SESSION_STEPS: dict[int, frozenset[SessionLife]] = {
    SessionLife.NEW: _FROM_ANYWHERE | {SessionLife.DIALING},
    SessionLife.DIALING: _FROM_ANYWHERE | {SessionLife.UPGRADING},
    SessionLife.UPGRADING: _FROM_ANYWHERE
    | {SessionLife.DIALING, SessionLife.READY, SessionLife.LINGERING},
    SessionLife.READY: _FROM_ANYWHERE | {SessionLife.CLOSING, SessionLife.LINGERING},
    SessionLife.CLOSING: _FROM_ANYWHERE | {SessionLife.LINGERING},
    SessionLife.LINGERING: _FROM_ANYWHERE,
    SessionLife.FAILED: frozenset({SessionLife.DROPPED, SessionLife.ENDED, SessionLife.FORKED}),
    SessionLife.DROPPED: frozenset({SessionLife.ENDED, SessionLife.FORKED}),
    SessionLife.ENDED: frozenset(),
    SessionLife.FORKED: frozenset(),
}

#: The states as plain numbers: the compiled build keeps the state as a C integer, and to look a
#: member up in its class takes ten times as long before Python 3.12.
NEW, DIALING, UPGRADING, READY, CLOSING, LINGERING, FAILED, DROPPED, ENDED, FORKED = map(
    int, SessionLife
)

# These second names are C numbers when compiled; modules import the first.
_READY, _FAILED, _ENDED, _FORKED = READY, FAILED, ENDED, FORKED

# The table once more, a bit for each state that may follow: a step costs no look-up of an object.
_MASKS: tuple[int, ...] = tuple(
    sum(1 << after for after in SESSION_STEPS[before]) for before in SessionLife
)

#: Why a child may not use a connection.
OF_THE_PARENT = "the connection belongs to the parent process"

#: Why another thread may not.
ELSEWHERE = (
    "the connection belongs to the hub of another thread; call it there, by "
    "hub.loop.run_callback_threadsafe"
)


class Lifecycle:
    """The state of one session, the reason of its end, and the close codes of both sides.

    The codes are kept here, too, as a session also drives lomond's WebSockets, which keep none.

    :param errors: the module of the errors that refusals are made of: ours or lomond's.
    """

    __slots__ = (
        "close_code",
        "close_reason",
        "errors",
        "is_upgraded",
        "reason",
        "sent_code",
        "sent_reason",
        "state",
        "thread",
    )

    def __init__(self, errors: ModuleType) -> None:
        self.errors: ModuleType = errors
        #: The number of the thread that runs the session; 0: the session does not run yet.
        self.thread: int = 0
        #: A member of :class:`SessionLife`.
        self.state: int = 0
        #: Whether the upgrade has succeeded: received bytes are frames.
        self.is_upgraded: bool = False
        #: Why the session ends; None: it does not end yet. The first reason counts.
        self.reason: str | None = None
        #: The close code received, 1005 for an empty close frame; None: no close frame.
        self.close_code: int | None = None
        #: The reason in the close frame received; may be empty.
        self.close_reason: str = ""
        #: The close code sent, 1005 for an empty close frame; None: no close frame was sent.
        self.sent_code: int | None = None
        #: The reason in our close frame, if the peer had not closed before; may be empty.
        self.sent_reason: bytes = b""

    def step(self, state: int) -> None:
        """Go on to another state.

        :raises RuntimeError: the table does not have this step. That is a fault of greenws.
        """
        mask = _MASKS[self.state]
        if not (mask >> state) & 1:
            before, after = SessionLife(self.state), SessionLife(state)
            raise RuntimeError(f"a session cannot go from {before.name} to {after.name}")
        self.state = state
        if state == _READY:
            self.is_upgraded = True

    def fail(self, reason: str) -> None:
        """Note why the session ends. The first reason counts."""
        if self.reason is None:
            self.reason = reason
        if self.state < _FAILED:
            self.step(_FAILED)

    def has_ended(self) -> bool:
        """Whether this process has nothing open any more for the session."""
        return self.state >= _ENDED

    def is_forked(self) -> bool:
        """Whether the connection belongs to the parent process."""
        return self.state == _FORKED

    def reason_of_peer(self) -> str:
        """The reason in the close frame received; empty if the frame only echoes ours."""
        is_echo = self.close_reason.encode("utf-8", "replace") == self.sent_reason
        return "" if is_echo else self.close_reason

    def is_shaken(self) -> bool:
        """Whether the closing handshake is complete: a close frame went each way."""
        return self.close_code is not None and self.sent_code is not None

    def is_elsewhere(self) -> bool:
        """Whether the caller is in another thread than the session."""
        return bool(self.thread) and self.thread != threads.get_ident()

    def refusal(self) -> Exception:
        """Return the error for a call that cannot be served now, or not from here."""
        name, message = self._explain()
        # lomond's errors take the message for a template in any case.
        error: Exception = getattr(self.errors, name)("{}", message)
        return error

    def _explain(self) -> tuple[str, str]:
        if self.state == _FORKED:
            return "WebSocketUnavailable", OF_THE_PARENT
        if self.is_elsewhere():
            return "WebSocketUnavailable", ELSEWHERE
        if self.reason is not None:
            return "TransportFail", self.reason
        if self.sent_code is not None and self.state < ENDED:
            return "WebSocketClosing", "data not sent; the websocket is closing"
        if self.is_upgraded or self.state >= _ENDED:
            return "WebSocketClosed", "data not sent; the connection has ended"
        return "WebSocketUnavailable", "data not sent; not connected"
