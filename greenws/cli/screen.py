"""Where ``connect`` shows messages and says what happens: streams, or a terminal with a prompt."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from .prompt import Prompt
from .readable import COLOURS, format_json
from .streams import OutputError, escape, escape_line, report, write_output
from .terminal import Terminal, open_terminal

_PROMPT, _RECEIVED, _SAID, _END = "\x1b[1m", "\x1b[36m", "\x1b[2m", "\x1b[0m"


class Screen:
    """The streams: messages go to stdout as they came, everything else to stderr.

    :param is_readable: whether messages that are JSON are made readable.
    """

    def __init__(self, is_readable: bool = False) -> None:
        self._is_readable = is_readable

    @property
    def prompt(self) -> Prompt | None:
        """Where lines are typed, or None: they come from stdin."""
        return None

    def show_text(self, text: str) -> None:
        """Show a text message.

        :raises OutputError: stdout takes no more.
        """
        readable = format_json(text) if self._is_readable else None
        write_output((text if readable is None else readable) + "\n")

    def show_binary(self, data: bytes) -> None:
        """Show a binary message.

        :raises OutputError: stdout takes no more.
        """
        write_output(f"{data.hex()}\n")

    def report(self, text: str) -> None:
        """Say something, in a line for people."""
        report(text)

    def finish(self) -> None:
        """Give the terminal back, if there is one. More may be shown and said."""

    def close(self) -> None:
        """Close the terminal, if there is one."""


class PromptScreen(Screen):
    """A terminal: what comes is shown above the line that is being typed.

    :param is_coloured: whether colours tell apart what is shown.
    :param has_stderr: whether stderr is the same terminal.
    """

    def __init__(
        self,
        terminal: Terminal,
        words: Sequence[str],
        is_readable: bool,
        is_coloured: bool,
        has_stderr: bool,
    ) -> None:
        super().__init__(is_readable)
        self._terminal = terminal
        self._is_coloured = is_coloured
        self._has_stderr = has_stderr
        self._prompt = Prompt(terminal, words, _PROMPT if is_coloured else "")

    @property
    def prompt(self) -> Prompt:
        """Where lines are typed."""
        return self._prompt

    def show_text(self, text: str) -> None:
        """Show a text message.

        :raises OutputError: the terminal takes no more.
        """
        colours = COLOURS if self._is_coloured else None
        readable = format_json(text, colours) if self._is_readable else None
        if readable is None:
            self._prompt.show(self._paint(_RECEIVED, f"< {escape(text)}"))
        else:
            self._prompt.show(f"{self._paint(_RECEIVED, '<')} {readable}")

    def show_binary(self, data: bytes) -> None:
        """Show a binary message.

        :raises OutputError: the terminal takes no more.
        """
        unit = "byte" if len(data) == 1 else "bytes"
        self._prompt.show(self._paint(_RECEIVED, f"< ({len(data):,} {unit}) {data.hex()}"))

    def report(self, text: str) -> None:
        """Say something, in a line for people."""
        if not self._has_stderr:
            report(text)
            return
        with contextlib.suppress(OutputError):  # the next message, or key, finds it out
            self._prompt.show(self._paint(_SAID, escape_line(text)))

    def finish(self) -> None:
        """Give the terminal back."""
        self._prompt.finish()

    def close(self) -> None:
        """Give the terminal back, and close it."""
        self._prompt.finish()
        self._terminal.close()

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_END}" if self._is_coloured else text


def open_screen(words: Sequence[str], is_readable: bool, has_prompt: bool) -> Screen:
    """Open a screen with a prompt, where that is wanted and can be; else one without.

    :param words: what the key Tab completes at the prompt.
    """
    terminal = open_terminal() if has_prompt else None
    if terminal is None:
        return Screen(is_readable)
    # https://no-color.org: any value but an empty one.
    is_coloured = not os.environ.get("NO_COLOR")
    has_stderr = sys.stderr.isatty() and terminal.is_same(2)
    return PromptScreen(terminal, words, is_readable, is_coloured, has_stderr)
