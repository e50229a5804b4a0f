"""Waiting for descriptors and time in the calling greenlet."""

from __future__ import annotations

import _socket
import contextlib
from collections.abc import Iterator
from time import monotonic

import gevent
import pytest
from gevent import get_hub

from greenws.sessions import forks
from greenws.sessions import wait as wait_module
from greenws.sessions.wait import (
    READ,
    WRITE,
    Interrupted,
    let_others_catch_up,
    wait,
    wait_any,
    wait_end,
    wait_read,
    wait_write,
)
from tests.support.stopwatch import Stopwatch
from tests.support.ticker import Ticker


@pytest.fixture
def pair() -> Iterator[tuple[_socket.socket, _socket.socket]]:
    ours, theirs = _socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[_socket.socket, _socket.socket]


def test_readable_socket_ends_the_wait(pair: Pair) -> None:
    gevent.spawn_later(0.01, pair[1].send, b"x")
    wait_read(pair[0].fileno())
    assert pair[0].recv(1) == b"x"


def test_writable_socket_ends_the_wait(pair: Pair) -> None:
    pair[0].setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            pair[0].send(bytes(65536))
    sent = gevent.spawn(_drain, pair[1])
    wait_write(pair[0].fileno())
    assert pair[0].send(b"x") == 1
    wait(pair[0].fileno(), READ | WRITE)
    sent.kill()


def hold(seconds: float) -> None:
    """Hold the hub, as work does."""
    end = monotonic() + seconds
    while monotonic() < end:
        pass


def _drain(sock: _socket.socket) -> None:
    sock.setblocking(False)
    while True:
        with contextlib.suppress(BlockingIOError):
            sock.recv(65536)
        gevent.sleep(0.001)


def test_timeout_ends_the_wait(pair: Pair, ticking: Ticker) -> None:
    watcher = get_hub().loop.io(pair[0].fileno(), READ)
    stopwatch = Stopwatch()
    assert wait_any([watcher], 0.1) is None
    assert stopwatch.wall > 0.09
    assert stopwatch.own < 1
    assert ticking.largest_gap < 0.05
    assert wait_any([watcher], 0.0) is None
    watcher.close()


def test_time_limit_does_not_count_what_held_the_hub_before(pair: Pair) -> None:
    watcher = get_hub().loop.io(pair[0].fileno(), READ)
    gevent.sleep(0.001)  # the loop looks at its clock
    hold(0.2)
    began = monotonic()
    assert wait_any([watcher], 0.1) is None
    assert monotonic() - began > 0.09
    watcher.close()


def test_first_of_several_watchers_is_returned(pair: Pair) -> None:
    other, peer = _socket.socketpair()
    loop = get_hub().loop
    watchers = [loop.io(pair[0].fileno(), READ), loop.io(other.fileno(), READ)]
    try:
        peer.send(b"x")
        assert wait_any(watchers, 5) is watchers[1]
        pair[1].send(b"x")  # both are ready: either may be first, and the other is not lost
        first = wait_any(watchers, None)
        watchers.remove(first)
        assert wait_any(watchers, 5) is watchers[0]
        watchers.append(first)
        assert wait_any([], 0.001) is None
    finally:
        for watcher in watchers:
            watcher.close()
        other.close()
        peer.close()


def test_kill_leaves_no_watcher(pair: Pair) -> None:
    greenlet = gevent.spawn(wait_read, pair[0].fileno())
    gevent.sleep(0)
    before = getattr(get_hub().loop, "activecnt", 0)
    greenlet.kill()
    assert greenlet.dead
    assert getattr(get_hub().loop, "activecnt", 0) <= before


def test_kill_leaves_no_watcher_and_no_timer(pair: Pair) -> None:
    watcher = get_hub().loop.io(pair[0].fileno(), READ)
    greenlet = gevent.spawn(wait_any, [watcher], 30)
    gevent.sleep(0)
    before = getattr(get_hub().loop, "activecnt", 0)
    greenlet.kill()
    assert greenlet.dead
    assert getattr(get_hub().loop, "activecnt", 0) <= before
    watcher.close()


@pytest.mark.parametrize(
    ("is_on", "order"),
    [(True, ["a1", "b1", "c1", "a2", "b2", "c2"]), (False, ["a1", "a2", "b1", "b2", "c1", "c2"])],
)
def test_those_who_let_others_catch_up_take_the_next_step_together(
    is_on: bool, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait_module, "CATCHING_UP", is_on)
    steps: list[str] = []

    def take_two_steps(name: str) -> None:
        steps.append(f"{name}1")
        let_others_catch_up()
        steps.append(f"{name}2")

    gevent.joinall([gevent.spawn(take_two_steps, name) for name in "abc"])
    assert steps == order


@pytest.mark.parametrize("kind", ["wait", "wait_any", "wait_end", "let_others_catch_up"])
def test_wait_does_not_go_on_in_a_forked_child(kind: str, pair: Pair) -> None:
    forked = []

    def fork_and_wake() -> None:
        forks._note_fork()  # what the hook does in a child
        pair[1].send(b"x")
        forked.append(True)

    with contextlib.closing(get_hub().loop.io(pair[0].fileno(), READ)) as watcher:
        other = gevent.spawn(fork_and_wake)
        with pytest.raises(Interrupted):
            if kind == "wait":
                wait(pair[0].fileno(), READ)
            elif kind == "wait_any":
                wait_any([watcher], None)
            elif kind == "wait_end":
                wait_end(other)
            else:
                let_others_catch_up()
    assert forked


def test_wait_that_begins_in_a_forked_child_goes_on(pair: Pair) -> None:
    forks._note_fork()
    pair[1].send(b"x")
    wait_read(pair[0].fileno())
