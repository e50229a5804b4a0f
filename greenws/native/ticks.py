"""Clocks that are cheap to look at; in the compiled build, ``ticks.pxd`` replaces this."""

from __future__ import annotations

from time import monotonic, time


def now() -> float:
    """Return seconds since some point in the past, which may be as coarse as 16 ms."""
    return monotonic()


def precise() -> float:
    """Return seconds of the monotonic clock, as ``time.monotonic()`` does."""
    return monotonic()


def epoch() -> float:
    """Return epoch seconds, as ``time.time()`` does."""
    return time()
