"""When a client connects again, after which wait, and in which state."""

from __future__ import annotations

import gc
import inspect
from typing import Any

import gevent
import pytest

from greenws import Backoff, Client
from greenws.testing import (
    EchoServer,
    ServerConnection,
    accept,
    close_with,
    drop,
    echo,
    in_turn,
    reject,
    send_raw,
    silent,
)
from tests.client.recorders import (
    NOWHERE,
    QUICK,
    FullRecorder,
)
from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer
from tests.support.waiting import PATIENCE


def test_no_reconnect_unless_asked_for() -> None:
    with EchoServer(close_with(1001)) as server:
        feed = FullRecorder(server.url)
        feed.run()
        assert server.connection_count == 1
    assert "back_off" not in feed.calls


def test_reconnect_true_has_the_defaults_of_backoff() -> None:
    class Feed(FullRecorder):
        def react_back_off(self, event: Any) -> None:
            self.close()

    feed = Feed(NOWHERE, reconnect=True)
    feed.run()
    assert 0.5 <= feed.last("back_off").delay <= 1.0


@pytest.mark.parametrize("nothing", [False, None])
def test_reconnect_false_connects_once(nothing: Any) -> None:
    feed = FullRecorder(NOWHERE, reconnect=nothing)
    feed.run()
    assert feed.calls == ["connecting", "connect_fail"]


def test_reconnect_after_failures_of_every_kind() -> None:
    opening = in_turn(
        reject(503), drop(), drop(reset=False), send_raw(b"?\r\n\r\n", drop()), accept
    )
    with EchoServer(opening=opening) as server:
        feed = FullRecorder(server.url, reconnect=QUICK).start()
        server.wait_connections(1, timeout=PATIENCE)
        assert feed.wait_ready(PATIENCE)
        assert server.connection_count == 5
        feed.close()
        feed.join(PATIENCE)
    assert feed.calls.count("back_off") == 4
    assert feed.calls.count("connecting") == 5
    assert feed.calls.count("close") == 1
    assert len(feed.greenlets) == 1


def test_reconnect_waits_longer_after_each_failure() -> None:
    backoff = Backoff(min_wait=0.001, max_wait=0.004, factor=2, jitter=0, max_tries=6)
    feed = FullRecorder(NOWHERE, reconnect=backoff)
    feed.run()
    delays = [event.delay for event in feed.events if event.name == "back_off"]
    assert delays == [0.001, 0.002, 0.004, 0.004, 0.004]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_max_tries_bounds_the_connections(most: int) -> None:
    feed = FullRecorder(NOWHERE, reconnect=Backoff(min_wait=0.001, max_wait=0.001, max_tries=most))
    feed.run()
    assert feed.calls.count("connecting") == most
    assert feed.calls.count("back_off") == most - 1
    assert feed.wait_ready() is False


def test_back_off_starts_again_after_a_connection_that_lasted() -> None:
    backoff = Backoff(min_wait=0.001, max_wait=1, factor=3, jitter=0, max_tries=3, reset_after=0.05)

    def last(connection: ServerConnection) -> None:
        gevent.sleep(0.1)
        connection.close(1001)

    opening = in_turn(reject(503), accept, reject(503), reject(503), accept)
    with EchoServer(last, opening=opening) as server:
        feed = FullRecorder(server.url, reconnect=backoff)
        feed.run()
        assert server.connection_count == 4
    delays = [event.delay for event in feed.events if event.name == "back_off"]
    assert delays == [0.001, 0.001, 0.003]


def test_back_off_goes_on_after_a_short_connection() -> None:
    backoff = Backoff(min_wait=0.001, max_wait=1, jitter=0, max_tries=3, reset_after=10)
    with EchoServer(close_with(1001)) as server:
        feed = FullRecorder(server.url, reconnect=backoff)
        feed.run()
    assert feed.calls.count("ready") == 3
    assert [event.delay for event in feed.events if event.name == "back_off"] == [0.001, 0.002]


def test_back_off_goes_on_after_an_opening_that_took_long_to_fail() -> None:
    backoff = Backoff(min_wait=0.001, max_wait=1, jitter=0, max_tries=3, reset_after=0.01)
    with EchoServer(opening=silent) as server:
        feed = FullRecorder(server.url, reconnect=backoff, open_timeout=0.05)
        feed.run()
    assert feed.calls.count("connect_fail") == 3


PAST = "Wed, 21 Oct 2015 07:28:00 GMT"
LEAVES_NO_WAIT = ["0", "-1", PAST, "1e3", "1_0", "inf", " 5x"]


def delays(feed: FullRecorder) -> list[float]:
    return [event.delay for event in feed.events if event.name == "back_off"]


@pytest.mark.parametrize("value", LEAVES_NO_WAIT)
def test_retry_after_that_leaves_no_wait_is_as_good_as_none(value: str) -> None:
    backoff = Backoff(min_wait=0.001, factor=4, jitter=0, max_tries=3)
    with EchoServer(opening=reject(503, headers=[("Retry-After", value)])) as server:
        feed = FullRecorder(server.url, reconnect=backoff)
        feed.run()
    assert delays(feed) == [0.001, 0.004]


@pytest.mark.parametrize("value", LEAVES_NO_WAIT)
def test_retry_after_of_a_proxy_is_no_less(value: str) -> None:
    backoff = Backoff(min_wait=0.001, factor=4, jitter=0, max_tries=3)

    def refuse(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(f"HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\n\r\n".encode())

    with LoopbackServer(refuse) as proxy:
        proxies = {"http": f"http://127.0.0.1:{proxy.port}"}
        feed = FullRecorder("ws://example.org/", reconnect=backoff, proxies=proxies)
        feed.run()
    assert feed.calls.count("connect_fail") == 3
    assert feed.last("connect_fail").error.status_code == 503
    assert delays(feed) == [0.001, 0.004]


class WaitsOnce(FullRecorder):
    def react_back_off(self, event: Any) -> None:
        self.close()


def test_retry_after_is_a_least_wait_of_a_client() -> None:
    with EchoServer(opening=reject(503, headers=[("Retry-After", "7")])) as server:
        feeds = [WaitsOnce(server.url, reconnect=True) for _ in range(20)]
        for feed in feeds:
            feed.run()
    waits = [wait for feed in feeds for wait in delays(feed)]
    assert all(7 <= wait <= 10.5 for wait in waits)
    assert len(set(waits)) == 20


def test_retry_after_counts_for_its_rejection_only() -> None:
    opening = in_turn(reject(503, headers=[("Retry-After", "1")]), reject(503), accept)
    with EchoServer(opening=opening) as server:
        feed = FullRecorder(
            server.url, reconnect=Backoff(min_wait=0.001, factor=4, jitter=0)
        ).start()
        assert feed.wait_ready(PATIENCE)
        feed.kill()
    assert delays(feed) == [1.0, 0.004]


def test_reconnect_starts_from_a_clean_state() -> None:
    # The first connection ends within a compressed, fragmented message.
    def begin(connection: ServerConnection) -> None:
        connection.send("x" * 500)
        connection.send_frame(1, b"\x4a\x04", fin=False, rsv1=True)
        connection.flush()
        assert connection.receive() == "ready 1"
        connection.drop(reset=False)

    class Feed(FullRecorder):
        compress = True

        def react_ready(self, event: Any) -> None:
            self.send_text(f"ready {self.calls.count('ready')}")

        def react_text(self, event: Any) -> None:
            if event.text == "ready 2":
                self.close()

    with EchoServer(in_turn(begin, echo)) as server:
        feed = Feed(server.url, reconnect=QUICK)
        feed.run()
    assert [e.text for e in feed.events if e.name == "text"][-1] == "ready 2"
    assert "protocol_error" not in feed.calls


def test_reconnecting_leaves_nothing_in_memory() -> None:
    class Feed(Client):
        reconnect = QUICK
        count = 0

        def on_ready(self, event: Any) -> None:
            self.count += 1
            greenlets.add(gevent.getcurrent())
            frames.add(len(inspect.stack(0)))
            if self.count in (100, 300):
                gc.collect()
                objects.append(len(gc.get_objects()))
            if self.count == 300:
                self.close()

    greenlets: set[Any] = set()
    frames: set[int] = set()
    objects: list[int] = []
    with EchoServer(close_with(1001), history=1) as server:
        feed = Feed(server.url)
        websocket = feed.websocket
        feed.start().join(60)
    assert not feed.is_running
    assert feed.websocket is websocket
    assert len(greenlets) == 1
    assert len(frames) == 1
    assert objects[1] - objects[0] < 200
