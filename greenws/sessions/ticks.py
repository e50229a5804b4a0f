"""A clock that is cheap to look at; in the compiled build, ``ticks.pxd`` replaces this."""

from __future__ import annotations

from time import monotonic


def now() -> float:
    """Return seconds since some point in the past, which may be as coarse as 16 ms."""
    return monotonic()
