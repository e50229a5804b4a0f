"""The process of a command: its descriptors, memory, signals and stdin."""

from __future__ import annotations

import os
import resource
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent

_STDIN = 0

# The largest number of bytes of one read from stdin.
_READ_SIZE = 65536


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors of this process, and of its children, to the hard limit.

    :returns: the new limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # macOS reports "unlimited" but accepts only OPEN_MAX. The soft limit stays as it is.
            return _count(soft)
    return _count(hard)


def _count(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def read_memory() -> int:
    """Return the resident set of this process (RSS), in bytes."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the peak of the RSS, in bytes on macOS, in KiB elsewhere
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def signals_handled(callback: Callable[[int], object]) -> Iterator[None]:
    """Within the block, SIGINT and SIGTERM call ``callback`` with their number, in a greenlet.

    Only the first signal calls ``callback``. A second signal ends the process.
    """
    watchers: list[Any] = []

    def cancel() -> None:
        while watchers:
            watchers.pop().cancel()

    def handle(number: int) -> None:
        cancel()
        callback(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        watchers.append(gevent.signal_handler(number, handle, number))
    try:
        yield
    finally:
        cancel()


def read_stdin() -> bytes:
    """Wait until stdin has bytes, and return them; ``b""`` at the end of stdin.

    stdin stays in blocking mode, because it may be a terminal that other processes share.
    """
    # A regular file never blocks, and not every event loop accepts a regular file.
    if not stat.S_ISREG(os.fstat(_STDIN).st_mode):
        hub = gevent.get_hub()
        watcher = hub.loop.io(_STDIN, 1)
        try:
            hub.wait(watcher)
        finally:
            watcher.close()
    return os.read(_STDIN, _READ_SIZE)
