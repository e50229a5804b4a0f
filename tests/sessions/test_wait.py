from __future__ import annotations

import _socket
import time
from collections.abc import Iterator

import gevent
import pytest
from gevent import get_hub

from greenws.sessions.wait import READ, WRITE, Deadline, wait, wait_any, wait_read, wait_write
from tests.support.ticker import Ticker


@pytest.fixture
def pair() -> Iterator[tuple[_socket.socket, _socket.socket]]:
    ours, theirs = _socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[_socket.socket, _socket.socket]


def test_deadline_counts_down() -> None:
    deadline = Deadline(10)
    assert deadline.remaining is not None
    assert 9 < deadline.remaining <= 10
    assert Deadline(None).remaining is None
    assert Deadline(-1).remaining == 0


def test_readable_is_seen(pair: Pair) -> None:
    gevent.spawn_later(0.01, pair[1].send, b"x")
    assert wait_read(pair[0].fileno()) is True
    assert wait_read(pair[0].fileno(), Deadline(5)) is True


def test_writable_is_seen(pair: Pair) -> None:
    assert wait_write(pair[0].fileno()) is True
    assert wait(pair[0].fileno(), READ | WRITE, Deadline(5)) is True


def test_deadline_ends_the_wait(pair: Pair, ticking: Ticker) -> None:
    started = time.monotonic()
    assert wait_read(pair[0].fileno(), Deadline(0.1)) is False
    assert 0.09 < time.monotonic() - started < 1
    assert ticking.ticks > 5


def test_deadline_in_the_past_ends_the_wait(pair: Pair) -> None:
    assert wait_read(pair[0].fileno(), Deadline(-1)) is False


def test_first_of_several_is_told(pair: Pair) -> None:
    other, peer = _socket.socketpair()
    loop = get_hub().loop
    watchers = [loop.io(pair[0].fileno(), READ), loop.io(other.fileno(), READ)]
    try:
        peer.send(b"x")
        assert wait_any(watchers, 5) is watchers[1]
        pair[1].send(b"x")  # now both are ready: whichever is told, the other is not lost
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


@pytest.mark.parametrize("deadline", [None, 30])
def test_kill_leaves_no_watcher(pair: Pair, deadline: float | None) -> None:
    greenlet = gevent.spawn(wait_read, pair[0].fileno(), Deadline(deadline))
    gevent.sleep(0.01)
    before = getattr(get_hub().loop, "activecnt", 0)
    greenlet.kill()
    assert greenlet.dead
    assert getattr(get_hub().loop, "activecnt", 0) <= before
