"""Keys from the bytes that a terminal sends, without I/O.

A key has the name of what it does in an :class:`~greenws.cli.editor.Editor`; the names of Emacs are
those of readline, and so of most shells.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

#: The bytes that have a terminal mark what is pasted, and stop that.
BEGIN_MARKING = "\x1b[?2004h"
STOP_MARKING = "\x1b[?2004l"

_PASTE, _PASTE_END = "\x1b[200~", "\x1b[201~"

# Escape sequences in the forms of ECMA-48 section 5.4, and Alt with a character. A sequence of
# another form would be taken for text, so whatever follows ESC belongs to it.
_SEQUENCE = re.compile(r"\x1b\x1b?(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^\[O\x1b])")
_UNFINISHED = re.compile(r"\x1b\x1b?(?:\[[0-?]*[ -/]*|O)?")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]+")

# The longest escape sequence. A terminal sends no such thing.
_LONGEST = 64


class Key(NamedTuple):
    """A key that was pressed, or characters that were typed or pasted."""

    #: What the key does; ``text`` for characters, ``paste`` for pasted ones.
    name: str
    #: The characters.
    text: str = ""


_CONTROLS = {
    "\x01": "home",
    "\x02": "left",
    "\x04": "delete_or_end",
    "\x05": "end",
    "\x06": "right",
    "\x07": "cancel",
    "\x08": "backspace",
    "\t": "complete",
    "\n": "enter",
    "\x0b": "kill_to_end",
    "\x0c": "clear",
    "\r": "enter",
    "\x0e": "down",
    "\x10": "up",
    "\x12": "search",
    "\x15": "kill_to_start",
    "\x17": "kill_blank_word",
    "\x19": "yank",
    "\x7f": "backspace",
}

# By what follows ESC.
_SEQUENCES = {
    **dict.fromkeys(("[A", "OA"), "up"),
    **dict.fromkeys(("[B", "OB"), "down"),
    **dict.fromkeys(("[C", "OC"), "right"),
    **dict.fromkeys(("[D", "OD"), "left"),
    **dict.fromkeys(("[H", "OH", "[1~", "[7~"), "home"),
    **dict.fromkeys(("[F", "OF", "[4~", "[8~"), "end"),
    "[3~": "delete",
    **dict.fromkeys(("[1;5C", "[1;3C", "[5C", "Oc", "f"), "word_right"),
    **dict.fromkeys(("[1;5D", "[1;3D", "[5D", "Od", "b"), "word_left"),
    **dict.fromkeys(("[3;5~", "[3;3~", "d"), "kill_word_right"),
    **dict.fromkeys(("\x7f", "\x08"), "kill_word_left"),
    **dict.fromkeys(("\r", "\n"), "newline"),
}


class KeyReader:
    """Takes bytes, and returns keys."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # Characters of a sequence that has not ended.
        self._rest = ""
        # The pieces of what is being pasted, or None.
        self._pasted: list[str] | None = None

    def feed(self, data: bytes) -> Iterator[Key]:
        """Take bytes, and iterate over the keys that they complete."""
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        position = 0
        while position < len(text):
            if self._pasted is not None:
                end = text.find(_PASTE_END, position)
                if end < 0:
                    self._keep_pasted(text[position:])
                    return
                self._pasted.append(text[position:end])
                yield Key("paste", _normalize("".join(self._pasted)))
                self._pasted = None
                position = end + len(_PASTE_END)
            elif found := _TEXT.match(text, position):
                yield Key("text", found[0])
                position = found.end()
            elif text[position] != "\x1b":
                if name := _CONTROLS.get(text[position]):
                    yield Key(name)
                position += 1
            elif found := _SEQUENCE.match(text, position):
                position = found.end()
                if found[0] == _PASTE:
                    self._pasted = []
                elif name := _SEQUENCES.get(found[0].lstrip("\x1b")):
                    yield Key(name)
            elif _UNFINISHED.fullmatch(text, position) and len(text) - position <= _LONGEST:
                self._rest = text[position:]
                return
            else:
                position += 1  # no sequence of any form: its ESC is left out

    def _keep_pasted(self, text: str) -> None:
        """Keep pasted text, but for an end that may be the beginning of the mark of the end."""
        assert self._pasted is not None
        for length in range(min(len(text), len(_PASTE_END) - 1), 0, -1):
            if text.endswith(_PASTE_END[:length]):
                self._rest = text[-length:]
                text = text[:-length]
                break
        self._pasted.append(text)


def _normalize(pasted: str) -> str:
    """Terminals paste the end of a line as a return. An end at the very end is not meant."""
    return pasted.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
