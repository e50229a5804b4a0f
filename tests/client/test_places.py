"""``close``, ``kill`` and ``join`` from every place: beside a handler that sends, in callbacks of
the hub, in signal handlers, in other threads.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenws import Client, errors
from greenws.testing import EchoServer, replies, silent, stop_reading
from tests.client.recorders import NOWHERE, QUICK, FullRecorder
from tests.support.waiting import PATIENCE, wait_until

WAYS = ["close", "kill"]


class Sender(FullRecorder):
    """Sends as often as it can, from its handler."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.errors: list[BaseException] = []

    def react_ready(self, event: Any) -> None:
        while True:
            gevent.sleep(0)
            self.send_text("x")

    def on_error(self, error: Exception) -> None:
        self.errors.append(error)
        raise error


class Filler(Sender):
    """Sends more than the peer takes, so that its handler waits in a send."""

    write_limit = 64 * 1024

    def react_ready(self, event: Any) -> None:
        while True:
            self.send_binary(bytes(64 * 1024))


def end(client: Client, way: str) -> None:
    if way == "force_disconnect":
        client.websocket.force_disconnect()
    else:
        getattr(client, way)()


def has_filled(client: Client) -> bool:
    session: Any = client.websocket.session
    return client.is_ready and session.queued_bytes >= 64 * 1024


# An end that was asked for is no error of a handler.


@pytest.mark.parametrize("way", [*WAYS, "force_disconnect"])
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("running", ["start", "run"])
def test_end_beside_a_handler_that_sends_is_no_error_of_it(
    way: str, turns: int, running: str, server: EchoServer
) -> None:
    feed = Sender(server.url)
    greenlet = gevent.spawn(feed.run) if running == "run" else None
    if greenlet is None:
        feed.start()
    wait_until(lambda: server.connection_count and feed.is_ready)
    for _ in range(turns):
        gevent.sleep(0)
    end(feed, way)
    feed.join(PATIENCE)
    assert not feed.is_running
    assert feed.errors == []
    assert feed.calls[-1] == "close"
    if greenlet is not None:
        greenlet.join(PATIENCE)
        assert greenlet.successful()


@pytest.mark.parametrize("way", [*WAYS, "force_disconnect"])
@pytest.mark.parametrize("running", ["start", "run"])
def test_end_while_a_handler_waits_at_the_mark_is_no_error_of_it(way: str, running: str) -> None:
    with EchoServer(stop_reading) as server:
        feed = Filler(server.url, close_timeout=0.05)
        greenlet = gevent.spawn(feed.run) if running == "run" else None
        if greenlet is None:
            feed.start()
        wait_until(lambda: has_filled(feed))
        end(feed, way)
        feed.join(PATIENCE)
        assert not feed.is_running
        assert feed.errors == []
        assert feed.calls[-1] == "close"


def test_kill_stops_a_handler_at_the_mark_by_greenlet_exit() -> None:
    left: list[type[BaseException]] = []

    class Feed(Filler):
        def react_ready(self, event: Any) -> None:
            try:
                super().react_ready(event)
            except BaseException as error:
                left.append(type(error))
                raise

    with EchoServer(stop_reading) as server:
        feed = Feed(server.url).start()
        wait_until(lambda: has_filled(feed))
        feed.kill()
        feed.join(PATIENCE)
    assert left == [gevent.GreenletExit]


def test_timeout_of_a_handler_at_the_mark_is_its_own() -> None:
    class Feed(Filler):
        def react_ready(self, event: Any) -> None:
            with gevent.Timeout(0.01, False):  # type: ignore[arg-type]
                super().react_ready(event)
            timed_out.set()

    timed_out = Event()
    with EchoServer(stop_reading) as server:
        feed = Feed(server.url).start()
        assert timed_out.wait(PATIENCE)
        assert feed.is_ready
        feed.kill()
        feed.join(PATIENCE)
    assert feed.errors == []


def test_timeout_that_leaves_a_handler_at_the_mark_comes_out_of_join() -> None:
    class Feed(Filler):
        def react_ready(self, event: Any) -> None:
            with gevent.Timeout(0.01):
                super().react_ready(event)

    with EchoServer(stop_reading) as server:
        feed = Feed(server.url).start()
        with pytest.raises(gevent.Timeout):
            feed.join(PATIENCE)
    assert feed.calls[-1] == "close"


@pytest.mark.parametrize("way", WAYS)
def test_send_in_on_close_after_an_end_that_was_asked_for_is_no_error(
    way: str, server: EchoServer
) -> None:
    feed = FullRecorder(server.url)
    feed.react_close = lambda event: feed.send_text("late")  # type: ignore[attr-defined]
    feed.start()
    assert feed.wait_ready(PATIENCE)
    getattr(feed, way)()
    feed.join(PATIENCE)
    assert feed.calls[-1] == "close"


def test_refused_send_after_close_is_told_in_the_log(
    server: EchoServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "greenws.client")
    feed = FullRecorder(server.url)
    feed.react_disconnected = lambda event: feed.send_text("late")  # type: ignore[attr-defined]
    feed.start()
    assert feed.wait_ready(PATIENCE)
    feed.close()
    feed.join(PATIENCE)
    assert "a handler sent after the end" in caplog.text


@pytest.mark.parametrize("way", WAYS)
def test_other_error_of_a_handler_comes_out_whoever_ends(way: str, server: EchoServer) -> None:
    def fail(event: Any) -> None:
        raise LookupError("close")

    feed = FullRecorder(server.url)
    feed.react_close = fail  # type: ignore[attr-defined]
    feed.start()
    assert feed.wait_ready(PATIENCE)
    getattr(feed, way)()
    with pytest.raises(LookupError):
        feed.join(PATIENCE)


def test_send_after_an_end_of_the_servers_is_an_error_of_the_handler(server: EchoServer) -> None:
    feed = Sender(server.url).start()
    assert feed.wait_ready(PATIENCE)
    server.connections[0].drop()
    with pytest.raises(errors.WebSocketError):
        feed.join(PATIENCE)


# The hub, which cannot wait.


def in_hub(function: Callable[[], object]) -> Any:
    """Call a function in the hub's greenlet; return what it returns or raises."""
    outcome: list[Any] = []
    done = Event()

    def call() -> None:
        try:
            outcome.append(function())
        except Exception as error:
            outcome.append(error)
        done.set()

    gevent.get_hub().loop.run_callback(call)
    assert done.wait(PATIENCE)
    return outcome[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [FullRecorder, Sender])
def test_end_in_a_callback_of_the_hub(way: str, kind: Any, server: EchoServer) -> None:
    feed = kind(server.url, reconnect=QUICK).start()
    assert feed.wait_ready(PATIENCE)
    assert in_hub(getattr(feed, way)) is None
    feed.join(PATIENCE)
    assert not feed.is_running
    assert feed.calls.count("connecting") == 1
    assert feed.calls[-1] == "close"


@pytest.mark.parametrize("way", WAYS)
def test_end_in_a_callback_of_the_hub_while_opening(way: str) -> None:
    with EchoServer(opening=silent) as server:
        feed = FullRecorder(server.url, reconnect=QUICK).start()
        wait_until(lambda: server.connection_count)
        assert in_hub(getattr(feed, way)) is None
        feed.join(PATIENCE)
        assert not feed.is_running


@pytest.mark.parametrize("way", WAYS)
def test_end_in_a_callback_of_the_hub_before_the_first_turn(way: str) -> None:
    feeds: list[FullRecorder] = []

    def start_and_end() -> None:
        feeds.append(FullRecorder(NOWHERE).start())
        getattr(feeds[0], way)()

    assert in_hub(start_and_end) is None
    feeds[0].join(PATIENCE)
    assert not feeds[0].is_running
    assert feeds[0].calls == []


def test_kill_in_a_callback_of_the_hub_ends_a_client_that_is_run() -> None:
    with EchoServer() as server:
        feed = FullRecorder(server.url)
        greenlet = gevent.spawn(feed.run)
        wait_until(lambda: feed.is_ready)
        assert in_hub(feed.kill) is None
        greenlet.join(PATIENCE)
        assert greenlet.successful()


@pytest.mark.parametrize("name", ["join", "wait_ready"])
@pytest.mark.parametrize("arguments", [(), (5,)])
def test_wait_in_the_hub_is_refused(name: str, arguments: tuple[int, ...]) -> None:
    with EchoServer(opening=silent) as server:
        feed = FullRecorder(server.url).start()
        error = in_hub(lambda: getattr(feed, name)(*arguments))
        assert isinstance(error, RuntimeError)
        assert "the hub cannot wait" in str(error)
        assert not in_hub(lambda: getattr(feed, name)(0))
        feed.kill()
        assert not in_hub(lambda: getattr(feed, name)(*arguments))


@pytest.mark.parametrize("name", ["join", "wait_ready"])
def test_handler_that_would_wait_for_itself_is_told(name: str, server: EchoServer) -> None:
    feed = FullRecorder(server.url)
    feed.react_connected = lambda event: getattr(feed, name)()  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        feed.run()


# Signal handlers, which run in whichever greenlet is on.


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], None]]:
    before = signal.getsignal(signal.SIGUSR1)

    def install(function: Callable[[], object]) -> None:
        def handle(number: int, frame: FrameType | None) -> None:
            function()

        signal.signal(signal.SIGUSR1, handle)

    yield install
    signal.signal(signal.SIGUSR1, before)


def raise_signal() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["hub", "handler", "beside"])
@pytest.mark.parametrize("running", ["start", "run"])
def test_end_in_a_signal_handler(
    way: str, where: str, running: str, server: EchoServer, on_signal: Any
) -> None:
    feed = FullRecorder(server.url, reconnect=QUICK)
    on_signal(getattr(feed, way))
    if where == "handler":

        def interrupt(event: Any) -> None:
            raise_signal()
            feed.send_text("x")

        feed.react_ready = interrupt  # type: ignore[attr-defined]
    greenlet = gevent.spawn(feed.run) if running == "run" else None
    if greenlet is None:
        feed.start()
    if where == "handler":
        wait_until(lambda: feed.calls)
    else:
        wait_until(lambda: feed.is_ready)
        if where == "hub":
            in_hub(raise_signal)
        else:
            raise_signal()
    feed.join(PATIENCE)
    assert not feed.is_running
    assert feed.calls.count("connecting") == 1
    assert feed.calls[-1] == "close"
    if greenlet is not None:
        greenlet.join(PATIENCE)
        assert greenlet.successful()


# Other threads.


def in_thread(function: Callable[[], object]) -> Any:
    """Call a function in a thread of its own; return what it returns or raises."""
    outcome: list[Any] = []

    def call() -> None:
        try:
            outcome.append(function())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    wait_until(lambda: outcome)
    thread.join()
    return outcome[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("running", ["start", "run"])
@pytest.mark.parametrize("kind", [FullRecorder, Sender])
def test_end_from_another_thread_is_handed_to_the_hub(
    way: str, running: str, kind: Any, server: EchoServer
) -> None:
    feed = kind(server.url, reconnect=QUICK)
    greenlet = gevent.spawn(feed.run) if running == "run" else None
    if greenlet is None:
        feed.start()
    wait_until(lambda: feed.is_ready)
    assert in_thread(getattr(feed, way)) is None
    feed.join(PATIENCE)
    assert not feed.is_running
    assert feed.calls.count("connecting") == 1
    assert feed.calls[-1] == "close"
    assert len(feed.greenlets) == 1
    if greenlet is not None:
        greenlet.join(PATIENCE)
        assert greenlet.successful()


@pytest.mark.parametrize("way", WAYS)
def test_end_from_another_thread_while_opening(way: str) -> None:
    with EchoServer(opening=silent) as server:
        feed = FullRecorder(server.url, reconnect=QUICK).start()
        wait_until(lambda: server.connection_count)
        assert in_thread(getattr(feed, way)) is None
        feed.join(PATIENCE)
        assert not feed.is_running


def test_code_and_reason_from_another_thread_reach_the_server(server: EchoServer) -> None:
    feed = FullRecorder(server.url).start()
    assert feed.wait_ready(PATIENCE)
    assert in_thread(lambda: feed.close(4000, "enough")) is None
    feed.join(PATIENCE)
    assert server.connections[0].wait_ended() == 4000


def test_close_with_a_bad_code_from_another_thread_is_told_to_that_thread(
    server: EchoServer,
) -> None:
    feed = FullRecorder(server.url).start()
    assert feed.wait_ready(PATIENCE)
    assert isinstance(in_thread(lambda: feed.close(1005)), ValueError)
    assert feed.is_ready
    feed.kill()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("life", ["new", "ended"])
def test_end_from_another_thread_of_a_client_that_does_not_run(way: str, life: str) -> None:
    feed = FullRecorder(NOWHERE)
    if life == "ended":
        feed.run()
    assert in_thread(getattr(feed, way)) is None
    feed.run()  # nothing was left over that would end this one
    assert feed.calls[-1] == "connect_fail"


def test_join_from_another_thread_waits_for_the_end(server: EchoServer) -> None:
    feed = FullRecorder(server.url).start()
    assert feed.wait_ready(PATIENCE)

    def kill_and_join() -> bool:
        feed.kill()
        feed.join(PATIENCE)
        running = feed.is_running
        gevent.get_hub().destroy()
        return running

    assert in_thread(kill_and_join) is False


@pytest.mark.parametrize("name", ["close", "force_disconnect"])
def test_refused_call_on_the_websocket_from_another_thread_has_no_effect(
    name: str, server: EchoServer
) -> None:
    with EchoServer(replies("answer")) as answering:
        feed = FullRecorder(answering.url).start()
        assert feed.wait_ready(PATIENCE)
        error = in_thread(getattr(feed.websocket, name))
        assert isinstance(error, errors.WebSocketUnavailable)
        assert feed.is_ready
        feed.send_text("question")
        wait_until(lambda: "text" in feed.calls)
        feed.kill()


def test_thread_of_a_client_with_a_hub_of_its_own(server: EchoServer) -> None:
    feeds: list[FullRecorder] = []
    url = server.url

    def live() -> None:
        feeds.append(FullRecorder(url).start())
        feeds[0].join(PATIENCE)
        gevent.get_hub().destroy()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    wait_until(lambda: feeds and feeds[0].is_ready)
    feeds[0].kill()
    wait_until(lambda: not thread.is_alive())
    assert feeds[0].calls[-1] == "close"
