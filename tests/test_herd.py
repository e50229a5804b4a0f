"""Where the members of a group stand."""

from __future__ import annotations

import itertools

import pytest

import greenws
from greenws.herd import (
    CONNECTING,
    ENDED,
    FAILED,
    QUEUED,
    READY,
    STANDING_STEPS,
    Herd,
    Membership,
    Standing,
)
from greenws.sessions.roster import get_roster


@pytest.fixture
def herd() -> Herd:
    return Herd(1, None, None, get_roster())


@pytest.mark.parametrize(
    ("before", "after"),
    [pair for pair in itertools.product(Standing, Standing) if pair[0] is not pair[1]],
)
def test_steps_are_those_of_the_table(herd: Herd, before: Standing, after: Standing) -> None:
    member = Membership(herd)
    herd.counts = [10] * len(Standing)
    member.standing = before
    if after in STANDING_STEPS[before]:
        herd.admission.taken = 5
        member.move(after)
        assert (herd.counts[before], herd.counts[after]) == (9, 11)
        assert herd.admission.taken == (4 if before is CONNECTING else 5)
    else:
        with pytest.raises(RuntimeError, match=f"{before.name} to {after.name}"):
            member.move(after)
        assert herd.counts == [10] * len(Standing)


def test_step_to_where_it_stands_is_none(herd: Herd) -> None:
    member = Membership(herd)
    member.move(QUEUED)
    assert herd.counts[QUEUED] == 1


def test_second_ready_and_late_failures_change_nothing(herd: Herd) -> None:
    member = Membership(herd)
    assert member.ask()
    member.note_ready()
    member.note_ready()
    member.note_missed()
    assert (herd.opened, herd.reconnects, member.standing) == (1, 0, READY)


def test_every_end_is_counted_once(herd: Herd) -> None:
    for error, was_asked in itertools.product((None, ValueError()), (False, True)):
        member = Membership(herd)
        assert member.ask()
        member.note_missed()
        member.end(greenws.Client("ws://localhost/"), error, was_asked)
    assert (herd.counts[ENDED], herd.counts[FAILED]) == (1, 3)
    assert (herd.present, herd.missed, herd.admission.taken) == (0, 4, 0)
