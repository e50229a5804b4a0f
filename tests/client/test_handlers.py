"""Which handler is called with which event, and ``on_close``, the last one of each connection."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent import GreenletExit
from gevent.event import Event

from greenws import Client, GeventSession, errors, events
from greenws.protocol.response import Response
from greenws.testing import (
    EchoServer,
    close_with,
    drop,
    echo,
    reject,
    send_raw,
)
from tests.client.recorders import (
    EVENTS,
    HANDLERS,
    NOWHERE,
    QUICK,
    Closer,
    FullRecorder,
    Recorder,
    scripted,
)
from tests.support.waiting import PATIENCE


def test_each_event_has_a_documented_handler() -> None:
    for name in [*HANDLERS, "on_error"]:
        handler = getattr(Client, name)
        assert handler.__doc__, name
    named = {name for name in dir(Client) if name.startswith("on_")}
    assert named == {*HANDLERS, "on_error"}


def test_handlers_of_the_base_class_do_nothing() -> None:
    client = Client(NOWHERE)
    for name in HANDLERS:
        assert getattr(client, name)(None) is None


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_handler_is_called_with_its_event(event: Any) -> None:
    item = event.__new__(event)
    if event is events.Rejected:
        item.response = Response(b"HTTP/1.1 403 No\r\n\r\n")
    if event is events.ConnectFail:
        item.error = None
    feed = FullRecorder(NOWHERE, session_class=scripted(item))
    feed.run()
    assert feed.calls[0] == event.name
    assert feed.events[0] is item


def test_handlers_are_called_in_the_order_of_a_conversation(server: EchoServer) -> None:
    class Feed(FullRecorder):
        def react_ready(self, event: Any) -> None:
            self.send_text("text")
            self.send_binary(b"binary")
            self.send_json(a=[1])
            self.send_json([None])
            self.send_ping(b"ping")
            self.send_pong(b"pong")

        def react_pong(self, event: Any) -> None:
            self.close(4000, "enough")

    feed = Feed(server.url)
    feed.run()
    assert feed.calls == [
        "connecting",
        "connected",
        "ready",
        "poll",
        "text",
        "binary",
        "text",
        "text",
        "pong",
        "closed",
        "disconnected",
        "close",
    ]
    by_name = dict(zip(feed.calls, feed.events, strict=True))
    assert feed.events[4].text == "text"
    assert by_name["binary"].data == b"binary"
    assert feed.events[6].json == {"a": [1]}
    assert feed.events[7].json == [None]
    assert by_name["pong"].data == b"ping"
    assert by_name["closed"].code == 4000
    assert by_name["disconnected"] is by_name["close"]
    assert (by_name["close"].code, by_name["close"].sent_code) == (4000, 4000)
    assert server.connections[0].wait_ended() == 4000
    assert server.connections[0].close_reason == "enough"
    assert list(server.connections[0].pongs) == [b"pong"]


def test_handlers_get_the_messages_of_a_compressed_conversation(server: EchoServer) -> None:
    class Feed(FullRecorder):
        compress = True
        count = 0

        def react_ready(self, event: Any) -> None:
            assert event.extensions == {"permessage-deflate"}
            for number in range(20):
                self.send_text("message " * number, compress=number % 3 > 0)

        def react_text(self, event: Any) -> None:
            assert event.text == "message " * self.count
            self.count += 1
            if self.count == 20:
                self.close()

    feed = Feed(server.url)
    feed.run()
    assert feed.count == 20


def test_only_one_handler_runs_at_a_time(server: EchoServer) -> None:
    class Feed(Recorder):
        busy = 0
        seen = 0

        def on_ready(self, event: Any) -> None:
            for number in range(10):
                self.send_text(f"{number}")

        def on_text(self, event: Any) -> None:
            assert not self.busy
            assert event.text == f"{self.seen}"
            self.busy += 1
            gevent.sleep(0.001)
            self.busy -= 1
            self.seen += 1
            if self.seen == 10:
                self.close()

    feed = Feed(server.url)
    feed.run()
    assert feed.seen == 10


def test_handler_may_come_from_a_mixin_or_an_instance(server: EchoServer) -> None:
    class Mixin:
        def on_ready(self, event: Any) -> None:
            seen.append("mixin")
            self.send_text("x")  # type: ignore[attr-defined]

    class Feed(Mixin, Client):
        pass

    class Child(Feed):
        pass

    def handle(event: Any) -> None:
        seen.append(event.text)
        feed.close()

    seen: list[str] = []
    feed = Child(server.url)
    feed.on_text = handle  # type: ignore[method-assign]
    feed.run()
    assert seen == ["mixin", "x"]


def test_costly_events_are_made_only_for_a_handler() -> None:
    class Feed(Client):
        def on_ready(self, event: Any) -> None:
            """Overridden."""

        def on_binary(self, event: Any) -> None:
            """Overridden."""

    feed = Feed(NOWHERE)
    feed.on_poll = feed.on_ready  # type: ignore[method-assign, assignment]
    assert feed._find_handled() == {"binary", "poll"}
    assert Client(NOWHERE)._find_handled() == set()
    assert FullRecorder(NOWHERE)._find_handled() == {"text", "binary", "poll"}


def test_event_of_an_unknown_kind_has_no_handler() -> None:
    class Novelty(events.Event):
        name = "error"  # on_error takes an exception and no event

    Client(NOWHERE)._dispatch(Novelty(), Novelty.name)


def test_messages_nobody_handles_make_no_events() -> None:
    class Feed(Recorder):
        def on_binary(self, event: Any) -> None:
            assert self.websocket.stream.skip_text
            assert not self.websocket.stream.skip_binary
            self.note("binary", event)

    script = b"\x81\x04text" * 50 + b"\x82\x01b" + b"\x88\x00"
    with EchoServer(send_raw(script)) as server:
        feed = Feed(server.url)
        feed.run()
    assert feed.calls == ["binary"]


def test_poll_is_switched_off_without_a_handler() -> None:
    options: dict[str, Any] = {}

    class Session(GeventSession):
        def run(self, **given: Any) -> Any:
            options.update(given)
            return super().run(**given)

    class Feed(Client):
        session_class = Session

    Feed(NOWHERE).run()
    assert options["poll"] == 0
    assert options["ping_rate"] == 30.0


# on_close: once for each connection that became ready, after every other handler


@pytest.mark.parametrize(
    ("how", "handler", "code", "sent_code", "graceful"),
    [
        ("close", echo, 1000, 1000, True),
        ("send", close_with(4001, "bye"), 4001, 4001, True),
        ("send", close_with(None), 1005, 1005, True),
        ("send", drop(reset=False), 1006, None, False),
        ("send", drop(reset=True), 1006, None, False),
        ("send", send_raw(b"\x83\x00"), 1006, 1002, False),
        ("send", send_raw(b"\x81\x01\xff"), 1006, 1007, False),
        ("force_disconnect", echo, 1006, None, False),
        ("kill", echo, 1006, None, False),
    ],
)
def test_on_close_is_called_once_and_last(
    how: str, handler: Any, code: int, sent_code: int | None, graceful: bool
) -> None:
    with EchoServer(handler, close_timeout=0.5) as server:
        feed = Closer(server.url, close_timeout=1)
        feed.how = how
        feed.start()
        feed.join(PATIENCE)
        assert not feed.is_running
    assert feed.calls.count("close") == 1
    assert feed.calls[-2:] == ["disconnected", "close"]
    event = feed.events[-1]
    assert isinstance(event, events.Disconnected)
    assert event is feed.events[-2]
    assert (event.code, event.sent_code, event.graceful) == (code, sent_code, graceful)
    assert feed.websocket.is_closed


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (close_with(4004, "Authentication failed"), "Authentication failed"),
        (close_with(1000, "done"), "done"),
        (close_with(4004), "closed"),
        (send_raw(b"\x83\x00"), "disconnected; protocol error; opcode is reserved"),
        (send_raw(b"\x81\x7e\xff\xff"), "message is larger than max_size (1000 bytes)"),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_on_close_says_what_ended_the_connection(handler: Any, reason: str, compress: bool) -> None:
    with EchoServer(handler, close_timeout=0.5) as server:
        feed = Closer(server.url, max_size=1000, compress=compress)
        feed.how = "send"
        feed.run()
    assert reason in feed.last("close").reason
    if reason == "closed":
        assert feed.last("close").reason == reason


@pytest.mark.parametrize(
    ("close", "reason"), [((4004, "Authentication failed"), "Authentication failed"), ((4004,), "")]
)
def test_kill_in_on_closing_leaves_code_and_reason_of_the_server(
    close: tuple[Any, ...], reason: str
) -> None:
    class Feed(Closer):
        def react_closing(self, event: Any) -> None:
            self.kill()

    with EchoServer(close_with(*close), close_timeout=0.5) as server:
        feed = Feed(server.url)
        feed.how = "send"
        feed.start()
        feed.join(PATIENCE)
    event = feed.last("close")
    assert event.code == 4004
    assert not event.graceful
    assert not reason or event.reason == reason


def test_on_close_is_called_after_an_error_of_a_handler(server: EchoServer) -> None:
    feed = Closer(server.url)
    feed.how = "error"
    with pytest.raises(LookupError):
        feed.run()
    assert feed.calls.count("close") == 1
    assert feed.calls[-1] == "close"
    assert feed.events[-1].sent_code == 1011


@pytest.mark.parametrize("when", ["parked", "in a handler"])
def test_on_close_is_called_after_kill_from_another_greenlet(when: str, server: EchoServer) -> None:
    class Feed(FullRecorder):
        def react_text(self, event: Any) -> None:
            busy.set()
            gevent.sleep(PATIENCE)

    busy = Event()
    feed = Feed(server.url).start()
    assert feed.wait_ready(PATIENCE)
    if when == "in a handler":
        feed.send_text("x")
        assert busy.wait(PATIENCE)
    feed.kill()
    assert feed.calls[-1] == "close"
    assert feed.calls.count("close") == 1
    assert isinstance(feed.events[-1], events.Disconnected)
    assert feed.events[-1].code == 1006
    assert not feed.is_running
    feed.join()


def test_on_close_is_called_after_the_greenlet_of_run_was_killed(server: EchoServer) -> None:
    feed = FullRecorder(server.url)
    greenlet = gevent.spawn(feed.run)
    server.wait_connections(1)
    assert feed.wait_ready(PATIENCE)
    greenlet.kill()
    assert feed.calls[-1] == "close"
    assert feed.calls.count("close") == 1
    assert not feed.is_running
    assert isinstance(greenlet.value, GreenletExit)


def test_on_close_is_called_after_a_timeout_around_run(server: EchoServer) -> None:
    feed = FullRecorder(server.url)
    timeout = gevent.Timeout(0.01)
    feed.react_ready = lambda event: timeout.start()  # type: ignore[attr-defined]
    with pytest.raises(gevent.Timeout) as caught:
        feed.run()
    timeout.close()
    assert caught.value is timeout
    assert feed.calls[-1] == "close"
    assert feed.calls.count("close") == 1


def test_on_close_finds_the_connection_ended(server: EchoServer) -> None:
    class Feed(Closer):
        def react_close(self, event: Any) -> None:
            assert not self.is_ready
            assert self.websocket.is_closed
            with pytest.raises(errors.WebSocketClosed):
                self.send_text("late")
            self.close()
            closed.append(True)

    closed: list[bool] = []
    for how in ("close", "kill", "force_disconnect"):
        feed = Feed(server.url)
        feed.how = how
        feed.run()
    assert closed == [True] * 3


def test_on_close_may_wait_after_a_kill(server: EchoServer) -> None:
    class Feed(FullRecorder):
        def react_close(self, event: Any) -> None:
            gevent.sleep(0.01)
            done.append(True)

    done: list[bool] = []
    feed = Feed(server.url).start()
    assert feed.wait_ready(PATIENCE)
    feed.kill()
    assert done == [True]


@pytest.mark.parametrize(
    "opening", [reject(403), drop(), send_raw(b"HTTP/1.1 101 Nothing else\r\n\r\n")]
)
def test_on_close_is_not_called_for_a_connection_that_never_was_ready(opening: Any) -> None:
    with EchoServer(opening=opening) as server:
        feed = FullRecorder(server.url)
        feed.run()
    assert "ready" not in feed.calls
    assert "close" not in feed.calls
    assert feed.calls[0] == "connecting"


def test_on_close_is_called_once_for_each_connection() -> None:
    class Feed(FullRecorder):
        def react_close(self, event: Any) -> None:
            if self.calls.count("close") == 4:
                self.close()

    with EchoServer(close_with(1001)) as server:
        feed = Feed(server.url, reconnect=QUICK)
        feed.run()
    assert feed.calls.count("ready") == feed.calls.count("close") == 4
    for number, name in enumerate(feed.calls[:-1]):
        if name == "close":
            assert feed.calls[number + 1 : number + 3] == ["back_off", "connecting"]
