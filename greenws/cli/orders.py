"""What a person can type at the prompt of ``connect`` in place of a message."""

from __future__ import annotations

from dataclasses import dataclass

from ..status import Status
from ..websocket import build_user_close

_HELP = (
    ("TEXT", "send a text message; with a second / if it begins with one"),
    ("/binary HEX", "send a binary message: /binary 01 ff"),
    ("/ping", "send a ping, and show the round trip"),
    ("/close [CODE] [REASON]", "close the connection; 1000 without a CODE"),
    ("/help", "show this"),
)
_KEYS = (
    ("Ctrl-D, Ctrl-C", "close the connection"),
    ("Up, Down, Ctrl-R", "find earlier lines"),
    ("Alt-Enter", "begin another line within a message"),
)

#: The words that begin an order, for the key Tab.
WORDS = ("/binary", "/close", "/help", "/ping")


class BadOrder(Exception):
    """A line is an order that cannot be understood; the message says why."""


@dataclass(frozen=True)
class Message:
    """Send a message: str is text."""

    payload: str | bytes


@dataclass(frozen=True)
class Close:
    """Close the connection."""

    code: int = Status.NORMAL
    reason: str = ""


@dataclass(frozen=True)
class Ping:
    """Send a ping."""


@dataclass(frozen=True)
class Help:
    """Show what can be typed."""

    @property
    def lines(self) -> list[str]:
        """What is shown."""
        return [f"{typed:<24}{meaning}" for typed, meaning in (*_HELP, *_KEYS)]


Order = Message | Close | Ping | Help


def parse_order(line: str, is_binary: bool = False) -> Order:
    """Understand a line that a person has typed.

    :param is_binary: whether a line that is no order is a binary message in hexadecimal.
    :raises BadOrder: it cannot be understood.
    """
    if not line.startswith("/"):
        return Message(parse_hex(line) if is_binary else line)
    if line.startswith("//"):
        return Message(line[1:])
    word, *others = line.split(maxsplit=1)
    rest = "".join(others).strip()
    if word == "/binary":
        if not rest:
            raise BadOrder("/binary needs bytes in hexadecimal: /binary 01 ff")
        return Message(parse_hex(rest))
    if word == "/close":
        return _parse_close(rest)
    if word not in ("/ping", "/help"):
        word = _cut(word)
        raise BadOrder(f"there is no {word}; /help shows what there is, and /{word} sends it")
    if rest:
        raise BadOrder(f"{word} takes nothing more: {_cut(rest)!r}")
    return Ping() if word == "/ping" else Help()


def parse_hex(text: str) -> bytes:
    """Return the bytes that a text has in hexadecimal, in upper or lower case, with or without
    blanks between them.

    :raises BadOrder: it has something else.
    """
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadOrder(f"bytes must be hexadecimal, such as 01ff: {_cut(text)!r}") from None


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


def _parse_close(rest: str) -> Close:
    if not rest:
        return Close()
    number, _, reason = rest.partition(" ")
    if not (number.isascii() and number.isdigit() and len(number) <= 5):
        raise BadOrder(f"/close takes a code before a reason: /close 1000 {_cut(rest)}")
    close = Close(int(number), reason.strip())
    try:
        build_user_close(close.code, close.reason)
    except ValueError as error:
        raise BadOrder(str(error)) from None
    return close
