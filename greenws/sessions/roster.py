"""Who runs on which hub.

A client belongs to the hub on which it was started. Its sockets and watchers may be touched in the
thread of that hub alone. So a call that comes from another thread is handed to the hub; and when
the process ends, the clients of each hub have to be found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, ref

from gevent import Greenlet, get_hub, getcurrent
from gevent.event import Event
from gevent.hub import Hub
from gevent.monkey import get_original

from ..constants import LONGEST_WAIT
from . import forks, threads

if TYPE_CHECKING:
    _AnyGreenlet = Greenlet[..., Any]  # a generic for type checkers alone
else:
    _AnyGreenlet = Greenlet


class Resident(Protocol):
    """Something that runs on a hub until it is closed or killed: a client, or a connection."""

    @property
    def is_running(self) -> bool:
        """Whether it has begun, and has not ended."""

    @property
    def is_caller(self) -> bool:
        """Whether it is one of its handlers that asks, or another function that it calls."""

    @property
    def websocket(self) -> Any:
        """The WebSocket underneath."""

    def close(self, code: int, reason: str) -> None:
        """Begin to end in good order. Returns at once."""

    def kill(self) -> None:
        """End now."""

    def _run_apart(self) -> None:
        """Run, as the function of a greenlet."""


class ResidentGreenlet(_AnyGreenlet):
    """The greenlet in which a resident runs."""

    # gevent would keep ten frames of the stack that started the greenlet, for every resident.
    spawning_stack_limit = 0

    # The resident is an argument: Greenlet(function) would make a dictionary for each greenlet. And
    # the call of a method would take 144 bytes more of each greenlet's stack.
    @staticmethod
    def _run(resident: Resident) -> None:
        resident._run_apart()

    if TYPE_CHECKING:

        def __init__(self, function: None, resident: Resident) -> None: ...


class Roster:
    """The residents of one hub. Get it by :func:`get_roster`."""

    __slots__ = ("_hub", "_residents", "_vigils", "thread")

    def __init__(self, hub: Any) -> None:
        # Weak, as a dead thread's hub is to be collected with all that runs on it.
        self._hub = ref(hub)
        #: The number of the hub's thread.
        self.thread: int = threads.get_ident()
        # Those that run, by their id(): a user's class need not be hashable. Changed and read in
        # the hub's thread alone. One that was collected is taken out by the next look, or its
        # place is given to another one.
        self._residents: dict[int, ref[Resident]] = {}
        self._vigils: list[Vigil] = []

    def __len__(self) -> int:
        # The list at once: another thread may ask.
        return sum(refer() is not None for refer in list(self._residents.values()))

    def add(self, resident: Resident) -> None:
        """Take in a resident that begins to run on the hub of this thread."""
        self._residents[id(resident)] = ref(resident)

    def remove(self, resident: Resident) -> None:
        """Forget a resident, which has ended."""
        self._residents.pop(id(resident), None)
        for vigil in self._vigils:
            vigil.note_end(resident)

    def present(self) -> list[Resident]:
        """Return those that run now."""
        found = [(key, refer()) for key, refer in self._residents.items()]
        for key, resident in found:
            if resident is None:
                del self._residents[key]
        return [resident for _, resident in found if resident is not None]

    def watch(self, residents: Iterable[Resident]) -> Vigil:
        """Return what waits for the end of these residents; the caller ends it."""
        vigil = Vigil(self._vigils, residents)
        self._vigils.append(vigil)
        return vigil

    def belongs_to(self, hub: Any) -> bool:
        """Tell whether this is the roster of that hub."""
        return self._hub() is hub

    @property
    def is_alive(self) -> bool:
        """Whether the hub can still run something: it was not destroyed, and its thread lives."""
        hub = self._hub()
        if hub is None or hub.loop is None or hub.dead:
            return False
        # The number of an ended thread may have been given to another one. Who asks a hub for
        # something, and relies on this, has to have a limit for the answer.
        return self.thread in sys._current_frames()

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


class Vigil:
    """Waits until some residents have ended."""

    __slots__ = ("_all", "_left", "_over")

    def __init__(self, vigils: list[Vigil], residents: Iterable[Resident]) -> None:
        self._all = vigils
        self._left = {id(resident) for resident in residents}
        self._over = Event()
        if not self._left:
            self._over.set()

    def note_end(self, resident: Resident) -> None:
        """Take note that a resident has ended, which may be one of them."""
        self._left.discard(id(resident))
        if not self._left:
            self._over.set()

    def wait(self, seconds: float) -> None:
        """Wait until all have ended, for at most so many seconds; in a forked child, where they are
        the parent's, no longer.
        """
        with forks.set_in_child(self._over):
            self._over.wait(min(seconds, LONGEST_WAIT))

    def end(self) -> None:
        """Be told of no more ends."""
        self._all.remove(self)


def is_in_hub() -> bool:
    """Tell whether the caller is a callback, or a signal handler, that runs in a hub's own
    greenlet, which cannot wait.
    """
    return isinstance(getcurrent(), Hub)


_rosters: WeakKeyDictionary[Any, Roster] = WeakKeyDictionary()


# In a patched process, _thread._local() is of a greenlet.
class _Thread(get_original("_thread", "_local")):  # type: ignore[misc]
    roster: Roster | None = None


_thread = _Thread()


def get_roster() -> Roster:
    """Return the roster of this thread's hub."""
    hub, roster = get_hub(), _thread.roster
    if roster is None or roster._hub() is not hub:
        roster = _thread.roster = _rosters[hub] = Roster(hub)
    return roster


def find_roster() -> Roster | None:
    """Return the roster of this thread's hub, or None: nothing has run on it. Makes no hub."""
    for roster in list_rosters():
        # A hub of an ended thread whose number was given to this one is not this thread's.
        if not roster.is_elsewhere and roster.belongs_to(get_hub()):
            return roster
    return None


def list_rosters() -> list[Roster]:
    """Return the rosters of all hubs."""
    while True:
        try:
            return [*_rosters.values()]
        except RuntimeError:
            continue  # another thread has made its hub meanwhile


def _begin_anew() -> None:
    """In a forked child, what ran on the hubs was the parent's."""
    _rosters.clear()
    _thread.roster = None


forks.call_in_child(_begin_anew)
