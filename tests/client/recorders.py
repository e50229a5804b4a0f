"""Clients that write down which handlers were called, and a session without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import gevent
from gevent import GreenletExit

from greenws import Backoff, Client, events

QUICK = Backoff(min_wait=0.001, max_wait=0.01)

NOWHERE = "ws://127.0.0.1:1/"  # tcpmux: nobody listens

EVENTS = get_args(events.AnyEvent)

HANDLERS = [f"on_{event.name}" for event in EVENTS] + ["on_close"]


class Recorder(Client):
    """Writes down the name of each handler that is called, and its event."""

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


class FullRecorder(Recorder):
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


class ScriptedSession:
    """A session without a socket: it yields given events and keeps its options."""

    options: dict[str, Any]

    def __init__(self, script: Any) -> None:
        self._script = script
        self.session_time = 0.0

    def run(self, **options: Any) -> Iterator[Any]:
        ScriptedSession.options = options
        yield from self._script

    def close(self) -> None:
        """Nothing to close."""

    def force_disconnect(self) -> None:
        """Nothing to disconnect."""


def scripted(*items: Any) -> Any:
    return lambda websocket: ScriptedSession(items)


class Closer(FullRecorder):
    """Ends its connection in the way of :attr:`how`, once it is ready."""

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
