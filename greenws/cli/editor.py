"""A line that is being edited, with its history, without I/O: keys in, a line out."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Callable, Sequence

from .keys import Key
from .streams import escape_line

# The lines that are remembered.
_MOST_LINES = 1000

# Joins emoji: the zero width joiner.
_JOINER = "\u200d"

# The columns of a window that tells no size, or none that is of use.
_COLUMNS = 80
_LEAST_COLUMNS = 4


class Effect(enum.Enum):
    """What a key asks of those who show the line."""

    SHOW = enum.auto()  #: show the line again
    ENTER = enum.auto()  #: the line is complete: :meth:`Editor.take` has it
    END = enum.auto()  #: there are no more lines
    CLEAR = enum.auto()  #: clear the screen, and show the line again


class Editor:
    """A line, the place of the cursor in it, and the lines before it.

    :param words: what the key Tab completes at the beginning of a line.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        #: The line so far.
        self.line: str = ""
        #: The number of characters before the cursor.
        self.cursor: int = 0
        self._words = words
        self._history: list[str] = []
        # Where the line comes from: an index of the history, whose end is the new line.
        self._place = 0
        # The new line, while one of the history is shown.
        self._draft = ""
        # What was removed last, for the key that puts it back.
        self._killed = ""
        # What is searched for in the history, or None; and the line that was left for that.
        self._query: str | None = None
        self._left = ""
        self._actions: dict[str, Callable[[], None]] = {
            "left": lambda: self._move(self._find_left()),
            "right": lambda: self._move(self._find_right()),
            "home": lambda: self._move(0),
            "end": lambda: self._move(len(self.line)),
            "word_left": lambda: self._move(self._find_word_left(str.isalnum)),
            "word_right": lambda: self._move(self._find_word_right()),
            "backspace": lambda: self._remove(self._find_left(), self.cursor),
            "delete": lambda: self._remove(self.cursor, self._find_right()),
            "kill_to_end": lambda: self._kill(self.cursor, len(self.line)),
            "kill_to_start": lambda: self._kill(0, self.cursor),
            "kill_word_left": lambda: self._kill(self._find_word_left(str.isalnum), self.cursor),
            "kill_blank_word": lambda: self._kill(self._find_word_left(_is_ink), self.cursor),
            "kill_word_right": lambda: self._kill(self.cursor, self._find_word_right()),
            "yank": lambda: self._insert(self._killed),
            "newline": lambda: self._insert("\n"),
            "up": lambda: self._recall(self._place - 1),
            "down": lambda: self._recall(self._place + 1),
            "search": self._begin_search,
            "complete": self._complete,
        }

    @property
    def label(self) -> str:
        """What is shown before the line."""
        return "> " if self._query is None else f"search: {self._query} > "

    def press(self, key: Key) -> Effect:
        """Take a key."""
        if self._query is not None and self._search_on(self._query, key):
            return Effect.SHOW
        self._query = None
        if key.name in ("text", "paste"):
            self._insert(key.text)
        elif key.name == "enter":
            return Effect.ENTER
        elif key.name == "clear":
            return Effect.CLEAR
        elif key.name == "delete_or_end":
            if not self.line:
                return Effect.END
            self._actions["delete"]()
        elif action := self._actions.get(key.name):
            action()
        return Effect.SHOW

    def take(self) -> str:
        """Return the complete line, remember it, and begin another one."""
        line = self.line
        if line.strip() and self._history[-1:] != [line]:
            self._history.append(line)
            del self._history[:-_MOST_LINES]
        self._place = len(self._history)
        self._replace("")
        return line

    def _replace(self, line: str) -> None:
        self.line = line
        self.cursor = len(line)

    def _move(self, position: int) -> None:
        self.cursor = position

    def _insert(self, text: str) -> None:
        self.line = self.line[: self.cursor] + text + self.line[self.cursor :]
        self.cursor += len(text)

    def _remove(self, start: int, end: int) -> None:
        self.line = self.line[:start] + self.line[end:]
        self.cursor = start

    def _kill(self, start: int, end: int) -> None:
        if start < end:
            self._killed = self.line[start:end]
            self._remove(start, end)

    def _find_left(self) -> int:
        position = max(0, self.cursor - 1)
        while self._is_within(position):
            position -= 1
        return position

    def _find_right(self) -> int:
        position = min(len(self.line), self.cursor + 1)
        while self._is_within(position):
            position += 1
        return position

    def _is_within(self, position: int) -> bool:
        """Whether a place is within what a person takes for one character: before a character that
        has no width, or after one that joins others.
        """
        if not 0 < position < len(self.line):
            return False
        return not count_columns(self.line[position]) or self.line[position - 1] == _JOINER

    def _find_word_left(self, is_part: Callable[[str], bool]) -> int:
        position = self.cursor
        while position > 0 and not is_part(self.line[position - 1]):
            position -= 1
        while position > 0 and is_part(self.line[position - 1]):
            position -= 1
        return position

    def _find_word_right(self) -> int:
        position, length = self.cursor, len(self.line)
        while position < length and not self.line[position].isalnum():
            position += 1
        while position < length and self.line[position].isalnum():
            position += 1
        return position

    def _recall(self, place: int) -> None:
        if not 0 <= place <= len(self._history):
            return
        if self._place == len(self._history):
            self._draft = self.line
        self._place = place
        self._replace(self._draft if place == len(self._history) else self._history[place])

    def _complete(self) -> None:
        begun = self.line[: self.cursor]
        found = [word for word in self._words if word.startswith(begun)]
        if begun and len(found) == 1:
            self._insert(found[0][len(begun) :] + " ")

    # Searching backwards in the history

    def _begin_search(self) -> None:
        self._query, self._left = "", self.line
        if self._place == len(self._history):
            self._draft = self.line

    def _search_on(self, query: str, key: Key) -> bool:
        """Take a key of a search; False: the key ends the search."""
        if key.name == "cancel":
            self._query = None
            self._place = len(self._history)
            self._replace(self._left)
        elif key.name == "search":
            self._find(query, self._place - 1)
        elif key.name == "text":
            self._query = query + key.text
            self._find(self._query, self._place)
        elif key.name == "backspace":
            self._query = query[:-1]
            self._find(self._query, len(self._history))
        else:
            return False
        return True

    def _find(self, query: str, place: int) -> None:
        if not query:
            return
        for index in range(min(place, len(self._history) - 1), -1, -1):
            if query in self._history[index]:
                self._place = index
                self._replace(self._history[index])
                self.cursor = self.line.rindex(query)
                return


def _is_ink(character: str) -> bool:
    return not character.isspace()


def count_columns(text: str) -> int:
    """Count the columns that a terminal needs for a text, which has no control characters."""
    if text.isascii():
        return len(text)
    return sum(map(_count_one, text))


def _count_one(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def paint(label: str, line: str, cursor: int, columns: int, colour: str = "") -> str:
    """Return what shows a line in one row of a terminal, in place of what is in that row.

    One row is enough for a line of any length, as it shows the part around the cursor. A line of
    several rows could not be replaced in a window whose width has changed.

    :param cursor: the number of characters of the line before the cursor.
    :param columns: the width of the window; 0: unknown.
    :param colour: the sequence that begins the colour of the label, or nothing.
    """
    columns = max(columns or _COLUMNS, _LEAST_COLUMNS)
    label = escape_line(label)[-(columns // 2) :]
    # The last column stays free: a terminal that has filled it may begin another row.
    room = columns - count_columns(label) - 1
    after = _take(line, range(cursor, len(line)), room // 3)
    before = _take(line, range(cursor - 1, -1, -1), room - sum(width for _, width in after))
    used = sum(width for _, width in before)
    after = _take(line, range(cursor, len(line)), room - used)
    shown = "".join([cell for cell, _ in (*reversed(before), *after)])
    place = count_columns(label) + used
    begun, ended = (colour, "\x1b[0m") if colour else ("", "")
    return f"\r{begun}{label}{ended}{shown}\x1b[K\r\x1b[{place}C"


def _take(line: str, places: range, room: int) -> list[tuple[str, int]]:
    """Return the characters at some places of a line as they are shown, with their widths, as long
    as there is room for them.
    """
    taken: list[tuple[str, int]] = []
    for place in places:
        cell = escape_line(line[place])
        width = count_columns(cell)
        if width > room:
            break
        room -= width
        taken.append((cell, width))
    return taken
