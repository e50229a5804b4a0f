"""The summary of a load run, for people: some lines on stdout."""

from __future__ import annotations

from ..units import format_duration, format_size
from .histogram import Histogram
from .tally import Tally

# The largest number of reasons of failures that the summary lists; one line counts the others.
_MAX_REASONS = 10

#: The percentiles that are told.
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def format_summary(tally: Tally) -> str:
    """Return the lines of the summary."""
    return "\n".join(
        f"{label:<12}{text}"
        for label, text in [
            *_describe_connections(tally),
            *_describe_messages(tally),
            *_describe_memory(tally),
        ]
    )


def _describe_connections(tally: Tally) -> list[tuple[str, str]]:
    total = tally.total
    text = f"{total.connected:,} of {tally.connections:,}"
    if total.connect_seconds:
        text += f" in {total.connect_seconds:.2f} s"
    if tally.interrupted_by is not None:
        text += f", then interrupted ({total.started:,} were attempted)"
    lines = [("connected", text), ("failed", f"{total.failed:,}")]
    shown = total.failures.most_common(_MAX_REASONS)
    lines += [("", f"{count:,} x {reason}") for reason, count in shown]
    if rest := total.failed - sum(count for _reason, count in shown):
        lines.append(("", f"{rest:,} x other reasons"))
    if total.openings.count:
        lines.append(("opening", format_percentiles(total.openings)))
    return lines


def _describe_messages(tally: Tally) -> list[tuple[str, str]]:
    total, lines = tally.total, []
    if tally.wanted != 0:
        count = tally.exchanged
        text = f"{count:,}" if tally.wanted is None else f"{count:,} of {tally.wanted:,}"
        if count:
            text += f" in {total.message_seconds:.2f} s"
        lines.append(("messages", text))
        if count:
            lines.append(("rate", f"{tally.rate:,.0f} messages/s"))
        if not tally.is_one_way and total.sent > total.replies:
            lines.append(("unanswered", f"{total.sent - total.replies:,}"))
    if total.missed:
        lines.append(("unsent", f"{total.missed:,} were due, and the connection had no room"))
    if total.latencies.count:
        lines.append(("latency", format_percentiles(total.latencies)))
    if total.delays.count:
        lines.append(("late", format_percentiles(total.delays)))
    if total.others:
        lines.append(("others", f"{total.others:,} messages of the server that are no replies"))
    if total.connected:
        sent, received = format_size(total.bytes_sent), format_size(total.bytes_received)
        lines.append(("traffic", f"{sent} sent, {received} received"))
    return lines


def _describe_memory(tally: Tally) -> list[tuple[str, str]]:
    total = tally.total
    if not total.connected or not total.memory:
        return []
    each = total.memory / total.connected / 1024
    grown = total.memory / 1024 / 1024
    return [("memory", f"{each:.1f} KiB per connection (RSS grew by {grown:.1f} MiB)")]


def format_percentiles(durations: Histogram) -> str:
    """Return the percentiles and the longest duration, on one line."""
    parts = [
        f"p{percent:g} {format_duration(durations.percentile(percent))}" for percent in PERCENTILES
    ]
    return "   ".join([*parts, f"max {format_duration(durations.longest)}"])
