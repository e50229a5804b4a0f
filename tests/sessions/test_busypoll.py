"""Busy polls begin where they may pay, end where they do not, and harm nobody."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gevent
import pytest

import greenws
from greenws.sessions import busypoll
from greenws.sessions.busypoll import BusyPoll, read_limit
from greenws.sessions.reactor import get_reactor
from tests.support.loopback import LoopbackServer
from tests.support.peer import accept_and_echo
from tests.support.run import run_script
from tests.support.turns import Turns
from tests.support.waiting import PATIENCE

US = 1e-6
LIMIT = 50 * US


class Idle:
    """A watcher of a loop that turns when a test says so."""

    def __init__(self) -> None:
        self.callback: Callable[[], None] | None = None

    def start(self, callback: Callable[[], None]) -> None:
        assert self.callback is None
        self.callback = callback

    def stop(self) -> None:
        assert self.callback is not None
        self.callback = None


class Loop:
    """A clock, and a loop that sleeps or looks until bytes wake it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: float = LIMIT) -> None:
        self.now = 1000.0
        self.cpu = 1.0
        self.idle = Idle()
        self.poll = BusyPoll(self.idle, limit)
        monkeypatch.setattr(busypoll, "monotonic", lambda: self.now)
        monkeypatch.setattr(busypoll, "thread_time", lambda: self.cpu)

    def wake(
        self,
        *,
        after: float = 100 * US,
        cpu: float = 40 * US,
        found_after: float = 25 * US,
        looking_cpu: float = 27 * US,
        size: int = 32,
    ) -> None:
        """Wait, and be woken by ``size`` bytes.

        :param after: seconds until the bytes come to a loop that sleeps.
        :param cpu: seconds of the processor that such a wait takes.
        :param found_after: seconds until a look finds the bytes.
        :param looking_cpu: seconds of the processor that the look takes.
        """
        if self.idle.callback is not None and found_after <= LIMIT:
            for _ in range(3):
                self.now += found_after / 3
                self.idle.callback()
            self.cpu += looking_cpu
        else:
            while self.idle.callback is not None:
                self.now += 20 * US
                self.idle.callback()
            self.now += after
            self.cpu += cpu
        self.poll.received += size
        self.poll.note()

    def wake_until(self, is_looking: bool, most: int, **how: Any) -> int:
        """Wake until the poll looks, or looks no more, and return the number of wakes."""
        for count in range(most):
            if self.poll.is_looking is is_looking:
                return count
            self.wake(**how)
        raise AssertionError(f"nothing has changed after {most} wakes")


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    return Loop(monkeypatch)


def test_busy_poll_begins_with_short_waits_and_goes_on_while_answers_come(loop: Loop) -> None:
    assert 30 < loop.wake_until(True, 100) < 40
    for _ in range(500):
        loop.wake()
        assert loop.poll.is_looking
        assert loop.idle.callback is not None
    # Now and then looking is compared with sleep again, but ever less often.
    terms = []
    for _ in range(6):
        terms.append(loop.wake_until(False, 10_000))
        assert loop.idle.callback is None
        assert loop.wake_until(True, 100) < 40
    assert terms[1:] == [1024, 2048, 4096, 8192, 8192]


def test_comparison_with_sleep_comes_sooner_after_a_busy_poll_ceases_to_pay(loop: Loop) -> None:
    for _ in range(3):
        loop.wake_until(True, 100)
        loop.wake_until(False, 10_000)
    loop.wake_until(True, 100)
    loop.wake_until(False, 100, found_after=1)
    loop.wake_until(True, 1000)
    assert loop.wake_until(False, 10_000) == 512


def test_busy_poll_never_begins_with_long_waits(loop: Loop) -> None:
    for number in range(1000):
        loop.wake(after=100 * US if number % 20 else 300 * US)
    assert not loop.poll.is_looking


def test_look_ends_at_its_limit(loop: Loop) -> None:
    loop.wake_until(True, 100)
    loop.wake()
    assert loop.idle.callback is not None
    loop.now += LIMIT * 0.9
    loop.idle.callback()
    assert loop.idle.callback is not None
    loop.now += LIMIT * 0.2
    loop.idle.callback()
    assert loop.idle.callback is None
    assert loop.poll.is_looking
    loop.wake()
    assert loop.idle.callback is not None


def test_busy_poll_ends_after_looks_in_vain_and_is_tried_ever_later(loop: Loop) -> None:
    waits = []
    for _ in range(5):
        waits.append(loop.wake_until(True, 20_000, found_after=1))
        assert loop.wake_until(False, 20, found_after=1) <= 10
        assert loop.idle.callback is None
    assert [round(math.log(count / waits[0], 4)) for count in waits] == [0, 1, 2, 3, 4]
    for _ in range(5):
        assert loop.wake_until(True, 20_000, found_after=1) < 8200
        loop.wake_until(False, 20, found_after=1)


def test_busy_poll_ends_when_bytes_come_no_sooner(loop: Loop) -> None:
    # The messages of a feed come no sooner when somebody looks for them.
    how = {"after": 40 * US, "found_after": 39 * US}
    loop.wake_until(True, 100, **how)
    assert loop.wake_until(False, 200, **how) <= 130
    assert loop.wake_until(True, 200, **how) > 100


def test_pause_does_not_count_against_the_busy_poll(loop: Loop) -> None:
    for _ in range(10):
        assert loop.wake_until(True, 100) < 40
        for _ in range(100):
            loop.wake()
        assert loop.poll.is_looking
        loop.wake(after=1, found_after=1)
        assert not loop.poll.is_looking


def test_smaller_pieces_are_not_taken_for_sooner_ones(loop: Loop) -> None:
    loop.wake_until(True, 100, size=1000)
    assert loop.wake_until(False, 200, size=250) <= 130


def test_busy_poll_that_wins_nothing_for_much_more_of_the_processor_ends_soon(loop: Loop) -> None:
    # A flood of packets over a network comes at the pace of the network.
    how = {"after": 40 * US, "cpu": 12 * US, "found_after": 42 * US, "looking_cpu": 42 * US}
    loop.wake_until(True, 100, **how)
    assert loop.wake_until(False, 200, **how) <= 34


def test_busy_poll_that_wins_time_at_twice_the_price_ends_after_a_longer_look(
    loop: Loop,
) -> None:
    # Twice the processor's time is too much, but that takes more wakes to tell.
    how = {"cpu": 10 * US, "looking_cpu": 25 * US}
    loop.wake_until(True, 100, **how)
    assert 100 < loop.wake_until(False, 200, **how) <= 130


def test_busy_poll_is_tried_sooner_again_when_it_has_paid(loop: Loop) -> None:
    for _ in range(3):
        loop.wake_until(True, 20_000, found_after=1)
        loop.wake_until(False, 20, found_after=1)
    assert loop.wake_until(True, 20_000) > 1000
    for _ in range(3):
        loop.wake_until(False, 20_000)
        waits = loop.wake_until(True, 20_000)
    assert waits < 40


def test_busy_poll_never_begins_with_wakes_without_bytes(loop: Loop) -> None:
    for _ in range(1000):
        loop.wake(size=0)
    assert not loop.poll.is_looking


def test_busy_poll_never_begins_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch, 0)
    for _ in range(1000):
        loop.wake()
    assert not loop.poll.is_looking


@pytest.mark.parametrize(
    ("text", "limit"), [(None, 100 * US), ("", 100 * US), ("0", 0), (" 120 ", 120 * US)]
)
def test_limit_of_the_environment(text: str | None, limit: float) -> None:
    assert read_limit(text) == pytest.approx(limit)


@pytest.mark.parametrize("text", ["-1", "0.5", "on", "٣"])
def test_bad_limit_of_the_environment(text: str) -> None:
    with pytest.raises(ValueError, match=r"GREENWS_BUSY_POLL .* microseconds"):
        read_limit(text)


def test_environment_sets_the_limit() -> None:
    source = """
        import os, sys
        os.environ["GREENWS_BUSY_POLL"] = sys.argv[1]
        from greenws.sessions.busypoll import LIMIT
        print(LIMIT)
        """
    assert float(run_script(source, 75)) == pytest.approx(75 * US)
    assert float(run_script(source, 0)) == 0


# On the hub


class Pinger(greenws.Client):
    """Sends the next message as soon as an answer comes, until the hub has looked for a while.

    Tests that came before may have made the hub wait for thousands of rounds before it looks.
    """

    looks = 0
    count = 0

    def on_ready(self, event: Any) -> None:
        self.send_text("0")

    def on_text(self, event: Any) -> None:
        self.looks += get_reactor().busy_poll.is_looking
        assert event.text == str(self.count)
        self.count += 1
        if not self.is_done:
            self.send_text(str(self.count))

    @property
    def is_done(self) -> bool:
        return self.looks >= 200


def freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clocks of busy polls: every wait is short, and no look ever ends."""
    monkeypatch.setattr(busypoll, "monotonic", lambda: 0.0)
    monkeypatch.setattr(busypoll, "thread_time", lambda: 1.0)


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    freeze(monkeypatch)


def start_looking(url: str) -> Pinger:
    """Return a client whose hub still looks after the last answer."""
    client = Pinger(url, proxies={}).start()
    with gevent.Timeout(PATIENCE):
        while not client.is_done:
            gevent.sleep(0.001)
    assert get_reactor().busy_poll.is_looking
    return client


def assert_asleep() -> None:
    assert not get_reactor().busy_poll.is_looking
    with Turns() as turns:
        gevent.sleep(0.05)
    assert turns.count < 20


@pytest.mark.usefixtures("frozen")
def test_timers_greenlets_and_descriptors_do_not_wait_for_a_look() -> None:
    with LoopbackServer(accept_and_echo) as server:
        first = start_looking(server.url)
        with Turns() as turns, gevent.Timeout(PATIENCE):
            gevent.sleep(0.02)  # a timer
            assert gevent.spawn(lambda: "run").get() == "run"
            second = start_looking(server.url)  # descriptors
        assert turns.count > 100
        for client in (first, second):
            client.close()
            client.join()
    assert_asleep()


@pytest.mark.usefixtures("frozen")
def test_kill_ends_the_look() -> None:
    with LoopbackServer(accept_and_echo) as server:
        start_looking(server.url).kill()
    assert_asleep()


def test_pause_ends_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer(accept_and_echo) as server:
        with monkeypatch.context() as clocks:
            freeze(clocks)
            client = start_looking(server.url)
        # The clocks go again: the look is over its limit, and the connection stays.
        with Turns() as turns:
            gevent.sleep(0.05)
        assert turns.count < 20
        count = client.count
        client.send_text(str(count))
        client.close()
        client.join()
        assert client.count == count + 1
