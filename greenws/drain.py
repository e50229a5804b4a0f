"""The end of all clients and connections of a hub, in good order: on demand, and when the
interpreter exits. What is said of clients holds for a Connection, too.

At exit, the main greenlet runs the functions of :mod:`atexit` before the interpreter is taken
apart: greenlets run when it waits, and threads go on. Clients of other threads are drained by
their own hubs meanwhile. Nothing is registered before the first client has run. A forked child has
no clients but those it has started itself.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any

from gevent import GreenletExit, spawn

from .constants import EXIT_TIMEOUT
from .options import check_seconds
from .sessions.roster import Resident, Roster, find_roster, is_in_hub, list_rosters
from .sessions.threads import make_lock, sleep
from .sessions.wait import in_turns
from .status import Status
from .trace import build_log_fields
from .websocket import build_user_close

log: logging.Logger = logging.getLogger("greenws.drain")

# Seconds in which the on_close of killed clients has to return.
_KILL_TIME = 0.1

# Seconds in which a thread whose clients have ended may end, too.
_THREAD_TIME = 0.05


def drain(timeout: float = 5, code: int = Status.GOING_AWAY, reason: str = "") -> int:
    """Close every running client and Connection of this thread's hub, and wait for their ends.

    No client reconnects. What was sent before goes first, ``on_close`` is called, and those that
    have not ended after ``timeout`` seconds are killed. Clients that are started meanwhile are left
    alone. A handler may call this function: its own client is closed, and not waited for.

    In the hub itself, where signal handlers run while the program waits, nothing can wait: a
    greenlet of its own does the work then, and the call returns 0 at once.

    :param timeout: seconds.
    :param code: the close code for the servers.
    :param reason: at most 123 bytes of UTF-8.
    :returns: the number of clients and connections that were killed.
    :raises ValueError: if the code must not be sent, the reason is too long, or the timeout is
        negative.
    """
    check_drain(timeout, code, reason)
    roster = find_roster()
    if roster is None:
        return 0
    if is_in_hub():
        spawn(_drain, roster, timeout, code, reason)
        return 0
    return _drain(roster, timeout, code, reason)


def check_drain(timeout: float, code: int, reason: str) -> None:
    """Check the arguments of :func:`drain`.

    :raises TypeError: if one has a wrong type.
    :raises ValueError: if the code must not be sent, the reason is too long, or the timeout is
        negative.
    """
    if timeout is None:
        raise TypeError("timeout must be a number of seconds")
    check_seconds("timeout", timeout)
    build_user_close(code, reason)


def _drain(roster: Roster, timeout: float, code: int, reason: str) -> int:
    return drain_residents(roster, roster.present(), timeout, code, reason)


def drain_residents(
    roster: Roster, residents: Sequence[Resident], timeout: float, code: int, reason: str
) -> int:
    """Close some of those that run on a hub, wait for their ends, and kill the rest.

    An exception that comes meanwhile, a kill or a ``gevent.Timeout``, ends the wait: those that
    have not ended are killed.

    :returns: the number of those that were killed.
    """
    deadline = monotonic() + timeout
    awaited = [resident for resident in residents if not resident.is_caller]
    vigil = roster.watch(awaited)
    try:
        _close_all(residents, code, reason)
        vigil.wait(max(0.0, deadline - monotonic()))
        late = [resident for resident in awaited if resident.is_running]
        if late:
            log.warning(
                "killed, as they did not close in time: %d of %d clients",
                len(late),
                len(awaited),
                extra=build_log_fields(),
            )
            _kill_all(late)
            vigil.wait(_KILL_TIME)
        return len(late)
    except BaseException:
        _kill_all([resident for resident in awaited if resident.is_running])
        raise
    finally:
        vigil.end()


def _close_all(residents: Iterable[Resident], code: int, reason: str) -> None:
    for resident in in_turns(residents):
        try:
            resident.close(code, reason)
        except Exception:
            # A trace of the user's, say. The others are closed, and this one will be killed.
            log.exception(
                "%r could not be closed",
                resident,
                extra=resident.websocket.tracer.describe(),
            )


def _kill_all(residents: Iterable[Resident]) -> None:
    for resident in residents:
        # Each by a greenlet: kill() waits for on_close, which may take for ever.
        spawn(resident.kill)


# The end of the interpreter

_is_registered = False


def drain_at_exit() -> None:
    """Have the clients drained when the interpreter exits."""
    global _is_registered
    if not _is_registered:
        _is_registered = True
        atexit.register(_exit)


def _exit() -> None:
    rosters = [roster for roster in list_rosters() if len(roster)]
    if not rosters:
        return
    try:
        _drain_all(rosters, monotonic() + EXIT_TIMEOUT)
    except (KeyboardInterrupt, SystemExit, GreenletExit):
        pass  # the user does not want to wait: the interpreter exits anyway


def _drain_all(rosters: list[Roster], deadline: float) -> None:
    own = find_roster()
    seconds = EXIT_TIMEOUT - _KILL_TIME
    elsewhere = []
    for roster in rosters:
        if roster.is_elsewhere and roster.is_alive:
            lock = make_lock()
            lock.acquire()
            elsewhere.append((roster, lock))
            roster.hand_over(spawn, _drain_elsewhere, roster, seconds, lock)
    if own is not None and own.is_alive:
        _drain(own, seconds, Status.GOING_AWAY, "")
    for _, lock in elsewhere:
        # The hubs of these threads run meanwhile.
        lock.acquire(timeout=max(0.0, deadline - monotonic()))
    _let_end([roster for roster, _ in elsewhere])


def _let_end(rosters: list[Roster]) -> None:
    """Give threads that end with their clients the time to do so.

    greenlet takes the greenlets of an ended thread apart in the main thread. If the interpreter is
    being taken apart at that moment, too, the process crashes: 1 of 50 did.
    """
    if rosters:
        deadline = monotonic() + _THREAD_TIME
        while monotonic() < deadline and any(roster.is_alive for roster in rosters):
            sleep(_THREAD_TIME / 50)
        sleep(_THREAD_TIME / 10)


def _drain_elsewhere(roster: Roster, seconds: float, lock: Any) -> None:
    try:
        _drain(roster, seconds, Status.GOING_AWAY, "")
    finally:
        lock.release()
