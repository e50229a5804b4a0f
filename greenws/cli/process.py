"""What a command asks of its process: descriptors, memory, signals, the end of stdin."""

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

# Bytes read from stdin at a time.
_READ_SIZE = 65536


def raise_descriptor_limit() -> int:
    """Allow this process, and those it starts, as many descriptors as it may have.

    :returns: how many that is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # macOS says "unlimited" and takes no more than OPEN_MAX: what there is has to do.
            return _count(soft)
    return _count(hard)


def _count(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def read_memory() -> int:
    """Return the bytes of memory this process has in use (its RSS)."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the most it ever had, in bytes on macOS, KiB elsewhere
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def signals_handled(callback: Callable[[int], object]) -> Iterator[None]:
    """Within the block, SIGINT and SIGTERM call ``callback`` with their number, in a greenlet.

    Only the first of them: whoever is in a hurry sends a second one, which ends the process.
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
    """Wait until stdin has bytes and return them; ``b""`` at its end.

    stdin stays in blocking mode: it may be a terminal that is shared with other processes.
    """
    # A regular file never blocks, and not every event loop would take it.
    if not stat.S_ISREG(os.fstat(_STDIN).st_mode):
        hub = gevent.get_hub()
        watcher = hub.loop.io(_STDIN, 1)
        try:
            hub.wait(watcher)
        finally:
            watcher.close()
    return os.read(_STDIN, _READ_SIZE)
