"""Who runs next: when a crowd begins, whom it resumes in which order, and when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gevent
import greenlet
import pytest

from greenws.sessions import crowd as compiled
from tests.support.pure import load_pure

# The compiled build hides what only sessions call: the twin has the same source.
twin: Any = load_pure("sessions.crowd")

ROOT = Path(__file__).parents[2]
PATIENCE = 16  # turns
CHAIN = 64  # members


class Check:
    """A watcher of the loop that the test fires."""

    def __init__(self) -> None:
        self.callback: Any = None
        self.starts = 0

    def start(self, callback: Any) -> None:
        self.callback = callback
        self.starts += 1

    def stop(self) -> None:
        self.callback = None

    def fire(self) -> None:
        self.callback()


def make_member(crowd: Any, work: Any = None) -> Any:
    """A member whose greenlet parks, and does ``work`` each time it is resumed."""

    class Member(twin.Member):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._crowd = crowd
            self._hub = gevent.getcurrent()
            self.resumed = 0
            self.runner = greenlet.greenlet(self.run)
            self.runner.switch()

        def run(self) -> None:
            while True:
                self._park()
                self.resumed += 1
                if work is not None:
                    work(self)

    return Member()


def make_crowd(size: int = 4) -> tuple[Any, Check]:
    check = Check()
    return twin.Crowd(check, size), check


def gather(crowd: Any, members: list[Any]) -> None:
    """Make a crowd of as many members as it takes."""
    for member in members:
        assert not crowd.wake(member)
    crowd.end_turn()
    assert crowd.is_crowded


# Its size


@pytest.mark.parametrize(
    ("text", "size"), [(None, 4), ("", 4), (" ", 4), ("0", 0), ("4", 4), (" 16\n", 16), ("007", 7)]
)
def test_a_number_of_sessions_is_a_size(text: str | None, size: int) -> None:
    assert compiled.parse_size(text) == size


@pytest.mark.parametrize("text", ["four", "-1", "1.5", "4 5", "+4", "٤", "0x4", "1_000"])
def test_anything_else_is_refused_and_says_which_variable_it_is(text: str) -> None:
    with pytest.raises(ValueError, match="GREENWS_CROWD"):
        compiled.parse_size(text)


def test_the_environment_has_the_size() -> None:
    code = "from greenws.sessions import crowd; print(crowd.CROWD)"
    for value, printed in ((None, "4"), ("0", "0"), ("9", "9")):
        environment = {key: text for key, text in os.environ.items() if key != "GREENWS_CROWD"}
        if value is not None:
            environment["GREENWS_CROWD"] = value
        command = [sys.executable, "-c", code]
        result = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == printed


def test_a_wrong_size_in_the_environment_ends_the_import() -> None:
    environment = {**os.environ, "GREENWS_CROWD": "many"}
    result = subprocess.run(
        [sys.executable, "-c", "import greenws"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "ValueError: GREENWS_CROWD has to be a number of sessions, not 'many'" in result.stderr


def test_fewer_than_its_size_make_no_crowd() -> None:
    crowd, check = make_crowd(4)
    for _ in range(10):
        for member in [object()] * 3:
            assert not crowd.wake(member)
        crowd.end_turn()
    assert not crowd.is_crowded and check.starts == 0


def test_those_of_one_turn_make_a_crowd() -> None:
    crowd, check = make_crowd(4)
    gather(crowd, [object()] * 4)
    assert check.starts == 1


@pytest.mark.parametrize("size", [0, 1])
def test_sizes_at_the_edge(size: int) -> None:
    # None ever makes a crowd of size 0; of size 1, a single one does.
    crowd, _ = make_crowd(size)
    crowd.wake(object())
    crowd.end_turn()
    assert crowd.is_crowded == bool(size)


def test_a_loop_without_the_watcher_has_no_crowds() -> None:
    crowd = twin.Crowd(None, 1)
    for _ in range(100):
        assert not crowd.wake(object())
    crowd.end_turn()
    assert not crowd.is_crowded


def test_it_ends_after_its_patience() -> None:
    crowd, check = make_crowd(2)
    gather(crowd, [object()] * 2)
    for _ in range(PATIENCE):
        crowd.end_turn()
        assert crowd.is_crowded
    crowd.end_turn()
    assert not crowd.is_crowded and check.callback is None


def test_a_turn_with_enough_of_them_renews_its_patience() -> None:
    crowd, check = make_crowd(2)
    members = [make_member(crowd), make_member(crowd)]
    gather(crowd, members)
    for _ in range(3):
        for _ in range(PATIENCE):
            crowd.end_turn()
        for member in members:
            assert crowd.wake(member)
        check.fire()
        crowd.end_turn()
        assert crowd.is_crowded
    assert check.starts == 1


def test_a_crowd_that_has_ended_begins_again() -> None:
    crowd, check = make_crowd(2)
    gather(crowd, [object()] * 2)
    crowd.disperse()
    crowd.disperse()
    assert not crowd.is_crowded
    gather(crowd, [object()] * 2)
    assert check.starts == 2


# Whom it resumes


def test_members_run_in_order_without_the_hub_in_between() -> None:
    crowd, check = make_crowd(4)
    order: list[Any] = []
    members = [make_member(crowd, order.append) for _ in range(10)]
    gather(crowd, members[:4])
    for member in members:
        assert crowd.wake(member)
    switches: list[Any] = []
    before = greenlet.settrace(lambda event, pair: switches.append(pair[1]))  # type: ignore[func-returns-value]
    try:
        check.fire()
    finally:
        greenlet.settrace(before)
    assert order == members
    # One switch to each, and one back.
    assert switches == [*(member.runner for member in members), gevent.getcurrent()]


def test_the_hub_has_a_look_after_a_chain() -> None:
    crowd, check = make_crowd(4)
    members = [make_member(crowd) for _ in range(2 * CHAIN + 1)]
    gather(crowd, members[:4])
    for member in members:
        crowd.wake(member)
    switches: list[Any] = []
    before = greenlet.settrace(lambda event, pair: switches.append(pair[1]))  # type: ignore[func-returns-value]
    try:
        check.fire()
    finally:
        greenlet.settrace(before)
    assert all(member.resumed == 1 for member in members)
    assert switches.count(gevent.getcurrent()) == 3


def test_members_that_were_resumed_meanwhile_are_passed_over() -> None:
    crowd, check = make_crowd(2)
    busy = make_member(crowd)
    others = [make_member(crowd), make_member(crowd)]
    gather(crowd, others)
    for member in (others[0], busy, others[1]):
        crowd.wake(member)
    busy._is_parked = False  # it is in a handler
    check.fire()
    busy._is_parked = True
    assert [member.resumed for member in (*others, busy)] == [1, 1, 0]


def test_a_member_that_ends_another_does_not_resume_it_twice() -> None:
    crowd, check = make_crowd(2)
    second = make_member(crowd)
    first = make_member(crowd, lambda member: second._resume())
    gather(crowd, [first, second])
    for member in (first, second):
        crowd.wake(member)
    first._hub = second._hub = gevent.getcurrent()
    check.fire()
    assert second.resumed == 1


def test_a_member_that_raises_ends_no_other_for_good() -> None:
    crowd, check = make_crowd(2)

    def fail(member: Any) -> None:
        raise LookupError("member")

    last = make_member(crowd)
    failing = make_member(crowd, fail)
    gather(crowd, [last, failing])
    for member in (failing, last):
        crowd.wake(member)
    with pytest.raises(LookupError):
        check.fire()
    # It was not resumed in this turn; its watcher fires again, as nothing was read.
    assert last.resumed == 0
    assert crowd.wake(last)
    check.fire()
    assert last.resumed == 1


def test_a_member_that_is_killed_in_its_wait_is_not_parked() -> None:
    crowd, _ = make_crowd(2)
    member = make_member(crowd)
    assert member._is_parked
    with pytest.raises(LookupError):
        member.runner.throw(LookupError)
    assert not member._is_parked
    member._resume()  # nobody waits
    assert member.resumed == 0


def test_who_is_ready_is_forgotten_with_the_crowd() -> None:
    crowd, _ = make_crowd(2)
    member = make_member(crowd)
    gather(crowd, [member, member])
    crowd.wake(member)
    crowd.disperse()
    assert crowd.pick() is None
    assert member.resumed == 0
    assert not crowd.wake(member)  # its watcher resumes it again
