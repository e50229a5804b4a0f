"""Pings leave on time, silence is noticed, and a slow handler is not taken for silence."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event

import greenws
from tests.support.loopback import LoopbackServer
from tests.support.peer import (
    PING,
    PONG,
    TEXT,
    RawServerPeer,
    accept_and_echo,
    accept_and_wait,
    build,
    build_text,
)
from tests.support.run import Run
from tests.support.stopwatch import Stopwatch
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE

Handler = Callable[[greenws.WebSocket, Any], object]


def start(url: str, handle: Handler | None = None, **options: Any) -> tuple[greenws.WebSocket, Run]:
    websocket = greenws.WebSocket(url, proxies={})
    iterator = websocket.connect(**{"ping_rate": 0, "poll": 0, **options})
    run = Run(iterator, None if handle is None else lambda event: handle(websocket, event))
    return websocket, run


class Pings:
    """A server that answers pings, and writes down when they come.

    The hub's ticks tell when: a busy machine delays them as much as the pings.
    """

    def __init__(self, ticker: Ticker) -> None:
        self.times: list[int] = []
        self._ticker = ticker
        self._changed = gevent.event.Event()

    def __call__(self, peer: RawServerPeer) -> None:
        peer.accept()
        while True:
            frame = peer.expect(PING)
            self.times.append(self._ticker.ticks)
            self._changed.set()
            peer.send(build(PONG, frame.payload))

    def wait(self, count: int) -> None:
        with gevent.Timeout(PATIENCE):
            while len(self.times) < count:
                self._changed.clear()
                self._changed.wait()

    @property
    def largest_gap(self) -> int:
        """The longest time between two pings, in ticks of 5 ms."""
        return largest_gap(self.times)


def largest_gap(times: list[int]) -> int:
    return max(b - a for a, b in itertools.pairwise(times))


# Pings


def test_pings_leave_on_time_whatever_poll_is(ticking: Ticker) -> None:
    pings = Pings(ticking)
    with LoopbackServer(pings) as server:
        websocket, run = start(server.url, ping_rate=0.03, poll=60)
        pings.wait(6)
        run.kill()
    assert pings.largest_gap < 20


def test_pings_leave_on_time_while_a_handler_sleeps(ticking: Ticker) -> None:
    pings = Pings(ticking)

    def handle(websocket: Any, event: Any) -> None:
        if event.name == "ready":
            pings.wait(6)  # nothing is read while the handler waits

    with LoopbackServer(pings) as server:
        websocket, run = start(server.url, handle, ping_rate=0.03)
        pings.wait(6)
        run.kill()
    assert pings.largest_gap < 20


def test_pings_leave_on_time_under_a_steady_stream_of_messages(ticking: Ticker) -> None:
    pings: list[int] = []

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        reader = gevent.spawn(read, peer)
        try:
            while not reader.dead:
                peer.send_text("tick")
                gevent.sleep(0.002)
        finally:
            reader.kill()

    def read(peer: RawServerPeer) -> None:
        while len(pings) < 4:
            peer.expect(PING)
            pings.append(ticking.ticks)

    with LoopbackServer(script) as server:
        websocket, run = start(server.url, ping_rate=0.05)
        server.join()
        run.kill()
    assert largest_gap(pings) < 30


def test_no_pings_are_sent_with_a_rate_of_zero() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT, b"not a ping")

    with LoopbackServer(script) as server:
        websocket, run = start(server.url, ping_rate=0)
        run.wait("ready")
        gevent.sleep(0.05)  # time for a ping, which must not come
        websocket.send_text("not a ping")
        server.join()
        run.join()


# Silence


def test_silent_server_is_unresponsive_after_ping_timeout() -> None:
    with LoopbackServer(accept_and_wait) as server:
        websocket, run = start(server.url, ping_rate=0.1, ping_timeout=0.25)
        run.wait("ready")
        stopwatch = Stopwatch()
        run.join()
        assert stopwatch.wall >= 0.24
        assert stopwatch.own < 0.4
    assert run.names[-2:] == ["unresponsive", "disconnected"]
    assert "ping timeout" in run.events[-1].reason


def test_silence_is_noticed_without_pings_and_polls() -> None:
    with LoopbackServer(accept_and_wait) as server:
        websocket, run = start(server.url, ping_rate=0, poll=0, ping_timeout=0.1)
        run.join()
    assert run.names[-2:] == ["unresponsive", "disconnected"]


def test_silence_counts_from_the_last_byte() -> None:
    since_last = []

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        for _ in range(4):
            gevent.sleep(0.08)
            peer.send_text("alive")
        since_last.append(Stopwatch())
        peer.read_until_end()

    with LoopbackServer(script) as server:
        websocket, run = start(server.url, ping_timeout=0.2)
        run.join()
        assert since_last[0].wall >= 0.19
        assert since_last[0].own < 0.4
    assert len(run.all("text")) == 4


def test_any_byte_counts_as_life() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.dribble(build_text("a long message, slowly"), 0.02)  # 0.5 s until the message is whole
        peer.close()

    with LoopbackServer(script) as server:
        websocket, run = start(server.url, ping_timeout=0.2)
        run.join()
    assert not run.all("unresponsive")
    assert run.all("text")


def test_silence_is_noticed_in_time_after_a_slow_handler() -> None:
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "text":
            gevent.sleep(0.15)  # several polls become due

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("first"))
        peer.read_until_end()

    with LoopbackServer(script) as server:
        websocket, run = start(server.url, handle, poll=0.02, ping_timeout=0.3)
        run.wait("text")
        stopwatch = Stopwatch()
        run.join()
        assert stopwatch.own < 0.45
    assert run.all("unresponsive")


def test_slow_handler_is_not_taken_for_a_dead_server() -> None:
    # The handler takes longer than ping_timeout, while the pongs wait in the kernel.
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "text" and event.text == "slow":
            gevent.sleep(0.4)
            websocket.send_text("done")
        elif event.name == "text":
            websocket.close()

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("slow"))
        peer.echo()

    with LoopbackServer(script) as server:
        websocket, run = start(server.url, handle, ping_rate=0.05, ping_timeout=0.15)
        run.join()
    assert not run.all("unresponsive")
    assert run.events[-1].graceful


def test_slow_handlers_of_one_chunk_are_not_taken_for_a_dead_server() -> None:
    # All messages come in one read, and the handler of each takes longer than ping_timeout.
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "text":
            gevent.sleep(0.2)
            if event.text == "last":
                websocket.close()

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=b"".join(map(build_text, ("first", "second", "third", "last"))))
        peer.echo()

    with LoopbackServer(script) as server:
        websocket, run = start(server.url, handle, ping_rate=0.05, ping_timeout=0.15)
        run.join()
    assert len(run.all("text")) == 4
    assert not run.all("unresponsive")


def test_blocked_hub_is_not_taken_for_a_dead_server() -> None:
    # While the hub is blocked, no ping can leave and no answer can be read.
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "text" and event.text == "block":
            time.sleep(0.5)
            websocket.send_text("done")
        elif event.name == "text":
            websocket.close()

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("block"))
        peer.echo()

    with LoopbackServer(script) as server:
        websocket, run = start(server.url, handle, ping_rate=0.1, ping_timeout=0.2)
        run.join()
    assert not run.all("unresponsive")
    assert run.events[-1].graceful


def test_hub_blocked_by_another_greenlet_is_not_taken_for_a_dead_server() -> None:
    with LoopbackServer(accept_and_echo) as server:
        websocket, run = start(server.url, ping_rate=0.1, ping_timeout=0.2)
        run.wait("ready")
        time.sleep(0.5)
        gevent.sleep(0.05)
        websocket.close()
        run.join()
    assert not run.all("unresponsive")
    assert run.events[-1].graceful


def test_dead_server_is_noticed_though_the_hub_is_blocked_repeatedly() -> None:
    with LoopbackServer(accept_and_wait) as server:
        websocket, run = start(server.url, ping_rate=0.1, ping_timeout=0.3)
        run.wait("ready")
        stopwatch = Stopwatch()
        while not run.greenlet.dead and stopwatch.own < 3:
            time.sleep(0.15)
            gevent.sleep(0.001)
        assert stopwatch.own < 1.5
        run.join()
    assert run.all("unresponsive")


def test_silence_while_closing_ends_the_connection() -> None:
    with LoopbackServer(accept_and_wait) as server:
        websocket, run = start(server.url, ping_timeout=0.1, close_timeout=30)
        run.wait("ready")
        websocket.close()
        run.join()
    assert run.names[-1] == "disconnected"


# The next connection


def test_nothing_survives_from_an_earlier_connection() -> None:
    with LoopbackServer(accept_and_echo) as server:
        websocket = greenws.WebSocket(server.url, proxies={})
        first = Run(websocket.connect(ping_rate=0, poll=0, ping_timeout=0.2, close_timeout=0.2))
        first.wait("ready")
        gevent.sleep(0.15)
        websocket.close()
        first.join()
        second = Run(websocket.connect(ping_rate=0.05, poll=0, ping_timeout=0.2))
        second.wait("pong", 8)  # beyond every timeout of the first connection
        assert websocket.is_ready
        assert websocket.sent_close_time is None
        websocket.close()
        second.join()
    assert second.events[-1].graceful


def test_earlier_iteration_that_is_dropped_late_does_not_end_the_next_one() -> None:
    with LoopbackServer(accept_and_echo) as server:
        websocket = greenws.WebSocket(server.url, proxies={})
        events = iter(websocket)
        while next(events).name != "ready":
            pass
        events = iter(websocket)  # the name drops the first iteration here
        names = []
        for event in events:
            names.append(event.name)
            if event.name == "ready":
                websocket.close()
    assert names[:3] == ["connecting", "connected", "ready"]
    assert event.graceful


# Poll


def test_polls_come_at_their_rate() -> None:
    with LoopbackServer(accept_and_wait) as server:
        websocket, run = start(server.url, poll=0.05)
        first = run.wait("poll", 1)
        stopwatch = Stopwatch()
        last = run.wait("poll", 5)
        assert stopwatch.own < 0.4
        run.kill()
    assert last.received_time - first.received_time >= 0.19


def test_first_poll_follows_ready_at_once() -> None:
    with LoopbackServer(accept_and_wait) as server:
        websocket, run = start(server.url, poll=60)
        run.wait("poll")
        run.kill()
    assert run.names == ["connecting", "connected", "ready", "poll"]


def test_polls_do_not_pile_up_behind_a_slow_handler() -> None:
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "ready":
            gevent.sleep(0.2)

    with LoopbackServer(accept_and_wait) as server:
        websocket, run = start(server.url, handle, poll=0.02)
        run.wait("poll", 1)
        assert len(run.all("poll")) <= 2
        run.kill()
