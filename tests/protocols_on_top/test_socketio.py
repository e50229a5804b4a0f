"""python-socketio's client on greenws, in a process that is not patched."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import gevent
import pytest
from gevent.queue import Queue

from tests.protocols_on_top.programs import (
    Server,
    load_example,
    need,
    need_node,
    run_example,
    run_example_server,
)
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    need("socketio", "engineio")
    need_node("socket.io")
    with run_example_server(tmp_path_factory.mktemp("socketio"), "socketio_server.js") as server:
        yield server


@pytest.fixture(scope="module")
def example(server: Server) -> ModuleType:
    return load_example("socketio_client")


@pytest.fixture
def client(server: Server, example: ModuleType) -> Iterator[Any]:
    client = example.Client(
        handle_sigint=False,
        reconnection_delay=0.01,
        randomization_factor=0,
        websocket_extra_options={"proxies": {}},
    )
    client.connect(server.url, wait_timeout=PATIENCE)
    yield client
    client.shutdown()


def test_example_prints_what_the_server_answers(server: Server) -> None:
    assert run_example("socketio_client", server.url) == [
        "2 + 3 = 5",
        "reversed: b'cba'",
        "tick 1",
        "tick 2",
        "tick 3",
        "ticks: 3",
    ]
    server.wait_line("gone: client namespace disconnect")


def test_hub_runs_while_a_call_waits(client: Any, ticking: Ticker) -> None:
    call = gevent.spawn(client.call, "wait", timeout=PATIENCE)
    ticking.wait(3)
    assert not call.ready()
    client.emit("release")
    assert call.get(timeout=PATIENCE) is None


def test_calls_of_many_greenlets_get_their_own_answers(client: Any) -> None:
    calls = [
        gevent.spawn(client.call, "add", (number, 1000), timeout=PATIENCE) for number in range(50)
    ]
    gevent.joinall(calls, timeout=PATIENCE, raise_error=True)
    assert [call.value for call in calls] == [number + 1000 for number in range(50)]


def test_client_comes_back_when_the_connection_was_lost(client: Any) -> None:
    events: Queue[str] = Queue()
    client.on("connect", lambda: events.put("connect"))
    client.on("disconnect", lambda reason: events.put(reason))
    client.emit("drop")
    assert events.get(timeout=PATIENCE) == "transport error"
    assert events.get(timeout=PATIENCE) == "connect"
    wait_until(lambda: client.connected)
    assert client.call("add", (1, 2), timeout=PATIENCE) == 3


def test_server_that_is_not_there_is_an_error_of_socketio(example: ModuleType) -> None:
    import socketio

    with pytest.raises(socketio.exceptions.ConnectionError):
        example.Client(handle_sigint=False).connect("http://127.0.0.1:1")
