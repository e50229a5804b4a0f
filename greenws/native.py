"""What the compiled core takes from C, where the interpreter's own way costs more than the work.

These are the functions of the pure build. The modules that are compiled find those of the same
names in ``native.pxd`` instead, which are C, and call no interpreter.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from time import time
from typing import Any

__all__ = [
    "call",
    "decode_utf8",
    "empty",
    "encode_utf8",
    "extend",
    "get_ident",
    "is_unshared",
    "make_member",
    "time",
]


def call(handler: Callable[[Any], object], argument: object) -> Exception | None:
    """Call ``handler(argument)``; return the Exception that it raised, or None."""
    try:
        handler(argument)
    except Exception as error:
        return error
    return None


def decode_utf8(data: bytes | bytearray, start: int, stop: int, spare: str | None) -> str | None:
    """Return ``data[start:stop]`` as text, or None if it is not UTF-8.

    :param spare: an earlier result of this. In C, its memory serves again where nobody but the
        caller has a reference to it.
    """
    try:
        return data[start:stop].decode("utf-8")
    except UnicodeDecodeError:
        return None


def empty(buffer: bytearray) -> None:
    """Make it empty; C keeps the memory of a small one."""
    buffer.clear()


def encode_utf8(text: str) -> bytes:
    """Return ``text`` in UTF-8.

    :raises UnicodeEncodeError: it has lone surrogates.
    """
    return text.encode("utf-8")


def extend(out: bytearray, count: int) -> int:
    """Make ``out`` longer by ``count`` bytes, which the caller writes.

    :returns: where they begin.
    """
    start = len(out)
    out += bytes(count)
    return start


def is_unshared(value: object) -> bool:
    """Whether nobody but the caller has a reference to ``value``; only C can tell."""
    return False


def make_member(instance: object, name: bytes, value: object) -> None:
    """Have an attribute that holds ``value`` in ``instance`` read as fast as one of
    ``__slots__``, in all instances of its class; here, it is one.
    """
