from __future__ import annotations

import gc
import inspect
import time
from collections.abc import Iterator
from typing import Any, get_args

import gevent
import pytest
from gevent import Greenlet, GreenletExit
from gevent.event import Event

from greenws import Backoff, Client, GeventSession, WebSocket, errors, events
from greenws.protocol.response import Response
from greenws.testing import (
    EchoServer,
    ServerConnection,
    accept,
    close_with,
    drop,
    echo,
    in_turn,
    reject,
    replies,
    send_raw,
    silent,
    stop_reading,
)

# Seconds a test waits for anything; one that gets there has failed.
LIMIT = 10

QUICK = Backoff(min_wait=0.001, max_wait=0.01)
NOWHERE = "ws://127.0.0.1:1/"  # tcpmux: nobody listens

EVENTS = get_args(events.AnyEvent)
HANDLERS = [f"on_{event.name}" for event in EVENTS] + ["on_close"]


class Recorder(Client):
    """Notes the name of each handler that is called, and its event."""

    poll = 60
    close_timeout = 5

    def __init__(self, url: str | None = None, **options: Any) -> None:
        super().__init__(url, **options)
        self.calls: list[str] = []
        self.events: list[Any] = []
        self.greenlets: set[Any] = set()

    def note(self, name: str, event: Any) -> None:
        self.calls.append(name)
        self.events.append(event)
        self.greenlets.add(gevent.getcurrent())

    def last(self, name: str) -> Any:
        return next(
            e for c, e in reversed(list(zip(self.calls, self.events, strict=True))) if c == name
        )


def _make_handler(handler: str) -> Any:
    def handle(self: Recorder, event: Any) -> None:
        self.note(handler[3:], event)
        react = getattr(self, "react_" + handler[3:], None)
        if react is not None:
            react(event)

    return handle


class Full(Recorder):
    """Overrides every handler."""

    on_connecting = _make_handler("on_connecting")
    on_connect_fail = _make_handler("on_connect_fail")
    on_connected = _make_handler("on_connected")
    on_rejected = _make_handler("on_rejected")
    on_ready = _make_handler("on_ready")
    on_poll = _make_handler("on_poll")
    on_text = _make_handler("on_text")
    on_binary = _make_handler("on_binary")
    on_ping = _make_handler("on_ping")
    on_pong = _make_handler("on_pong")
    on_unresponsive = _make_handler("on_unresponsive")
    on_closing = _make_handler("on_closing")
    on_closed = _make_handler("on_closed")
    on_protocol_error = _make_handler("on_protocol_error")
    on_disconnected = _make_handler("on_disconnected")
    on_back_off = _make_handler("on_back_off")
    on_unknown = _make_handler("on_unknown")
    on_close = _make_handler("on_close")


class Scripted:
    """A session without a socket: yields what it is told, and notes its options."""

    options: dict[str, Any]

    def __init__(self, script: Any) -> None:
        self._script = script
        self.session_time = 0.0

    def run(self, **options: Any) -> Iterator[Any]:
        Scripted.options = options
        yield from self._script

    def close(self) -> None:
        """Nothing to close."""

    def force_disconnect(self) -> None:
        """Nothing to disconnect."""


def script(*items: Any) -> Any:
    return lambda websocket: Scripted(items)


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as running:
        yield running


# Options

WEBSOCKET_OPTIONS = dict(list(inspect.signature(WebSocket).parameters.items())[1:])
CONNECT_OPTIONS = dict(list(inspect.signature(WebSocket.connect).parameters.items())[1:])


def test_defaults_are_those_of_the_websocket() -> None:
    for name, parameter in {**WEBSOCKET_OPTIONS, **CONNECT_OPTIONS}.items():
        assert inspect.getattr_static(Client, name) == parameter.default, name
    assert Client.reconnect is False
    assert Client.session_class is GeventSession


def test_signatures() -> None:
    assert str(inspect.signature(Client.start)) == "(self: 'ClientT') -> 'ClientT'"
    assert list(inspect.signature(Client.run).parameters) == ["self"]
    for name in ("join", "wait_ready"):
        (timeout,) = list(inspect.signature(getattr(Client, name)).parameters.values())[1:]
        assert (timeout.name, timeout.default) == ("timeout", None)
    for name in ("close", "send_text", "send_binary", "send_json", "send_ping", "send_pong"):
        ours = inspect.signature(getattr(Client, name)).parameters
        theirs = inspect.signature(getattr(WebSocket, name)).parameters
        assert list(ours) == list(theirs)
        assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]


@pytest.mark.parametrize("name", ["timeout", "on_text", "websocket", "reconnects", "_backoff"])
def test_unknown_option_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match=f"Recorder.. has no option '{name}'"):
        Recorder(NOWHERE, **{name: 1})


def test_client_without_a_url_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="needs a url"):
        Client()


def test_url_as_class_attribute_and_as_keyword() -> None:
    class Feed(Client):
        url = "ws://example.org/feed"

    assert Feed().websocket.url == "ws://example.org/feed"
    assert Feed("ws://example.net/").websocket.url == "ws://example.net/"
    assert Feed(url="ws://example.net/").websocket.url == "ws://example.net/"
    assert Feed().websocket.url == "ws://example.org/feed"


VALUES: dict[str, Any] = {
    "proxies": {},
    "protocols": ["chat"],
    "agent": "me",
    "compress": True,
    "max_size": 1000,
    "open_timeout": 3,
    "send_timeout": 4,
    "write_limit": 5000,
    "ssl_verify": False,
    "ssl_cafile": "ca.pem",
    "ssl_certfile": "cert.pem",
    "ssl_keyfile": "key.pem",
    "ssl_password": "secret",
    "server_hostname": "other.example",
    "source_address": ("127.0.0.1", 0),
    "unix_path": "/run/x",
    "socket_options": [(1, 2, 3)],
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("way", ["attribute", "keyword", "both"])
def test_option_reaches_the_websocket(name: str, way: str) -> None:
    attributes = {"attribute": {name: VALUES[name]}, "keyword": {}, "both": {name: None}}[way]
    feed = type("Feed", (Client,), attributes)
    keywords = {} if way == "attribute" else {name: VALUES[name]}
    websocket = feed(NOWHERE, **keywords).websocket
    got = websocket.given_proxies if name == "proxies" else getattr(websocket, name)
    assert got == VALUES[name]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_size": "1"}, TypeError),
        ({"max_size": 0}, ValueError),
        ({"protocols": "chat"}, TypeError),
        ({"agent": "a\r\nb"}, ValueError),
        ({"headers": {"X": "a\nb"}}, ValueError),
        ({"reconnect": 5}, TypeError),
        ({"reconnect": "yes"}, TypeError),
        ({"poll": -1}, ValueError),
        ({"ping_rate": -1}, ValueError),
        ({"ping_timeout": -1}, ValueError),
        ({"close_timeout": -0.1}, ValueError),
        ({"poll": "5"}, TypeError),
    ],
)
def test_impossible_option_is_refused_by_the_constructor(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Client(NOWHERE, **options)


def test_connect_options_reach_the_session() -> None:
    class Feed(Full):
        poll = 1
        ping_rate = 2

    feed = Feed(
        NOWHERE, session_class=script(), ping_timeout=3, auto_pong=False, close_timeout=None
    )
    feed.run()
    assert Scripted.options == {
        "poll": 1,
        "ping_rate": 2,
        "ping_timeout": 3,
        "auto_pong": False,
        "close_timeout": None,
    }


def test_options_are_taken_anew_for_each_connection_and_belong_to_one_client() -> None:
    one, other = Client(NOWHERE, ping_rate=7), Client(NOWHERE)
    assert one.ping_rate == 7
    assert other.ping_rate == Client.ping_rate == 30.0


def test_headers_may_be_a_method(server: EchoServer) -> None:
    class Feed(Recorder):
        number = 0

        def headers(self) -> dict[str, str]:
            self.number += 1
            return {"X-Token": f"{self.number}"}

        def on_ready(self, event: Any) -> None:
            self.close()

    feed = Feed(server.url)
    assert feed.number == 0
    feed.run()
    feed.run()
    tokens = [c.request.get("x-token") for c in server.connections if c.request]
    assert tokens == ["1", "2"]


@pytest.mark.parametrize("way", ["keyword", "staticmethod"])
def test_headers_may_be_a_function(way: str, server: EchoServer) -> None:
    def headers() -> dict[str, str]:
        return {"X-Token": "t"}

    feed_class = Recorder
    if way == "staticmethod":
        feed_class = type("Feed", (Recorder,), {"headers": staticmethod(headers)})
    feed = feed_class(server.url, **({"headers": headers} if way == "keyword" else {}))
    feed.start()
    assert feed.wait_ready(LIMIT)
    feed.close()
    feed.join(LIMIT)
    assert server.connections[0].request is not None
    assert server.connections[0].request.get("x-token") == "t"


def test_headers_are_called_afresh_at_each_reconnect() -> None:
    class Feed(Recorder):
        number = 0
        reconnect = QUICK

        def headers(self) -> dict[str, str]:
            self.number += 1
            return {"X-Token": f"{self.number}"}

        def on_close(self, event: Any) -> None:
            if self.number == 3:
                self.close()

    with EchoServer(close_with(1001)) as server:
        Feed(server.url).run()
        tokens = [c.request.get("x-token") for c in server.connections if c.request]
    assert tokens == ["1", "2", "3"]


def test_trace_may_be_a_method(server: EchoServer) -> None:
    class Feed(Recorder):
        def __init__(self, url: str) -> None:
            self.stages: list[str] = []
            super().__init__(url)

        def trace(self, record: dict[str, Any]) -> None:
            self.stages.append(record["stage"])

        def on_ready(self, event: Any) -> None:
            self.close()

    feed = Feed(server.url)
    feed.run()
    for stage in ("connect_start", "handshake_ready", "close_requested", "disconnected"):
        assert stage in feed.stages


def test_repr_hides_credentials() -> None:
    assert "secret" not in repr(Client("ws://u:secret@example.org/"))
    assert repr(Full("ws://example.org/")).startswith("<Full ")


# Handlers


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
    feed = Full(NOWHERE, session_class=script(item))
    feed.run()
    assert feed.calls[0] == event.name
    assert feed.events[0] is item


def test_handlers_of_a_conversation(server: EchoServer) -> None:
    class Feed(Full):
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


def test_handlers_of_a_compressed_conversation(server: EchoServer) -> None:
    class Feed(Full):
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


def test_handler_of_a_mixin_and_of_an_instance_count(server: EchoServer) -> None:
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
    assert Full(NOWHERE)._find_handled() == {"text", "binary", "poll"}


def test_event_of_another_kind_is_nobodys() -> None:
    class Novelty(events.Event):
        name = "error"  # whose handler takes no event

    Client(NOWHERE)._dispatch(Novelty())


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


def test_poll_is_not_run_for_nobody() -> None:
    class Feed(Client):
        session_class = GeventSession

        def _connect_options(self) -> dict[str, Any]:
            options.update(super()._connect_options())
            return options

    options: dict[str, Any] = {}
    Feed(NOWHERE).run()
    assert options["poll"] == 0
    assert options["ping_rate"] == 30.0


# on_close: once for each connection that became ready, and last


class Closer(Full):
    """Ends its connection as told, once it is ready."""

    how = ""

    def react_ready(self, event: Any) -> None:
        if self.how == "close":
            self.close()
        elif self.how == "kill":
            self.kill()
        elif self.how == "force_disconnect":
            self.websocket.force_disconnect()
        elif self.how == "error":
            raise LookupError("handler")
        elif self.how == "send":
            self.send_text("go")
        elif self.how == "exit":
            raise GreenletExit


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
        feed.join(LIMIT)
        assert not feed.is_running
    assert feed.calls.count("close") == 1
    assert feed.calls[-2:] == ["disconnected", "close"]
    event = feed.events[-1]
    assert isinstance(event, events.Disconnected)
    assert event is feed.events[-2]
    assert (event.code, event.sent_code, event.graceful) == (code, sent_code, graceful)
    assert feed.websocket.is_closed


def test_on_close_after_a_handler_error(server: EchoServer) -> None:
    feed = Closer(server.url)
    feed.how = "error"
    with pytest.raises(LookupError):
        feed.run()
    assert feed.calls.count("close") == 1
    assert feed.calls[-1] == "close"
    assert feed.events[-1].sent_code == 1011


@pytest.mark.parametrize("when", ["parked", "in a handler"])
def test_on_close_after_kill_from_another_greenlet(when: str, server: EchoServer) -> None:
    class Feed(Full):
        def react_text(self, event: Any) -> None:
            busy.set()
            gevent.sleep(LIMIT)

    busy = Event()
    feed = Feed(server.url).start()
    assert feed.wait_ready(LIMIT)
    if when == "in a handler":
        feed.send_text("x")
        assert busy.wait(LIMIT)
    feed.kill()
    assert feed.calls[-1] == "close"
    assert feed.calls.count("close") == 1
    assert isinstance(feed.events[-1], events.Disconnected)
    assert feed.events[-1].code == 1006
    assert not feed.is_running
    feed.join()


def test_on_close_after_the_greenlet_of_run_was_killed(server: EchoServer) -> None:
    feed = Full(server.url)
    greenlet = gevent.spawn(feed.run)
    server.wait_connections(1)
    assert feed.wait_ready(LIMIT)
    greenlet.kill()
    assert feed.calls[-1] == "close"
    assert feed.calls.count("close") == 1
    assert not feed.is_running
    assert isinstance(greenlet.value, GreenletExit)


def test_on_close_after_a_timeout_around_run(server: EchoServer) -> None:
    feed = Full(server.url)
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
    class Feed(Full):
        def react_close(self, event: Any) -> None:
            gevent.sleep(0.01)
            done.append(True)

    done: list[bool] = []
    feed = Feed(server.url).start()
    assert feed.wait_ready(LIMIT)
    feed.kill()
    assert done == [True]


@pytest.mark.parametrize(
    "opening", [reject(403), drop(), send_raw(b"HTTP/1.1 101 Nothing else\r\n\r\n")]
)
def test_no_on_close_for_a_connection_that_never_was_ready(opening: Any) -> None:
    with EchoServer(opening=opening) as server:
        feed = Full(server.url)
        feed.run()
    assert "ready" not in feed.calls
    assert "close" not in feed.calls
    assert feed.calls[0] == "connecting"


def test_on_close_once_for_each_connection() -> None:
    class Feed(Full):
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


# Errors of handlers


@pytest.mark.parametrize("handler", ["ready", "text", "binary", "pong", "poll"])
@pytest.mark.parametrize("way", ["run", "start"])
def test_exception_of_a_handler_is_told_and_comes_out(
    handler: str, way: str, server: EchoServer, capfd: Any
) -> None:
    class Feed(Full):
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
            feed.start().join(LIMIT)
    assert server.connections[0].wait_ended() == 1011
    assert feed.calls[-1] == "close"
    if way == "start":  # join() tells it again; the greenlet told stderr, as gevent's do
        with pytest.raises(LookupError, match=handler):
            feed.join()


@pytest.mark.parametrize("handler", ["connecting", "connected"])
def test_exception_before_ready_gives_the_opening_up(handler: str, server: EchoServer) -> None:
    def fail(event: Any) -> None:
        raise LookupError(handler)

    feed = Full(server.url, reconnect=QUICK)
    setattr(feed, "react_" + handler, fail)
    with pytest.raises(LookupError, match=handler):
        feed.run()
    assert "ready" not in feed.calls
    assert feed.calls.count("connecting") == 1


@pytest.mark.parametrize("handler", ["connect_fail", "back_off"])
def test_exception_between_connections_ends_the_reconnecting(handler: str) -> None:
    def fail(event: Any) -> None:
        raise LookupError(handler)

    feed = Full(NOWHERE, reconnect=QUICK)
    setattr(feed, "react_" + handler, fail)
    with pytest.raises(LookupError, match=handler):
        feed.run()
    assert feed.calls.count("connecting") == 1


@pytest.mark.parametrize("handler", ["rejected", "disconnected"])
def test_exception_after_a_rejection(handler: str) -> None:
    def fail(event: Any) -> None:
        raise LookupError(handler)

    with EchoServer(opening=reject(403)) as server:
        feed = Full(server.url, reconnect=QUICK)
        setattr(feed, "react_" + handler, fail)
        with pytest.raises(LookupError, match=handler):
            feed.run()
    assert feed.calls.count("connecting") == 1


@pytest.mark.parametrize("handler", ["closing", "disconnected", "close"])
def test_exception_while_closing(handler: str) -> None:
    def fail(event: Any) -> None:
        raise LookupError(handler)

    with EchoServer(close_with(4000)) as server:
        feed = Full(server.url, reconnect=QUICK)
        setattr(feed, "react_" + handler, fail)
        with pytest.raises(LookupError, match=handler):
            feed.run()
    assert feed.calls.count("connecting") == 1
    assert feed.calls.count("close") == 1
    assert feed.calls[-1] == "close"


def test_exception_of_on_close_after_kill_comes_out_of_join(server: EchoServer) -> None:
    def fail(event: Any) -> None:
        raise LookupError("close")

    feed = Full(server.url)
    feed.react_close = fail  # type: ignore[attr-defined]
    feed.start()
    assert feed.wait_ready(LIMIT)
    feed.kill()
    with pytest.raises(LookupError):
        feed.join()


def test_no_message_is_handled_after_an_exception() -> None:
    def fail(event: Any) -> None:
        raise LookupError(event.text)

    with EchoServer(send_raw(b"\x81\x01a\x81\x01b\x82\x01c")) as server:
        feed = Full(server.url, close_timeout=0.2)
        feed.react_text = fail  # type: ignore[attr-defined]
        with pytest.raises(LookupError, match="a"):
            feed.run()
    assert feed.calls.count("text") == 1
    assert "binary" not in feed.calls


def test_second_exception_does_not_hide_the_first(server: EchoServer, caplog: Any) -> None:
    def fail(event: Any) -> None:
        raise LookupError(event.name)

    feed = Full(server.url)
    feed.react_ready = feed.react_close = fail  # type: ignore[attr-defined]
    with pytest.raises(LookupError, match="ready"):
        feed.run()
    assert "a handler failed while closing" in caplog.text


def test_on_error_that_returns_lets_the_connection_go_on(server: EchoServer) -> None:
    class Feed(Full):
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


def test_on_error_may_close_otherwise(server: EchoServer) -> None:
    class Feed(Closer):
        how = "error"

        def on_error(self, error: Exception) -> None:
            self.close(4321, "sorry")

    Feed(server.url).run()
    assert server.connections[0].wait_ended() == 4321


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_no_exception_passes_on_error(error: Any, server: EchoServer) -> None:
    class Feed(Full):
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
    class Feed(Full):
        def react_ready(self, event: Any) -> None:
            with gevent.Timeout(0.01):
                gevent.sleep(LIMIT)

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


# start, run, join, wait_ready, close, kill from every state


def test_before_start() -> None:
    feed = Full(NOWHERE)
    assert not feed.is_running
    assert not feed.is_ready
    assert feed.wait_ready() is False
    feed.join()
    feed.close()
    feed.kill()
    with pytest.raises(errors.WebSocketUnavailable):
        feed.send_text("x")
    assert feed.calls == []


def test_close_before_start_does_not_keep_it_from_starting(server: EchoServer) -> None:
    feed = Full(server.url)
    feed.close()
    feed.start()
    assert feed.wait_ready(LIMIT)
    feed.close()
    feed.join(LIMIT)


def test_start_returns_the_client_and_runs_in_a_greenlet_of_its_own(server: EchoServer) -> None:
    feed = Full(server.url)
    assert feed.start() is feed
    assert feed.is_running
    assert feed.calls == []
    assert feed.wait_ready(LIMIT) is True
    assert feed.is_ready
    assert gevent.getcurrent() not in feed.greenlets
    assert feed.wait_ready() is True
    feed.close()
    feed.join(LIMIT)
    assert not feed.is_running
    assert not feed.is_ready
    assert len(feed.greenlets) == 1


def test_run_runs_in_the_calling_greenlet(server: EchoServer) -> None:
    feed = Closer(server.url)
    feed.how = "close"
    assert feed.run() is None  # type: ignore[func-returns-value]
    assert feed.greenlets == {gevent.getcurrent()}


def test_start_and_run_of_a_running_client_are_errors(server: EchoServer) -> None:
    feed = Full(server.url).start()
    for again in (feed.start, feed.run):
        with pytest.raises(RuntimeError, match="running already"):
            again()
    assert feed.wait_ready(LIMIT)
    with pytest.raises(RuntimeError, match="running already"):
        feed.run()
    feed.kill()


def test_client_can_be_started_again(server: EchoServer) -> None:
    feed = Full(server.url)
    for number in range(1, 4):
        feed.start()
        assert feed.wait_ready(LIMIT)
        feed.close()
        feed.join(LIMIT)
        assert feed.calls.count("close") == number


@pytest.mark.parametrize("way", ["start", "run"])
def test_join_in_a_handler_is_an_error(way: str, server: EchoServer) -> None:
    class Feed(Full):
        def react_ready(self, event: Any) -> None:
            self.join(timeout=0.001)
            self.join()

    feed = Feed(server.url)
    with pytest.raises(RuntimeError, match="wait for itself"):
        feed.run() if way == "run" else feed.start().join(LIMIT)
    assert server.connections[0].wait_ended() == 1011


def test_join_gives_up_after_its_timeout(server: EchoServer) -> None:
    feed = Full(server.url).start()
    began = time.monotonic()
    feed.join(timeout=0.02)
    assert time.monotonic() - began < 1
    assert feed.is_running
    feed.kill()


def test_wait_ready_gives_up_after_its_timeout() -> None:
    with EchoServer(opening=silent) as server:
        feed = Full(server.url).start()
        assert feed.wait_ready(timeout=0.02) is False
        assert feed.is_running
        feed.kill()


@pytest.mark.parametrize("opening", [reject(403), drop()])
def test_wait_ready_of_a_failed_opening(opening: Any) -> None:
    with EchoServer(opening=opening) as server:
        feed = Full(server.url).start()
        assert feed.wait_ready(LIMIT) is False
        feed.join(LIMIT)


@pytest.mark.parametrize("way", ["close", "kill"])
def test_wait_ready_of_a_connection_that_ends_as_soon_as_it_is(
    way: str, server: EchoServer
) -> None:
    class Brief(Full):
        def on_ready(self, event: Any) -> None:
            getattr(self, way)()

    brief = Brief(server.url).start()
    assert brief.wait_ready(LIMIT) is True
    brief.join(LIMIT)
    assert brief.wait_ready(LIMIT) is False
    assert not brief.is_ready


def test_wait_ready_waits_through_reconnects() -> None:
    with EchoServer(opening=in_turn(reject(503), drop(), accept)) as server:
        feed = Full(server.url, reconnect=QUICK).start()
        assert feed.wait_ready(LIMIT) is True
        feed.kill()


def test_many_may_wait(server: EchoServer) -> None:
    feed = Full(server.url).start()
    waiters = [gevent.spawn(feed.wait_ready, LIMIT) for _ in range(5)]
    joiners = [gevent.spawn(feed.join, LIMIT) for _ in range(5)]
    gevent.joinall(waiters, timeout=LIMIT)
    assert [waiter.value for waiter in waiters] == [True] * 5
    feed.close()
    gevent.joinall(joiners, timeout=LIMIT)
    assert all(joiner.successful() for joiner in joiners)


def test_failed_opening_raises_nothing() -> None:
    feed = Full(NOWHERE)
    feed.run()
    feed.join()
    assert feed.calls == ["connecting", "connect_fail"]
    assert "Connection refused" in feed.events[-1].reason


def test_rejection_is_an_event() -> None:
    body = b"not today"
    with EchoServer(opening=reject(401, "Who", headers=[("X-A", "b")], body=body)) as server:
        feed = Full(server.url)
        feed.run()
    assert feed.calls == ["connecting", "connected", "rejected", "disconnected"]
    response = feed.last("rejected").response
    assert (response.status_code, response.status, response.body) == (401, "Who", body)
    assert response.get("x-a") == "b"


@pytest.mark.parametrize("way", ["close", "kill"])
def test_ended_right_after_start_before_its_first_turn(way: str, server: EchoServer) -> None:
    feed = Full(server.url).start()
    getattr(feed, way)()
    feed.join(LIMIT)
    assert not feed.is_running
    assert feed.calls == []
    assert feed.wait_ready() is False
    assert server.connection_count == 0


@pytest.mark.parametrize("way", ["close", "kill"])
@pytest.mark.parametrize("handler", ["connecting", "connected"])
def test_ended_from_a_handler_while_opening(way: str, handler: str, server: EchoServer) -> None:
    feed = Full(server.url, reconnect=QUICK)
    setattr(feed, "react_" + handler, lambda event: getattr(feed, way)())
    feed.run()
    assert "ready" not in feed.calls
    assert feed.calls[-1] == "connect_fail"
    assert feed.calls.count("connecting") == 1


@pytest.mark.parametrize("way", ["close", "kill"])
@pytest.mark.parametrize("wait", [0, 0.01])
def test_ended_while_the_server_is_silent(way: str, wait: float) -> None:
    with EchoServer(opening=silent) as server:
        feed = Full(server.url, reconnect=QUICK).start()
        gevent.sleep(wait)
        if wait:
            server.wait_for(lambda: server.connection_count)
        getattr(feed, way)()
        feed.join(LIMIT)
        assert not feed.is_running
        assert "ready" not in feed.calls
        assert feed.wait_ready() is False


@pytest.mark.parametrize("way", ["close", "kill"])
@pytest.mark.parametrize("where", ["elsewhere", "in the handler"])
def test_ended_in_back_off(way: str, where: str) -> None:
    class Feed(Full):
        def react_back_off(self, event: Any) -> None:
            if where == "in the handler":
                getattr(self, way)()
            waiting.set()

    waiting = Event()
    feed = Feed(NOWHERE, reconnect=Backoff(min_wait=60, max_wait=60)).start()
    assert waiting.wait(LIMIT)
    gevent.sleep(0.01)
    began = time.monotonic()
    if where == "elsewhere":
        getattr(feed, way)()
    feed.join(LIMIT)
    assert not feed.is_running
    assert time.monotonic() - began < 2
    assert feed.calls == ["connecting", "connect_fail", "back_off"]


@pytest.mark.parametrize("way", ["close", "kill"])
def test_ended_in_each_handler_stops_the_reconnecting(way: str) -> None:
    for handler in ("ready", "text", "poll", "closing", "disconnected", "close"):
        with EchoServer(replies(None)) as server:
            script = in_turn(lambda c: (c.send("x"), close_with(4000)(c))[1], echo)
            server.handler = script
            feed = Full(server.url, reconnect=QUICK)
            setattr(feed, "react_" + handler, lambda event, feed=feed: getattr(feed, way)())
            feed.start()
            feed.join(LIMIT)
            assert not feed.is_running, handler
        assert feed.calls.count("connecting") == 1, handler
        assert feed.calls.count("close") == 1, handler
        assert feed.calls[-1] == "close"


@pytest.mark.parametrize("way", ["close", "kill"])
def test_ended_twice(way: str, server: EchoServer) -> None:
    feed = Full(server.url).start()
    assert feed.wait_ready(LIMIT)
    getattr(feed, way)()
    getattr(feed, way)()
    feed.join(LIMIT)
    getattr(feed, way)()
    assert feed.calls.count("close") == 1


def test_close_returns_at_once_and_ends_in_close_timeout() -> None:
    with EchoServer(stop_reading) as server:
        feed = Full(server.url, close_timeout=0.1).start()
        assert feed.wait_ready(LIMIT)
        switched = Event()
        gevent.spawn(switched.set)
        began = time.monotonic()
        feed.close()
        assert not switched.is_set()
        with pytest.raises(errors.WebSocketClosing):
            feed.send_text("late")
        feed.join(LIMIT)
        assert time.monotonic() - began < 4
        assert not feed.is_running
    assert (feed.events[-1].code, feed.events[-1].sent_code) == (1006, 1000)


def test_close_with_a_bad_code_changes_nothing(server: EchoServer) -> None:
    feed = Full(server.url, reconnect=QUICK).start()
    assert feed.wait_ready(LIMIT)
    with pytest.raises(ValueError, match="1005"):
        feed.close(1005)
    with pytest.raises(ValueError, match="reason"):
        feed.close(1000, "x" * 200)
    assert feed.is_ready
    feed.kill()


def test_kill_waits_until_it_has_ended(server: EchoServer) -> None:
    feed = Full(server.url).start()
    assert feed.wait_ready(LIMIT)
    feed.kill()
    assert not feed.is_running
    assert feed.calls[-1] == "close"
    server.wait_idle()


def test_kill_of_a_client_that_is_run_elsewhere(server: EchoServer) -> None:
    feed = Full(server.url)
    greenlet = gevent.spawn(feed.run)
    assert server.wait_connections(1)
    feed.wait_ready(LIMIT)
    feed.kill()
    greenlet.join(LIMIT)
    assert greenlet.successful()
    assert feed.calls[-1] == "close"


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_no_handler_is_called_after_kill_in_a_handler(kind: str) -> None:
    frame = b"\x81\x01x" if kind == "text" else b"\x82\x01x"
    with EchoServer(send_raw(frame * 10)) as server:
        feed = Full(server.url)
        setattr(feed, "react_" + kind, lambda event: feed.kill())
        feed.run()
    assert feed.calls.count(kind) == 1
    assert feed.calls[-2:] == ["disconnected", "close"]


def test_messages_that_were_received_before_close_are_handled() -> None:
    with EchoServer(lambda c: [c.send("x") for _ in range(10)] and echo(c)) as server:
        feed = Full(server.url)
        feed.react_text = lambda event: feed.close()  # type: ignore[attr-defined]
        feed.run()
    assert feed.calls.count("text") == 10


def test_send_from_other_greenlets(server: EchoServer) -> None:
    class Feed(Recorder):
        def on_text(self, event: Any) -> None:
            texts.append(event.text)
            if len(texts) == 100:
                self.close()

    texts: list[str] = []
    feed = Feed(server.url).start()
    assert feed.wait_ready(LIMIT)

    def send(name: str) -> None:
        for number in range(10):
            feed.send_text(f"{name} {number}")
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(send, name) for name in "abcdefghij"], raise_error=True)
    feed.join(LIMIT)
    for name in "abcdefghij":
        assert [t for t in texts if t[0] == name] == [f"{name} {number}" for number in range(10)]


# Reconnecting


def test_no_reconnect_unless_asked_for() -> None:
    with EchoServer(close_with(1001)) as server:
        feed = Full(server.url)
        feed.run()
        assert server.connection_count == 1
    assert "back_off" not in feed.calls


def test_reconnect_true_has_the_defaults_of_backoff() -> None:
    class Feed(Full):
        def react_back_off(self, event: Any) -> None:
            self.close()

    feed = Feed(NOWHERE, reconnect=True)
    feed.run()
    assert 0.5 <= feed.last("back_off").delay <= 1.0


@pytest.mark.parametrize("nothing", [False, None])
def test_reconnect_false(nothing: Any) -> None:
    feed = Full(NOWHERE, reconnect=nothing)
    feed.run()
    assert feed.calls == ["connecting", "connect_fail"]


def test_reconnect_after_failures_of_every_kind() -> None:
    opening = in_turn(
        reject(503), drop(), drop(reset=False), send_raw(b"?\r\n\r\n", drop()), accept
    )
    with EchoServer(opening=opening) as server:
        feed = Full(server.url, reconnect=QUICK).start()
        server.wait_connections(1, timeout=LIMIT)
        assert feed.wait_ready(LIMIT)
        assert server.connection_count == 5
        feed.close()
        feed.join(LIMIT)
    assert feed.calls.count("back_off") == 4
    assert feed.calls.count("connecting") == 5
    assert feed.calls.count("close") == 1
    assert len(feed.greenlets) == 1


def test_reconnect_waits_longer_after_each_failure() -> None:
    backoff = Backoff(min_wait=0.001, max_wait=0.004, factor=2, jitter=0, max_tries=6)
    feed = Full(NOWHERE, reconnect=backoff)
    feed.run()
    delays = [event.delay for event in feed.events if event.name == "back_off"]
    assert delays == [0.001, 0.002, 0.004, 0.004, 0.004]


@pytest.mark.parametrize("most", [1, 2, 5])
def test_max_tries(most: int) -> None:
    feed = Full(NOWHERE, reconnect=Backoff(min_wait=0.001, max_wait=0.001, max_tries=most))
    feed.run()
    assert feed.calls.count("connecting") == most
    assert feed.calls.count("back_off") == most - 1
    assert feed.wait_ready() is False


def test_reset_after_a_connection_that_lasted() -> None:
    backoff = Backoff(min_wait=0.001, max_wait=1, factor=3, jitter=0, max_tries=3, reset_after=0.05)

    def last(connection: ServerConnection) -> None:
        gevent.sleep(0.1)
        connection.close(1001)

    opening = in_turn(reject(503), accept, reject(503), reject(503), accept)
    with EchoServer(last, opening=opening) as server:
        feed = Full(server.url, reconnect=backoff)
        feed.run()
        assert server.connection_count == 4
    delays = [event.delay for event in feed.events if event.name == "back_off"]
    assert delays == [0.001, 0.001, 0.003]


def test_no_reset_after_a_connection_that_was_short() -> None:
    backoff = Backoff(min_wait=0.001, max_wait=1, jitter=0, max_tries=3, reset_after=10)
    with EchoServer(close_with(1001)) as server:
        feed = Full(server.url, reconnect=backoff)
        feed.run()
    assert feed.calls.count("ready") == 3
    assert [event.delay for event in feed.events if event.name == "back_off"] == [0.001, 0.002]


def test_an_opening_that_took_long_to_fail_is_no_connection_that_lasted() -> None:
    backoff = Backoff(min_wait=0.001, max_wait=1, jitter=0, max_tries=3, reset_after=0.01)
    with EchoServer(opening=silent) as server:
        feed = Full(server.url, reconnect=backoff, open_timeout=0.05)
        feed.run()
    assert feed.calls.count("connect_fail") == 3


@pytest.mark.parametrize("value", ["0.03", "0"])
def test_retry_after_is_honoured(value: str) -> None:
    opening = in_turn(reject(503, headers=[("Retry-After", value)]), accept)
    with EchoServer(opening=opening) as server:
        feed = Full(server.url, reconnect=Backoff(min_wait=50)).start()
        began = time.monotonic()
        assert feed.wait_ready(LIMIT)
        assert time.monotonic() - began >= float(value)
        feed.kill()
    assert feed.last("back_off").delay == float(value)


def test_retry_after_counts_for_its_rejection_only() -> None:
    opening = in_turn(reject(503, headers=[("Retry-After", "0")]), reject(503), accept)
    with EchoServer(opening=opening) as server:
        feed = Full(server.url, reconnect=Backoff(min_wait=0.001, factor=4, jitter=0)).start()
        assert feed.wait_ready(LIMIT)
        feed.kill()
    assert [e.delay for e in feed.events if e.name == "back_off"] == [0.0, 0.004]


def test_reconnect_starts_from_a_clean_state() -> None:
    # The first connection ends in the midst of a compressed, fragmented message.
    def begin(connection: ServerConnection) -> None:
        connection.send("x" * 500)
        connection.send_frame(1, b"\x4a\x04", fin=False, rsv1=True)
        connection.flush()
        assert connection.receive() == "ready 1"
        connection.drop(reset=False)

    class Feed(Full):
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


def test_reconnecting_does_not_grow() -> None:
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


def test_client_is_freed_when_it_has_ended(server: EchoServer) -> None:
    import weakref

    feed = Closer(server.url)
    feed.how = "close"
    feed.start()
    feed.join(LIMIT)
    gone = weakref.ref(feed)
    del feed
    server.wait_idle()
    gevent.sleep(0)
    gc.collect()
    assert gone() is None


def test_a_hundred_clients(server: EchoServer) -> None:
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
        client.join(LIMIT)
    assert codes == [1000] * 100
    assert not [g for g in gc.get_objects() if isinstance(g, Greenlet) and g in clients]


def test_foreign_session_class(server: EchoServer) -> None:
    import lomond.session

    class Feed(Full):
        session_class = lomond.session.WebsocketSession

    # lomond blocks the hub: the server has to be somewhere else, or nowhere.
    feed = Feed(NOWHERE)
    feed.run()
    assert feed.calls[0] == "connecting"
    assert feed.calls[-1] == "connect_fail"
