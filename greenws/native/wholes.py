"""A message that arrives in parts, put together; in the compiled build, ``wholes.pxd`` replaces
this.

There, what is put together is the bytes or the str of the message itself, which nobody else has
seen. Here it is a bytearray, which is copied at the end. A text has to be ASCII.
"""

from __future__ import annotations

from typing import Any


def cut(data: bytes | bytearray, start: int, stop: int) -> bytes:
    """Return ``data[start:stop]``, a message that is there as a whole."""
    return bytes(data[start:stop])


def grow(whole: Any, filled: int, room: int, is_text: bool) -> Any:
    """Return something with room for ``room`` bytes.

    :param whole: what the first ``filled`` bytes are in; None: there are none.
    """
    return bytearray() if whole is None else whole


def put(
    whole: Any, filled: int, data: bytes | bytearray, start: int, count: int, is_text: bool
) -> None:
    """Put ``data[start : start + count]`` behind the first ``filled`` bytes."""
    whole += memoryview(data)[start : start + count]


def finish(whole: Any, is_text: bool) -> Any:
    """Return the message, for which the room was exactly enough."""
    return whole.decode("ascii") if is_text else bytes(whole)


def take_out(whole: Any, filled: int, is_text: bool) -> bytearray:
    """Return a copy of the first ``filled`` bytes."""
    return bytearray(whole[:filled])
