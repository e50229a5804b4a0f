"""Descriptors, greenlets, watchers of the hub and child processes that a test leaves behind."""

from __future__ import annotations

import gc
import os
import time
import weakref
from pathlib import Path

import gevent
from gevent import Greenlet

# Seconds for a killed greenlet's last turn or a child's exit. Only a test that leaves something
# behind waits this long.
SETTLE_TIME = 2.0

_greenlets: weakref.WeakSet[Greenlet[..., object]] = weakref.WeakSet()


def watch_greenlets() -> None:
    """Keep track of every greenlet that is started from now on."""
    Greenlet.add_spawn_callback(_greenlets.add)


class Holdings:
    """Everything the process has open at the moment this is made."""

    def __init__(self) -> None:
        # Number and target: the number alone may have been closed and given out again.
        self.descriptors = _list_descriptors()
        self.children = _list_children()
        self.greenlets = {id(greenlet): greenlet for greenlet in _greenlets if not greenlet.ready()}
        # Started watchers (I/O, timers, ...) that keep the loop running; libev only.
        self.watchers: int = getattr(gevent.get_hub().loop, "activecnt", 0)

    def describe_excess(self, before: Holdings) -> list[str]:
        """List everything that is open now and was not open before."""
        found = [
            f"descriptor {number} -> {target}"
            for number, target in sorted(self.descriptors - before.descriptors)
        ]
        found += [
            f"child process {pid}: {_read_command(pid)}"
            for pid in sorted(self.children - before.children)
        ]
        found += [
            f"greenlet {greenlet!r}"
            for key, greenlet in self.greenlets.items()
            if key not in before.greenlets
        ]
        if self.watchers > before.watchers and not found:
            found.append(f"{self.watchers - before.watchers} started watchers or timers of the hub")
        return found


def find_leftovers(before: Holdings) -> list[str]:
    """Find what was opened since ``before`` and does not go away by itself.

    The usual case, nothing, costs one look. Otherwise the hub gets turns and garbage is collected,
    as a cycle may hold a descriptor. Only leftovers that are still there after that count.

    :returns: a line for each.
    """
    if not Holdings().describe_excess(before):
        return []
    for _ in range(20):
        gevent.sleep(0)
    if not Holdings().describe_excess(before):
        return []
    gc.collect()
    deadline = time.monotonic() + SETTLE_TIME
    while (found := Holdings().describe_excess(before)) and time.monotonic() < deadline:
        gevent.sleep(0.01)
    return found


def count_descriptors() -> int:
    """How many descriptors the process has open, that of the listing included."""
    return len(os.listdir("/proc/self/fd"))


def _list_descriptors() -> set[tuple[int, str]]:
    found: set[tuple[int, str]] = set()
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:  # not Linux: the other checks have to suffice
        return found
    for number in numbers:
        try:
            found.add((int(number), os.readlink(f"/proc/self/fd/{number}")))
        except OSError:  # the descriptor of the listing itself
            continue
    return found


def _list_children() -> set[int]:
    # The number alone: the command of a child that has just been started is not there yet.
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(pid) for pid in listing.read_text().split())
        except OSError:  # that thread has ended
            continue
    return found


def _read_command(pid: int) -> str:
    try:
        command = Path("/proc", str(pid), "cmdline").read_bytes()
    except OSError:
        command = b""
    return command.replace(b"\0", b" ").decode(errors="replace").strip() or "(ended, not reaped)"
