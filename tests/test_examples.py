"""Each example in its own process, alone and with a server; and what pages of the docs list."""

from __future__ import annotations

import inspect
import os
import re
import sys
from pathlib import Path

import pytest
from gevent import subprocess

from greenws import Backoff, Client, ClientGroup, Connection, WebSocket, events
from greenws.testing import EchoServer, close_with
from tests.support.authority import Authority

ROOT = Path(__file__).parents[1]
# That for Locust is run in tests/locust.
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name != "locustfile.py")


def run(example: str, *arguments: str) -> str:
    """Run an example, which must neither fail nor complain.

    :returns: what it printed.
    """
    names = ("http_proxy", "https_proxy", "all_proxy")
    environment = {k: v for k, v in os.environ.items() if k.lower() not in names}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / example), *arguments],
        capture_output=True,
        timeout=30,
        env=environment,
        cwd="/",
    )
    assert done.stderr.decode() == ""
    assert done.returncode == 0
    return str(done.stdout.decode())


def test_every_example_is_run_below() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES:
        assert f'run("{path.name}")' in source
        assert f'run("{path.name}", ' in source


def test_ticker_runs_by_itself() -> None:
    lines = run("ticker.py").splitlines()
    assert lines[0] == "{'channel': 'trades', 'price': 100}"
    assert lines[10:] == ["closed: 1000"]


def test_ticker_runs_on_a_server() -> None:
    with EchoServer(close_with(4000, after=1)) as server:
        lines = run("ticker.py", server.url).splitlines()
        assert lines == ["{'op': 'subscribe', 'channel': 'trades'}", "closed: 4000"]
        assert server.connections[0].is_compressed


def test_ticker_without_a_server_says_so() -> None:
    assert "Connection refused" in run("ticker.py", "ws://127.0.0.1:1/")


def test_bot_runs_by_itself() -> None:
    lines = run("bot.py").splitlines()
    assert lines[0] == "refused: 503"
    assert lines[1].startswith("again in ")
    assert lines[2] == "hello, for the 1. time"
    assert lines[3].startswith("lost: ")
    assert lines[4].startswith("again in ")
    assert lines[5] == "hello, for the 2. time"
    assert lines[6].startswith("closed: ")


def test_bot_runs_on_a_server() -> None:
    with EchoServer(close_with(1001, after=1)) as server:
        lines = run("bot.py", server.url).splitlines()
        tokens = [c.request.get("authorization") for c in server.connections if c.request]
    assert len([line for line in lines if line.startswith("hello")]) == 2
    assert tokens == ["Bearer token-0", "Bearer token-1"]


def test_load_runs_by_itself() -> None:
    assert run("load.py").startswith("5000 messages in ")


def test_load_runs_on_a_server() -> None:
    with EchoServer() as server:
        assert run("load.py", server.url).startswith("5000 messages in ")
        assert server.connection_count == 100
        assert server.message_count == 5000


def test_group_runs_by_itself() -> None:
    assert run("group.py").splitlines() == [
        "ready: 200",
        "ready again: 200",
        "closed: 200, killed: 0",
        "connections: 400, hellos: 400",
    ]


def test_group_runs_on_a_server() -> None:
    with EchoServer() as server:
        assert "connections: 200, hellos: 200" in run("group.py", server.url)
        assert [c.close_code for c in server.connections] == [1001] * 200


def test_bridge_runs_by_itself() -> None:
    answer = run("bridge.py")
    assert answer.startswith("HTTP/1.1 200 OK")
    assert answer.strip().endswith("hello")


@pytest.mark.parametrize("service", ["echoes", "drops"])
def test_bridge_runs_on_a_server(service: str) -> None:
    with EchoServer() if service == "echoes" else EchoServer(close_with(4000, "no", 0)) as server:
        if service == "echoes":
            assert "200 OK" in run("bridge.py", server.url)
            assert len(server.messages) == 1
        else:
            server.handler = lambda connection: (connection.receive(), connection.drop())
            assert "502 Bad Gateway" in run("bridge.py", server.url)


def test_tls_runs_by_itself() -> None:
    assert re.match("no connection: .*TLS", run("tls.py"))


def test_tls_runs_on_a_server(authority: Authority) -> None:
    import ssl

    mine = authority.issue_file("mine.pem", "client@example.org")
    context = authority.server_context("localhost")
    context.load_verify_locations(authority.cafile)
    context.verify_mode = ssl.CERT_REQUIRED
    with EchoServer(ssl_context=context) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        arguments = (url, authority.cafile, mine)
        assert run("tls.py", *arguments) == "connected\n"
        other = run("tls.py", server.url, *arguments[1:])
        assert "no connection" in other
        assert "127.0.0.1" in other


def test_iterate_runs_by_itself() -> None:
    assert run("iterate.py").splitlines() == ["hello", "disconnected closed", "b'bytes'"]


def test_iterate_runs_on_a_server() -> None:
    with EchoServer() as server:
        assert "hello" in run("iterate.py", server.url)
        assert server.messages == ["hello", b"bytes"]


def test_sequential_runs_by_itself() -> None:
    assert run("sequential.py").splitlines() == [
        "received: hello",
        "replies: [0, 1, 2]",
        "in pieces: 0 1 2 3 4 ",
        "nothing more",
        "closed: 1000",
    ]


def test_sequential_runs_on_a_server() -> None:
    with EchoServer() as server:
        assert "closed: 1000" in run("sequential.py", server.url)
        assert server.message_count == 5
    assert "no connection" in run("sequential.py", server.url)


# The pages of the docs that name options and events


def read_page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_page_of_the_websocket_names_every_option_and_event() -> None:
    page = read_page("websocket.rst")
    rows = set(re.findall(r"^``(\w+)``  ", page, re.MULTILINE))
    parameters = inspect.signature(WebSocket).parameters.values()
    options = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    options |= inspect.signature(WebSocket.connect).parameters.keys() - {"self"}
    names = {item.name for item in vars(events).values() if hasattr(item, "received_time")}
    assert options | (names - {"event"}) <= rows
    assert all(hasattr(WebSocket, row) for row in rows - options - names)


def test_page_of_clients_names_every_handler() -> None:
    page = read_page("client.rst")
    for name in vars(Client):
        if name.startswith("on_"):
            assert f"``{name}" in page


def test_page_of_sequential_code_names_every_member() -> None:
    page = read_page("sequential.rst")
    shown = {name for name in vars(Connection) if not name.startswith("_")}
    told = {"close", "latency", "ping", "receive", "receive_json", "receive_stream", "request"}
    assert told <= shown
    for name in told | {"max_queue", "reply_key", "send_stream", "close_code", "sent_code"}:
        assert f"``{name}" in page or f".{name}(" in page, name


def test_page_of_groups_names_every_member_and_count() -> None:
    page = read_page("groups.rst")
    for name in vars(ClientGroup):
        if not name.startswith("_"):
            assert f"``{name}(" in page or f".{name}``" in page, name
    options = inspect.signature(ClientGroup).parameters
    rows = set(re.findall(r"^``(\w+)``  ", page, re.MULTILINE))
    assert rows == {*options, *ClientGroup().stats()}


def test_page_of_reconnecting_has_the_defaults_of_backoff() -> None:
    rows = dict(re.findall(r"^``(\w+)`` +([\w.]+)  ", read_page("reconnecting.rst"), re.MULTILINE))
    defaults = {p.name: p.default for p in inspect.signature(Backoff).parameters.values()}
    assert rows == {name: f"{value:g}" if value else "None" for name, value in defaults.items()}
