"""What becomes of an exception out of a handler."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from greenws.testing import (
    EchoServer,
    close_with,
    reject,
    send_raw,
)
from tests.client.recorders import (
    NOWHERE,
    QUICK,
    Closer,
    FullRecorder,
)
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("handler", ["ready", "text", "binary", "pong", "poll"])
@pytest.mark.parametrize("way", ["run", "start"])
def test_exception_of_a_handler_is_told_to_the_server_and_comes_out(
    handler: str, way: str, server: EchoServer, capfd: Any
) -> None:
    class Feed(FullRecorder):
        def react_ready(self, event: Any) -> None:
            self.send_text("x")
            self.send_binary(b"x")
            self.send_ping()

    def fail(event: Any) -> None:
        raise LookupError(handler)

    feed = Feed(server.url)
    if handler == "ready":
        feed.react_ready = fail  # type: ignore[method-assign]
    else:
        setattr(feed, "react_" + handler, fail)
    with pytest.raises(LookupError, match=handler):
        if way == "run":
            feed.run()
        else:
            feed.start().join(PATIENCE)
    assert server.connections[0].wait_ended() == 1011
    assert feed.calls[-1] == "close"
    if way == "start":  # join() raises again; gevent has printed the greenlet's error
        with pytest.raises(LookupError, match=handler):
            feed.join()


@pytest.mark.parametrize("handler", ["connecting", "connected"])
def test_exception_before_ready_gives_the_opening_up(handler: str, server: EchoServer) -> None:
    def fail(event: Any) -> None:
        raise LookupError(handler)

    feed = FullRecorder(server.url, reconnect=QUICK)
    setattr(feed, "react_" + handler, fail)
    with pytest.raises(LookupError, match=handler):
        feed.run()
    assert "ready" not in feed.calls
    assert feed.calls.count("connecting") == 1


@pytest.mark.parametrize("handler", ["connect_fail", "back_off"])
def test_exception_between_connections_ends_the_reconnecting(handler: str) -> None:
    def fail(event: Any) -> None:
        raise LookupError(handler)

    feed = FullRecorder(NOWHERE, reconnect=QUICK)
    setattr(feed, "react_" + handler, fail)
    with pytest.raises(LookupError, match=handler):
        feed.run()
    assert feed.calls.count("connecting") == 1


@pytest.mark.parametrize("handler", ["rejected", "disconnected"])
def test_exception_after_a_rejection_ends_the_reconnecting(handler: str) -> None:
    def fail(event: Any) -> None:
        raise LookupError(handler)

    with EchoServer(opening=reject(403)) as server:
        feed = FullRecorder(server.url, reconnect=QUICK)
        setattr(feed, "react_" + handler, fail)
        with pytest.raises(LookupError, match=handler):
            feed.run()
    assert feed.calls.count("connecting") == 1


@pytest.mark.parametrize("handler", ["closing", "disconnected", "close"])
def test_exception_while_closing_ends_the_reconnecting(handler: str) -> None:
    def fail(event: Any) -> None:
        raise LookupError(handler)

    with EchoServer(close_with(4000)) as server:
        feed = FullRecorder(server.url, reconnect=QUICK)
        setattr(feed, "react_" + handler, fail)
        with pytest.raises(LookupError, match=handler):
            feed.run()
    assert feed.calls.count("connecting") == 1
    assert feed.calls.count("close") == 1
    assert feed.calls[-1] == "close"


def test_exception_of_on_close_after_kill_comes_out_of_join(server: EchoServer) -> None:
    def fail(event: Any) -> None:
        raise LookupError("close")

    feed = FullRecorder(server.url)
    feed.react_close = fail  # type: ignore[attr-defined]
    feed.start()
    assert feed.wait_ready(PATIENCE)
    feed.kill()
    with pytest.raises(LookupError):
        feed.join()


def test_no_message_is_handled_after_an_exception() -> None:
    def fail(event: Any) -> None:
        raise LookupError(event.text)

    with EchoServer(send_raw(b"\x81\x01a\x81\x01b\x82\x01c")) as server:
        feed = FullRecorder(server.url, close_timeout=0.2)
        feed.react_text = fail  # type: ignore[attr-defined]
        with pytest.raises(LookupError, match="a"):
            feed.run()
    assert feed.calls.count("text") == 1
    assert "binary" not in feed.calls


def test_second_exception_does_not_hide_the_first(server: EchoServer, caplog: Any) -> None:
    def fail(event: Any) -> None:
        raise LookupError(event.name)

    feed = FullRecorder(server.url)
    feed.react_ready = feed.react_close = fail  # type: ignore[attr-defined]
    with pytest.raises(LookupError, match="ready"):
        feed.run()
    assert "a handler failed while closing" in caplog.text


def test_on_error_that_returns_lets_the_connection_go_on(server: EchoServer) -> None:
    class Feed(FullRecorder):
        def react_ready(self, event: Any) -> None:
            self.send_text("one")
            self.send_binary(b"two")
            self.send_text("three")
            raise LookupError("ready")

        def react_text(self, event: Any) -> None:
            raise LookupError(event.text)

        def react_binary(self, event: Any) -> None:
            raise LookupError("binary")

        def react_close(self, event: Any) -> None:
            raise LookupError("close")

        def on_error(self, error: Exception) -> None:
            told.append(str(error))
            if "three" in told:
                self.close()

    told: list[str] = []
    feed = Feed(server.url)
    feed.run()
    feed.join()
    assert told == ["ready", "one", "binary", "three", "close"]
    assert server.connections[0].wait_ended() == 1000


def test_on_error_may_raise_another(server: EchoServer) -> None:
    class Feed(Closer):
        how = "error"

        def on_error(self, error: Exception) -> None:
            raise RuntimeError("instead") from error

    with pytest.raises(RuntimeError, match="instead") as caught:
        Feed(server.url).run()
    assert isinstance(caught.value.__cause__, LookupError)
    assert server.connections[0].wait_ended() == 1011


def test_on_error_may_close_with_another_code(server: EchoServer) -> None:
    class Feed(Closer):
        how = "error"

        def on_error(self, error: Exception) -> None:
            self.close(4321, "sorry")

    Feed(server.url).run()
    assert server.connections[0].wait_ended() == 4321


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_keyboard_interrupt_and_system_exit_bypass_on_error(error: Any, server: EchoServer) -> None:
    class Feed(FullRecorder):
        def react_ready(self, event: Any) -> None:
            raise error

        def on_error(self, error: Exception) -> None:
            pytest.fail("on_error is for exceptions")

    feed = Feed(server.url)
    with pytest.raises(error):
        feed.run()
    assert feed.calls[-1] == "close"
    assert not feed.is_running


def test_timeout_of_a_handler_comes_out(server: EchoServer) -> None:
    class Feed(FullRecorder):
        def react_ready(self, event: Any) -> None:
            with gevent.Timeout(0.01):
                gevent.sleep(PATIENCE)

    feed = Feed(server.url)
    with pytest.raises(gevent.Timeout):
        feed.run()
    assert feed.calls[-1] == "close"
    with pytest.raises(gevent.Timeout):
        feed.join()


def test_client_can_run_again_after_an_error(server: EchoServer) -> None:
    feed = Closer(server.url)
    feed.how = "error"
    with pytest.raises(LookupError):
        feed.run()
    feed.how = "close"
    feed.run()
    feed.join()
    assert feed.calls.count("close") == 2
