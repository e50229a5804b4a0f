from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from greenws import errors
from greenws.sessions import forks


class Settable:
    def __init__(self, error: Exception | None = None) -> None:
        self.count = 0
        self._error = error

    def set(self) -> None:
        self.count += 1
        if self._error is not None:
            raise self._error


@pytest.fixture(autouse=True)
def _same_generation_afterwards() -> Iterator[None]:
    before = forks.generation
    yield
    forks.generation = before


def test_what_began_in_this_process_may_go_on() -> None:
    forks.check(forks.generation)


def test_what_began_in_a_parent_may_not_go_on() -> None:
    before = forks.generation
    forks._note_fork()
    with pytest.raises(errors.WebSocketUnavailable, match="belongs to the parent process"):
        forks.check(before)


def test_events_are_set_in_a_child_during_the_block_alone() -> None:
    event = Settable()
    with forks.set_in_child(event):
        with forks.set_in_child(event):
            pass
        assert event.count == 0
        forks._note_fork()
        assert event.count == 1
    forks._note_fork()
    assert event.count == 1


def test_each_event_is_set_whatever_another_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: printed.append(error))
    error = LookupError("event")
    events = [Settable(), Settable(error), Settable()]
    with (
        forks.set_in_child(events[0]),
        forks.set_in_child(events[1]),
        forks.set_in_child(events[2]),
    ):
        forks._note_fork()
    assert [event.count for event in events] == [1, 1, 1]
    assert printed == [error]
