"""The terminal of a command: its modes, its bytes, its window, and the signals that concern it.

Reads and writes wait in the event loop, never in the system. For that the terminal is opened anew,
as a descriptor of its own: non-blocking would otherwise be the terminal of the shell as well, since
processes share what they have inherited.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import gevent

from ..sessions.wait import READ, WRITE
from .keys import BEGIN_MARKING, STOP_MARKING
from .streams import check_hurry, wait_for

try:
    import termios
except ImportError:
    HAS_TERMIOS = False  # Windows, for example
else:
    HAS_TERMIOS = True

# Terminals whose lines cannot be edited; "" is one of which nothing is known.
_PLAIN = frozenset({"", "dumb", "unknown"})

_READ_SIZE = 4096

# A blocking descriptor is written to in small pieces: it is writable when a few bytes have room.
_PIECE = 4096
_BLOCKING_PIECE = 256

# Seconds until the next try, where a writable terminal took nothing, or another process reads it.
_RETRY = 0.01
_BACKGROUND_RETRY = 0.2


def open_terminal(stdin: int = 0, stdout: int = 1) -> Terminal | None:
    """Open the terminal that is both stdin and stdout.

    :returns: the terminal, which is to be closed; None: there is none, or none whose lines can be
        edited, or it is another process' at the moment.
    """
    if sys.platform == "win32" or not HAS_TERMIOS or os.environ.get("TERM", "") in _PLAIN:
        return None
    if not (os.isatty(stdin) and os.isatty(stdout)) or not _is_foreground(stdin):
        return None
    device = os.fstat(stdin).st_rdev
    if device != os.fstat(stdout).st_rdev:
        return None
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        opened = os.open(os.ttyname(stdin), flags)
    except OSError:
        # It belongs to another user, after "su" for example, or has no name in this container.
        return Terminal(os.dup(stdin), os.dup(stdout), _BLOCKING_PIECE)
    if os.fstat(opened).st_rdev != device:  # the name is one of another container
        os.close(opened)
        return Terminal(os.dup(stdin), os.dup(stdout), _BLOCKING_PIECE)
    return Terminal(opened, os.dup(opened), _PIECE)


def _is_foreground(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # it is not the terminal that controls this process
        return True


class Terminal:
    """A terminal that sends keys, one by one, while it is entered.

    :param reading: the descriptor to read from, which the terminal closes.
    :param writing: the descriptor to write to, likewise.
    :param piece: the bytes of one write.
    """

    def __init__(self, reading: int, writing: int, piece: int) -> None:
        #: Called when what is shown has to be shown again: the window has another size, or the
        #: process goes on after a stop.
        self.changed: Callable[[], object] = lambda: None
        self._reading = reading
        self._writing = writing
        self._piece = piece
        # The modes that the terminal had, while it has ours.
        self._modes: list[Any] | None = None
        self._is_retired = False
        self._watchers: dict[int, Any] = {}

    def is_same(self, descriptor: int) -> bool:
        """Whether a descriptor is of this terminal, too."""
        if sys.platform == "win32":  # which numbers no devices, and has no such terminal
            return False
        return os.fstat(descriptor).st_rdev == os.fstat(self._reading).st_rdev

    @property
    def columns(self) -> int:
        """The width of the window; 0: unknown."""
        try:
            return os.get_terminal_size(self._writing).columns
        except OSError:
            return 0

    @property
    def is_entered(self) -> bool:
        """Whether the terminal sends keys now."""
        return self._modes is not None

    # Modes

    def enter(self) -> None:
        """Have the terminal send keys as soon as no other process has it; watch the signals."""
        if not self._is_retired:
            for number, handle in self._find_signals().items():
                # nohup, for example, has a signal ignored.
                if number not in self._watchers and signal.getsignal(number) != signal.SIG_IGN:
                    self._watchers[number] = gevent.signal_handler(number, handle)
            self._set_modes()

    def _set_modes(self) -> bool:
        if sys.platform == "win32" or self._is_retired or self.is_entered:
            return self.is_entered
        if not _is_foreground(self._reading):
            return False
        try:
            modes = termios.tcgetattr(self._reading)
            ours = list(modes)
            ours[0] |= termios.ICRNL
            # Signals stay: Ctrl-C and Ctrl-Z are keys of the terminal's.
            ours[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
            ours[6] = list(modes[6])
            ours[6][termios.VMIN], ours[6][termios.VTIME] = 1, 0
            # TCSADRAIN would wait, for ever if the output is held.
            termios.tcsetattr(self._reading, termios.TCSANOW, ours)
        except termios.error:  # it was hung up, which the next read tells
            return False
        self._modes = modes
        self._write_at_once(BEGIN_MARKING)
        return True

    def _reset_modes(self) -> None:
        """Give the terminal the modes that it had."""
        modes, self._modes = self._modes, None
        if sys.platform == "win32" or modes is None:
            return
        self._write_at_once(STOP_MARKING)
        if _is_foreground(self._reading):  # if not, the shell has set its own modes
            with contextlib.suppress(termios.error):  # it was hung up
                termios.tcsetattr(self._reading, termios.TCSANOW, modes)

    def retire(self) -> None:
        """Give the terminal the modes that it had, for good. Never waits, and may be called while
        other greenlets read and write.
        """
        self._is_retired = True
        for watcher in self._watchers.values():
            watcher.cancel()
        self._watchers.clear()
        self._reset_modes()

    def close(self) -> None:
        """Close the terminal. Nobody reads or writes any more."""
        self.retire()
        os.close(self._reading)
        os.close(self._writing)

    # Signals

    def _find_signals(self) -> dict[int, Callable[[], object]]:
        if sys.platform == "win32":
            return {}
        return {
            signal.SIGWINCH: self._show_again,
            signal.SIGCONT: self._show_again,
            signal.SIGTSTP: lambda: self._obey(signal.SIGTSTP),
            signal.SIGHUP: lambda: self._obey(signal.SIGHUP),
            signal.SIGQUIT: lambda: self._obey(signal.SIGQUIT),
        }

    def _show_again(self) -> None:
        if not self._is_retired:
            self._set_modes()
            self.changed()

    def _obey(self, number: int) -> None:
        """Do what a signal does by default, with the modes that the terminal had."""
        if self._is_retired:
            return
        self._reset_modes()
        self._watchers.pop(number).cancel()
        os.kill(os.getpid(), number)
        # Stopped, and now continued; or the stop was ignored, as nobody could continue us.
        self.enter()
        self.changed()

    # Bytes

    def read(self) -> bytes:
        """Wait until keys were pressed, and return their bytes; ``b""`` at the end.

        :raises OSError: the terminal is gone.
        """
        while True:
            wait_for(self._reading, READ)
            if self._is_retired:
                return b""
            if not _is_foreground(self._reading):
                gevent.sleep(_BACKGROUND_RETRY)  # the keys are those of another process
                continue
            self._set_modes()  # it may have come to the foreground without a signal
            try:
                return os.read(self._reading, _READ_SIZE)
            except BlockingIOError:
                gevent.sleep(_RETRY)  # another process was faster

    def write(self, text: str) -> None:
        """Write text whole. Callers take turns.

        :raises OSError: the terminal is gone, or takes nothing and the command is to end.
        """
        encoding = sys.stdout.encoding or "utf-8"
        data = text.encode(encoding, "backslashreplace")
        while data:
            wait_for(self._writing, WRITE)
            try:
                data = data[os.write(self._writing, data[: self._piece]) :]
            except BlockingIOError:
                check_hurry()
                gevent.sleep(_RETRY)  # there was room for less than the end of a line

    def _write_at_once(self, text: str) -> None:
        """Write a short sequence; without it the terminal only lacks a convenience."""
        with contextlib.suppress(OSError):
            os.write(self._writing, text.encode("ascii"))
