"""Thousands of things that happen together take many turns of the loop, each of a bounded time."""

from __future__ import annotations

import _socket
import gc
import itertools
from collections.abc import Iterator
from time import thread_time
from typing import Any

import gevent
import pytest

import greenws
from greenws.sessions import sockets
from greenws.sessions.clock import Alarm, Clock
from greenws.sessions.resolver import Address
from greenws.sessions.sockets import connect_tcp
from greenws.testing import EchoServer
from tests.support.pure import load_pure
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE, wait_until
from tests.support.watchers import FakeWatcher

# Seconds for which nothing may hold the hub.
LIMIT = 0.05

COUNT = 400

# Ends that come by callbacks alone. gevent bounds those of a turn, but for libuv by their number.
BY_CALLBACKS = [
    pytest.param(
        way,
        marks=pytest.mark.skipif(
            "libev" not in type(gevent.get_hub().loop).__module__,
            reason="gevent runs fifty callbacks at once on libuv, whatever they take",
        ),
    )
    for way in ("kill", "force_disconnect")
]


def burn(seconds: float) -> None:
    end = thread_time() + seconds
    while thread_time() < end:
        pass


class Burner(greenws.Client):
    """Its end takes a while: together they take three times the limit."""

    def on_close(self, event: Any) -> None:
        burn(3 * LIMIT / COUNT)


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    # A full collection is one step of the interpreter's, whoever runs.
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def start(server: EchoServer) -> list[Burner]:
    clients = [Burner(server.url).start() for _ in range(COUNT)]
    assert all(client.wait_ready(PATIENCE) for client in clients)
    gevent.sleep(0.01)
    return clients


def kill_all(clients: list[Burner]) -> None:
    for client in clients:
        client.kill()


@pytest.mark.parametrize("way", ["by the server", "close", "drain", *BY_CALLBACKS])
def test_ends_of_many_at_once_leave_the_hub_its_turns(way: str, ticking: Ticker) -> None:
    with EchoServer() as server:
        clients = start(server)
        ticking.reset()
        if way == "by the server":
            for connection in server.connections:
                connection.drop()
        elif way == "kill":
            gevent.get_hub().loop.run_callback(kill_all, clients)
        elif way == "drain":
            assert greenws.drain() == 0
        else:
            for client in clients:
                (client.close if way == "close" else client.websocket.force_disconnect)()
        ticking.reset()  # a loop of the user's own is not greenws'
        wait_until(lambda: not any(client.is_running for client in clients))
        assert ticking.largest_gap < LIMIT


def refusing(count: int) -> list[Address]:
    """Addresses of this machine that refuse connections at once."""
    return [
        Address(_socket.AF_INET, (f"127.1.{number // 250}.{number % 250 + 1}", 1))
        for number in range(count)
    ]


def test_refusals_of_many_addresses_leave_the_hub_its_turns(ticking: Ticker) -> None:
    addresses = refusing(3000)
    ticking.reset()
    with pytest.raises(greenws.errors.ConnectFail):
        connect_tcp("many.example:1", addresses)
    assert ticking.largest_gap < LIMIT


def test_refusals_of_many_addresses_take_many_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0

    def take_turn() -> None:
        nonlocal turns
        turns += 1

    # On a clock by which each look takes a thousandth of a second, a turn has five looks.
    looks = itertools.count()
    monkeypatch.setattr(sockets, "monotonic", lambda: next(looks) / 1000)
    monkeypatch.setattr(sockets, "take_turn", take_turn)
    with pytest.raises(greenws.errors.ConnectFail):
        connect_tcp("many.example:1", refusing(100))
    assert 15 <= turns <= 25


def test_many_clients_that_are_refused_at_once_leave_the_hub_its_turns(ticking: Ticker) -> None:
    ended: list[str] = []

    class Feed(greenws.Client):
        def on_connect_fail(self, event: Any) -> None:
            ended.append(event.reason)

    clients = [Feed("ws://127.0.0.1:1/", proxies={}).start() for _ in range(1000)]
    ticking.reset()
    for client in clients:
        client.join(PATIENCE)
    assert len(ended) == 1000
    assert ticking.largest_gap < LIMIT


# Each loop over many, by itself


class Loop:
    """A loop of which the test runs the callbacks."""

    def __init__(self) -> None:
        self.nudge = FakeWatcher()
        self.callbacks: list[Any] = []

    def timer(self, seconds: float) -> FakeWatcher:
        return self.nudge

    def run_callback(self, function: Any) -> None:
        self.callbacks.append(function)


class CalmCrowd:
    def end_turn(self) -> None:
        """Nobody is ready."""


class CalmRota:
    def begin_turn(self) -> None:
        """Nobody asks for time."""


@pytest.mark.parametrize("has_prepare", [True, False], ids=["libev", "libuv"])
def test_frames_of_many_leave_in_order_over_several_turns(has_prepare: bool) -> None:
    twin: Any = load_pure("sessions.turn")
    loop, prepare = Loop(), FakeWatcher() if has_prepare else None
    turn = twin.Turn(loop, prepare, CalmCrowd(), CalmRota())
    turn.start()
    flushed: list[Any] = []

    class Item(twin.Flushable):  # type: ignore[misc]
        def flush(self) -> None:
            self.is_dirty = False
            flushed.append(self)
            burn(0.001)

    items = [Item() for _ in range(100)]
    for item in items:
        item.is_dirty = True
        turn.flush_later(item)
    turns = 0
    while len(flushed) < 100:
        before = len(flushed)
        if prepare is not None:
            prepare.callback()
            assert (loop.nudge.callback is not None) or len(flushed) == 100
        else:
            callbacks, loop.callbacks = loop.callbacks, []
            for callback in callbacks:
                callback()
        assert 0 < len(flushed) - before < 50
        turns += 1
    assert flushed == items
    assert turns >= 3


def test_alarms_of_many_ring_over_several_turns() -> None:
    rung: list[int] = []
    between: list[int] = []

    class Bell(Alarm):
        def _ring(self, due: float, now: float) -> None:
            rung.append(1)
            burn(0.001)

    clock = Clock(gevent.get_hub().loop)
    bells = [Bell() for _ in range(100)]
    for bell in bells:
        clock.set(bell, 0.0)
    while len(rung) < 100:
        gevent.sleep(0.001)
        between.append(len(rung))
    assert len(rung) == 100
    assert max(b - a for a, b in zip([0, *between], between, strict=False)) < 50


def test_members_that_are_left_over_go_on_first_in_the_next_turn() -> None:
    twin: Any = load_pure("sessions.crowd")
    check = FakeWatcher()
    crowd = twin.Crowd(check, 1)
    resumed: list[int] = []

    class Member(twin.Member):  # type: ignore[misc]
        number = 0

        def _resume(self) -> None:
            resumed.append(self.number)
            burn(0.001)

    members = [Member() for _ in range(100)]
    for number, member in enumerate(members):
        member.number = number
    crowd.wake(Member())
    crowd.end_turn()
    turns = 0
    while len(resumed) < 100:
        for member in members[len(resumed) :]:  # the watchers of those that were not resumed
            assert crowd.wake(member)
        before = len(resumed)
        check.callback()
        assert 0 < len(resumed) - before < 50
        crowd.end_turn()
        turns += 1
    assert resumed == list(range(100))
    assert turns >= 3
    check.callback()  # there is nobody left
    assert len(resumed) == 100


def test_burst_before_there_is_a_crowd_makes_one() -> None:
    twin: Any = load_pure("sessions.crowd")
    check = FakeWatcher()
    crowd = twin.Crowd(check, 4)
    waiting = [crowd.wake(twin.Member()) for _ in range(100)]
    assert waiting == [False] * 64 + [True] * 36
    assert crowd.is_crowded
    assert check.callback is not None


class Turns:
    """A rota of which the test says whether the turn is over."""

    def __init__(self) -> None:
        self.over = False

    def is_over(self) -> bool:
        return self.over


def test_without_a_crowd_members_go_on_in_order_over_several_turns() -> None:
    twin: Any = load_pure("sessions.crowd")
    loop, turns = Loop(), Turns()
    crowd = twin.Crowd(None, 4, turns, loop)
    resumed: list[int] = []

    class Member(twin.Member):  # type: ignore[misc]
        number = 0

        def _resume(self) -> None:
            resumed.append(self.number)
            burn(0.001)

    assert not any(crowd.wake(twin.Member()) for _ in range(8))  # the turn has not lasted
    turns.over = True
    assert not any(crowd.wake(twin.Member()) for _ in range(7))  # nobody looks yet
    members = [Member() for _ in range(100)]
    for number, member in enumerate(members):
        member.number = number
        assert crowd.wake(member)
    assert all(crowd.wake(member) for member in members)  # listed once
    turns.over = False
    turn = 0
    while len(resumed) < 100:
        before = len(resumed)
        assert loop.nudge.callback is not None
        loop.nudge.fire()
        assert 0 < len(resumed) - before < 50
        turn += 1
    assert resumed == list(range(100))
    assert turn >= 3
    assert loop.nudge.callback is None
    assert not any(crowd.wake(twin.Member()) for _ in range(8))


def test_error_of_a_member_that_was_put_off_leaves_the_others_their_turn() -> None:
    twin: Any = load_pure("sessions.crowd")
    loop, turns = Loop(), Turns()
    crowd = twin.Crowd(None, 4, turns, loop)
    resumed: list[Any] = []

    class Member(twin.Member):  # type: ignore[misc]
        def _resume(self) -> None:
            resumed.append(self)
            raise KeyError

    turns.over = True
    for _ in range(7):
        crowd.wake(twin.Member())
    members = [Member(), Member()]
    assert all(crowd.wake(member) for member in members)
    for _ in members:
        with pytest.raises(KeyError):
            loop.nudge.fire()
    assert resumed == members
    assert loop.nudge.callback is None


def test_end_of_the_loop_forgets_those_that_were_put_off() -> None:
    twin: Any = load_pure("sessions.crowd")
    loop, turns = Loop(), Turns()
    crowd = twin.Crowd(None, 4, turns, loop)
    turns.over = True
    waiting = [crowd.wake(twin.Member()) for _ in range(9)]
    assert waiting == [False] * 7 + [True] * 2
    crowd.close()
    assert loop.nudge.callback is None
    assert not any(crowd.wake(twin.Member()) for _ in range(20))
