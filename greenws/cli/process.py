"""The process of a command: its descriptors, memory, signals and stdin."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from ..sessions.wait import READ
from .streams import hurry, wait_for

try:
    import resource
except ImportError:
    HAS_RESOURCE = False  # Windows, for example
else:
    HAS_RESOURCE = True

_STDIN = 0

# The largest number of bytes of one read from stdin.
_READ_SIZE = 65536

# Seconds until the next try, where a non-blocking stdin has nothing after all.
_RETRY = 0.01


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors of this process, and of its children, to the hard limit.

    :returns: the new limit; ``sys.maxsize`` where the system has none.
    """
    if sys.platform == "win32" or not HAS_RESOURCE:
        return sys.maxsize
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # macOS reports "unlimited" but accepts only OPEN_MAX. The soft limit stays as it is.
            return _count(soft)
    return _count(hard)


def _count(limit: int) -> int:
    # RLIM_INFINITY, which is -1 on some systems and the largest number on others.
    return limit if 0 <= limit < sys.maxsize else sys.maxsize


def read_memory() -> int:
    """Return the resident set of this process (RSS), in bytes; 0 where the system tells none."""
    if sys.platform == "win32" or not HAS_RESOURCE:
        return 0
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the peak of the RSS, in bytes on macOS, in KiB elsewhere
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def signals_handled(callback: Callable[[int], object]) -> Iterator[None]:
    """Within the block, SIGINT and SIGTERM call ``callback`` with their number, in a greenlet.

    Only the first signal calls ``callback``; from then on, no output waits for a reader that takes
    nothing. A second signal ends the process.
    """
    watchers: list[Any] = []

    def cancel() -> None:
        while watchers:
            watchers.pop().cancel()

    def handle(number: int) -> None:
        cancel()
        hurry()
        callback(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        watchers.append(gevent.signal_handler(number, handle, number))
    try:
        yield
    finally:
        cancel()


def read_stdin() -> bytes:
    """Wait until stdin has bytes, and return them; ``b""`` at the end of stdin.

    stdin stays in the mode that it has, because it may be a terminal that other processes share.

    :raises OSError: stdin cannot be read: it is a directory, for example.
    """
    if sys.platform == "win32":  # where a loop waits for sockets only
        data: bytes = gevent.get_hub().threadpool.apply(os.read, (_STDIN, _READ_SIZE))
        return data
    while True:
        wait_for(_STDIN, READ)
        try:
            return os.read(_STDIN, _READ_SIZE)
        except BlockingIOError:
            gevent.sleep(_RETRY)  # another process was faster
