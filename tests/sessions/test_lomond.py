"""Adapters for what others have written: odd WebSockets of lomond's kind on our session."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import gevent
import lomond
import lomond.errors
import pytest

import greenws
import greenws.errors
from greenws.options import TRANSPORT_OPTIONS, TransportDefaults
from greenws.sessions.contract import DrivenWebSocket
from greenws.sessions.lomond import adapt_session, adapt_websocket, is_gone
from greenws.testing import EchoServer, silent
from tests.sessions.memory import MemorySession

PATIENCE = 10.0


def run(websocket: Any, **options: Any) -> list[Any]:
    """Iterate on our session, and close when ready."""
    found = []
    with gevent.Timeout(PATIENCE):
        for event in websocket.connect(session_class=greenws.GeventSession, **options):
            found.append(event)
            if event.name == "ready":
                websocket.close()
    return found


def names(found: list[Any]) -> list[str]:
    return [event.name for event in found]


# WebSockets


def test_websocket_of_ours_needs_no_adapter() -> None:
    websocket = greenws.WebSocket("ws://127.0.0.1:1/")
    assert adapt_websocket(websocket) is websocket


def test_subclass_of_ours_needs_none_either() -> None:
    class Subclass(greenws.WebSocket):
        pass

    websocket = Subclass("ws://127.0.0.1:1/")
    assert adapt_websocket(websocket) is websocket


def test_options_of_the_transport_are_those_it_has_and_else_our_defaults() -> None:
    websocket = lomond.WebSocket("wss://127.0.0.1:1/")
    adapted = adapt_websocket(websocket)
    for name in TRANSPORT_OPTIONS:
        assert getattr(adapted, name) == getattr(TransportDefaults, name), name
    for name, value in (("max_size", 7), ("open_timeout", 0.5), ("unix_path", "/socket")):
        setattr(websocket, name, value)
        assert getattr(adapt_websocket(websocket), name) == value


def test_it_is_the_websocket_to_whoever_looks() -> None:
    websocket = lomond.WebSocket("wss://127.0.0.1:1/feed")
    adapted = adapt_websocket(websocket)
    assert repr(adapted) == "WebSocket('wss://127.0.0.1:1/feed')"
    secret = lomond.WebSocket("wss://127.0.0.1:1/feed?token=s3cret")
    assert "s3cret" not in repr(adapt_websocket(secret))
    assert "s3cret" not in repr(greenws.GeventSession(secret))
    assert adapted.url == websocket.url
    assert adapted.target is adapted.home is websocket
    assert (adapted.hops, adapted.aside, adapted.awaits_body) == (0, "", False)
    assert (adapted.target.host, adapted.target.port, adapted.target.is_secure) == (
        "127.0.0.1",
        1,
        True,
    )
    assert adapted.given_proxies is websocket.proxies
    assert adapted.parser is None
    assert adapted.is_active and not adapted.is_closed
    assert list(adapted.pending_events()) == list(adapted.feed_eof()) == []


def test_options_given_as_attributes_count() -> None:
    class Impatient(lomond.WebSocket):  # type: ignore[misc]
        open_timeout = 0.05

    with EchoServer(opening=silent) as server:
        found = run(Impatient(server.url, proxies={}))
    assert names(found) == ["connecting", "connected", "connect_fail"]
    assert "timed out after 0.05 s" in found[-1].reason


def test_international_host_of_lomonds_websocket_is_encoded() -> None:
    websocket = lomond.WebSocket("wss://fa\u00df.example:81/")
    adapted = adapt_websocket(websocket)
    target = adapted.target
    assert (target.host, target.port, target.is_secure) == ("xn--fa-hia.example", 81, True)
    assert target is adapted.target is adapted.home


def test_host_of_lomonds_websocket_that_is_none_is_named_by_connect() -> None:
    websocket = lomond.WebSocket("wss://\u2615.example/", proxies={})
    with pytest.raises(ValueError, match="invalid host"):
        next(websocket.connect(session_class=greenws.GeventSession))


def test_subclass_meets_lomonds_errors() -> None:
    class Subclass(lomond.WebSocket):  # type: ignore[misc]
        pass

    assert adapt_websocket(Subclass("ws://h/")).errors is lomond.errors


def test_errors_are_those_of_the_package_that_the_websocket_is_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fork = ModuleType("fork_of_lomond.errors")
    fork.TransportFail = type("TransportFail", (Exception,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fork_of_lomond.errors", fork)
    theirs = type("WebSocket", (lomond.WebSocket,), {"__module__": "fork_of_lomond.websocket"})
    assert adapt_websocket(theirs("ws://h/")).errors is fork
    # A module of that name that is about something else is none.
    del fork.TransportFail  # type: ignore[attr-defined]
    assert adapt_websocket(theirs("ws://h/")).errors is lomond.errors


class Bare:
    """The least that a WebSocket can be: what lomond's session reads, and no trace."""

    url = "ws://127.0.0.1:1/"
    host = "127.0.0.1"
    port = 1
    is_secure = False
    proxies: dict[str, str] = {}  # noqa: RUF012
    is_active = True
    is_closed = False

    def __init__(self) -> None:
        self.disconnects = 0

    def on_disconnect(self) -> None:
        self.disconnects += 1


def test_websocket_of_no_package_meets_our_errors() -> None:
    assert adapt_websocket(Bare()).errors is greenws.errors


def test_websocket_without_a_trace_is_told_nothing() -> None:
    adapted = adapt_websocket(Bare())
    assert not adapted.is_traced and not adapted.tracer.is_heard
    adapted.tracer.tell("step")


def test_websocket_that_keeps_no_session_is_told_of_the_end() -> None:
    websocket = Bare()
    session = greenws.GeventSession(websocket)
    with gevent.Timeout(PATIENCE):
        assert names(list(session.run())) == ["connecting", "connect_fail"]
    assert websocket.disconnects >= 1


def test_websocket_that_has_another_session_by_now_is_not() -> None:
    websocket: Any = Bare()
    iteration = greenws.GeventSession(websocket).run()
    next(iteration)
    websocket.session = object()
    list(iteration)
    assert websocket.disconnects == 0


def test_steps_are_told_by_the_method_of_lomonds_own_session() -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    class Traced(lomond.WebSocket):  # type: ignore[misc]
        def _emit_trace(self, stage: str, **fields: Any) -> None:
            told.append((stage, fields))

    with EchoServer() as server:
        websocket = Traced(server.url, proxies={})
        run(websocket)
    stages = [stage for stage, _ in told]
    assert stages[0] in ("connect", "resolve", "connect_start")
    assert stages.count("close") == 1
    assert all("duration" in fields for stage, fields in told if stage in ("connect", "resolve"))
    assert not any("url" in fields for _, fields in told)  # lomond adds its own


def test_bytes_are_counted_where_lomond_has_a_trace() -> None:
    told: list[str] = []

    class Traced(lomond.WebSocket):  # type: ignore[misc]
        def _emit_trace(self, stage: str, **fields: Any) -> None:
            told.append(stage)

    counts = {"socket_send", "socket_recv"}
    with EchoServer() as server:
        run(Traced(server.url, proxies={}))
        assert not counts & set(told)
        websocket = Traced(server.url, proxies={})
        websocket.trace = print
        assert adapt_websocket(websocket).is_traced
        run(websocket)
    assert counts <= set(told)


def test_pings_and_pongs_are_sent_by_lomonds_methods() -> None:
    calls: list[Any] = []

    class Recording(Bare):
        def send_ping(self, data: bytes = b"") -> None:
            calls.append(("ping", data))

        def send_pong(self, data: bytes = b"") -> None:
            calls.append(("pong", data))

        def feed(self, data: bytes) -> list[bytes]:
            return [data]

        def build_request(self) -> bytes:
            return b"GET"

    adapted = adapt_websocket(Recording())
    adapted.send_ping(b"1")
    adapted.send_pong(b"2")
    assert calls == [("ping", b"1"), ("pong", b"2")]
    assert list(adapted.feed(b"data")) == [b"data"]
    assert adapted.build_request() == b"GET"


# Sessions


def test_session_of_others_has_the_rest_filled_in() -> None:
    session = MemorySession(None)
    adapted = adapt_session(session, DrivenWebSocket())
    assert adapted.session_time == 1.5
    assert adapted.signals_eof is adapted.follows_redirects is False
    adapted.check_send()
    adapted.end()
    assert session.calls == ["force_disconnect"]
    adapted.write(b"bytes")
    adapted.send(1, b"text")
    adapted.send_compressed(2, b"deflated")
    assert session.sent == [("bytes", b"bytes"), ("frame 1", b"text"), ("deflated 2", b"deflated")]
    adapted.close()
    adapted.force_disconnect()
    assert session.calls == ["force_disconnect", "close", "force_disconnect"]


def test_abilities_of_a_session_are_its_own() -> None:
    class Able(MemorySession):
        signals_eof = True
        follows_redirects = True

        def check_send(self) -> None:
            self.calls.append("check_send")

        def end(self) -> None:
            self.calls.append("end")

    session = Able(None)
    adapted = adapt_session(session, DrivenWebSocket())
    assert adapted.signals_eof is adapted.follows_redirects is True
    adapted.check_send()
    adapted.end()
    assert session.calls == ["check_send", "end"]


def test_ability_may_change_while_it_runs() -> None:
    session: Any = MemorySession(None)
    adapted = adapt_session(session, DrivenWebSocket())
    session.follows_redirects = True
    assert adapted.follows_redirects


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (greenws.errors.WebSocketClosed("x"), True),
        (greenws.errors.TransportFail("x"), True),
        (greenws.errors.WebSocketUnavailable("x"), False),
        (greenws.errors.WebSocketClosing("x"), False),
        (lomond.errors.WebSocketClosed("x"), True),
        (lomond.errors.WebSocketUnavailable("x"), True),
        (lomond.errors.TransportFail("x"), True),
        (lomond.errors.ProtocolError("x"), False),
        (LookupError("x"), False),
    ],
)
def test_nobody_is_there_by_the_errors_of_either_side(error: Exception, expected: bool) -> None:
    assert is_gone(error) is expected
