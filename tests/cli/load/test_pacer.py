"""The appointments of connections: in order, by one greenlet, with turns for the loop."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import gevent
import pytest

from greenws.cli.load.pacer import Pacer
from tests.support.run import run_script
from tests.support.waiting import wait_until


@pytest.fixture
def pacer() -> Iterator[Pacer]:
    pacer = Pacer()
    greenlet = gevent.spawn(pacer.follow)
    yield pacer
    greenlet.kill()


def test_appointments_are_kept_in_order_and_not_too_early(pacer: Pacer) -> None:
    kept: list[tuple[str, bool]] = []
    now = perf_counter()

    def note(name: str) -> None:
        def call(time: float) -> float:
            kept.append((name, perf_counter() >= time))
            return 0.0

        pacer.add(now + {"a": 0.004, "b": 0.02, "c": 0.04}[name], call)

    for name in "cab":
        note(name)
    wait_until(lambda: len(kept) == 3)
    assert kept == [("a", True), ("b", True), ("c", True)]


def test_earlier_appointment_ends_the_wait_for_a_later_one(pacer: Pacer) -> None:
    kept: list[float] = []

    def call(time: float) -> float:
        kept.append(time)
        return 0.0

    pacer.add(perf_counter() + 1000, call)
    gevent.sleep(0.002)
    early = perf_counter()
    pacer.add(early, call)
    wait_until(lambda: kept)
    assert kept == [early]


def test_appointment_is_repeated_at_the_time_that_it_returns(pacer: Pacer) -> None:
    times: list[float] = []

    def call(time: float) -> float:
        times.append(time)
        return time + 0.001 if len(times) < 5 else 0.0

    start = perf_counter()
    pacer.add(start, call)
    wait_until(lambda: len(times) == 5)
    assert times == pytest.approx([start + 0.001 * number for number in range(5)])


def test_loop_has_turns_among_appointments_that_are_all_overdue(pacer: Pacer) -> None:
    calls = 0
    seen: list[int] = []

    def call(time: float) -> float:
        nonlocal calls
        calls += 1
        return time + 1e-9 if calls < 1000 else 0.0

    def watch() -> None:
        while calls < 1000:
            seen.append(calls)
            gevent.sleep(0.0001)

    watcher = gevent.spawn(watch)
    pacer.add(perf_counter() - 1, call)
    wait_until(lambda: calls == 1000)
    watcher.kill()
    assert set(seen) - {0, 1000}


def test_descriptors_are_served_though_something_is_always_about_to_be_due() -> None:
    pytest.importorskip("gevent.libuv.loop")
    output = run_script(
        """
        import os
        os.environ["GEVENT_LOOP"] = "libuv"
        import gevent
        from gevent import socket
        from time import perf_counter
        from greenws.cli.load.pacer import Pacer

        pacer = Pacer()
        gevent.spawn(pacer.follow)
        for number in range(3):
            pacer.add(perf_counter() + number / 3000, lambda time: time + 0.001)
        ours, theirs = socket.socketpair()
        gevent.spawn_later(0.05, ours.send, b"x")
        print(type(gevent.get_hub().loop).__module__, theirs.recv(1))
        """
    )
    assert output == "gevent.libuv.loop b'x'\n"
