"""The connections of a load run: each kind knows in its own way which message is a reply.

A connection in the *closed* loop sends its next message after the reply to the one before, at once
or after a pause. In the *open* loop the clock says when a message is due, whatever the server does,
and a latency counts from then. So a server that stalls is charged with the messages that a client
in the closed loop would not have sent meanwhile (coordinated omission).
"""

from __future__ import annotations

import enum
import sys
from collections import deque
from collections.abc import Hashable
from random import uniform
from time import perf_counter

from ... import events
from ...client import Client, ClientOptions
from ...constants import WRITE_LIMIT
from ...errors import WebSocketError
from ...sessions.session import GeventSession
from .messages import Key, Messages
from .options import ECHO, LoadOptions
from .pacer import Pacer
from .tally import Portion

#: The time limit for the closing handshakes of all connections together, in seconds.
CLOSE_TIMEOUT = 5.0


class Stage(enum.Enum):
    """The stage of one connection. A connection only moves downwards in this list."""

    CONNECTING = enum.auto()
    #: The connection is open, and waits for the other connections.
    READY = enum.auto()
    #: The connection exchanges messages.
    TALKING = enum.auto()
    #: All messages of the connection have come back.
    DONE = enum.auto()
    #: The connection counts as a failure, or the run is over.
    OVER = enum.auto()


# To look it up in the class takes ten times as long before Python 3.12.
TALKING = Stage.TALKING


class Run:
    """What the clients of a run have in common, and whom they tell."""

    def __init__(self, options: LoadOptions) -> None:
        self.options: LoadOptions = options
        #: The number of messages on each connection.
        self.messages_each: int = sys.maxsize if options.messages is None else options.messages
        self.messages: Messages = options.make_messages()
        #: The message, if all are the same.
        self.fixed: str | bytes | None = self.messages.fixed
        #: The seconds from a message to the next on one connection, in the open loop; else 0.0.
        self.period: float = 1 / options.message_rate if options.message_rate else 0.0
        #: The limits of the pause between a reply and the next message; None: none.
        self.think: tuple[float, float] | None = options.think
        #: Whether a reply is the echo of its message; if not, what its key is.
        self.is_echo: bool = options.expect == ECHO
        self.key: Key = Key(options.expect)
        self.pacer: Pacer = Pacer()
        #: What has happened since the last report.
        self.portion: Portion = Portion()
        #: The latencies since then, and how late messages were sent.
        self.latencies: list[float] = []
        self.delays: list[float] = []
        #: When the last reply came.
        self.last_reply: float = 0.0

    def begin_messages(self, start: float) -> None:
        """Note that the first message is sent now."""
        self.last_reply = start

    def take_portion(self) -> Portion:
        """Return what has happened since the last time."""
        portion, self.portion = self.portion, Portion()
        latencies, self.latencies = self.latencies, []
        delays, self.delays = self.delays, []
        portion.latencies.add(latencies)
        portion.delays.add(delays)
        portion.replies = len(latencies)
        return portion

    def record_ready(self, client: LoadClient, seconds: float, now: float) -> None:
        """Record that a connection is open, and how long its opening took."""
        raise NotImplementedError

    def record_done(self, client: LoadClient) -> None:
        """Record that all messages of a connection have come back."""
        raise NotImplementedError

    def record_wrong(self, client: LoadClient) -> None:
        """Record that a connection has got a message that is not the reply."""
        raise NotImplementedError

    def record_failure(self, client: LoadClient, reason: str) -> None:
        """Record the failure of a connection or of its opening; only the first reason counts."""
        raise NotImplementedError

    def record_end(self, client: LoadClient, reason: str) -> None:
        """Record the end of a connection that was open."""
        raise NotImplementedError


class LoadClient(Client):
    """The client of one connection of a run.

    :param number: the number of the connection in the whole run, from 0.
    """

    close_timeout: float | None = CLOSE_TIMEOUT

    def __init__(self, run: Run, url: str, options: ClientOptions, number: int) -> None:
        super().__init__(url, **options)
        self.stage: Stage = Stage.CONNECTING
        self.number: int = number
        self._load = run
        # The messages that are still to be sent, and the number of the last one.
        self._unsent = run.messages_each
        self._count = 0
        self._started_at = 0.0
        # When the next message is due; in the open loop only.
        self._next_due = 0.0

    # The exchange

    def begin(self, now: float, first_due: float) -> None:
        """Begin to exchange messages.

        :param first_due: when the first message is due; in the open loop only.
        """
        self.stage = TALKING
        load = self._load
        if not self._unsent:
            load.record_done(self)
        elif load.period:
            self._next_due = first_due
            load.pacer.add(first_due, self.keep_pace)
        else:
            self.send_next(now)

    def finish(self, end: float) -> None:
        """Send no more than what was due before the end, and wait for the replies on their way."""
        load = self._load
        if load.period and self.stage is TALKING:
            self._send_due(end)
            if self._unsent and self._next_due <= end:
                due = int((end - self._next_due) / load.period) + 1
                load.portion.missed += min(self._unsent, due)
        self._unsent = 0
        if self.stage is TALKING and not self.waiting_since():
            load.record_done(self)

    def send_next(self, due: float) -> None:
        """Send a message.

        :param due: when its latency begins.
        """
        load = self._load
        self._unsent -= 1
        message = load.fixed
        if message is None:
            self._count += 1
            message = load.messages.build(self.number, self._count)
        self._expect(message, due)
        try:
            if isinstance(message, str):
                self.send_text(message)
            else:
                self.send_binary(message)
        except WebSocketError:
            pass  # the connection is ending, and on_close reports the cause

    def keep_pace(self, time: float) -> float:
        """Send what is due, in the open loop.

        :returns: when to call again; 0.0: never.
        """
        if self.stage is not TALKING:
            return 0.0
        self._send_due(perf_counter())
        return time + self._load.period if self._unsent else 0.0

    def _send_due(self, limit: float) -> None:
        """Send what was due at a time, as far as there is room."""
        load = self._load
        while self._unsent and self._next_due <= limit and self._has_room():
            due = self._next_due
            self._next_due = due + load.period
            load.delays.append(perf_counter() - due)
            self.send_next(due)

    def _has_room(self) -> bool:
        # The pacer sends for all connections, so none of them may keep it waiting.
        session = self.websocket.session
        return (
            isinstance(session, GeventSession)
            and session.queued_bytes < WRITE_LIMIT // 2
            and self._count_waiting() < self._load.options.in_flight
        )

    def _send_late(self, time: float) -> float:
        """Send after a pause; called by the pacer."""
        if self.stage is TALKING and self._unsent:
            self.send_next(perf_counter())
        return 0.0

    def _go_on(self, now: float) -> None:
        """Go on after a reply."""
        load = self._load
        if load.period:
            if self._unsent:
                if self._next_due <= now:
                    self._send_due(now)
            elif not self._count_waiting():
                load.record_done(self)
        elif not self._unsent:
            load.record_done(self)
        elif load.think is not None:
            load.pacer.add(now + uniform(*load.think), self._send_late)
        else:
            self.send_next(now)

    # What each kind knows

    def _expect(self, message: str | bytes, due: float) -> None:
        """Note that a reply is expected."""
        raise NotImplementedError

    def _count_waiting(self) -> int:
        """Count the messages that have no reply yet."""
        raise NotImplementedError

    def waiting_since(self) -> float:
        """Return the time from which the oldest message waits for its reply; 0.0: none does."""
        raise NotImplementedError

    def _take(self, message: str | bytes) -> None:
        """Take a message of the server."""
        raise NotImplementedError

    # The events

    def on_connecting(self, event: events.Connecting) -> None:
        self._started_at = perf_counter()
        self._load.portion.started += 1

    def on_ready(self, event: events.Ready) -> None:
        now = perf_counter()
        self._load.record_ready(self, now - self._started_at, now)

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        self._load.record_failure(self, event.reason)

    def on_rejected(self, event: events.Rejected) -> None:
        self._load.record_failure(self, f"rejected: {event.reason}")

    def on_text(self, event: events.Text) -> None:
        if self.stage is TALKING:
            self._take(event.text)

    def on_binary(self, event: events.Binary) -> None:
        if self.stage is TALKING:
            self._take(event.data)

    def on_protocol_error(self, event: events.ProtocolError) -> None:
        self._load.record_failure(self, f"the server violated the protocol: {event.error}")

    def on_close(self, event: events.Disconnected) -> None:
        self._load.record_end(self, f"{event.reason} (code {event.code})")

    def on_error(self, error: Exception) -> None:
        self._load.record_failure(self, f"{type(error).__name__}: {error}")
        self.close()


class TurnClient(LoadClient):
    """One message at a time; the reply is its echo, or any message."""

    def __init__(self, run: Run, url: str, options: ClientOptions, number: int) -> None:
        super().__init__(run, url, options, number)
        # When the latency of the message began that has no reply yet; 0.0: there is none.
        self._due = 0.0
        # The text of the reply; None: any.
        self._awaited: str | bytes | None = None

    def _expect(self, message: str | bytes, due: float) -> None:
        self._due = due
        if self._load.is_echo:
            self._awaited = message

    def _count_waiting(self) -> int:
        return 1 if self._due else 0

    def waiting_since(self) -> float:
        return self._due

    def _take(self, message: str | bytes) -> None:
        now = perf_counter()
        due = self._due
        load = self._load
        if not due or (self._awaited is not None and message != self._awaited):
            if load.is_echo:
                load.record_wrong(self)
            return
        load.latencies.append(now - due)
        load.last_reply = now
        if self._unsent and load.think is None:
            self.send_next(now)
        else:
            self._due = 0.0
            self._go_on(now)


class QueueClient(LoadClient):
    """Many messages at a time; replies come in the order of the messages."""

    def __init__(self, run: Run, url: str, options: ClientOptions, number: int) -> None:
        super().__init__(run, url, options, number)
        # The messages without a reply, each with the time from which its latency counts.
        self._waiting: deque[tuple[float, str | bytes]] = deque()

    def _expect(self, message: str | bytes, due: float) -> None:
        self._waiting.append((due, message))

    def _count_waiting(self) -> int:
        return len(self._waiting)

    def waiting_since(self) -> float:
        return self._waiting[0][0] if self._waiting else 0.0

    def _take(self, message: str | bytes) -> None:
        now = perf_counter()
        load = self._load
        if not self._waiting or (load.is_echo and message != self._waiting[0][1]):
            if load.is_echo:
                load.record_wrong(self)
            return
        load.latencies.append(now - self._waiting.popleft()[0])
        load.last_reply = now
        self._go_on(now)


class KeyClient(LoadClient):
    """Replies come in any order, among other messages; a field tells what they reply to."""

    def __init__(self, run: Run, url: str, options: ClientOptions, number: int) -> None:
        super().__init__(run, url, options, number)
        # When the latencies of the messages began that have no reply yet, by their keys.
        self._waiting: dict[Hashable, float] = {}

    def _expect(self, message: str | bytes, due: float) -> None:
        self._waiting[self._load.key.find(message)] = due

    def _count_waiting(self) -> int:
        return len(self._waiting)

    def waiting_since(self) -> float:
        return next(iter(self._waiting.values()), 0.0)

    def _take(self, message: str | bytes) -> None:
        now = perf_counter()
        load = self._load
        due = self._waiting.pop(load.key.find(message), 0.0)
        if due:
            load.latencies.append(now - due)
            load.last_reply = now
            self._go_on(now)


class SilentClient(LoadClient):
    """No message is a reply."""

    def _expect(self, message: str | bytes, due: float) -> None:
        load = self._load
        load.last_reply = perf_counter()
        if load.think is not None and self._unsent:
            load.pacer.add(due + uniform(*load.think), self._send_late)
        elif not self._unsent:
            load.record_done(self)

    def _count_waiting(self) -> int:
        return 0

    def waiting_since(self) -> float:
        return 0.0

    def _take(self, message: str | bytes) -> None:
        pass  # it is counted as one of the others
