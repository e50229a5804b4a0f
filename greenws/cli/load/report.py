"""The figures of a load run, for programs: JSON for the whole, CSV for each second.

Times are in milliseconds, as their names say; sizes are in bytes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import Any, TextIO

from ...version import __version__
from .comparison import FORMAT, TOOL
from .histogram import Histogram
from .options import ANY, ECHO, NONE, LoadOptions, format_pause
from .summary import PERCENTILES
from .tally import Point, Tally

# The columns of the CSV.
_COLUMNS = (
    *("second", "open", "connected", "failed", "sent", "replies", "others"),
    *("p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms"),
    *("bytes_sent", "bytes_received", "opening_p50_ms", "opening_max_ms"),
)


def build_report(tally: Tally, options: LoadOptions, where: str) -> dict[str, Any]:
    """Return the figures of a run, as they go into JSON.

    :param where: the URL of the server, without credentials.
    """
    total = tally.total
    return {
        "tool": TOOL,
        "version": __version__,
        "format": FORMAT,
        "began": tally.began.isoformat(timespec="seconds"),
        "url": where,
        "about": options.describe_messages(),
        "options": _describe_options(options),
        "seconds": round(tally.seconds, 3),
        "interrupted": tally.interrupted_by is not None,
        "connections": {
            "wanted": tally.connections,
            "attempted": total.started,
            "connected": total.connected,
            "failed": total.failed,
            "seconds": round(total.connect_seconds, 3),
        },
        "messages": {
            "wanted": tally.wanted,
            "sent": total.sent,
            "replies": total.replies,
            "others": total.others,
            "unsent": total.missed,
            "seconds": round(total.message_seconds, 3),
            "per_second": round(tally.rate, 1),
        },
        "bytes": {"sent": total.bytes_sent, "received": total.bytes_received},
        "memory_per_connection": round(total.memory / max(1, total.connected)),
        "failures": [
            {"reason": reason, "count": count} for reason, count in total.failures.most_common()
        ],
        "opening_ms": _describe_durations(total.openings),
        "latency_ms": _describe_durations(total.latencies),
        "sent_late_ms": _describe_durations(total.delays),
        "opening_histogram_ms": _describe_ranges(total.openings),
        "latency_histogram_ms": _describe_ranges(total.latencies),
        "series": [_describe_point(point) for point in tally.series],
    }


def _describe_options(options: LoadOptions) -> dict[str, Any]:
    """Return the options that matter for a comparison; no text, which may be a secret."""
    return {
        "connections": options.connections,
        "messages": options.messages,
        "duration": options.duration,
        "message": f"{'own, ' if options.is_own else ''}{options.size:,} bytes",
        "binary": options.binary,
        "expect": options.expect if options.expect in (ECHO, ANY, NONE) else "field",
        "message_rate": options.message_rate,
        "in_flight": options.in_flight,
        "think": None if options.think is None else format_pause(options.think),
        "rate": options.rate,
        "ramp": options.ramp,
        "connecting": options.connecting,
        "processes": options.processes,
        "compress": bool(options.client.get("compress", False)),
    }


def _describe_durations(durations: Histogram) -> dict[str, float] | None:
    if not durations.count:
        return None
    described = {f"p{percent:g}": _ms(durations.percentile(percent)) for percent in PERCENTILES}
    described["max"] = _ms(durations.longest)
    described["min"] = _ms(durations.shortest)
    described["mean"] = _ms(durations.mean)
    return described


def _describe_ranges(durations: Histogram) -> list[list[float]]:
    return [[_ms(low), _ms(high), count] for low, high, count in durations.ranges()]


def _describe_point(point: Point) -> dict[str, Any]:
    portion = point.portion
    described: dict[str, Any] = {
        "second": point.second,
        "seconds": point.seconds,
        "open": point.open,
        "connected": portion.connected,
        "failed": portion.failed,
        "sent": portion.sent,
        "replies": portion.replies,
        "others": portion.others,
        "bytes_sent": portion.bytes_sent,
        "bytes_received": portion.bytes_received,
    }
    if portion.latencies.count:
        described["latency_ms"] = _describe_durations(portion.latencies)
    return described


def _ms(seconds: float) -> float:
    # Six digits: a bucket is wider than the rest.
    return float(f"{seconds * 1000:.6g}")


def to_json(report: dict[str, Any]) -> str:
    """Return a report as JSON, one entry a line."""
    entries = [f"{json.dumps(name)}: {_to_lines(value)}" for name, value in report.items()]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _to_lines(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(f" {json.dumps(item)}" for item in value) + "\n]"


class SecondsFile:
    """Writes a line for each second of a run, as CSV.

    :param stream: an open file, opened with ``newline=""``.
    :raises OSError: out of each method, too: the file takes no more.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._write(_COLUMNS)

    def add(self, point: Point) -> None:
        """Write the line of a second."""
        portion = point.portion
        latencies, openings = portion.latencies, portion.openings
        times = ["", "", "", "", ""]
        if latencies.count:
            times = [f"{_ms(latencies.percentile(percent)):g}" for percent in PERCENTILES]
            times.append(f"{_ms(latencies.longest):g}")
        self._write(
            [
                *(point.second, point.open, portion.connected, portion.failed),
                *(portion.sent, portion.replies, portion.others, *times),
                *(portion.bytes_sent, portion.bytes_received),
                f"{_ms(openings.percentile(50)):g}" if openings.count else "",
                f"{_ms(openings.longest):g}" if openings.count else "",
            ]
        )

    def _write(self, values: Iterable[object]) -> None:
        csv.writer(self._stream, lineterminator="\n").writerow(values)
        self._stream.flush()
