"""Room in a bytearray; in the compiled build, ``buffers.pxd`` replaces this."""

from __future__ import annotations


def extend(out: bytearray, count: int) -> int:
    """Make ``out`` longer by ``count`` bytes, which the caller has to write.

    :returns: where they begin.
    """
    start = len(out)
    out += bytes(count)
    return start


def renew(out: bytearray, count: int) -> int:
    """Make ``out`` ``count`` bytes long, all of which the caller has to write.

    :returns: where they begin.
    """
    out[:] = bytes(count)
    return 0
