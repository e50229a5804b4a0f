"""The standard streams of a command: any of them may be closed, full, slow, or narrow of encoding.

stdout is the output of a command: a write that fails ends the command, by :class:`OutputError`.
stderr is for people: a write that fails is forgotten, and the command goes on. No character that a
terminal acts on reaches stderr, or a stdout that is a terminal: the other end may have chosen it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from typing import TextIO

import gevent

from ..sessions.wait import WRITE, wait, wait_any

# A pipe that is writable takes PIPE_BUF bytes without waiting, which is 4096 on Linux. No character
# has more than four bytes, in any encoding with a backslash.
_PIECE = 1024

# Seconds in which the reader of a stream has to take something, once the command is to end.
_PATIENCE = 1.0

# Whether the command is to end: a signal has asked for it.
_is_hurried = False

# Seconds until the next try, where a non-blocking stream took nothing after all.
_RETRY = 0.01

# The characters that a terminal acts on, or that change the order in which it shows others: C0
# without tab and line feed, DEL, C1, the marks, embeddings, overrides and isolates of bidirectional
# text, the separators of lines and paragraphs, invisible characters and tags, and surrogates, which
# cannot be encoded. The joiners U+200C and U+200D stay, as scripts and emoji need them.
_ACTIVE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff0-\ufffb\U000e0000-\U000e0fff\ud800-\udfff"
)
_find_active = re.compile(f"[{_ACTIVE}]").sub
_find_active_or_blank = re.compile(f"[{_ACTIVE}\t\n]").sub


class OutputError(Exception):
    """stdout takes no more.

    :param cause: the error of the system.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"cannot write to stdout: {cause.strerror or cause}")
        #: Whether the reader of a pipe has gone. That is no fault, and worth no word.
        self.is_reader_gone: bool = cause.errno in (errno.EPIPE, errno.ESHUTDOWN)


def provide_streams() -> None:
    """Let each standard stream that is closed lead to nowhere.

    A descriptor that is free would be given to the next socket or to the event loop, which then
    would be read as stdin, or written to as stderr.
    """
    global _is_hurried
    _is_hurried = False
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # the processes of a command need all three, too
    # Python has found these closed at its start. A descriptor of that number is somebody else's.
    # Like Python's own, they stay open until the end of the process.
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def hurry() -> None:
    """From now on, give a stream up whose reader takes nothing for a second: the command is to end,
    and must not wait for somebody who never reads.
    """
    global _is_hurried
    _is_hurried = True


def escape(text: str) -> str:
    """Replace each character that a terminal acts on by its escape: ``\\x1b``, ``\\u202e``.

    Tabs and line feeds stay.
    """
    return _find_active(_escape_one, text)


def escape_line(text: str) -> str:
    """Like :func:`escape`, but for one line: tabs and line feeds are replaced as well."""
    return _find_active_or_blank(_escape_one, text)


def escape_json(text: str) -> str:
    """Like :func:`escape`, but by the escapes of JSON, for the text of a string: ``\\u001b``."""
    return _find_active(_escape_one_for_json, text)


def _escape_one_for_json(match: re.Match[str]) -> str:
    # Beyond U+FFFF, JSON has the two surrogates of UTF-16.
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join([f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4)])


def _escape_one(match: re.Match[str]) -> str:
    # unicode_escape has no escape of its own for surrogates, which are as good as any other here.
    return match[0].encode("unicode_escape").decode("ascii")


def write_output(text: str) -> None:
    """Write text to stdout; wait while its reader is behind. A terminal gets it escaped.

    :raises OutputError: stdout takes no more.
    """
    stream = sys.stdout
    try:
        _write(stream, escape(text) if stream.isatty() else text)
    except OSError as error:
        _discard(stream)
        raise OutputError(error) from error


def report(text: str) -> None:
    """Write a line for people to stderr; see :func:`write_quietly`."""
    write_quietly(sys.stderr, escape_line(text) + "\n")


def write_quietly(stream: TextIO, text: str) -> None:
    """Write text to a stream, unless that stream takes no more."""
    try:
        _write(stream, text)
    except OSError:
        # There is no other place to tell it, and the command can do its work without.
        _discard(stream)


def wait_for(descriptor: int, event: int) -> None:
    """Wait until a descriptor is readable or writable, if it can keep its user waiting at all.

    Files and most devices never do, and not every event loop accepts them.

    :param event: READ or WRITE.
    :raises TimeoutError: it was not writable for a second, and the command is to end.
    """
    if sys.platform == "win32":  # where a loop waits for sockets only
        return
    kind = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(descriptor)):
        return
    if event != WRITE:
        wait(descriptor, event)
        return
    watcher = gevent.get_hub().loop.io(descriptor, WRITE)
    try:
        while wait_any([watcher], _PATIENCE) is None:
            check_hurry()
    finally:
        watcher.close()


def check_hurry() -> None:
    """Give a stream up that takes nothing, if the command is to end.

    :raises TimeoutError: the command is to end.
    """
    if _is_hurried:
        raise TimeoutError(errno.ETIMEDOUT, "its reader takes nothing")


def _write(stream: TextIO, text: str) -> None:
    """Write text and flush, while the hub goes on.

    The descriptor stays in its mode, because other processes may share it. Another one may have
    made it non-blocking, too.

    :raises OSError: the stream takes no more.
    """
    text = _fit(text, stream)
    try:
        descriptor = stream.fileno()
    except OSError:  # it is none of the system's, and never waits
        stream.write(text)
        stream.flush()
        return
    for start in range(0, len(text), _PIECE):
        wait_for(descriptor, WRITE)
        try:
            stream.write(text[start : start + _PIECE])
            stream.flush()
        except BlockingIOError:
            _flush_late(stream, descriptor)


def _flush_late(stream: TextIO, descriptor: int) -> None:
    """Flush what a non-blocking descriptor has not taken at once; the stream still has it."""
    while True:
        wait_for(descriptor, WRITE)
        try:
            stream.flush()
            return
        except BlockingIOError:
            check_hurry()
            gevent.sleep(_RETRY)  # it may be a device for which nothing can wait


def _fit(text: str, stream: TextIO) -> str:
    """Replace the characters that the encoding of a stream does not have by their escapes."""
    # An io.StringIO has no encoding. All encodings of a terminal have the characters of ASCII.
    encoding: str | None = stream.encoding
    if encoding is None or text.isascii():
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _discard(stream: TextIO) -> None:
    """Lead a stream to nowhere: Python flushes it at the end, and would fail again."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
        stream.flush()
