"""What is due when: arithmetic, with points in time that the tests make up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.sessions.clock import NEVER
from greenws.sessions.schedule import Schedule

# When the tests begin, as the monotonic clock counts.
T = 1000.0


def make(
    poll: float = NEVER,
    ping_rate: float = NEVER,
    ping_timeout: float = NEVER,
    close_timeout: float = NEVER,
) -> Schedule:
    schedule = Schedule()
    schedule.poll = poll
    schedule.ping_rate = ping_rate
    schedule.ping_timeout = ping_timeout
    schedule.close_timeout = close_timeout
    return schedule


def make_ready(**rates: float) -> Schedule:
    schedule = make(**rates)
    schedule.begin(T)
    return schedule


def test_nothing_is_due_of_a_new_one() -> None:
    schedule = Schedule()
    assert schedule.next_due(False) == NEVER
    assert schedule.next_due(True) == NEVER
    assert not schedule.wants_attention(T)


def test_nothing_is_due_without_rates() -> None:
    schedule = make_ready()
    assert schedule.next_due(False) == NEVER
    assert not schedule.wants_attention(T + 1e9)
    assert not schedule.take_ping(T + 1e9)
    assert not schedule.take_poll(T + 1e9)
    assert not schedule.is_silent(T + 1e9)


# Opening


def test_body_of_a_rejection_is_due_before_the_opening() -> None:
    schedule = make()
    schedule.begin_opening(T, 30)
    schedule.linger_due = T + 2
    assert schedule.next_due(False) == T + 2
    assert not schedule.wants_attention(T + 1)
    assert schedule.wants_attention(T + 2)


def test_opening_is_due_after_its_timeout() -> None:
    schedule = make(poll=1, ping_rate=1)
    schedule.begin_opening(T, 30)
    assert schedule.next_due(False) == T + 30
    assert not schedule.wants_attention(T + 29.9)
    assert schedule.wants_attention(T + 30)


def test_opening_without_limit_is_never_due() -> None:
    schedule = make()
    schedule.begin_opening(T, None)
    assert schedule.next_due(False) == NEVER


def test_opening_that_succeeds_is_no_longer_due() -> None:
    schedule = make()
    schedule.begin_opening(T, 30)
    assert schedule.next_due(False) == T + 30
    assert schedule.wants_attention(T + 30)
    schedule.begin(T + 1)
    assert schedule.next_due(False) == NEVER
    assert not schedule.wants_attention(T + 31)


# Pings and polls


def test_first_ping_comes_after_its_rate_and_the_first_poll_at_once() -> None:
    schedule = make_ready(poll=5, ping_rate=30)
    assert schedule.next_due(False) == T
    assert not schedule.take_ping(T)
    assert schedule.take_poll(T)
    assert schedule.next_due(False) == T + 5


def test_ping_is_taken_once() -> None:
    schedule = make_ready(ping_rate=30)
    assert not schedule.take_ping(T + 29.9)
    assert schedule.take_ping(T + 30)
    assert not schedule.take_ping(T + 30)
    assert schedule.next_due(False) == T + 60


@pytest.mark.parametrize("late", [0.0, 0.5, 100.0])
def test_late_pings_and_polls_are_not_made_up_for(late: float) -> None:
    schedule = make_ready(poll=2, ping_rate=3)
    schedule.take_poll(T)
    assert schedule.take_poll(T + 2 + late)
    assert not schedule.take_poll(T + 2 + late + 1.9)
    assert schedule.take_ping(T + 3 + late)
    assert not schedule.take_ping(T + 3 + late + 2.9)


def test_pings_need_no_attention_and_polls_do() -> None:
    assert not make_ready(ping_rate=1).wants_attention(T + 100)
    assert make_ready(poll=1).wants_attention(T)


def test_only_what_the_hub_does_itself_is_due_while_the_greenlet_is_about_to_look() -> None:
    schedule = make_ready(poll=1, ping_rate=30, ping_timeout=2)
    assert schedule.next_due(False) == T
    assert schedule.next_due(True) == T + 30


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_pings_never_come_closer_than_their_rate(steps: list[float]) -> None:
    schedule = make_ready(ping_rate=10)
    now, sent = T, [T]
    for step in steps:
        now += step
        if schedule.take_ping(now):
            sent.append(now)
    assert all(later - earlier >= 10 - 1e-9 for earlier, later in pairwise(sent))


# Silence


def test_silence_is_counted_from_ready_on() -> None:
    schedule = make_ready(ping_timeout=10)
    assert schedule.next_due(False) == T + 10
    assert not schedule.is_silent(T + 9.9)
    assert schedule.is_silent(T + 10)
    assert schedule.wants_attention(T + 10)


def test_any_received_byte_ends_silence() -> None:
    schedule = make_ready(ping_timeout=10)
    schedule.note_received(T + 9)
    assert not schedule.is_silent(T + 18.9)
    assert schedule.is_silent(T + 19)
    assert schedule.next_due(False) == T + 19


def test_hub_that_is_in_time_is_no_excuse() -> None:
    schedule = make_ready(ping_timeout=10)
    schedule.note_rung(T + 10, T + 10.09)
    assert not schedule.take_excuse(T + 10.09)


def test_blocked_hub_is_an_excuse_once() -> None:
    schedule = make_ready(ping_timeout=10)
    schedule.note_rung(T + 10, T + 15)
    assert schedule.is_silent(T + 15)
    assert schedule.take_excuse(T + 15)
    # The peer has its whole time again.
    assert not schedule.is_silent(T + 24.9)
    assert schedule.is_silent(T + 25)
    # And not a third time, although the hub was blocked again.
    schedule.note_rung(T + 25, T + 40)
    assert not schedule.take_excuse(T + 40)


def test_sign_of_life_gives_a_new_excuse() -> None:
    schedule = make_ready(ping_timeout=10)
    schedule.note_rung(T, T + 1)
    assert schedule.take_excuse(T + 1)
    schedule.note_received(T + 2)
    assert not schedule.take_excuse(T + 12)
    schedule.note_rung(T + 12, T + 13)
    assert schedule.take_excuse(T + 13)


def test_excuse_that_was_not_needed_is_kept_until_the_next_sign_of_life() -> None:
    schedule = make_ready(ping_timeout=10)
    schedule.note_rung(T + 1, T + 3)
    schedule.note_rung(T + 4, T + 4)
    assert schedule.take_excuse(T + 10)
    fresh = make_ready(ping_timeout=10)
    fresh.note_rung(T + 1, T + 3)
    fresh.note_received(T + 3)
    assert not fresh.take_excuse(T + 13)


# Closing and lingering


def test_answer_to_a_close_frame_is_due_after_its_timeout() -> None:
    schedule = make_ready(close_timeout=30)
    assert schedule.next_due(False) == NEVER
    schedule.begin_closing(T + 5)
    assert schedule.next_due(False) == T + 35
    assert not schedule.take_close(T + 34.9)
    assert schedule.take_close(T + 35)


def test_second_close_does_not_put_off_the_first() -> None:
    schedule = make_ready(close_timeout=30)
    schedule.begin_closing(T)
    schedule.begin_closing(T + 29)
    assert schedule.next_due(False) == T + 30


def test_end_of_a_closing_is_told_once() -> None:
    # Or an alarm that is set to it would be rung forever.
    schedule = make_ready(close_timeout=30)
    schedule.begin_closing(T)
    assert schedule.take_close(T + 30)
    assert not schedule.take_close(T + 30)
    assert schedule.next_due(False) == schedule.next_due(True) == NEVER


def test_answer_is_due_although_the_greenlet_is_about_to_look() -> None:
    # It may be in a handler that waits at the high-water mark, which only the end frees.
    schedule = make_ready(poll=1, close_timeout=30)
    schedule.begin_closing(T)
    assert schedule.next_due(True) == T + 30


@pytest.mark.parametrize(
    ("close_timeout", "expected"), [(NEVER, T + 1), (30.0, T + 1), (0.25, T + 0.25)]
)
def test_lingering_takes_a_second_or_less(close_timeout: float, expected: float) -> None:
    schedule = make_ready(poll=1, ping_rate=1, ping_timeout=1, close_timeout=close_timeout)
    schedule.begin_opening(T, 1)
    schedule.begin_closing(T)
    schedule.begin_lingering(T, 1.0)
    # Nothing else is due any more.
    assert schedule.next_due(False) == expected
    assert not schedule.wants_attention(expected - 0.01)
    assert schedule.wants_attention(expected)
    assert not schedule.take_ping(T + 100)
    assert not schedule.take_poll(T + 100)
    assert not schedule.is_silent(T + 100)
    assert not schedule.take_close(T + 100)


# All together


@given(
    poll=st.floats(0.1, 100) | st.just(NEVER),
    ping_rate=st.floats(0.1, 100) | st.just(NEVER),
    ping_timeout=st.floats(0.1, 100) | st.just(NEVER),
    waits=st.lists(st.floats(0, 50), max_size=20),
)
def test_what_is_due_is_taken_by_somebody(
    poll: float, ping_rate: float, ping_timeout: float, waits: list[float]
) -> None:
    # A session that does what is due at the time of its alarm has nothing left that is due then.
    schedule = make_ready(poll=poll, ping_rate=ping_rate, ping_timeout=ping_timeout)
    now = T
    for wait in waits:
        now = max(now, min(schedule.next_due(False), now + wait))
        schedule.take_ping(now)
        if schedule.wants_attention(now):
            if schedule.is_silent(now):
                schedule.note_received(now)
            schedule.take_poll(now)
        assert not schedule.wants_attention(now)
        assert schedule.next_due(False) > now
