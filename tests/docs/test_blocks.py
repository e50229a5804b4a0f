"""Every block of Python in pages and docstrings does what a reader would have it do: it runs.

Blocks run in this process, in a folder of their own, against one server: it answers each message
with the same, and pushes some to those who come for ``/feed``. A program that waits for more is
brought to its end as a reader would see it end: the server closes, the clients are drained, and
what then still loops is ended.
"""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

import greenws
from greenws.testing import EchoServer, ServerConnection
from tests.support.pages import Program, find_programs

PROGRAMS = find_programs()

#: Hosts of the pages for which the server of the test stands.
HOSTS = re.compile(r"wss?://(?:[\w.-]*\bexample\.(?:org|com)|(?:127\.0\.0\.1|localhost):8765)\b")

#: Turns of the loop, of a millisecond or more, after which nothing more is coming.
QUIET_TURNS = 60


def serve(connection: ServerConnection) -> None:
    request = connection.read_request()
    if "/feed" in request.target:
        for price in (100, 101):
            connection.send(f'{{"channel": "trades", "price": {price}}}')
    for message in connection:
        connection.send(message)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the program, in a process that afterwards is as it was before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program.py"])
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    watchers: list[Any] = []
    watch = gevent.signal_handler

    def signal_handler(*arguments: Any) -> Any:
        watchers.append(watch(*arguments))
        return watchers[-1]

    monkeypatch.setattr(gevent, "signal_handler", signal_handler)
    loggers = [logging.getLogger(), logging.getLogger("greenws")]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    yield tmp_path
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
    for watcher in watchers:
        watcher.cancel()


class Ended(BaseException):
    """The program goes on for ever, and has shown what it does."""


def execute(program: Program, names: dict[str, Any]) -> None:
    """Run the blocks of a program, and its tests; a traceback has the lines of the page."""
    url = names["server"].url.rstrip("/")
    try:
        for block in program.blocks:
            padded = "\n" * (block.line - 1) + HOSTS.sub(url, block.source)
            exec(compile(padded, str(program.page), "exec"), names)
        for name, value in list(names.items()):
            if name.startswith("test_") and not inspect.signature(value).parameters:
                value()
    except Ended:
        pass


def is_quiet(server: EchoServer, running: gevent.Greenlet[..., None]) -> bool:
    """Wait until the program has ended, or nothing more happens; tell which."""
    seen: object = None
    turns = 0
    while turns < QUIET_TURNS:
        now = (server.connection_count, len(server.open_connections), server.message_count)
        turns = turns + 1 if now == seen else 0
        seen = now
        gevent.sleep(0.001)
        if running.ready():
            return False
    return True


def bring_to_its_end(server: EchoServer, running: gevent.Greenlet[..., None]) -> None:
    if is_quiet(server, running):
        for connection in server.open_connections:
            if connection.is_open:
                connection.close(1000, "bye")
        if is_quiet(server, running):
            greenws.drain()
            if is_quiet(server, running):
                running.kill(Ended)


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
def test_program_runs(program: Program, place: Path) -> None:
    compile(program.source, str(program.page), "exec")
    if program.reason or "import WebSocketUser" in program.source:
        return  # Locust patches the process that imports it
    with EchoServer(serve) as server:
        names: dict[str, Any] = {"__name__": "__main__", "server": server}
        running = gevent.spawn(execute, program, names)
        try:
            # Who brings a server of his own ends by himself.
            if HOSTS.search(program.source):
                bring_to_its_end(server, running)
            running.get()
        finally:
            greenws.drain()
            running.kill(Ended)
            names.clear()


def test_pages_have_code() -> None:
    assert len({program.page for program in PROGRAMS}) > 10
