"""The counts of a load run: of the whole, and of each second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from time import perf_counter

from .histogram import Histogram

# The points of the series. When there are more, neighbours are joined, and each of them stands for
# twice the time: the memory does not grow with the length of the run.
_MAX_POINTS = 600


@dataclass
class Portion:
    """What has happened in a part of a run. All counts add up, over time and over processes."""

    #: The second of the run, from 0.
    second: int = 0
    #: Connections whose opening has begun, that became ready, and that have ended after that.
    started: int = 0
    connected: int = 0
    closed: int = 0
    #: Openings that have failed.
    unopened: int = 0
    #: The number of failed connections by reason; a connection fails once.
    failures: Counter[str] = field(default_factory=Counter)
    #: Messages that were sent, and that came back as replies, and that came without being one.
    sent: int = 0
    replies: int = 0
    others: int = 0
    #: Messages that were due by the message rate, and were never sent.
    missed: int = 0
    #: Bytes before encryption, with openings and heads of frames.
    bytes_sent: int = 0
    bytes_received: int = 0
    #: The times of openings, of replies, and from when a message was due to when it was sent.
    openings: Histogram = field(default_factory=Histogram)
    latencies: Histogram = field(default_factory=Histogram)
    delays: Histogram = field(default_factory=Histogram)
    #: The growth of the memory, in bytes.
    memory: int = 0
    #: The seconds from the first opening to the last answer, and from the first message to the
    #: last reply. Of several processes, the longest counts.
    connect_seconds: float = 0.0
    message_seconds: float = 0.0

    def merge(self, other: Portion) -> None:
        """Add the counts of another portion."""
        self.started += other.started
        self.connected += other.connected
        self.closed += other.closed
        self.unopened += other.unopened
        if other.failures:
            self.failures.update(other.failures)
        self.sent += other.sent
        self.replies += other.replies
        self.others += other.others
        self.missed += other.missed
        self.bytes_sent += other.bytes_sent
        self.bytes_received += other.bytes_received
        self.openings.merge(other.openings)
        self.latencies.merge(other.latencies)
        self.delays.merge(other.delays)
        self.memory += other.memory
        self.connect_seconds = max(self.connect_seconds, other.connect_seconds)
        self.message_seconds = max(self.message_seconds, other.message_seconds)

    @property
    def failed(self) -> int:
        """The number of failed connections."""
        return self.failures.total()


@dataclass
class Point:
    """One point of the series: some seconds, and what stood at their end."""

    #: The first second.
    second: int
    seconds: int
    #: The connections that are open at the end.
    open: int
    portion: Portion

    def join(self, later: Point) -> None:
        """Take the next point in."""
        self.seconds += later.seconds
        self.open = later.open
        self.portion.merge(later.portion)


class Tally:
    """The counts of one run, which grow by the portions of its processes.

    :param connections: the connections that are wanted.
    :param messages_each: the messages that are wanted on each; None: as many as there is time for.
    :param sources: the number of processes.
    :param is_one_way: whether no message is expected to come back.
    """

    def __init__(
        self,
        connections: int,
        messages_each: int | None,
        sources: int = 1,
        is_one_way: bool = False,
    ) -> None:
        self.connections: int = connections
        self.messages_each: int | None = messages_each
        self.is_one_way: bool = is_one_way
        #: All portions together.
        self.total: Portion = Portion()
        #: What happened when, in order. The last seconds may be missing.
        self.series: list[Point] = []
        #: The seconds for which each point stands, but for the last.
        self.point_seconds: int = 1
        #: Called with each second, as soon as it is complete.
        self.on_second: Callable[[Point], object] | None = None
        #: The signal that ended the run, or None.
        self.interrupted_by: int | None = None
        #: The seconds from the beginning of the run to the last portion.
        self.seconds: float = 0.0
        #: When the messages have begun, by the clock of latencies; None: they have not.
        self.talking_since: float | None = None
        # The seconds that are not complete, and the last second that each process has told of.
        self._pending: dict[int, Portion] = {}
        self._heard = dict.fromkeys(range(sources), 0)
        self._next_second = 0
        self._open = 0
        self.begin()

    def begin(self) -> None:
        """Note that the run begins now."""
        #: When the run has begun, by the calendar and by the clock of latencies.
        self.began: datetime = datetime.now(timezone.utc)
        self.began_at: float = perf_counter()

    def note_step(self, step: str, is_ramped: bool) -> None:
        """Note that a step of the run begins.

        :param is_ramped: whether connections begin to talk as soon as they are open.
        """
        if step == "open":
            self.begin()
        if step == ("open" if is_ramped else "talk"):
            self.talking_since = perf_counter()

    def finish(self) -> None:
        """Note that the run is over."""
        for source in list(self._heard):
            self.end(source)

    @property
    def open(self) -> int:
        """The number of open connections."""
        return self.total.connected - self.total.closed

    @property
    def wanted(self) -> int | None:
        """The number of messages that are wanted; None: as many as there is time for."""
        each = self.messages_each
        return None if each is None else self.connections * each

    @property
    def exchanged(self) -> int:
        """The number of messages that came back, or were sent where none is to come back."""
        return self.total.sent if self.is_one_way else self.total.replies

    @property
    def rate(self) -> float:
        """These messages a second."""
        seconds = self.total.message_seconds
        return self.exchanged / seconds if seconds else 0.0

    @property
    def exit_status(self) -> int:
        """The exit status: 128 plus the number of a signal, else 1 after a failure, else 0."""
        if self.interrupted_by is not None:
            return 128 + self.interrupted_by
        return 1 if self.total.failures else 0

    def add(self, portion: Portion, source: int = 0) -> None:
        """Add a portion of one process. Their seconds do not go backwards."""
        self.total.merge(portion)
        self.seconds = perf_counter() - self.began_at
        second = max(portion.second, self._next_second)
        if second in self._pending:
            self._pending[second].merge(portion)
        else:
            self._pending[second] = portion
        if source in self._heard:
            self._heard[source] = second
        self._complete()

    def end(self, source: int = 0) -> None:
        """Note that a process tells no more."""
        self._heard.pop(source, None)
        self._complete()

    def _complete(self) -> None:
        limit = min(self._heard.values(), default=max(self._pending, default=-1) + 1)
        while self._next_second < limit:
            second = self._next_second
            self._next_second += 1
            portion = self._pending.pop(second, None) or Portion(second)
            self._open += portion.connected - portion.closed
            point = Point(second, 1, self._open, portion)
            if self.on_second is not None:
                self.on_second(point)
            self._append(point)

    def _append(self, point: Point) -> None:
        series = self.series
        if series and series[-1].seconds < self.point_seconds:
            series[-1].join(point)
            return
        if len(series) == _MAX_POINTS:
            for first, second in zip(series[::2], series[1::2], strict=True):
                first.join(second)
            del series[1::2]
            self.point_seconds *= 2
        series.append(point)
