"""Shows the progress of a load run."""

from __future__ import annotations

import shutil
from collections import deque
from time import perf_counter
from typing import TextIO

import gevent

from ..streams import write_quietly
from .tally import Tally

# Seconds between two updates: of the line on a terminal, and between two lines elsewhere.
_LIVE_INTERVAL = 0.2
_LINE_INTERVAL = 2.0

# Seconds of which the rate is shown: the present one, not the mean of the run.
_RATE_TIME = 1.0

# The characters of the bar: with them, the line of a thousand connections fits 80 columns.
_BAR = 12

_CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Shows a growing tally: in one line with a bar on a terminal, line by line elsewhere.

    :param stream: the stream to write to.
    :param duration: the seconds of the messages; None: until all are exchanged.
    """

    def __init__(self, tally: Tally, stream: TextIO, duration: float | None = None) -> None:
        self._tally = tally
        self._stream = stream
        self._duration = duration
        self._is_live = stream.isatty()
        self._last_line = ""
        # When there were how many messages, from the time of the rate on.
        self._history = deque([(perf_counter(), 0)])

    def follow(self) -> None:
        """Show the progress until killed."""
        try:
            while True:
                gevent.sleep(_LIVE_INTERVAL if self._is_live else _LINE_INTERVAL)
                self._show()
        finally:
            if self._is_live:
                write_quietly(self._stream, _CLEAR_LINE)

    def _show(self) -> None:
        line = self._format_line()
        if self._is_live:
            line = f"{self._format_bar()}, {line}"
        if line == self._last_line:
            return
        self._last_line = line
        if self._is_live:
            width = shutil.get_terminal_size().columns - 1
            write_quietly(self._stream, _CLEAR_LINE + line[:width])
        else:
            write_quietly(self._stream, line + "\n")

    def _format_line(self) -> str:
        tally = self._tally
        total = tally.total
        parts = [f"{tally.open:,} of {tally.connections:,} open"]
        if total.failed:
            parts.append(f"{total.failed:,} failed")
        if messages := tally.exchanged:
            of = "" if tally.wanted is None else f" of {tally.wanted:,}"
            parts.append(f"{messages:,}{of} messages, {self._find_rate(messages):,.0f}/s")
        return ", ".join(parts)

    def _find_rate(self, messages: int) -> float:
        now, history = perf_counter(), self._history
        while len(history) > 1 and history[1][0] <= now - _RATE_TIME:
            history.popleft()
        then, before = history[0]
        history.append((now, messages))
        return max(0, messages - before) / max(now - then, 1e-9)

    def _format_bar(self) -> str:
        """Return how much is done of this phase, and how long it will take."""
        done, since = self._find_part()
        full = int(done * _BAR)
        bar = f"[{'#' * full}{'.' * (_BAR - full)}] {int(done * 100):>3} %"
        if done >= 1:
            return f"{bar}, ending"
        seconds = perf_counter() - since
        if not done or seconds < 1:
            return bar
        left = seconds / done - seconds
        return f"{bar}, {_format_left(left)} left"

    def _find_part(self) -> tuple[float, float]:
        """Return the part that is done, from 0 to 1, and when this phase has begun."""
        tally = self._tally
        total = tally.total
        since = tally.talking_since
        if since is None:
            settled = total.connected + total.unopened
            return min(1.0, settled / tally.connections), tally.began_at
        parts = []
        if self._duration is not None:
            parts.append((perf_counter() - since) / self._duration)
        if tally.wanted:
            parts.append(tally.exchanged / tally.wanted)
        return min(1.0, max(parts, default=1.0)), since


def _format_left(seconds: float) -> str:
    for unit, size in (("s", 1), ("min", 60)):
        if seconds < 100 * size:
            return f"{max(1, round(seconds / size))} {unit}"
    return f"{seconds / 3600:,.0f} h"
