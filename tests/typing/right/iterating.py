"""Both ways to find out which event it is narrow the type of the event."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import assert_never, assert_type

import greenws
from greenws import events
from greenws.events import AnyEvent


def follow_by_class(websocket: greenws.WebSocket) -> str:
    for event in websocket:
        if isinstance(event, events.Text):
            return event.text.upper()
        if isinstance(event, (events.Closing, events.Closed)):
            assert_type(event.code, int | None)
        if isinstance(event, events.Rejected):
            print(event.response.status_code, event.response.get("server"))
    return ""


def follow_by_name(websocket: greenws.WebSocket) -> Iterator[bytes]:
    for event in websocket.connect(ping_rate=5, poll=None, ping_timeout=12.5):
        if event.name == "text":
            assert_type(event, events.Text)
            yield event.text.encode()
        elif event.name == "binary":
            yield event.data
        elif event.name == "ready":
            assert_type(event.protocol, str | None)
            assert_type(event.extensions, set[str])
        elif event.name == "disconnected":
            assert_type(event.sent_code, int | None)
        print(event.name, event.received_time + 1)


def follow_by_pattern(websocket: greenws.WebSocket) -> None:
    for event in websocket:
        match event:
            case events.Text():
                print(event.json["price"])
            case events.ConnectFail():
                print(event.reason)
            case _:
                pass


def name_each(event: AnyEvent) -> int:
    """The names of the events are known, and a type checker says if one is forgotten."""
    match event.name:
        case "connecting" | "connected" | "connect_fail" | "rejected" | "ready":
            return 1
        case "text" | "binary" | "ping" | "pong" | "unknown":
            return 2
        case "poll" | "unresponsive" | "back_off":
            return 3
        case "closing" | "closed" | "protocol_error" | "disconnected":
            return 4
        case _ as never:
            assert_never(never)


def follow_for_ever(url: str) -> None:
    for event in greenws.persist(greenws.WebSocket(url), min_wait=1, auto_pong=False):
        assert_type(event, AnyEvent)
        if event.name == "back_off":
            print(event.delay + 1)
