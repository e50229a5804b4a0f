"""Shows the progress of a load run."""

from __future__ import annotations

import shutil
from time import perf_counter
from typing import TextIO

import gevent

from .streams import write_quietly
from .tally import Tally

# Seconds between two updates: of the line on a terminal, and between two lines elsewhere.
_LIVE_INTERVAL = 0.2
_LINE_INTERVAL = 2.0

_CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Shows a growing tally: in one line on a terminal, line by line elsewhere.

    :param stream: the stream to write to.
    """

    def __init__(self, tally: Tally, stream: TextIO) -> None:
        self._tally = tally
        self._stream = stream
        self._is_live = stream.isatty()
        self._last_line = ""
        self._last_messages = 0
        self._last_time = perf_counter()

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
        now = perf_counter()
        rate = (tally.messages - self._last_messages) / max(now - self._last_time, 1e-9)
        self._last_messages = tally.messages
        self._last_time = now
        parts = [f"{tally.open:,} of {tally.connections:,} open"]
        if tally.failed:
            parts.append(f"{tally.failed:,} failed")
        if tally.messages:
            wanted = tally.connections * tally.messages_each
            parts.append(f"{tally.messages:,} of {wanted:,} messages, {rate:,.0f}/s")
        return ", ".join(parts)
