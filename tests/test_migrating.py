"""docs/migrating.rst: both programs of each pair, and the names of the tables."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from gevent import subprocess

import greenws
from greenws import errors, events
from greenws.client import ClientOptions
from greenws.connection import ConnectionOptions
from greenws.testing import Behaviour, EchoServer, drop, echo, in_turn, reject

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "examples" / "migrating"
PAGE = ROOT.joinpath("docs", "migrating.rst").read_text(encoding="utf-8")

# The pairs of programs, with the module that the first one needs.
PAIRS = {
    "websocketapp": "websocket",
    "create_connection": "websocket",
    "ws4py": "ws4py",
    "lomond": "lomond",
    "websockets_asyncio": "websockets",
    "websockets_sync": "websockets",
}


def start(program: str, url: str) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.Popen(
        [sys.executable, str(PROGRAMS / program), url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd="/",
    )


def read(process: subprocess.Popen[bytes]) -> list[str]:
    """Wait for a program; return the lines that it has printed."""
    try:
        output, complaints = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, complaints.decode()
    assert b"Traceback" not in complaints, complaints.decode()
    return str(output.decode()).splitlines()


def run_pair(
    pair: str, make_server: Callable[[], EchoServer]
) -> tuple[list[str], EchoServer, EchoServer]:
    """Run both programs of a pair at the same time, each on a server of its own.

    :returns: the lines that both have printed, and the servers.
    """
    if importlib.util.find_spec(PAIRS[pair]) is None:
        pytest.skip(f"{PAIRS[pair]} is not installed")
    with make_server() as old, make_server() as new:
        before = start(f"{pair}_before.py", old.url)
        try:
            lines = read(start(f"{pair}_after.py", new.url))
        finally:
            theirs = read(before)
        assert theirs == lines
        old.wait_idle()
        new.wait_idle()
    assert old.messages == new.messages
    assert [c.close_code for c in old.connections] == [c.close_code for c in new.connections]
    return lines, old, new


def read_headers(server: EchoServer, *names: str) -> list[str | None]:
    request = server.connections[0].request
    assert request is not None
    return [request.get(name) for name in names]


def make_maker(handler: Behaviour = echo, **options: Any) -> Callable[[], EchoServer]:
    return lambda: EchoServer(handler, **options)


def test_every_program_belongs_to_a_pair_and_is_on_the_page() -> None:
    programs = {path.name for path in PROGRAMS.glob("*.py")}
    assert programs == {f"{pair}_{side}.py" for pair in PAIRS for side in ("before", "after")}
    shown = re.findall(r"literalinclude:: \.\./examples/migrating/(\S+)", PAGE)
    assert sorted(shown) == sorted(programs)


def test_handlers_of_a_websocketapp_become_methods() -> None:
    lines, old, new = run_pair("websocketapp", make_maker())
    assert lines == [
        "received: subscribe",
        "received: 2 more",
        "received: 1 more",
        "closed: 1000",
    ]
    for server in (old, new):
        assert read_headers(server, "authorization") == ["Bearer secret"]


def test_calls_of_create_connection_become_calls_of_connect() -> None:
    lines, old, new = run_pair("create_connection", make_maker())
    assert lines == ["answer: quote", "nothing more"]
    for server in (old, new):
        assert read_headers(server, "x-api-key", "cookie", "origin") == [
            "1234",
            "session=5678",
            "https://app",
        ]


def test_callbacks_of_ws4py_become_handlers() -> None:
    lines, old, new = run_pair("ws4py", make_maker(subprotocols=["chat"]))
    assert lines == ["text: hello", "binary: b'\\x00\\x01'", "closed: 1000"]
    for server in (old, new):
        assert read_headers(server, "x-room") == ["7"]
        assert server.connections[0].subprotocol == "chat"
        assert server.connections[0].close_reason == "bye"


def test_a_loop_of_lomond_changes_its_imports_alone() -> None:
    lines, _old, _new = run_pair("lomond", make_maker())
    assert lines == ["received: {'op': 'subscribe'}", "closed: 1000"]
    before, after = (
        PROGRAMS.joinpath(f"lomond_{side}.py").read_text(encoding="utf-8").partition("def run")[2]
        for side in ("before", "after")
    )
    assert before == after


def test_a_bot_of_websockets_comes_back_with_greenws() -> None:
    lines, old, new = run_pair("websockets_asyncio", make_maker(in_turn(drop(after=1), echo)))
    assert lines == [
        "received: hello 1",
        "lost: no close frame",
        "received: hello 2",
        "closed: 1000",
    ]
    for server in (old, new):
        assert read_headers(server, "x-bot") == ["7"]
        assert server.connections[0].is_compressed


def test_calls_of_websockets_become_calls_of_connect() -> None:
    lines, old, new = run_pair("websockets_sync", make_maker())
    assert lines == ["received: hello", "in pieces: in pieces", "nothing more", "closed: 1000"]
    for server in (old, new):
        assert server.connections[0].is_compressed
        assert len(server.connections[0].pings) == 1


@pytest.mark.parametrize("pair", ["create_connection", "websockets_sync"])
def test_a_refusal_is_told_by_both_programs(pair: str) -> None:
    lines, _old, _new = run_pair(pair, make_maker(opening=reject(403)))
    assert lines == ["refused: 403"]


# The tables of the page


def read_tables() -> dict[str, list[tuple[str, str]]]:
    """Read the tables of the page: the cells of their rows, by the title of the first column."""
    tables: dict[str, list[tuple[str, str]]] = {}
    for match in re.finditer(r"^(=+)  =+\n(.*)\n\1  =+\n((?:.*\n)*?)\1  =+\n", PAGE, re.MULTILINE):
        width = len(match[1]) + 2
        rows = tables.setdefault(match[2][:width].strip(), [])
        for line in match[3].splitlines():
            left, right = line[:width].strip(), line[width:].strip()
            if left:
                rows.append((left, right))
            else:
                rows[-1] = (rows[-1][0], f"{rows[-1][1]} {right}")
    return tables


TABLES = read_tables()


def find_words(cells: Iterable[str]) -> set[str]:
    """Find the names in cells: those of functions, attributes and keywords."""
    literals = [literal for cell in cells for literal in re.findall(r"``(.+?)``", cell)]
    return {word for literal in literals for word in re.findall(r"[A-Za-z_]\w*", literal)}


def find_parameters(*functions: Callable[..., Any]) -> set[str]:
    """Find the names of parameters that stand for themselves."""
    return {
        parameter.name
        for function in functions
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    } - {"self"}


def find_members(*classes: type) -> set[str]:
    return {name for cls in classes for name in dir(cls) if not name.startswith("_")}


def require(distribution: str) -> None:
    """Skip a test, unless a library is installed in the version that the page is about."""
    version = dict(TABLES["library"])[distribution]
    try:
        installed = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    if installed != version:
        pytest.skip(f"the page is about {distribution} {version}, not {installed}")


def left_words(*titles: str) -> set[str]:
    return find_words(left for title in titles for left, _right in TABLES[title])


def test_names_of_websocket_client_are_all_told() -> None:
    require("websocket-client")
    import websocket

    theirs = find_parameters(websocket.WebSocketApp, websocket.WebSocketApp.run_forever)
    told = left_words("WebSocketApp()", "run_forever()") | find_words(
        right for _left, right in TABLES["run_forever()"]
    )
    assert theirs - told == set()
    documented = re.findall(r"^    (\w+): ", websocket.create_connection.__doc__, re.MULTILINE)
    assert set(documented) - told - left_words("create_connection()") == set()
    members = find_members(websocket.WebSocket)
    # Accessors of properties, and what is for the library itself.
    members -= {"connect", "getheaders", "getstatus", "getsubprotocol", "gettimeout", "timeout"}
    members -= {"fileno", "is_ssl", "next", "set_mask_key"}
    assert members - left_words("WebSocket") == set()
    members = find_members(websocket.WebSocketApp) - {"create_dispatcher", "ready", "run_forever"}
    assert members - left_words("other names") == set()
    failures = {name for name in vars(websocket) if re.fullmatch(r"WebSocket\w*Exception", name)}
    assert failures - left_words("exception") == set()


def test_names_of_ws4py_are_all_told() -> None:
    require("ws4py")
    from ws4py.client import geventclient, threadedclient

    told = left_words("WebSocketClient")
    assert find_parameters(geventclient.WebSocketClient) - told == set()
    callbacks = {"opened", "closed", "received_message", "ponged", "unhandled_error"}
    members = find_members(geventclient.WebSocketClient, threadedclient.WebSocketClient)
    assert callbacks <= members
    calls = {"connect", "run_forever", "send", "ping", "close", "receive", "terminated"}
    assert calls <= members
    assert callbacks | calls <= told


def test_names_of_lomond_are_all_there() -> None:
    require("lomond")
    import lomond
    import lomond.persist

    ours = find_parameters(greenws.WebSocket, greenws.WebSocket.connect, greenws.persist)
    assert find_parameters(lomond.WebSocket, lomond.WebSocket.connect) <= ours
    assert find_parameters(lomond.persist.persist) <= ours
    assert find_members(lomond.WebSocket) - {"State"} <= find_members(greenws.WebSocket)


def test_names_of_websockets_are_all_told() -> None:
    require("websockets")
    import websockets.asyncio.client
    import websockets.sync.client

    told = left_words("connect()") | left_words("ClientConnection")
    theirs = find_parameters(
        websockets.asyncio.client.connect,
        websockets.sync.client.connect,
        websockets.sync.client.reconnect,
    )
    assert theirs - told == set()
    members = find_members(
        websockets.asyncio.client.ClientConnection, websockets.sync.client.ClientConnection
    )
    calls = {"send", "recv", "recv_streaming", "ping", "pong", "close", "wait_closed", "state"}
    calls |= {"close_code", "close_reason", "subprotocol", "local_address", "remote_address"}
    assert calls <= members
    assert calls | {"latency", "request", "response"} <= told
    failures = {"ConnectionClosedOK", "ConnectionClosedError", "InvalidStatus", "InvalidURI"}
    failures |= {"InvalidProxy", "ProxyError", "ConcurrencyError", "PayloadTooBig"}
    assert failures <= vars(websockets.exceptions).keys() & left_words("exception")


def test_names_of_greenws_exist() -> None:
    ours = find_members(greenws.Client, greenws.Connection, greenws.WebSocket)
    ours |= find_parameters(greenws.WebSocket, greenws.WebSocket.connect, greenws.persist)
    ours |= find_parameters(greenws.Backoff, greenws.Client.request, greenws.WebSocket.close)
    ours |= vars(greenws).keys() | vars(errors).keys() | ClientOptions.__annotations__.keys()
    ours |= ConnectionOptions.__annotations__.keys() | vars(events).keys()
    for event in vars(events).values():
        if isinstance(event, type):
            ours |= find_members(event)
    # Of the trace, of a response, of Python and of HTTP.
    ours |= {"address", "connect", "status_code", "encode", "logging", "NO_PROXY", "None"}
    ours |= {"TimeoutError", "ValueError", "Origin", "Host"}
    for title, rows in TABLES.items():
        if title == "library":
            continue
        for left, right in rows:
            for name in re.findall(r"``(\w+)(?:``|\()", right):
                assert name in ours or f"``{name}" in left, f"{title}: {left}: {name}"
