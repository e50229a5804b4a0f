"""A session as its WebSocket and its hub see it: its public names, refused calls, raising traces.

How a session opens and reads is in ``test_session.py``.
"""

from __future__ import annotations

import os
from typing import Any

import gevent
import gevent.event
import pytest

import greenws
import greenws.errors
from greenws.sessions.contract import FullSession
from greenws.testing import EchoServer, silent, stop_reading

PATIENCE = 10.0


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def make_session() -> Any:
    return greenws.GeventSession(greenws.WebSocket("ws://127.0.0.1:1/", proxies={}))


# What is public


def test_public_names_are_the_contract_and_three_more() -> None:
    assert public(greenws.GeventSession) == public(FullSession) | {
        "queued_bytes",
        "send_text",  # a client calls it, without a WebSocket in between
        "websocket",
    }


CALLS: list[tuple[str, tuple[Any, ...], type[Exception] | None]] = [
    ("send", (1, b"text"), greenws.errors.WebSocketUnavailable),
    ("send", (8, b""), greenws.errors.WebSocketUnavailable),
    ("send_compressed", (1, b"text"), greenws.errors.WebSocketUnavailable),
    ("check_send", (), greenws.errors.WebSocketUnavailable),
    ("write", (b"GET",), greenws.errors.WebSocketUnavailable),
    ("close", (), None),
    ("force_disconnect", (), None),
    ("end", (), None),
]


@pytest.mark.parametrize(("name", "arguments", "error"), CALLS)
def test_calls_before_a_run_are_refused_or_harmless(
    name: str, arguments: tuple[Any, ...], error: type[Exception] | None
) -> None:
    session = make_session()
    assert session.session_time == 0.0
    assert session.queued_bytes == 0
    assert session.signals_eof and session.follows_redirects
    with gevent.Timeout(PATIENCE):
        if error is None:
            getattr(session, name)(*arguments)
        else:
            with pytest.raises(error):
                getattr(session, name)(*arguments)
        found = [event.name for event in session.run()]
    # The port is closed. A session that was given up before does not even try it.
    assert found == ["connecting", "connect_fail"]


@pytest.mark.parametrize("name", ["close", "force_disconnect", "end"])
def test_session_that_was_ended_before_its_run_does_not_dial(name: str) -> None:
    with EchoServer() as server:
        session = greenws.GeventSession(greenws.WebSocket(server.url, proxies={}))
        getattr(session, name)()
        events = list(session.run())
        assert [event.name for event in events] == ["connecting", "connect_fail"]
        assert server.connection_count == 0


@pytest.mark.parametrize(("name", "arguments", "error"), CALLS)
def test_calls_after_the_end_are_refused_or_harmless(
    name: str, arguments: tuple[Any, ...], error: type[Exception] | None
) -> None:
    with EchoServer() as server, gevent.Timeout(PATIENCE):
        websocket = greenws.WebSocket(server.url, proxies={})
        for event in websocket:
            if event.name == "ready":
                websocket.close()
    session = websocket.session
    if error is None:
        getattr(session, name)(*arguments)
    else:
        with pytest.raises(greenws.errors.WebSocketClosed):
            getattr(session, name)(*arguments)


def test_second_run_is_refused_and_leaves_nothing() -> None:
    with EchoServer() as server, gevent.Timeout(PATIENCE):
        websocket = greenws.WebSocket(server.url, proxies={})
        for event in websocket:
            if event.name == "ready":
                websocket.close()
        with pytest.raises(greenws.errors.WebSocketClosed):
            next(websocket.session.run())
        assert server.connection_count == 1


@pytest.mark.parametrize("name", ["close", "force_disconnect"])
def test_end_from_another_thread_is_refused_and_changes_nothing(name: str) -> None:
    with EchoServer() as server, gevent.Timeout(PATIENCE):
        websocket = greenws.WebSocket(server.url, proxies={})
        found = []
        for event in websocket:
            found.append(event.name)
            if event.name == "ready":
                with pytest.raises(greenws.errors.WebSocketUnavailable, match="another thread"):
                    gevent.get_hub().threadpool.apply(getattr(websocket.session, name))
                websocket.send_text("still there")
            elif event.name == "text":
                websocket.close()
    assert found[-2:] == ["closed", "disconnected"]


def test_session_names_its_websocket_without_secrets() -> None:
    websocket = greenws.WebSocket("ws://user:secret@127.0.0.1:1/", proxies={})
    assert repr(greenws.GeventSession(websocket)) == f"<GeventSession of {websocket!r}>"
    assert "secret" not in repr(greenws.GeventSession(websocket))


def test_redirects_are_not_followed_with_a_socket_or_a_path() -> None:
    for options in ({"unix_path": "/socket"}, {"socket": object()}):
        websocket = greenws.WebSocket("ws://127.0.0.1:1/", proxies={}, **options)  # type: ignore[arg-type]
        assert not greenws.GeventSession(websocket).follows_redirects


# A trace that raises


class Refusal(Exception):
    """The exception of a user's trace."""


def refuse_pings(record: dict[str, Any]) -> None:
    if record["stage"] == "send_ping":
        raise Refusal


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """The exceptions that the hub would print."""
    found: list[type[BaseException]] = []
    monkeypatch.setattr(
        gevent.get_hub(), "print_exception", lambda context, kind, *rest: found.append(kind)
    )
    return found


def test_trace_that_refuses_pings_ends_neither_pings_nor_polls(
    reported: list[type[BaseException]],
) -> None:
    polls = 0
    with EchoServer() as server, gevent.Timeout(PATIENCE):
        websocket = greenws.WebSocket(server.url, proxies={}, trace=refuse_pings)
        # Both have the same rate, so many pings and polls are due in the same turn.
        for event in websocket.connect(poll=0.01, ping_rate=0.01):
            polls += event.name == "poll"
            if polls >= 10 and len(reported) >= 5:
                break
    assert set(reported) == {Refusal}


def test_poll_that_is_due_together_with_a_refused_ping_comes(
    reported: list[type[BaseException]],
) -> None:
    polls = 0
    with EchoServer() as server, gevent.Timeout(PATIENCE):
        websocket = greenws.WebSocket(server.url, proxies={}, trace=refuse_pings)
        for event in websocket.connect(poll=0.02, ping_rate=0.02):
            if event.name == "poll":
                polls += 1
                if polls == 5:
                    break
                # The hub is late by more than both rates: both fall due in one ring.
                end = gevent.get_hub().loop.now() + 0.05
                while gevent.get_hub().loop.now() < end:
                    gevent.get_hub().loop.update_now()
    assert set(reported) == {Refusal}


def test_trace_that_refuses_pings_ends_no_watch_for_silence(
    reported: list[type[BaseException]],
) -> None:
    with EchoServer(silent) as server, gevent.Timeout(PATIENCE):
        websocket = greenws.WebSocket(server.url, proxies={}, trace=refuse_pings)
        found = [
            event.name for event in websocket.connect(poll=0, ping_rate=0.05, ping_timeout=0.1)
        ]
    assert found[-2:] == ["unresponsive", "disconnected"]
    assert set(reported) == {Refusal}


# A closing that a handler does not see


def test_close_ends_a_handler_that_waits_at_the_mark_although_a_poll_is_due() -> None:
    outcome: list[BaseException] = []
    server = EchoServer(stop_reading, receive_buffer=16384).start()
    websocket = greenws.WebSocket(server.url, proxies={}, write_limit=65536, send_timeout=None)

    def run() -> None:
        for event in websocket.connect(poll=0.01, ping_rate=0, close_timeout=0.05):
            if event.name != "ready":
                continue
            try:
                while True:
                    websocket.send_binary(bytes(32768))
            except greenws.errors.WebSocketError as error:
                outcome.append(error)

    client = gevent.spawn(run)
    with gevent.Timeout(PATIENCE):
        # Until the kernel's buffers are full, too, and a poll is due, which has to wait for the
        # handler.
        size = 0
        while size < 65536 or size != websocket.session.queued_bytes:
            size = websocket.session.queued_bytes if websocket.session else 0
            gevent.sleep(0.03)
        websocket.close()
        client.join()
    server.stop()
    assert [str(error) for error in outcome] == [
        "disconnected; server didn't respond to close packet within 0.05s"
    ]


# A fork by a handler


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.parametrize("moment", ["connecting", "connected", "ready", "poll"])
def test_child_that_was_forked_by_a_handler_is_refused(moment: str) -> None:
    with EchoServer() as server, gevent.Timeout(PATIENCE):
        websocket = greenws.WebSocket(server.url, proxies={})
        events = websocket.connect(poll=0.01)
        for event in events:
            if event.name == moment:
                break
        pid = gevent.os.fork()
        if not pid:
            status = 1
            try:
                gevent.Timeout(5).start()
                following = [found.name for found in events]
                os.write(2, repr(following).encode())
            except greenws.errors.WebSocketUnavailable as error:
                status = 0 if "parent process" in str(error) else 2
            except BaseException as error:
                os.write(2, repr(error).encode())
            finally:
                os._exit(status)
        _, status = gevent.os.waitpid(pid, 0)
        # The parent goes on as if nothing had happened.
        for event in events:
            if event.name == "poll":
                websocket.close()
        assert websocket.state.close_code == 1000
    assert os.waitstatus_to_exitcode(status) == 0
