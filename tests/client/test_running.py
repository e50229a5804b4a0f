"""A client from start to ready: ``start``, ``run``, ``wait_ready``, ``join``, sending."""

from __future__ import annotations

import gc
from typing import Any

import gevent
import pytest
from gevent import Greenlet

from greenws import Client, errors
from greenws.testing import (
    EchoServer,
    accept,
    drop,
    in_turn,
    reject,
    silent,
)
from tests.client.recorders import (
    NOWHERE,
    QUICK,
    Closer,
    FullRecorder,
    Recorder,
)
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE


def test_client_that_never_started_does_nothing() -> None:
    feed = FullRecorder(NOWHERE)
    assert not feed.is_running
    assert not feed.is_ready
    assert feed.wait_ready() is False
    feed.join()
    feed.close()
    feed.kill()
    with pytest.raises(errors.WebSocketUnavailable):
        feed.send_text("x")
    assert feed.calls == []


def test_init_that_forgets_that_of_the_client_is_told_so() -> None:
    class Forgetful(Client):
        def __init__(self, name: str) -> None:
            self.name = name

    with pytest.raises(TypeError, match=r"Forgetful.__init__\(\) has to call super\(\)"):
        Forgetful("a").start()


def test_close_before_start_does_not_prevent_the_start(server: EchoServer) -> None:
    feed = FullRecorder(server.url)
    feed.close()
    feed.start()
    assert feed.wait_ready(PATIENCE)
    feed.close()
    feed.join(PATIENCE)


def test_start_returns_the_client_and_runs_in_a_greenlet_of_its_own(server: EchoServer) -> None:
    feed = FullRecorder(server.url)
    assert feed.start() is feed
    assert feed.is_running
    assert feed.calls == []
    assert feed.wait_ready(PATIENCE) is True
    assert feed.is_ready
    assert gevent.getcurrent() not in feed.greenlets
    assert feed.wait_ready() is True
    feed.close()
    feed.join(PATIENCE)
    assert not feed.is_running
    assert not feed.is_ready
    assert len(feed.greenlets) == 1


def test_run_runs_in_the_calling_greenlet(server: EchoServer) -> None:
    feed = Closer(server.url)
    feed.how = "close"
    assert feed.run() is None  # type: ignore[func-returns-value]
    assert feed.greenlets == {gevent.getcurrent()}


def test_start_and_run_of_a_running_client_are_errors(server: EchoServer) -> None:
    feed = FullRecorder(server.url).start()
    for again in (feed.start, feed.run):
        with pytest.raises(RuntimeError, match="running already"):
            again()
    assert feed.wait_ready(PATIENCE)
    with pytest.raises(RuntimeError, match="running already"):
        feed.run()
    feed.kill()


def test_client_can_be_started_again(server: EchoServer) -> None:
    feed = FullRecorder(server.url)
    for number in range(1, 4):
        feed.start()
        assert feed.wait_ready(PATIENCE)
        feed.close()
        feed.join(PATIENCE)
        assert feed.calls.count("close") == number


@pytest.mark.parametrize("way", ["start", "run"])
def test_join_in_a_handler_is_an_error(way: str, server: EchoServer) -> None:
    class Feed(FullRecorder):
        def react_ready(self, event: Any) -> None:
            self.join(timeout=0.001)
            self.join()

    feed = Feed(server.url)
    with pytest.raises(RuntimeError, match="wait for itself"):
        feed.run() if way == "run" else feed.start().join(PATIENCE)
    assert server.connections[0].wait_ended() == 1011


def test_join_gives_up_after_its_timeout(server: EchoServer) -> None:
    feed = FullRecorder(server.url).start()
    stopwatch = Stopwatch()
    feed.join(timeout=0.02)
    assert stopwatch.own < 1
    assert feed.is_running
    feed.kill()


def test_wait_ready_gives_up_after_its_timeout() -> None:
    with EchoServer(opening=silent) as server:
        feed = FullRecorder(server.url).start()
        assert feed.wait_ready(timeout=0.02) is False
        assert feed.is_running
        feed.kill()


@pytest.mark.parametrize("opening", [reject(403), drop()])
def test_wait_ready_is_false_after_a_failed_opening(opening: Any) -> None:
    with EchoServer(opening=opening) as server:
        feed = FullRecorder(server.url).start()
        assert feed.wait_ready(PATIENCE) is False
        feed.join(PATIENCE)


@pytest.mark.parametrize("way", ["close", "kill"])
def test_wait_ready_is_true_though_the_connection_ends_at_once(
    way: str, server: EchoServer
) -> None:
    class Brief(FullRecorder):
        def on_ready(self, event: Any) -> None:
            getattr(self, way)()

    brief = Brief(server.url).start()
    assert brief.wait_ready(PATIENCE) is True
    brief.join(PATIENCE)
    assert brief.wait_ready(PATIENCE) is False
    assert not brief.is_ready


def test_wait_ready_waits_through_reconnects() -> None:
    with EchoServer(opening=in_turn(reject(503), drop(), accept)) as server:
        feed = FullRecorder(server.url, reconnect=QUICK).start()
        assert feed.wait_ready(PATIENCE) is True
        feed.kill()


def test_many_greenlets_may_wait(server: EchoServer) -> None:
    feed = FullRecorder(server.url).start()
    waiters = [gevent.spawn(feed.wait_ready, PATIENCE) for _ in range(5)]
    joiners = [gevent.spawn(feed.join, PATIENCE) for _ in range(5)]
    gevent.joinall(waiters, timeout=PATIENCE)
    assert [waiter.value for waiter in waiters] == [True] * 5
    feed.close()
    gevent.joinall(joiners, timeout=PATIENCE)
    assert all(joiner.successful() for joiner in joiners)


def test_failed_opening_raises_nothing() -> None:
    feed = FullRecorder(NOWHERE)
    feed.run()
    feed.join()
    assert feed.calls == ["connecting", "connect_fail"]
    assert "Connection refused" in feed.events[-1].reason


def test_rejection_is_an_event() -> None:
    body = b"not today"
    with EchoServer(opening=reject(401, "Who", headers=[("X-A", "b")], body=body)) as server:
        feed = FullRecorder(server.url)
        feed.run()
    assert feed.calls == ["connecting", "connected", "rejected", "disconnected"]
    response = feed.last("rejected").response
    assert (response.status_code, response.status, response.body) == (401, "Who", body)
    assert response.get("x-a") == "b"


def test_sends_from_other_greenlets_keep_their_order(server: EchoServer) -> None:
    class Feed(Recorder):
        def on_text(self, event: Any) -> None:
            texts.append(event.text)
            if len(texts) == 100:
                self.close()

    texts: list[str] = []
    feed = Feed(server.url).start()
    assert feed.wait_ready(PATIENCE)

    def send(name: str) -> None:
        for number in range(10):
            feed.send_text(f"{name} {number}")
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(send, name) for name in "abcdefghij"], raise_error=True)
    feed.join(PATIENCE)
    for name in "abcdefghij":
        assert [t for t in texts if t[0] == name] == [f"{name} {number}" for number in range(10)]


def test_hundred_clients_run_side_by_side(server: EchoServer) -> None:
    class Feed(Client):
        def on_ready(self, event: Any) -> None:
            self.send_text("x")

        def on_text(self, event: Any) -> None:
            self.close()

        def on_close(self, event: Any) -> None:
            codes.append(event.code)

    codes: list[int] = []
    clients = [Feed(server.url).start() for _ in range(100)]
    for client in clients:
        client.join(PATIENCE)
    assert codes == [1000] * 100
    assert not [g for g in gc.get_objects() if isinstance(g, Greenlet) and g in clients]


def test_session_class_may_be_foreign(server: EchoServer) -> None:
    import lomond.session

    class Feed(FullRecorder):
        session_class = lomond.session.WebsocketSession

    # The session of lomond blocks the hub, so that no server of this process could answer.
    feed = Feed(NOWHERE)
    feed.run()
    assert feed.calls[0] == "connecting"
    assert feed.calls[-1] == "connect_fail"
