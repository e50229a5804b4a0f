"""A person at a terminal: a command in a pseudo-terminal, keys typed, and what was written."""

from __future__ import annotations

import codecs
import errno
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType

import gevent
import gevent.os
from gevent import subprocess

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]

#: Sequences of a terminal, for :meth:`Typist.plain`.
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def _begin_session(is_controlling: bool) -> None:
    # A shell has these ignored by what it runs in the background: tests, for example.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    if is_controlling:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Typist:
    """A command of greenws in a terminal of its own, which controls it as that of a shell does.

    :param arguments: of the command.
    :param columns: the width of the window.
    :param env: variables beside ``TERM``; None as a value: without that variable.
    :param redirects: of a shell, such as ``2>file``.
    :param script: what a shell does with the command, ``"$@"``, when not only that.
    :param is_controlling: whether the terminal is that of the session, whose keys are signals.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        env: dict[str, str | None] | None = None,
        redirects: str = "",
        script: str = "",
        is_controlling: bool = True,
    ) -> None:
        self.ours, theirs = pty.openpty()
        gevent.os.make_nonblocking(self.ours)
        self.resize(columns)
        given = {**os.environ, "TERM": "xterm", "NO_COLOR": None, **(env or {})}
        #: What was written so far.
        self.written = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.modes = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [
                *("sh", "-c", script or f'exec "$@" {redirects}', "sh"),
                *(sys.executable, "-m", "greenws", *arguments),
            ],
            cwd=ROOT,
            env={name: value for name, value in given.items() if value is not None},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=partial(_begin_session, is_controlling),
        )
        # Kept, so that the modes can be looked at when the command has ended.
        self._theirs = theirs
        self._reader = gevent.spawn(self._read)

    def __enter__(self) -> Typist:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self._reader.kill()
        if self.ours >= 0:
            os.close(self._theirs)
            os.close(self.ours)

    @property
    def plain(self) -> str:
        """The characters that were written, without sequences and returns."""
        return _SEQUENCE.sub("", self.written).replace("\r", "")

    @property
    def rows(self) -> list[str]:
        """The rows that are complete: of each, what stands in it at last."""
        rows = self.written.replace("\r\n", "\n").split("\n")
        return [_SEQUENCE.sub("", row.rpartition("\r\x1b[K")[2]) for row in rows[:-1]]

    def type(self, text: str) -> None:
        """Press keys: ``\\x03`` is Ctrl-C, ``\\r`` is Enter, ``\\x1b[A`` is the arrow up."""
        gevent.os.nb_write(self.ours, text.encode())

    def wait_for(self, condition: Callable[[], object] | str) -> None:
        """Wait for a condition, or until a text was written."""
        text = condition
        if isinstance(text, str):
            condition = lambda: text in self.plain  # noqa: E731
        with gevent.Timeout(PATIENCE, AssertionError(f"not {text!r}: {self.written!r}")):
            while not condition():  # type: ignore[operator]
                gevent.sleep(0.005)

    def wait_prompt(self) -> None:
        """Wait until the command reads keys."""
        self.wait_for(lambda: "connected" in self.plain and "> " in self.plain)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def end(self) -> int:
        """Wait for the end of the command.

        :returns: its exit status; negative after a signal.
        """
        with gevent.Timeout(PATIENCE, AssertionError(f"not ended: {self.written!r}")):
            status: int = self.process.wait()
            if self._reader:
                self._settle()
        return status

    def stop_reading(self) -> None:
        """Let what is written pile up."""
        self._reader.kill()

    def hang_up(self) -> None:
        """Take the terminal away."""
        self._reader.kill()
        os.close(self._theirs)
        os.close(self.ours)
        self.ours = -1

    def has_modes_of_before(self) -> bool:
        """Whether the terminal has the modes that the command has found."""
        return termios.tcgetattr(self._theirs)[:4] == self.modes[:4]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def _settle(self) -> None:
        """Read the rest: the terminal stays open, so nothing tells its end."""
        os.write(self._theirs, b"\x1b[0n")
        while not self.written.endswith("\x1b[0n"):
            gevent.sleep(0.001)
        self.written = self.written.removesuffix("\x1b[0n")

    def _read(self) -> None:
        while True:
            try:
                piece = gevent.os.nb_read(self.ours, 65536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return
            if not piece:
                return
            self.written += self._decoder.decode(piece)
