"""The options of a client: as class attributes, as keywords, and on their way to the WebSocket."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from greenws import Client, GeventSession, WebSocket
from greenws.testing import (
    EchoServer,
    close_with,
)
from tests.client.recorders import (
    NOWHERE,
    QUICK,
    FullRecorder,
    Recorder,
    ScriptedSession,
    scripted,
)
from tests.support.waiting import PATIENCE

WEBSOCKET_OPTIONS = dict(list(inspect.signature(WebSocket).parameters.items())[1:])

CONNECT_OPTIONS = dict(list(inspect.signature(WebSocket.connect).parameters.items())[1:])


def test_defaults_are_those_of_the_websocket() -> None:
    for name, parameter in {**WEBSOCKET_OPTIONS, **CONNECT_OPTIONS}.items():
        assert inspect.getattr_static(Client, name) == parameter.default, name
    assert Client.reconnect is False
    assert Client.session_class is GeventSession


def test_signatures_are_those_of_the_websocket() -> None:
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


def test_handler_as_an_option_is_told_where_handlers_are() -> None:
    with pytest.raises(TypeError, match="a handler is a method of a subclass"):
        Client(NOWHERE, on_text=print)


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
    class Feed(FullRecorder):
        poll = 1
        ping_rate = 2

    feed = Feed(
        NOWHERE, session_class=scripted(), ping_timeout=3, auto_pong=False, close_timeout=None
    )
    feed.run()
    assert ScriptedSession.options == {
        "poll": 1,
        "ping_rate": 2,
        "ping_timeout": 3,
        "auto_pong": False,
        "close_timeout": None,
    }


def test_options_belong_to_one_client() -> None:
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
    assert feed.wait_ready(PATIENCE)
    feed.close()
    feed.join(PATIENCE)
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
    assert repr(FullRecorder("ws://example.org/")).startswith("<FullRecorder ")


# A class is checked when it is made


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("on_message", "on_text or on_binary"),
        ("on_mesage", "on_text or on_binary"),
        ("on_open", "on_ready"),
        ("on_oepn", "on_ready"),
        ("onMessage", "on_text or on_binary"),
        ("received_message", "on_text or on_binary"),
        ("on_disconnect", "on_close"),
        ("on_Text", "on_text"),
        ("on_txt", "on_text"),
        ("on_tetx", "on_text"),
        ("on_texts", "on_text"),
        ("on_redy", "on_ready"),
        ("on_backoff", "on_back_off"),
        ("on_conected", "on_connected"),
        ("on_bianry", "on_binary"),
        ("on_eror", "on_error"),
        ("on_protocol_eror", "on_protocol_error"),
        ("on_unresponsvie", "on_unresponsive"),
    ],
)
def test_handler_with_a_wrong_name_is_a_type_error_of_the_class(name: str, meant: str) -> None:
    def handle(self: Any, event: Any) -> None:
        raise AssertionError("never called")

    match = f"^Feed.{name} is no handler of a client; {meant} is meant$"
    with pytest.raises(TypeError, match=match):
        type("Feed", (Client,), {name: handle})
    with pytest.raises(TypeError, match=match):
        type("Feed", (type("Mixin", (), {name: handle}), Client), {})


@pytest.mark.parametrize("name", ["_run", "_connect", "_stop", "_sleep", "_is_stopping"])
def test_name_of_what_works_inside_is_a_type_error_of_the_class(name: str) -> None:
    # A client would be broken, and nothing would say so.
    match = f"^Feed.{name} would replace a part of greenws; rename it$"
    with pytest.raises(TypeError, match=match):
        type("Feed", (Client,), {name: lambda self: None})
    with pytest.raises(TypeError, match=match):
        type("Feed", (type("Mixin", (), {name: False}), Client), {})


@pytest.mark.parametrize(
    "name",
    [
        "on_quote",
        "on_next",
        "on_test",
        "on_lose",
        "on_trade",
        "on_post",
        "on_heartbeat",
        "on_",
        "on",
    ]
    + ["online", "only", "_on_message", "on_order_rejected", "on_json", "text", "close_all"],
)
def test_method_of_the_users_own_is_none(name: str) -> None:
    type("Feed", (Client,), {name: lambda self, event: None})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("symbols", ["a"]),
        ("token", "t"),
        ("name", "n"),
        ("agents", []),
        ("polls", []),
        ("tracer", None),
        ("reconnected", False),
        ("idle_timeout", 5),
        ("_compres", True),
        ("heartbeat", lambda self: None),
        ("timeout", property(lambda self: 5)),
        ("verify", staticmethod(lambda: True)),
    ],
)
def test_attribute_of_the_users_own_is_none(name: str, value: Any) -> None:
    type("Feed", (Client,), {name: value})


def test_foreign_option_of_a_mixed_in_class_is_its_own() -> None:
    type("Feed", (type("Mixin", (), {"timeout": 5, "header": {}}), Client), {})


@pytest.mark.parametrize("name", ["header", "heaers", "extra_headers", "trcae"])
def test_method_with_a_wrong_name_of_an_option_is_refused(name: str) -> None:
    # Only these options may be methods.
    with pytest.raises(TypeError, match=f"^Feed has no option '{name}'"):
        type("Feed", (Client,), {name: lambda self: {}})


def test_every_handler_option_and_member_may_be_overridden() -> None:
    for name in dir(Client):
        if not name.startswith("_"):
            type("Feed", (Client,), {name: getattr(Client, name)})


def test_keywords_of_a_class_reach_the_class_beside() -> None:
    class Beside:
        def __init_subclass__(cls, topic: str, **keywords: Any) -> None:
            super().__init_subclass__(**keywords)
            cls.topic = topic  # type: ignore[attr-defined]

    class Feed(Client, Beside, topic="trades"):
        pass

    assert Feed.topic == "trades"  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        type("Feed", (Client,), {}, topic="trades")
