"""The WebSocket offers what the reference names, and its events are those of lomond."""

from __future__ import annotations

import inspect
from typing import Any

import lomond
import lomond.events
import pytest

from greenws import WebSocket, constants
from greenws.sessions.session import GeventSession
from tests.support.streams import deflate, frame
from tests.websocket.driving import URL, Session, answer, open_compressed

# The signatures of the reference


def signature(function: Any) -> list[tuple[str, Any]]:
    parameters = list(inspect.signature(function).parameters.values())
    return [(p.name, p.default) for p in parameters if p.name not in ("self", "kwargs")]


def test_constructor_has_the_parameters_of_the_reference() -> None:
    parameters = list(inspect.signature(WebSocket).parameters.values())
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in positional[1:]] == [
        ("proxies", None),
        ("protocols", None),
        ("agent", None),
        ("compress", False),
    ]
    assert positional[0].name == "url"
    keyword_only = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    wanted = {
        "ssl_context": None,
        "ssl_verify": True,
        "ssl_cafile": None,
        "server_hostname": None,
        "headers": None,
        "origin": None,
        "max_size": 16 * 1024 * 1024,
        "open_timeout": 30,
        "trace": None,
        "send_timeout": 30,
    }
    assert wanted.items() <= keyword_only.items()
    assert len(keyword_only) + len(positional) == len(parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("add_header", ["header", "value"]),
        ("build_request", []),
        ("close", [("code", 1000), ("reason", b"goodbye")]),
        (
            "connect",
            [
                ("session_class", GeventSession),
                ("poll", 5.0),
                ("ping_rate", 30.0),
                ("ping_timeout", None),
                ("auto_pong", True),
                ("close_timeout", 30.0),
            ],
        ),
        ("feed", ["data"]),
        ("force_disconnect", []),
        ("on_disconnect", []),
        ("on_response", ["response"]),
        ("process_extensions", ["extensions"]),
        ("reset", []),
        ("send_binary", ["data", ("compress", True)]),
        ("send_json", [("_obj", ...)]),
        ("send_ping", [("data", b"")]),
        ("send_pong", [("data", b"")]),
        ("send_text", ["text", ("compress", True)]),
    ],
)
def test_member_has_the_parameters_of_the_reference(name: str, parameters: list[Any]) -> None:
    wanted = [p if isinstance(p, tuple) else (p, inspect.Parameter.empty) for p in parameters]
    assert signature(getattr(WebSocket, name))[: len(wanted)] == wanted
    assert getattr(WebSocket, name).__doc__


@pytest.mark.parametrize(
    "name",
    [
        "is_active",
        "is_closed",
        "is_closing",
        "is_secure",
        "sent_close_time",
        "supports_compression",
    ],
)
def test_property_of_the_reference_is_documented(name: str) -> None:
    assert isinstance(getattr(WebSocket, name), property)
    assert getattr(WebSocket, name).__doc__


def test_public_members_of_lomonds_are_there() -> None:
    theirs = lomond.WebSocket(URL, proxies={})
    ours = WebSocket(URL, proxies={})
    for name in dir(theirs):
        if not name.startswith("_") and name != "State":
            assert hasattr(ours, name), name


# The constructor


def test_defaults_are_those_of_the_reference() -> None:
    websocket = WebSocket(URL)
    assert websocket.agent == constants.USER_AGENT
    assert websocket.protocols == []
    assert websocket.compress is False
    assert websocket.is_active
    assert not websocket.is_closing
    assert not websocket.is_closed
    assert not websocket.is_ready
    assert not websocket.is_secure
    assert not websocket.supports_compression
    assert websocket.sent_close_time is None
    assert websocket.session is None
    assert WebSocket("wss://example.org").is_secure


@pytest.mark.parametrize(
    ("options", "error", "fault"),
    [
        ({"proxies": "http://p:1"}, TypeError, "proxies"),
        ({"proxies": {"http": "ftp://p:1"}}, ValueError, "proxies"),
        ({"protocols": "chat"}, TypeError, "protocols"),
        ({"protocols": b"chat"}, TypeError, "protocols"),
        ({"protocols": [b"chat"]}, TypeError, "protocols"),
        ({"protocols": ["a b"]}, ValueError, "subprotocol"),
        ({"protocols": ["a\r\nb"]}, ValueError, "subprotocol"),
        ({"protocols": ["a\0"]}, ValueError, "subprotocol"),
        ({"protocols": [""]}, ValueError, "subprotocol"),
        ({"protocols": ["a", "a"]}, ValueError, "twice"),
        ({"agent": b"me"}, TypeError, "agent"),
        ({"agent": "a\r\nb"}, ValueError, "User-Agent"),
        ({"agent": "a\nb"}, ValueError, "User-Agent"),
        ({"agent": "a\0b"}, ValueError, "User-Agent"),
        ({"origin": "a\r\nb"}, ValueError, "Origin"),
        ({"origin": b"a"}, TypeError, "origin"),
        ({"origin": 5}, TypeError, "origin"),
        ({"headers": "A: b"}, TypeError, "headers"),
        ({"headers": {"A": "b\r\nC: d"}}, ValueError, "control"),
        ({"headers": [("A\n", "b")]}, ValueError, "token"),
        ({"headers": {"A": 5}}, TypeError, "bytes"),
        ({"headers": {"Upgrade": "h2c"}}, ValueError, "handshake"),
        ({"max_size": "1"}, TypeError, "max_size"),
        ({"max_size": 1.5}, TypeError, "max_size"),
        ({"max_size": True}, TypeError, "max_size"),
        ({"max_size": 0}, ValueError, "max_size"),
        ({"max_size": -1}, ValueError, "max_size"),
        ({"max_size": 1 << 70}, ValueError, "max_size"),
        ({"open_timeout": "1"}, TypeError, "open_timeout"),
        ({"open_timeout": 0}, ValueError, "open_timeout"),
        ({"open_timeout": float("nan")}, ValueError, "open_timeout"),
        ({"send_timeout": -1}, ValueError, "send_timeout"),
        ({"write_limit": None}, ValueError, "write_limit"),
        ({"write_limit": 0}, ValueError, "write_limit"),
        ({"max_redirects": -1}, ValueError, "max_redirects"),
        ({"max_redirects": None}, ValueError, "max_redirects"),
        ({"trace": 5}, TypeError, "trace"),
        ({"timeout": 5}, TypeError, "timeout"),
    ],
)
def test_invalid_argument_is_refused(options: dict[str, Any], error: Any, fault: str) -> None:
    with pytest.raises(error, match=fault):
        WebSocket(URL, **options)


@pytest.mark.parametrize("name", ["max_size", "open_timeout", "send_timeout"])
def test_none_is_no_limit(name: str) -> None:
    assert getattr(WebSocket(URL, **{name: None}), name) is None


def test_options_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        WebSocket(URL, None, None, None, False, None)  # type: ignore[misc]


def test_proxies_default_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert WebSocket(URL).proxies == {"http": None, "https": None}
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("https_proxy", "http://secure.example:3128")
    found = WebSocket(URL).proxies
    assert "proxy.example" in str(found["http"])
    assert "secure.example" in str(found["https"])
    assert WebSocket(URL, proxies={}).proxies == {}
    given = {"http": "http://mine:1"}
    assert WebSocket(URL, proxies=given).proxies == given


def test_repr_hides_credentials() -> None:
    assert repr(WebSocket("ws://u:p@example.org/")) == "WebSocket('ws://example.org/')"


# The events of lomond


def lomonds(data: bytes, closing: bool = False) -> list[Any]:
    websocket = lomond.WebSocket(URL, proxies={}, compress=True)
    websocket.connect(session_class=Session)
    list(websocket.feed(answer(websocket, "Sec-WebSocket-Extensions: permessage-deflate")))
    if closing:
        websocket.close()
    return [describe(event) for event in websocket.feed(data)]


def ours(data: bytes, closing: bool = False) -> list[Any]:
    websocket, _session = open_compressed()
    if closing:
        websocket.close()
    return [describe(event) for event in websocket.feed(data)]


def describe(event: Any) -> Any:
    if event.name == "protocol_error":
        return event.name, event.critical
    attributes = {
        name: getattr(event, name)
        for name in ("text", "data", "code", "reason")
        if hasattr(event, name)
    }
    return event.name, attributes


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        frame(1, b"Hello"),
        frame(1, b""),
        frame(2, b"\0" * 70_000),
        frame(2, b"x" * 126) + frame(9, b"p") + frame(10),
        frame(1, b"Hel", fin=False) + frame(9, b"p") + frame(0, b"lo"),
        frame(1, deflate(b"Hello"), rsv1=True),
        frame(1, deflate(b"Hello")[:4], fin=False, rsv1=True) + frame(0, deflate(b"Hello")[4:]),
        frame(8, b"\x03\xe8bye"),
        frame(8, b"\x0f\xa0"),
        frame(1, b"x") + frame(8, b"\x03\xe8"),
        b"\x83\x00",
        b"\xb1\x00",
        frame(0, b"x"),
        frame(1, b"x", fin=False) + frame(1, b"y"),
        frame(9, b"", fin=False),
        frame(1, b"\xff"),
        frame(8, b"\x03\xed"),
        frame(8, b"\x01"),
    ],
)
def test_events_are_those_of_lomond(data: bytes, closing: bool) -> None:
    theirs = lomonds(data, closing)
    assert names_of(theirs)
    assert ours(data, closing) == theirs


def names_of(items: list[Any]) -> list[str]:
    return [item[0] for item in items]
