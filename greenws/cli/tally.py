"""The counts of a load run, and the summary."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

# The largest number of reasons of failures that the summary lists; one line counts the others.
_MAX_REASONS = 10

# The buckets of latencies are 1 % wide, so a million latencies take no more memory than a thousand.
_BUCKETS_PER_E = 100


class Latencies:
    """A distribution of latencies, in seconds, in bounded memory."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        #: The number of latencies.
        self.count: int = 0
        #: The longest latency.
        self.longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Add a latency."""
        # The latency is 0 if the clock has not moved.
        self._buckets[math.floor(math.log(max(seconds, 1e-9)) * _BUCKETS_PER_E)] += 1
        self.count += 1
        if seconds > self.longest:
            self.longest = seconds

    def percentile(self, percent: float) -> float:
        """Return a percentile of the latencies, exact to 1 %; 0 without latencies."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(math.exp((bucket + 1) / _BUCKETS_PER_E), self.longest)
        return self.longest


@dataclass
class Tally:
    """The counts of one run."""

    connections: int
    messages_each: int
    #: The number of attempted connections, of those that became ready, and of those ready now.
    started: int = 0
    connected: int = 0
    open: int = 0
    #: The number of failed connections by reason; a connection fails once.
    failures: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    #: The seconds from the first attempt to the last answer, and from the first message to the last
    #: echo.
    connect_seconds: float = 0.0
    message_seconds: float = 0.0
    #: The memory before the first connection, and with all connections, in bytes.
    memory_before: int = 0
    memory_with: int = 0
    #: The signal that ended the run, or None.
    interrupted_by: int | None = None

    @property
    def failed(self) -> int:
        """The number of failed connections."""
        return self.failures.total()

    @property
    def exit_status(self) -> int:
        """The exit status: 128 plus the number of a signal, else 1 after a failure, else 0."""
        if self.interrupted_by is not None:
            return 128 + self.interrupted_by
        return 1 if self.failures else 0

    def format_summary(self) -> str:
        """Return the lines of the summary."""
        return "\n".join(
            f"{label:<12}{text}" if label else f"{'':>12}{text}"
            for label, text in [
                *self._describe_connections(),
                *self._describe_messages(),
                *self._describe_memory(),
            ]
        )

    def _describe_connections(self) -> list[tuple[str, str]]:
        text = f"{self.connected:,} of {self.connections:,}"
        if self.connect_seconds:
            text += f" in {self.connect_seconds:.2f} s"
        if self.interrupted_by is not None:
            text += f", then interrupted ({self.started:,} were attempted)"
        lines = [("connected", text), ("failed", f"{self.failed:,}")]
        shown = self.failures.most_common(_MAX_REASONS)
        lines += [("", f"{count:,} x {reason}") for reason, count in shown]
        if rest := self.failed - sum(count for _reason, count in shown):
            lines.append(("", f"{rest:,} x other reasons"))
        return lines

    def _describe_messages(self) -> list[tuple[str, str]]:
        wanted = self.connections * self.messages_each
        if not wanted:
            return []
        text = f"{self.messages:,} of {wanted:,}"
        if not self.messages:
            return [("messages", text)]
        at = self.latencies.percentile
        times = [("p50", at(50)), ("p90", at(90)), ("p99", at(99)), ("max", self.latencies.longest)]
        return [
            ("messages", f"{text} in {self.message_seconds:.2f} s"),
            ("rate", f"{self.messages / max(self.message_seconds, 1e-9):,.0f} messages/s"),
            ("latency", "   ".join(f"{name} {_format_time(value)}" for name, value in times)),
        ]

    def _describe_memory(self) -> list[tuple[str, str]]:
        if not self.connected or not self.memory_with:
            return []
        growth = max(0, self.memory_with - self.memory_before)
        each = growth / self.connected / 1024
        text = f"{each:.1f} KiB per connection (RSS grew by {growth / 1024 / 1024:.1f} MiB)"
        return [("memory", text)]


def _format_time(seconds: float) -> str:
    milliseconds = seconds * 1000
    if milliseconds < 10:
        return f"{milliseconds:.2f} ms"
    if milliseconds < 10000:
        return f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:.1f} ms"
    return f"{seconds:,.1f} s"
