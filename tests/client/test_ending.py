"""``close`` and ``kill`` of a client, in every state and from every place."""

from __future__ import annotations

import gc
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenws import Backoff, errors
from greenws.testing import (
    EchoServer,
    close_with,
    echo,
    in_turn,
    replies,
    send_raw,
    silent,
    stop_reading,
)
from tests.client.recorders import (
    NOWHERE,
    QUICK,
    Closer,
    FullRecorder,
)
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("way", ["close", "kill"])
def test_end_right_after_start_comes_before_the_first_turn(way: str, server: EchoServer) -> None:
    feed = FullRecorder(server.url).start()
    getattr(feed, way)()
    feed.join(PATIENCE)
    assert not feed.is_running
    assert feed.calls == []
    assert feed.wait_ready() is False
    assert server.connection_count == 0


@pytest.mark.parametrize("way", ["close", "kill"])
@pytest.mark.parametrize("handler", ["connecting", "connected"])
def test_end_in_a_handler_of_the_opening_gives_the_opening_up(
    way: str, handler: str, server: EchoServer
) -> None:
    feed = FullRecorder(server.url, reconnect=QUICK)
    setattr(feed, "react_" + handler, lambda event: getattr(feed, way)())
    feed.run()
    assert "ready" not in feed.calls
    assert feed.calls[-1] == "connect_fail"
    assert feed.calls.count("connecting") == 1


@pytest.mark.parametrize("way", ["close", "kill"])
@pytest.mark.parametrize("wait", [0, 0.01])
def test_end_while_the_server_is_silent(way: str, wait: float) -> None:
    with EchoServer(opening=silent) as server:
        feed = FullRecorder(server.url, reconnect=QUICK).start()
        gevent.sleep(wait)
        if wait:
            server.wait_for(lambda: server.connection_count)
        getattr(feed, way)()
        feed.join(PATIENCE)
        assert not feed.is_running
        assert "ready" not in feed.calls
        assert feed.wait_ready() is False


@pytest.mark.parametrize("way", ["close", "kill"])
@pytest.mark.parametrize("where", ["elsewhere", "in the handler"])
def test_end_in_back_off_cuts_the_wait_short(way: str, where: str) -> None:
    class Feed(FullRecorder):
        def react_back_off(self, event: Any) -> None:
            if where == "in the handler":
                getattr(self, way)()
            waiting.set()

    waiting = Event()
    feed = Feed(NOWHERE, reconnect=Backoff(min_wait=60, max_wait=60)).start()
    assert waiting.wait(PATIENCE)
    stopwatch = Stopwatch()
    if where == "elsewhere":
        getattr(feed, way)()
    feed.join(PATIENCE)
    assert not feed.is_running
    assert stopwatch.own < 2
    assert feed.calls == ["connecting", "connect_fail", "back_off"]


@pytest.mark.parametrize("way", ["close", "kill"])
def test_end_in_any_handler_stops_the_reconnecting(way: str) -> None:
    for handler in ("ready", "text", "poll", "closing", "disconnected", "close"):
        with EchoServer(replies(None)) as server:
            script = in_turn(lambda c: (c.send("x"), close_with(4000)(c))[1], echo)
            server.handler = script
            feed = FullRecorder(server.url, reconnect=QUICK)
            setattr(feed, "react_" + handler, lambda event, feed=feed: getattr(feed, way)())
            feed.start()
            feed.join(PATIENCE)
            assert not feed.is_running, handler
        assert feed.calls.count("connecting") == 1, handler
        assert feed.calls.count("close") == 1, handler
        assert feed.calls[-1] == "close"


@pytest.mark.parametrize("way", ["close", "kill"])
def test_end_twice_is_harmless(way: str, server: EchoServer) -> None:
    feed = FullRecorder(server.url).start()
    assert feed.wait_ready(PATIENCE)
    getattr(feed, way)()
    getattr(feed, way)()
    feed.join(PATIENCE)
    getattr(feed, way)()
    assert feed.calls.count("close") == 1


def test_close_returns_at_once_and_ends_in_close_timeout() -> None:
    with EchoServer(stop_reading) as server:
        feed = FullRecorder(server.url, close_timeout=0.1).start()
        assert feed.wait_ready(PATIENCE)
        switched = Event()
        gevent.spawn(switched.set)
        stopwatch = Stopwatch()
        feed.close()
        assert not switched.is_set()
        with pytest.raises(errors.WebSocketClosing):
            feed.send_text("late")
        feed.join(PATIENCE)
        assert stopwatch.own < 4
        assert not feed.is_running
    assert (feed.events[-1].code, feed.events[-1].sent_code) == (1006, 1000)


def test_close_with_a_bad_code_changes_nothing(server: EchoServer) -> None:
    feed = FullRecorder(server.url, reconnect=QUICK).start()
    assert feed.wait_ready(PATIENCE)
    with pytest.raises(ValueError, match="1005"):
        feed.close(1005)
    with pytest.raises(ValueError, match="reason"):
        feed.close(1000, "x" * 200)
    assert feed.is_ready
    feed.kill()


def test_kill_waits_until_the_client_has_ended(server: EchoServer) -> None:
    feed = FullRecorder(server.url).start()
    assert feed.wait_ready(PATIENCE)
    feed.kill()
    assert not feed.is_running
    assert feed.calls[-1] == "close"
    server.wait_idle()


def test_kill_ends_a_client_that_another_greenlet_runs(server: EchoServer) -> None:
    feed = FullRecorder(server.url)
    greenlet = gevent.spawn(feed.run)
    assert server.wait_connections(1)
    feed.wait_ready(PATIENCE)
    feed.kill()
    greenlet.join(PATIENCE)
    assert greenlet.successful()
    assert feed.calls[-1] == "close"


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_no_handler_is_called_after_kill_in_a_handler(kind: str) -> None:
    frame = b"\x81\x01x" if kind == "text" else b"\x82\x01x"
    with EchoServer(send_raw(frame * 10)) as server:
        feed = FullRecorder(server.url)
        setattr(feed, "react_" + kind, lambda event: feed.kill())
        feed.run()
    assert feed.calls.count(kind) == 1
    assert feed.calls[-2:] == ["disconnected", "close"]


def test_messages_received_before_close_are_handled() -> None:
    with EchoServer(lambda c: [c.send("x") for _ in range(10)] and echo(c)) as server:
        feed = FullRecorder(server.url)
        feed.react_text = lambda event: feed.close()  # type: ignore[attr-defined]
        feed.run()
    assert feed.calls.count("text") == 10


def test_client_is_freed_when_it_has_ended(server: EchoServer) -> None:
    import weakref

    feed = Closer(server.url)
    feed.how = "close"
    feed.start()
    feed.join(PATIENCE)
    gone = weakref.ref(feed)
    del feed
    server.wait_idle()
    gevent.sleep(0)
    gc.collect()
    assert gone() is None
