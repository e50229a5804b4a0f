"""Who runs on which hub, and calls that are handed over to a hub."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import gevent
import gevent.os
from gevent.event import Event

from greenws.sessions.roster import Roster, get_roster, is_in_hub
from tests.support.waiting import PATIENCE


class Resident:
    """Runs, as far as the roster knows. Cannot be hashed, as a user's class may be."""

    is_running = True
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def close(self, code: int, reason: str) -> None:
        """Nothing runs."""

    def kill(self) -> None:
        """Nothing runs."""


def in_thread(function: Any) -> Any:
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(function()))
    thread.start()
    thread.join()
    return outcome[0]


def test_hub_has_one_roster() -> None:
    assert get_roster() is get_roster()


def test_thread_has_a_roster_of_its_own() -> None:
    def get() -> Roster:
        try:
            return get_roster()
        finally:
            gevent.get_hub().destroy()

    assert in_thread(get) is not get_roster()


def test_roster_tells_other_threads_apart() -> None:
    roster = get_roster()
    assert not roster.is_elsewhere
    assert in_thread(lambda: roster.is_elsewhere)


def test_residents_come_and_go() -> None:
    roster = Roster(gevent.get_hub())
    first, second = Resident(), Resident()
    roster.add(first)
    roster.add(second)
    assert len(roster) == 2
    roster.remove(first)
    roster.remove(first)
    assert len(roster) == 1


def test_roster_keeps_no_resident_alive() -> None:
    roster = Roster(gevent.get_hub())
    roster.add(Resident())
    gc.collect()
    assert len(roster) == 0


def test_call_is_handed_to_the_hub() -> None:
    done = Event()
    places: list[bool] = []

    def call(word: str) -> None:
        assert word == "word"
        places.append(is_in_hub())
        done.set()

    roster = get_roster()
    in_thread(lambda: roster.hand_over(call, "word"))
    assert done.wait(PATIENCE)
    assert places == [True]
    assert not is_in_hub()


def test_call_to_a_destroyed_hub_does_nothing() -> None:
    def make() -> Roster:
        hub = gevent.get_hub()
        roster = Roster(hub)
        hub.destroy()
        roster.hand_over(os.abort)
        return roster

    roster = in_thread(make)
    gc.collect()
    roster.hand_over(os.abort)


def test_child_begins_with_an_empty_roster() -> None:
    resident = Resident()
    get_roster().add(resident)
    try:
        pid = gevent.os.fork()
        if not pid:
            os._exit(len(get_roster()))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        get_roster().remove(resident)
