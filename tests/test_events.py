"""The events: names, attributes, ``repr``, and their likeness to those of lomond."""

from __future__ import annotations

import contextlib
import inspect
import time
from typing import Any

import lomond.events
import pytest

from greenws import errors, events
from greenws.events import Event
from greenws.protocol.response import Response

RESPONSE = Response(b"HTTP/1.1 403 Forbidden\r\n\r\n")

# Each event: its name, its class, the arguments of the constructor, and its attributes then.
MADE: list[tuple[str, type[Any], tuple[Any, ...], dict[str, Any]]] = [
    ("connecting", events.Connecting, ("ws://h/",), {"url": "ws://h/"}),
    ("connect_fail", events.ConnectFail, ("why",), {"reason": "why"}),
    ("connected", events.Connected, ("ws://h/",), {"url": "ws://h/", "proxy": None}),
    ("connected", events.Connected, ("ws://h/", "p"), {"url": "ws://h/", "proxy": "p"}),
    ("rejected", events.Rejected, (RESPONSE, "no"), {"response": RESPONSE, "reason": "no"}),
    (
        "ready",
        events.Ready,
        (RESPONSE, "chat", {"x"}),
        {"response": RESPONSE, "protocol": "chat", "extensions": {"x"}},
    ),
    ("poll", events.Poll, (), {}),
    ("text", events.Text, ("[1]",), {"text": "[1]", "message": "[1]", "json": [1]}),
    ("binary", events.Binary, (b"[1]",), {"data": b"[1]", "message": b"[1]", "json": [1]}),
    ("ping", events.Ping, (b"x",), {"data": b"x"}),
    ("pong", events.Pong, (b"x",), {"data": b"x"}),
    ("unresponsive", events.Unresponsive, (), {}),
    ("closing", events.Closing, (1000, "bye"), {"code": 1000, "reason": "bye"}),
    ("closed", events.Closed, (None, ""), {"code": None, "reason": ""}),
    ("protocol_error", events.ProtocolError, ("e", True), {"error": "e", "critical": True}),
    (
        "disconnected",
        events.Disconnected,
        (),
        {"reason": "closed", "graceful": False, "code": 1006, "sent_code": None},
    ),
    (
        "disconnected",
        events.Disconnected,
        ("x", True, 1000, 1001),
        {"reason": "x", "graceful": True, "code": 1000, "sent_code": 1001},
    ),
    ("back_off", events.BackOff, (1.5,), {"delay": 1.5}),
    ("unknown", events.UnknownMessage, ("m",), {"message": "m"}),
]


def all_events(module: Any, root: Any) -> dict[str, Any]:
    return {
        name: item
        for name, item in vars(module).items()
        if not name.startswith("_")
        and isinstance(item, type)
        and issubclass(item, root)
        and item is not root
    }


@pytest.mark.parametrize(("name", "kind", "arguments", "attributes"), MADE)
def test_event_has_its_name_and_attributes(
    name: str, kind: Any, arguments: Any, attributes: dict[str, Any]
) -> None:
    before = time.time()
    event = kind(*arguments)
    assert isinstance(event, Event)
    assert event.name == kind.name == name
    assert before <= event.received_time <= time.time()
    for attribute, value in attributes.items():
        assert getattr(event, attribute) == value


def test_every_event_is_in_the_table() -> None:
    assert {kind for _name, kind, _a, _b in MADE} == set(all_events(events, Event).values())


def test_events_are_those_of_lomond() -> None:
    theirs = all_events(lomond.events, lomond.events.Event)
    ours = all_events(events, Event)
    assert ours.keys() == theirs.keys()
    for name, kind in theirs.items():
        assert ours[name].name == kind.name
        arguments = next(made[2] for made in MADE if made[1] is ours[name])
        event = ours[name](*arguments)
        for parameter in inspect.signature(kind).parameters:
            assert hasattr(event, parameter), (name, parameter)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("x" * 24,), "Text"),
        (("x" * 25,), "Text"),
        ((b"x" * 30,), "Binary"),
        ((b"x",), "Ping"),
        ((b"x",), "Pong"),
        ((1.26,), "BackOff"),
        ((1000, "bye"), "Closing"),
        ((1000, "bye"), "Closed"),
        ((), "Poll"),
        ((), "Unresponsive"),
        (("ws://h/",), "Connecting"),
        (("why",), "ConnectFail"),
        (("ws://h/", "http://p/"), "Connected"),
        (("ws://h/",), "Connected"),
        (("e", False), "ProtocolError"),
    ],
)
def test_repr_is_that_of_lomond(arguments: Any, name: str) -> None:
    assert repr(getattr(events, name)(*arguments)) == repr(getattr(lomond.events, name)(*arguments))


def test_repr_shows_the_attributes_that_lomond_does_not_have() -> None:
    assert repr(events.Disconnected("x", True, 1000, 1001)) == (
        "Disconnected(reason='x', graceful=True, code=1000, sent_code=1001)"
    )
    assert repr(events.Rejected(RESPONSE, "no")).startswith("Rejected(response=<response ")
    assert "protocol='chat'" in repr(events.Ready(RESPONSE, "chat", set()))


def test_repr_shows_no_credentials() -> None:
    url, proxy = "ws://u:secret@h/?token=secret", "http://u:secret@p/"
    for event in (
        events.Connecting(url),
        events.Connected(url),
        events.Connected(url, proxy),
    ):
        assert event.url == url
        assert "secret" not in repr(event)
        assert "ws://h/?token=..." in repr(event)


def test_connect_fail_may_have_its_error() -> None:
    assert events.ConnectFail("why").error is None
    error = errors.ProxyFail("why")
    assert events.ConnectFail("why", error).error is error


def test_repr_of_a_long_payload_is_short() -> None:
    assert repr(events.Text("x" * 1_000_000)) == f"Text(text={'x' * 24!r} + 999976 chars)"
    assert len(repr(events.Binary(b"\xff" * 1_000_000))) < 200


def test_json_is_decoded_once() -> None:
    event = events.Text('{"a": 1}')
    assert event.json is event.json
    assert events.Text("null").json is None


def test_json_of_a_message_without_json_raises() -> None:
    for text in ("", "{", "NaNa"):
        for event in (events.Text(text), events.Binary(text.encode())):
            with pytest.raises(ValueError, match=r"Expecting|Extra|JSON"):
                _ = event.json
    with pytest.raises(ValueError, match="decode"):
        _ = events.Binary(b'"\xff"').json


def test_json_of_a_binary_message_is_that_of_its_bytes() -> None:
    event = events.Binary('{"a": "é"}'.encode())
    assert event.json == {"a": "é"}
    event.data = b"null"
    assert event.json is None


def test_bytes_that_are_no_json_are_a_value_error() -> None:
    for data in (b"", b"{", b"\xff"):
        with pytest.raises(ValueError, match=r"Expecting|codec"):
            _ = events.Binary(data).json


def test_json_with_too_many_levels_is_a_value_error() -> None:
    for deep in ("[" * 200_000, '{"a":' * 200_000):
        for event in (events.Text(deep), events.Binary(deep.encode())):
            with pytest.raises(ValueError, match="too many levels"):
                _ = event.json


@pytest.mark.parametrize("event", [events.Text("a"), events.Binary(b"a"), events.Ping(b"a")])
def test_attributes_may_be_changed(event: Any) -> None:
    name = "text" if event.name == "text" else "data"
    setattr(event, name, "changed")
    assert getattr(event, name) == "changed"
    # Deleting an attribute does no harm either.
    with contextlib.suppress(AttributeError):
        delattr(event, name)
    with contextlib.suppress(AttributeError):
        getattr(type(event), name).__delete__(event)
    with contextlib.suppress(AttributeError, TypeError):
        repr(event)
