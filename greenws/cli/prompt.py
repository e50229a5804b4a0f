"""A prompt on a terminal: the line that is being typed stays in the last row, below what is shown.

greenws draws it by itself. readline waits for keys in the system, where nothing can interrupt it
when the connection has ended, and it cannot be told from outside that other text has come; the
prompts of other libraries need an event loop of their own.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence

from gevent.lock import RLock

from .editor import Editor, Effect, paint
from .keys import Key, KeyReader
from .streams import OutputError, escape_line
from .terminal import Terminal

_CLEAR_ROW = "\r\x1b[K"
_CLEAR_SCREEN = "\x1b[H\x1b[2J"

# The longest line that is shown whole once it is complete. A longer one would fill the screen.
_MOST_SHOWN = 2000

# The longest line that can be typed, in characters.
MAX_LINE = 64 * 1024 * 1024


class LineTooLong(Exception):
    """A line has no end within the limit."""


class Prompt:
    """Reads lines from a terminal, and shows text above the line that is being typed.

    :param terminal: the terminal, which its owner closes.
    :param words: what the key Tab completes.
    :param colour: the sequence that begins the colour of the label, or nothing.
    """

    def __init__(self, terminal: Terminal, words: Sequence[str] = (), colour: str = "") -> None:
        self._terminal = terminal
        self._editor = Editor(words)
        self._reader = KeyReader()
        self._keys: deque[Key] = deque()
        self._colour = colour
        # Whether the last row of the terminal has the line.
        self._has_row = False
        # Whether the terminal takes no more: an error has told it, and nobody waits for it again.
        self._is_lost = False
        # What is written, and whether there is the row, belong together.
        self._lock = RLock()
        terminal.changed = self._show_again

    def read_line(self) -> str | None:
        """Wait for a line, and return it; None: there are no more.

        :raises OSError: the terminal cannot be read.
        :raises OutputError: the terminal takes no more.
        :raises LineTooLong: the line has no end.
        """
        self._terminal.enter()
        while True:
            while self._keys:
                effect = self._editor.press(self._keys.popleft())
                if effect is Effect.ENTER:
                    line = self._editor.take()
                    self._write(self._paint_whole(line), has_row=False)
                    return line
                if effect is Effect.END:
                    return None
                if effect is Effect.CLEAR:
                    self._write(_CLEAR_SCREEN, has_row=False)
            if len(self._editor.line) > MAX_LINE:
                raise LineTooLong
            self._show_line()
            data = self._terminal.read()
            if not data:
                return None
            self._keys.extend(self._reader.feed(data))

    def show(self, text: str) -> None:
        """Show text above the line.

        :param text: one or more lines, without the end of the last one.
        :raises OutputError: the terminal takes no more.
        """
        with self._lock:
            row = self._paint() if self._has_row and self._terminal.is_entered else ""
            erase = _CLEAR_ROW if self._has_row else ""
            self._write(f"{erase}{text}\n{row}", bool(row))

    def finish(self) -> None:
        """Give the terminal back. A line that was begun stays in sight."""
        self._terminal.retire()
        with self._lock, contextlib.suppress(OutputError):
            if self._has_row:
                begun = self._editor.line
                self._write(self._paint_whole(begun) if begun else _CLEAR_ROW, has_row=False)

    def _show_again(self) -> None:
        with self._lock, contextlib.suppress(OutputError):
            if self._has_row:
                self._show_line()

    def _show_line(self) -> None:
        """Show the line in the last row, unless the terminal is another process' by now."""
        if self._terminal.is_entered:
            self._write(self._paint(), has_row=True)
        else:
            self._has_row = False

    def _paint(self) -> str:
        editor = self._editor
        columns = self._terminal.columns
        return paint(editor.label, editor.line, editor.cursor, columns, self._colour)

    def _paint_whole(self, line: str) -> str:
        shown = line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}..."
        ended = "\x1b[0m" if self._colour else ""
        return f"{_CLEAR_ROW}{self._colour}> {ended}{escape_line(shown)}\n"

    def _write(self, text: str, has_row: bool) -> None:
        with self._lock:
            self._has_row = has_row
            if self._is_lost:
                return
            try:
                self._terminal.write(text)
            except OSError as error:
                self._is_lost = True
                raise OutputError(error) from error
