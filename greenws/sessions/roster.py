"""Who runs on which hub.

A client belongs to the hub on which it was started. Its sockets and watchers may be touched in the
thread of that hub alone. So a call that comes from another thread is handed to the hub; and when
the process ends, the clients of each hub have to be found.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

from gevent import get_hub, getcurrent
from gevent.hub import Hub

from . import threads


class Resident(Protocol):
    """Something that runs on a hub until it is closed or killed: a client."""

    @property
    def is_running(self) -> bool:
        """Whether it has begun, and has not ended."""

    def close(self, code: int, reason: str) -> None:
        """Begin to end in good order. Returns at once."""

    def kill(self) -> None:
        """End now."""


class Roster:
    """The residents of one hub. Get it by :func:`get_roster`."""

    __slots__ = ("_hub", "_residents", "thread")

    def __init__(self, hub: Any) -> None:
        # Weak, as a dead thread's hub is to be collected with all that runs on it.
        self._hub = ref(hub)
        #: The number of the hub's thread.
        self.thread: int = threads.get_ident()
        # Those that run, by their id(): a user's class need not be hashable. Changed and read in
        # the hub's thread alone.
        self._residents: WeakValueDictionary[int, Resident] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._residents)

    def add(self, resident: Resident) -> None:
        """Take in a resident that begins to run on the hub of this thread."""
        self._residents[id(resident)] = resident

    def remove(self, resident: Resident) -> None:
        """Forget a resident, which has ended."""
        self._residents.pop(id(resident), None)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the caller is in another thread than the hub."""
        return self.thread != threads.get_ident()

    def hand_over(self, function: Callable[..., object], *args: object) -> None:
        """Have the hub call ``function``; called from any thread.

        A hub that was destroyed, or whose thread has ended, runs nothing any more: nothing happens.
        """
        hub = self._hub()
        loop = None if hub is None else hub.loop
        if loop is not None:
            loop.run_callback_threadsafe(function, *args)


def is_in_hub() -> bool:
    """Tell whether the caller is a callback, or a signal handler, that runs in a hub's own
    greenlet, which cannot wait.
    """
    return isinstance(getcurrent(), Hub)


_rosters: WeakKeyDictionary[Any, Roster] = WeakKeyDictionary()


def get_roster() -> Roster:
    """Return the roster of this thread's hub."""
    hub = get_hub()
    roster = _rosters.get(hub)
    if roster is None:
        roster = _rosters[hub] = Roster(hub)
    return roster


# In a forked child, what ran on the hubs was the parent's.
if hasattr(os, "register_at_fork"):  # not where there are no forks
    os.register_at_fork(after_in_child=_rosters.clear)
