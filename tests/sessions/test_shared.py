"""What sessions of a hub share: the size of a read, the buffer's holder, who is told in a child.
Without a hub: the plain twin, on a loop that does nothing."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pure import load_pure

twin: Any = load_pure("sessions.reactor")

KIB = 1024
FIRST = 64 * KIB
LEAST = 8 * KIB
SLOW, FAST = 0.008, 0.002


class Watcher:
    priority = 0

    def start(self, callback: Any) -> None: ...

    def stop(self) -> None: ...


class Loop:
    """A loop that watches nothing; what is none of libev's counts as one of libuv's."""

    def __init__(self) -> None:
        self.reinits = 0
        self.error: Exception | None = None

    def idle(self, ref: bool = True) -> Watcher:
        return Watcher()

    prepare = check = idle

    def timer(self, seconds: float) -> Watcher:
        return Watcher()

    def reinit(self) -> None:
        self.reinits += 1
        if self.error is not None:
            raise self.error


class LibevLoop(Loop):
    __module__ = "gevent.libev.corecext"


class Session:
    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[str] = []
        self.error = error

    def _detach(self) -> None:
        self.told.append("detach")

    def _abandon(self) -> None:
        self.told.append("abandon")
        if self.error is not None:
            raise self.error


@pytest.fixture
def reactor() -> Any:
    return twin.Reactor(LibevLoop())


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The exceptions that were handed to the excepthook."""
    found: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: found.append(error))
    return found


# The size of a read


def test_a_quick_full_read_doubles_the_next_up_to_the_limit(reactor: Any) -> None:
    assert reactor.read_size == FIRST
    sizes = []
    for _ in range(6):
        assert reactor.note_read(reactor.read_size, 0.001)
        sizes.append(reactor.read_size // KIB)
    assert sizes == [128, 256, 512, 768, 768, 768]


def test_a_slow_full_read_makes_the_next_one_take_half_of_what_is_slow(reactor: Any) -> None:
    assert not reactor.note_read(FIRST, 2 * SLOW)
    assert reactor.read_size == FIRST // 4
    assert not reactor.note_read(FIRST // 4, SLOW / 2)  # as was aimed at
    assert reactor.read_size == FIRST // 4


def test_reads_never_get_smaller_than_the_least(reactor: Any) -> None:
    for _ in range(10):
        reactor.note_read(reactor.read_size, 1.0)
    assert reactor.read_size == LEAST


@pytest.mark.parametrize("seconds", [0.0, 0.005, 1.0])
def test_a_read_that_was_not_full_changes_nothing(reactor: Any, seconds: float) -> None:
    assert reactor.note_read(FIRST - 1, seconds) == (seconds < FAST)
    assert reactor.read_size == FIRST


@given(st.lists(st.floats(0, 10), max_size=30))
def test_reads_stay_within_their_limits(times: list[float]) -> None:
    reactor = twin.Reactor(LibevLoop())
    for seconds in times:
        reactor.note_read(reactor.read_size, seconds)
        assert LEAST <= reactor.read_size <= twin.READ_SIZE


# The buffer


def test_a_borrower_makes_the_holder_copy_its_rest(reactor: Any) -> None:
    first, second = Session(), Session()
    view = reactor.borrow(first)
    assert reactor.borrow(first) is view
    assert first.told == []
    assert reactor.borrow(second) is view
    assert first.told == ["detach"] and reactor.holder is second


def test_only_the_holder_gives_back(reactor: Any) -> None:
    first, second = Session(), Session()
    reactor.borrow(first)
    reactor.give_back(second)
    assert reactor.holder is first
    reactor.give_back(first)
    assert reactor.holder is None
    reactor.borrow(second)
    assert first.told == []


def test_a_session_that_is_removed_holds_nothing(reactor: Any) -> None:
    session = Session()
    reactor.add(session)
    reactor.borrow(session)
    reactor.remove(session)
    reactor.remove(session)
    assert reactor.holder is None and reactor.sessions == set()


# A child


@pytest.mark.parametrize("loop_class", [LibevLoop, Loop], ids=["libev", "libuv"])
def test_each_session_is_told_whatever_another_one_does(
    loop_class: type[Loop], printed: list[BaseException]
) -> None:
    reactor = twin.Reactor(loop_class())
    error = LookupError("session")
    sessions = [Session(), Session(error), Session()]
    for session in sessions:
        reactor.add(session)
    reactor.borrow(sessions[0])
    reactor.abandon()
    assert [session.told for session in sessions] == [["abandon"]] * 3
    assert printed == [error]
    assert reactor.sessions == set() and reactor.holder is None
    # libuv's loop has to let go of the set that it shares with the parent first.
    assert reactor.loop.reinits == (1 if loop_class is Loop else 0)


def test_a_hub_without_sessions_is_left_as_it_is() -> None:
    reactor = twin.Reactor(Loop())
    reactor.abandon()
    assert reactor.loop.reinits == 0


def test_a_loop_that_fails_keeps_nobody_from_being_told(printed: list[BaseException]) -> None:
    broken, whole = twin.Reactor(Loop()), twin.Reactor(Loop())
    broken.loop.error = OSError("a loop that was destroyed")
    sessions = [Session(), Session()]
    broken.add(sessions[0])
    whole.add(sessions[1])
    hubs = [Loop(), Loop()]  # whatever can be referred to weakly
    for hub, reactor in zip(hubs, (broken, whole), strict=True):
        twin._reactors[hub] = reactor
    twin._abandon_all()
    assert [session.told for session in sessions] == [["abandon"]] * 2
    assert printed == [broken.loop.error]


def test_a_session_of_a_hub_has_to_say_how_it_lets_go() -> None:
    session = twin.HubSession()
    with pytest.raises(NotImplementedError):
        session._detach()
    with pytest.raises(NotImplementedError):
        session._abandon()
