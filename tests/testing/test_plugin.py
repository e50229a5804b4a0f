"""The fixtures for pytest, in the suites of others."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

import pytest_greenws

pytest_plugins = ["pytester"]

ROOT = Path(pytest_greenws.__file__).parents[1]

# A client of somebody's, and tests of it.
SUITE = ROOT.joinpath("examples", "testing", "test_ticker.py").read_text(encoding="utf-8")

BLOCKING = """
import asyncio
import time

from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect


def test_a_client_of_another_library(echo_server):
    with connect(echo_server.url) as client:
        client.send("hello")
        assert client.recv(timeout=5) == "hello"
        time.sleep(0.001)
    assert echo_server.connections[0].wait_ended() == 1000


def test_a_client_on_asyncio(echo_server):
    async def talk():
        async with connect_async(echo_server.url) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            assert await asyncio.to_thread(echo_server.wait_messages, 1) == ["hello"]

    asyncio.run(talk())
"""

FAILING = """
import gevent
import greenws
from greenws.testing import silent, stop_reading

clients = []


class Lasting(greenws.Client):
    reconnect = greenws.Backoff(min_wait=0.01)
    ends = 0

    def on_close(self, event):
        self.ends += 1


def test_that_fails_with_clients_of_every_kind(websocket_server):
    server = websocket_server()
    client = Lasting(server.url).start()
    clients.append(client)
    client.wait_ready(5)
    never_ready = Lasting(websocket_server(opening=silent).url).start()
    clients.append(never_ready)
    flooded = greenws.connect(server.url, max_queue=1)
    clients.append(flooded)
    for number in range(4):
        flooded.send("again")
    server.wait_messages(4)
    assert 1 == 2


def test_that_all_of_them_have_ended():
    gevent.sleep(0)
    assert [client.is_running for client in clients[:2]] == [False, False]
    assert clients[0].ends == 1
    assert not clients[2].is_open
    assert greenws.drain(timeout=0) == 0
"""

BEHAVIOUR = """
import greenws


def expect(connection):
    assert connection.receive() == "this", "the client has said something else"


def test_that_passes_by_itself(websocket_server):
    with greenws.connect(websocket_server(expect).url) as connection:
        connection.send("that")
        try:
            connection.receive(5)
        except greenws.errors.WebSocketClosed:
            pass


def test_of_options(websocket_server):
    import pytest
    import ssl

    with pytest.raises(TypeError, match="not both"):
        websocket_server(tls=True, ssl_context=ssl.create_default_context())
    with pytest.raises(TypeError, match="handler must be callable"):
        websocket_server("no handler")


def test_that_two_servers_are_two(echo_server, websocket_server):
    other = websocket_server()
    with greenws.connect(echo_server.url) as first, greenws.connect(other.url) as second:
        first.send("first")
        second.send("second")
        assert first.receive(5) == "first"
        assert second.receive(5) == "second"
    assert (echo_server.messages, other.messages) == (["first"], ["second"])
"""

COST = """
import sys


def test_that_uses_no_fixture():
    assert "pytest_greenws" in sys.modules
    assert not {name for name in sys.modules if name.split(".")[0] in ("greenws", "gevent")}
"""

REWRITING = """
from importlib.machinery import SourceFileLoader

import pytest

pytest.register_assert_rewrite("greenws")  # as pytest does itself where greenws is installed

from greenws import client


def test_that_greenws_is_imported_as_it_is():
    assert type(client.__loader__) is SourceFileLoader
"""


def run(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    """Run a suite in this process."""
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess("-p", "pytest_greenws")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plugin of the machine has a part in the inner runs, and each imports this checkout."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_client_of_greenws_is_tested(pytester: pytest.Pytester) -> None:
    run(pytester, SUITE).assert_outcomes(passed=4)


def test_a_client_that_blocks_its_thread_is_tested(pytester: pytest.Pytester) -> None:
    run(pytester, BLOCKING).assert_outcomes(passed=2)


def test_what_a_failing_test_leaves_is_ended(pytester: pytest.Pytester) -> None:
    run(pytester, FAILING).assert_outcomes(passed=1, failed=1)


def test_a_failed_assertion_of_a_behaviour_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, BEHAVIOUR)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*AssertionError: the client has said something else*"])


def test_fixtures_are_listed_with_what_they_are(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("-p", "pytest_greenws", "--fixtures")
    result.stdout.fnmatch_lines_random(
        [f"{name}*" for name in sorted(pytest_greenws.__all__)]
        + ["*A WebSocket server that echoes every message, and records what clients do."]
    )


def test_workers_of_xdist_have_servers_of_their_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("-p", "pytest_greenws", "-p", "xdist", "-n", "2")
    result.assert_outcomes(passed=4)


def test_who_uses_no_fixture_imports_neither_greenws_nor_gevent(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(COST)
    result = pytester.runpytest_subprocess("-p", "pytest_greenws")
    result.assert_outcomes(passed=1)


def test_assertions_of_greenws_are_not_rewritten(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(REWRITING)
    result = pytester.runpytest_subprocess("-p", "pytest_greenws", "-W", "error")
    result.assert_outcomes(passed=1)


@pytest.mark.skipif(not ROOT.joinpath("setup.cfg").exists(), reason="not a checkout")
def test_entry_point_has_the_name_of_the_module() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    # So that "-p pytest_greenws" is the same plugin, whether greenws is installed or not.
    points = metadata["options.entry_points"]["pytest11"].split()
    assert points == ["pytest_greenws", "=", pytest_greenws.__name__]
