"""Alarms ring in order, once, not too early, and by one timer."""

from __future__ import annotations

import sys
from functools import partial
from time import monotonic
from typing import Any

import gevent
import gevent.event
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.sessions.clock import NEVER, Alarm, Clock, close_watcher
from tests.support.pure import load_pure
from tests.support.waiting import PATIENCE


class FakeTimer:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.callback: Any = None
        self.is_closed = False

    def start(self, callback: Any, update: bool) -> None:
        assert update  # or the time that the hub was held before would count, too
        self.callback = callback

    def stop(self) -> None:
        self.callback = None

    def close(self) -> None:
        self.is_closed = True


class FakeLoop:
    """A loop whose timers fire when a test says so."""

    def __init__(self) -> None:
        self.timers: list[FakeTimer] = []

    def timer(self, seconds: float) -> FakeTimer:
        self.timers.append(FakeTimer(seconds))
        return self.timers[-1]

    def fire(self) -> None:
        (timer,) = self.active
        timer.callback()

    @property
    def active(self) -> list[FakeTimer]:
        return [timer for timer in self.timers if timer.callback is not None]


class Bell(Alarm):
    def __init__(self, rung: list[Bell]) -> None:
        super().__init__()
        self.rung = rung

    def _ring(self, due: float, now: float) -> None:
        assert due <= now
        self.rung.append(self)


PAST = -1e9  # before the beginning of any clock
LATER = 1e9
times = st.one_of(st.just(NEVER), st.floats(PAST, PAST / 2), st.floats(LATER, 2 * LATER))


@given(st.lists(st.tuples(st.integers(0, 19), times), max_size=80))
def test_due_alarms_are_rung_in_order_and_no_others(settings: list[tuple[int, float]]) -> None:
    loop = FakeLoop()
    clock = Clock(loop)
    rung: list[Bell] = []
    bells = [Bell(rung) for _ in range(20)]
    dues = dict.fromkeys(bells, NEVER)
    for number, due in settings:
        clock.set(bells[number], due)
        dues[bells[number]] = due
        assert bells[number]._due_at == due
    assert len(clock) == sum(due != NEVER for due in dues.values())
    assert bool(loop.active) == bool(len(clock))
    expected = sorted(due for due in dues.values() if due < 0)
    if expected:
        loop.fire()
    assert [dues[bell] for bell in rung] == expected
    assert len(set(rung)) == len(rung)
    assert all(bell._due_at == NEVER for bell in rung)
    assert len(clock) == sum(due > 0 and due != NEVER for due in dues.values())
    assert bool(loop.active) == bool(len(clock))
    for bell in bells:
        clock.set(bell, NEVER)
    assert not loop.active
    assert all(timer.is_closed for timer in loop.timers)


def test_alarm_that_is_put_off_needs_no_new_timer() -> None:
    loop = FakeLoop()
    clock = Clock(loop)
    rung: list[Bell] = []
    bell = Bell(rung)
    clock.set(bell, LATER)
    for number in range(100):
        clock.set(bell, LATER + number)
    assert len(loop.timers) == 1
    loop.fire()  # too early for the alarm, which was put off
    assert rung == []
    assert len(loop.active) == 1


def test_earlier_alarm_gets_an_earlier_timer() -> None:
    loop = FakeLoop()
    clock = Clock(loop)
    clock.set(Bell([]), monotonic() + 1000)
    clock.set(Bell([]), monotonic() + 10)
    (timer,) = loop.active
    assert 9 < timer.seconds <= 10


def test_alarm_set_while_ringing_waits_for_the_next_turn() -> None:
    loop = FakeLoop()
    clock = Clock(loop)

    class Stubborn(Alarm):
        count = 0

        def _ring(self, due: float, now: float) -> None:
            self.count += 1
            clock.set(self, PAST)

    alarm = Stubborn()
    clock.set(alarm, PAST)
    for count in (1, 2, 3):
        loop.fire()
        assert alarm.count == count


def test_alarm_taken_away_while_ringing_is_not_rung() -> None:
    loop = FakeLoop()
    clock = Clock(loop)
    rung: list[Bell] = []
    second = Bell(rung)

    class First(Alarm):
        def _ring(self, due: float, now: float) -> None:
            clock.set(second, NEVER)

    clock.set(First(), PAST)
    clock.set(second, PAST + 1)
    loop.fire()
    assert rung == []


def test_alarm_that_raises_silences_no_other() -> None:
    loop = FakeLoop()
    clock = Clock(loop)
    rung: list[Bell] = []

    class Broken(Alarm):
        def _ring(self, due: float, now: float) -> None:
            raise ZeroDivisionError

    clock.set(Broken(), PAST)
    clock.set(Bell(rung), PAST + 1)
    with pytest.raises(ZeroDivisionError):
        loop.fire()
    loop.fire()
    assert len(rung) == 1


def test_loop_rings_in_time() -> None:
    clock = Clock(gevent.get_hub().loop)
    done = gevent.event.Event()
    times: list[float] = []

    class Watch(Alarm):
        def _ring(self, due: float, now: float) -> None:
            times.append(now - due)
            if len(times) == 5:
                done.set()

    started = monotonic()
    watches = [Watch() for _ in range(5)]
    for number, watch in enumerate(reversed(watches)):
        clock.set(watch, started + 0.01 + number / 200)
    assert done.wait(PATIENCE)
    assert all(late >= 0 for late in times)
    assert len(clock) == 0


def test_closed_clock_forgets_its_alarms() -> None:
    loop = FakeLoop()
    clock = Clock(loop)
    bells = [Bell([]) for _ in range(3)]
    for bell in bells:
        clock.set(bell, LATER)
    clock.close()
    assert len(clock) == 0 and not loop.active
    assert [bell._due_at for bell in bells] == [NEVER] * 3
    clock.set(bells[0], NEVER)
    assert not loop.active


def test_watcher_of_a_destroyed_loop_lets_go_of_what_it_calls() -> None:
    class Broken(FakeTimer):
        def stop(self) -> None:
            raise ValueError("operation on destroyed loop")

    watcher = Broken(1)
    watcher.callback = print
    close_watcher(watcher)
    assert watcher.callback is None


class Interruption(BaseException):
    """What a signal handler raises."""


class Interrupter:
    """Raises in the midst of pure Python, as a signal handler may: at the n-th event of a trace."""

    def __init__(self, after: int) -> None:
        self.left = after

    def trace(self, frame: Any, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.endswith("clock.py"):
            return None
        self.left -= 1
        if self.left == 0:
            raise Interruption
        return self.trace


def interrupt(function: Any, after: int) -> bool:
    """Call a function, and return whether it was interrupted."""
    interrupter, before = Interrupter(after), sys.gettrace()
    sys.settrace(interrupter.trace)
    try:
        function()
    except Interruption:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("deed", ["set", "put off", "take away", "ring"])
def test_exception_in_the_midst_of_a_move_loses_no_alarm_of_others(deed: str) -> None:
    twin: Any = load_pure("sessions.clock")

    class PureBell(twin.Alarm):  # type: ignore[misc]
        def _ring(self, due: float, now: float) -> None:
            rung.append(self)

    is_interrupted, after = True, 0
    while is_interrupted:
        after += 1
        rung: list[Any] = []
        loop = FakeLoop()
        clock = twin.Clock(loop)
        bells = [PureBell() for _ in range(20)]
        for number, bell in enumerate(bells):
            clock.set(bell, 1.0 + number * 7 % 20)
        ours = PureBell()
        if deed != "set":
            clock.set(ours, 0.5)
        deeds = {
            "set": partial(clock.set, ours, 0.5),
            "put off": partial(clock.set, ours, 15.5),
            "take away": partial(clock.set, ours, NEVER),
            "ring": loop.fire,
        }
        is_interrupted = interrupt(deeds[deed], after)
        clock.set(ours, 0.25)  # whoever comes next finds all in order
        while loop.active:
            loop.fire()
        assert len(clock) == 0
        others = [bell for bell in rung if bell is not ours]
        missing = set(bells) - set(others)
        # The one that was about to ring, when the exception came, may not.
        assert len(missing) <= (1 if deed == "ring" else 0), after
        assert len(others) == len(set(others))
    assert after > 5
