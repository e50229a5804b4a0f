"""What a load run counts: the whole, its seconds, and its processes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from greenws.cli.load import tally as tally_module
from greenws.cli.load.tally import Point, Portion, Tally


@pytest.mark.parametrize(
    ("failures", "interrupted_by", "status"), [({}, None, 0), ({"x": 1}, None, 1), ({}, 2, 130)]
)
def test_exit_status_tells_success_failure_and_signal(
    failures: dict[str, int], interrupted_by: int | None, status: int
) -> None:
    tally = Tally(1, 1)
    tally.interrupted_by = interrupted_by
    tally.add(Portion(failures=Counter(failures)))
    assert tally.exit_status == status


def test_portions_add_up() -> None:
    tally = Tally(10, 5)
    for second in (0, 0, 1):
        portion = Portion(second, started=3, connected=2, closed=1, sent=4, replies=3, others=1)
        portion.latencies.add([0.5])
        portion.failures["refused"] = 1
        portion.message_seconds = 1.5
        tally.add(portion)
    total = tally.total
    assert (total.started, total.connected, total.sent, total.replies) == (9, 6, 12, 9)
    assert (tally.open, total.failed, total.latencies.count) == (3, 3, 3)
    assert (tally.wanted, tally.exchanged, tally.rate) == (50, 9, 6.0)
    assert Tally(10, None).wanted is None


def test_messages_that_nobody_answers_count_when_they_are_sent() -> None:
    tally = Tally(1, 5, is_one_way=True)
    tally.add(Portion(sent=4))
    assert (tally.exchanged, tally.rate) == (4, 0.0)


def follow(tally: Tally) -> list[tuple[int, int, int]]:
    """Note the seconds as they become complete: which, open at the end, sent."""
    seen: list[tuple[int, int, int]] = []
    tally.on_second = lambda point: seen.append((point.second, point.open, point.portion.sent))
    return seen


def test_second_is_complete_when_the_next_one_has_begun() -> None:
    tally = Tally(10, 5)
    seen = follow(tally)
    tally.add(Portion(0, connected=2, sent=1))
    tally.add(Portion(0, sent=1))
    assert seen == []
    tally.add(Portion(3, closed=1))  # nothing has happened in between
    assert seen == [(0, 2, 2), (1, 2, 0), (2, 2, 0)]
    tally.finish()
    assert seen[3:] == [(3, 1, 0)]
    assert tally.seconds > 0


def test_second_waits_for_all_processes() -> None:
    tally = Tally(10, 5, sources=2)
    seen = follow(tally)
    tally.add(Portion(2, sent=1), 0)
    tally.add(Portion(0, sent=1), 1)
    assert seen == []
    tally.add(Portion(1, sent=1), 1)
    assert seen == [(0, 0, 1)]
    tally.end(1)  # it tells no more
    assert seen[1:] == [(1, 0, 1)]
    tally.add(Portion(0, sent=1), 1)  # late: it counts all the same
    tally.finish()
    assert seen[2:] == [(2, 0, 2)]
    assert tally.total.sent == 4


def test_series_takes_bounded_room_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "_MAX_POINTS", 8)
    tally = Tally(10, None)
    for second in range(100):
        tally.add(Portion(second, sent=second, connected=1))
    tally.finish()
    series: list[Point] = tally.series
    assert len(series) <= 8
    assert tally.point_seconds == 16
    assert [point.second for point in series] == list(range(0, 100, 16))
    assert sum(point.portion.sent for point in series) == sum(range(100))
    assert sum(point.seconds for point in series) == 100
    assert [point.open for point in series[:2]] == [16, 32]


@pytest.mark.parametrize(
    ("is_ramped", "steps"), [(False, ["open", "talk", "close"]), (True, ["open", "close"])]
)
def test_messages_begin_with_their_step(is_ramped: bool, steps: list[str]) -> None:
    tally = Tally(1, 1)
    seen: list[Any] = []
    for step in steps:
        tally.note_step(step, is_ramped)
        seen.append(tally.talking_since is not None)
    assert seen == ([True, True] if is_ramped else [False, True, True])
