"""What is due when, for one session: arithmetic on points in time, without a clock of its own.

All points are seconds of the monotonic clock; :data:`~.clock.NEVER` stands for what is not due at
all. A session sets its one alarm to :meth:`Schedule.next_due`, and asks what is due when it is
rung."""

from __future__ import annotations

from .clock import NEVER

# Seconds by which a rung alarm must be late for its hub to count as blocked. A blocked hub lets no
# ping out and hears no pong: silence is then no fault of the peer's. A hub
# that is merely loaded is late by some 10 ms: 100 ms are ten times that.
_LATE = 0.1

# Whether silence may be our own fault (Schedule._excuse).
_NO = 0  # the hub was not blocked
_MAYBE = 1  # the hub was blocked since bytes were received last
_USED = 2  # for that, the peer was given ping_timeout once more; never again until it is heard


class Schedule:
    """The deadlines and rates of one session."""

    __slots__ = (
        "_excuse",
        "close_due",
        "close_timeout",
        "heard",
        "linger_due",
        "next_ping",
        "next_poll",
        "open_due",
        "ping_rate",
        "ping_timeout",
        "poll",
    )

    def __init__(self) -> None:
        #: Seconds between poll events.
        self.poll: float = NEVER
        #: Seconds between pings.
        self.ping_rate: float = NEVER
        #: Seconds of silence after which the peer counts as gone.
        self.ping_timeout: float = NEVER
        #: Seconds that the peer has to answer a close frame.
        self.close_timeout: float = NEVER
        #: When the opening has taken too long.
        self.open_due: float = NEVER
        #: When the next poll event and the next ping are due.
        self.next_poll: float = NEVER
        self.next_ping: float = NEVER
        #: When the answer to our close frame has taken too long.
        self.close_due: float = NEVER
        #: When the peer has taken too long to end the TCP connection, or the body of a rejection.
        self.linger_due: float = NEVER
        #: When bytes were received last. Kept up to date only with a ping_timeout.
        self.heard: float = 0.0
        self._excuse = _NO

    def begin_opening(self, now: float, open_timeout: float | None) -> None:
        """Have the opening end in ``open_timeout`` seconds; None: no limit."""
        if open_timeout is not None:
            self.open_due = now + open_timeout

    def begin(self, now: float) -> None:
        """Start pings, polls and the watch for silence: the connection is ready."""
        self.open_due = NEVER
        self.heard = now
        self.next_poll = now if self.poll != NEVER else NEVER
        self.next_ping = now + self.ping_rate

    def begin_closing(self, now: float) -> None:
        """Give the peer ``close_timeout`` from now on, unless that runs already."""
        if self.close_due == NEVER:
            self.close_due = now + self.close_timeout

    def begin_lingering(self, now: float, seconds: float) -> None:
        """Have nothing due but the end, in ``seconds``, or ``close_timeout`` if that is less."""
        self.open_due = self.next_poll = self.next_ping = self.close_due = NEVER
        self.ping_timeout = NEVER
        self.linger_due = now + min(seconds, self.close_timeout)

    def note_received(self, now: float) -> None:
        """Take note of received bytes: the peer lives."""
        self.heard = now
        self._excuse = _NO

    def note_taken(self, taken_at: float) -> None:
        """Take note of when the peer last took bytes that had to wait: it lives, as well."""
        if taken_at > self.heard:
            self.heard = taken_at

    def note_rung(self, due: float, now: float) -> None:
        """Take note of an alarm that was due at ``due`` and is rung now."""
        if now - due > _LATE and self._excuse == _NO:
            self._excuse = _MAYBE

    def next_due(self, is_attended: bool) -> float:
        """Return when the alarm has to ring next.

        :param is_attended: whether the greenlet of the session is about to look at everything that
            needs it. Pings are sent without it. So is the end of a closing told, as the greenlet
            may be in a handler that waits until its message is taken.
        """
        if is_attended:
            return min(self.next_ping, self.close_due)
        return min(
            self.next_ping,
            self.open_due,
            self.next_poll,
            self.heard + self.ping_timeout,
            self.close_due,
            self.linger_due,
        )

    def wants_attention(self, now: float) -> bool:
        """Whether something is due that only the greenlet of the session can see to."""
        return (
            now >= self.next_poll
            or now >= self.heard + self.ping_timeout
            or now >= self.open_due
            or now >= self.linger_due
        )

    def take_ping(self, now: float) -> bool:
        """Whether a ping is due; if so, the next one is due in ``ping_rate``."""
        if now < self.next_ping:
            return False
        self.next_ping = now + self.ping_rate
        return True

    def take_poll(self, now: float) -> bool:
        """Whether a poll event is due; if so, the next one is due in ``poll``."""
        if now < self.next_poll:
            return False
        self.next_poll = now + self.poll
        return True

    def take_close(self, now: float) -> bool:
        """Whether the answer to our close frame has taken too long; told once."""
        if now < self.close_due:
            return False
        self.close_due = NEVER
        return True

    def is_silent(self, now: float) -> bool:
        """Whether nothing was received for ``ping_timeout``."""
        return now >= self.heard + self.ping_timeout

    def take_excuse(self, now: float) -> bool:
        """Whether the silence may be our own fault; if so, the peer has its time again, once."""
        if self._excuse != _MAYBE:
            return False
        self._excuse = _USED
        self.heard = now
        return True
