"""The queue of turns, and the places for openings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from greenws import admission
from greenws.admission import Admission, Turn
from greenws.sessions.reactor import get_reactor
from tests.support.waiting import wait_until


class Caller(Turn):
    def __init__(self, begun: list[Caller]) -> None:
        self._begun = begun

    def begin(self) -> None:
        self._begun.append(self)


@pytest.fixture
def begun() -> list[Caller]:
    return []


@pytest.fixture
def make(begun: list[Caller]) -> Callable[[], Caller]:
    return lambda: Caller(begun)


def nothing() -> None:
    """Nobody has to be woken."""


def test_without_limits_everybody_gets_a_place(make: Any) -> None:
    places = Admission(None, None)
    assert all(places.ask() for _ in range(100))
    assert places.taken == 100


def test_places_go_to_those_that_wait_in_order(make: Any, begun: list[Caller]) -> None:
    places = Admission(2, None)
    assert places.ask() and places.ask() and not places.ask()
    first, second, third = make(), make(), make()
    woken: list[int] = []
    for number, caller in enumerate((first, second, third)):
        places.wait(caller, lambda number=number: woken.append(number))
    places.withdraw(second)
    places.withdraw(second)
    places.free()
    assert (begun, woken) == ([first], [0])
    assert not places.ask()  # somebody waits
    places.free()
    assert (begun, woken) == ([first, third], [0, 2])
    assert (places.taken, len(places)) == (2, 0)


def test_place_that_is_free_is_taken_at_once(make: Any, begun: list[Caller]) -> None:
    places = Admission(1, None)
    caller = make()
    places.wait(caller, nothing)
    assert begun == [caller]


def test_rate_gives_one_place_after_the_other(
    make: Any, begun: list[Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(admission, "monotonic", lambda: now)
    places = Admission(None, 10)
    assert places.ask()
    assert not places.ask()
    now += 0.1001
    assert places.ask()
    now += 10  # time in which nobody asks is not saved up
    assert [places.ask() for _ in range(3)] == [True, False, False]


def test_lateness_of_a_busy_hub_is_caught_up_a_little(
    make: Any, begun: list[Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(admission, "monotonic", lambda: now)
    places = Admission(None, 100)
    assert places.ask()
    for _ in range(100):
        places.wait(make(), nothing)
    now += 0.0301
    places._ring(now, now)
    assert len(begun) == 3
    now += 10
    places._ring(now, now)
    assert 8 <= len(begun) <= 9
    for caller in [*places._queue]:
        places.withdraw(caller)


def test_alarm_rings_for_the_first_that_waits_and_is_put_off_without_any(
    make: Any, begun: list[Caller]
) -> None:
    clock = get_reactor().clock
    before = len(clock)
    places = Admission(None, 20)
    assert places.ask()
    callers = [make() for _ in range(3)]
    for caller in callers:
        places.wait(caller, nothing)
    assert len(clock) == before + 1
    wait_until(lambda: len(begun) == 3)
    assert begun == callers
    assert len(clock) == before
    places.wait(make(), nothing)
    places.wait(callers[0], nothing)
    for caller in [*places._queue]:
        places.withdraw(caller)
    assert len(clock) == before


def test_thousands_are_admitted_over_several_turns(make: Any, begun: list[Caller]) -> None:
    places = Admission(1000, 1e9)
    held = [places.ask() for _ in range(1000)]
    assert held[0]
    for _ in range(1000):
        places.wait(make(), nothing)
    counts = []
    places.taken = 0  # all are free at once
    gevent.get_hub().loop.run_callback(places._admit)
    while len(begun) < 1000:
        counts.append(len(begun))
        gevent.sleep(0.001)
    assert len(counts) >= 3


def test_reset_forgets_the_pace(make: Any) -> None:
    places = Admission(None, 0.001)
    assert places.ask() and not places.ask()
    places.reset()
    assert places.ask()
