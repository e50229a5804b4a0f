"""What an echo server keeps of its connections, and waiting for it without polling."""

from __future__ import annotations

import gevent
import pytest

from greenws.testing.journal import Journal
from tests.support.waiting import PATIENCE


def test_history_bounds_the_messages_but_not_their_count() -> None:
    journal = Journal(2)
    for message in ("one", b"two", "three"):
        journal.record_message(message)
    assert list(journal.messages) == [b"two", "three"]
    assert journal.message_count == 3


def test_history_of_zero_keeps_no_message() -> None:
    journal = Journal(0)
    journal.record_message("one")
    assert (list(journal.messages), journal.message_count) == ([], 1)


def test_wait_returns_what_the_condition_returned() -> None:
    journal = Journal(10)
    assert journal.wait_for(lambda: [1], None) == [1]
    gevent.spawn(journal.record_message, "one")
    assert journal.wait_for(lambda: list(journal.messages), PATIENCE) == ["one"]


def test_wait_looks_once_for_each_change() -> None:
    journal = Journal(0)
    looks = []

    def look() -> bool:
        looks.append(journal.message_count)
        return journal.message_count == 3

    waiter = gevent.spawn(journal.wait_for, look, PATIENCE)
    for _ in range(3):
        gevent.sleep(0)
        gevent.sleep(0)
        journal.record_message("x")
    waiter.get(timeout=PATIENCE)
    assert looks == [0, 1, 2, 3]


def test_change_wakes_every_waiter() -> None:
    journal = Journal(0)
    waiters = [gevent.spawn(journal.wait_for, lambda: journal.message_count, 5) for _ in range(3)]
    gevent.sleep(0)
    journal.record_message("x")
    gevent.joinall(waiters, timeout=PATIENCE)
    assert [waiter.value for waiter in waiters] == [1, 1, 1]


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_wait_in_vain_is_a_timeout_error(timeout: float) -> None:
    journal = Journal(0)
    journal.record_message("x")
    with pytest.raises(TimeoutError, match=rf"not true within {timeout} s \(1 messages so far\)"):
        journal.wait_for(lambda: False, timeout)


def test_error_ends_a_wait() -> None:
    journal = Journal(0)
    waiter = gevent.spawn(journal.wait_for, lambda: False, PATIENCE)
    gevent.sleep(0)
    error = LookupError("of a behaviour")
    journal.record_error(error)
    waiter.join(PATIENCE)
    assert waiter.exception is error


def test_each_error_is_raised_once_and_in_order() -> None:
    journal = Journal(0)
    journal.record_error(LookupError("first"))
    journal.record_error(LookupError("second"))
    for text in ("first", "second"):
        with pytest.raises(LookupError, match=text):
            journal.raise_error()
    journal.raise_error()
    assert len(journal.errors) == 2
