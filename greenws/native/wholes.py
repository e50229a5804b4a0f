"""A message that arrives in parts, put together; in the compiled build, ``wholes.pxd`` replaces
this.

There, what is put together is the bytes object of the message itself, which nobody else has seen.
Here it is a bytearray, which is copied at the end.
"""

from __future__ import annotations

from typing import Any


def grow(whole: Any, filled: int, room: int) -> Any:
    """Return something with room for ``room`` bytes.

    :param whole: what the first ``filled`` bytes are in; None: there are none.
    """
    return bytearray() if whole is None else whole


def put(whole: Any, filled: int, data: bytes | bytearray, start: int, count: int) -> None:
    """Put ``data[start : start + count]`` behind the first ``filled`` bytes."""
    whole += memoryview(data)[start : start + count]


def finish(whole: Any) -> bytes:
    """Return the message, for which the room was exactly enough."""
    return bytes(whole)


def take_out(whole: Any, filled: int) -> bytearray:
    """Return a copy of the first ``filled`` bytes."""
    return bytearray(memoryview(whole)[:filled])
