"""The time of a turn is shared, and those who wait go on in their order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import pytest
from gevent import get_hub

from tests.support.pure import load_pure

# The compiled build has its clock in C: the twin's can be set.
twin: Any = load_pure("sessions.rota")

TURN = twin.TURN


class Hand:
    """The hand of the clock, moved by the test."""

    def __init__(self) -> None:
        self.now = 100.0
        #: Seconds of ``now`` for which other processes had the processor.
        self.waited = 0.0


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(twin.ticks, "now", lambda: hand.now)
    monkeypatch.setattr(twin, "thread_time", lambda: hand.now - hand.waited)
    return hand


@pytest.fixture
def rota() -> Any:
    return twin.Rota(get_hub().loop, True)


def test_grants_grow_while_the_clock_stands(rota: Any, hand: Hand) -> None:
    assert [rota.grant() for _ in range(6)] == [1, 2, 4, 6, 6, 6]


def test_grants_grow_under_a_clock_that_moves_with_every_look(rota: Any, hand: Hand) -> None:
    """Python's clock does, in the pure build."""
    grants = []
    for _ in range(6):
        grants.append(rota.grant())
        hand.now += 0.00001
    assert grants == [1, 2, 4, 6, 6, 6]


def test_slow_units_are_granted_one_by_one(rota: Any, hand: Hand) -> None:
    grants = []
    for _ in range(7):
        grants.append(rota.grant())
        hand.now += TURN / 4.5
    assert grants == [1, 1, 1, 1, 1, 0, 0]


def test_nothing_is_granted_after_the_turn_has_had_its_time(rota: Any, hand: Hand) -> None:
    for _ in range(5):
        rota.grant()
    hand.now += 1.01 * TURN
    assert rota.grant() == 0
    assert rota.is_over()
    rota.begin_turn()
    assert not rota.is_over()
    assert rota.grant() == 1  # the growth begins anew


def test_time_of_other_processes_does_not_count_at_once(rota: Any, hand: Hand) -> None:
    rota.grant()
    hand.now += 1.5 * TURN
    hand.waited += 1.2 * TURN
    assert rota.grant() == 1
    assert not rota.is_over()
    hand.now += 0.6 * TURN
    hand.waited += 0.6 * TURN
    assert rota.is_over()  # all the same: others have waited
    assert rota.grant() == 0


def test_time_before_the_first_question_does_not_count(rota: Any, hand: Hand) -> None:
    rota.grant()
    rota.begin_turn()
    hand.now += 1.0
    assert rota.grant() == 1
    assert not rota.is_over()


def test_rota_that_is_told_of_no_turns_begins_one_with_the_next_callbacks(hand: Hand) -> None:
    rota = twin.Rota(get_hub().loop, False)
    assert rota.grant() == 1
    hand.now += 1.01 * TURN
    assert rota.is_over()
    gevent.sleep(0)
    assert not rota.is_over()


def test_those_who_wait_go_on_in_order_and_share_the_turns(rota: Any, hand: Hand) -> None:
    order: list[tuple[int, int]] = []

    def work(number: int) -> None:
        for step in range(3):
            rota.wait()
            order.append((step, number))
            hand.now += 1.01 * TURN  # as long as a whole turn

    greenlets = [gevent.spawn(work, number) for number in range(4)]
    gevent.joinall(greenlets)
    assert order == [(step, number) for step in range(3) for number in range(4)]
    assert rota._timer is None


def have_wait(rota: Any, *functions: Callable[[], object]) -> list[gevent.Greenlet[..., Any]]:
    """Return greenlets that run the functions, at an instant at which all of them wait."""
    while True:
        greenlets = [gevent.spawn(function) for function in functions]
        gevent.sleep(0)
        # A machine that stops for some milliseconds in between lets the first go on.
        if len(rota._waiting) == len(functions):
            return greenlets
        gevent.killall(greenlets)


def test_killed_waiter_is_forgotten(rota: Any, hand: Hand) -> None:
    went_on: list[int] = []

    def work(number: int) -> None:
        rota.wait()
        went_on.append(number)

    greenlets = have_wait(rota, *(partial(work, number) for number in range(3)))
    went_on.clear()
    greenlets[1].kill(block=False)
    gevent.joinall(greenlets)
    assert went_on == [0, 2]
    assert rota._timer is None


def test_last_waiter_that_is_killed_stops_the_timer(rota: Any, hand: Hand) -> None:
    (greenlet,) = have_wait(rota, rota.wait)
    assert rota._timer is not None
    greenlet.kill()
    assert rota._timer is None


def test_waiter_that_raises_stops_nobody(rota: Any, hand: Hand) -> None:
    went_on: list[int] = []

    def work(number: int) -> None:
        rota.wait()
        went_on.append(number)
        if number == 0:
            raise gevent.GreenletExit

    gevent.joinall([gevent.spawn(work, number) for number in range(3)])
    assert went_on == [0, 1, 2]


def test_closed_rota_holds_no_timer_and_nobody(rota: Any, hand: Hand) -> None:
    (greenlet,) = have_wait(rota, rota.wait)
    rota.close()
    rota.close()
    assert rota._timer is None and not rota._waiting
    greenlet.kill()
