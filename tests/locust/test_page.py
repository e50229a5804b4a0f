"""The programs of docs/locust.rst, and examples/locustfile.py, as a reader would run them."""

from __future__ import annotations

import json
import re
import sys
import textwrap
import time
from pathlib import Path

import pytest
from gevent import subprocess

from greenws.testing import EchoServer, ServerConnection
from tests.support.locusts import locusts, needs_locust
from tests.support.programs import find_ports
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "locust.rst").read_text(encoding="utf-8")
BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", PAGE, re.MULTILINE)
]

# A user that has counted so much ends the test.
COUNTING = """

from locust import events as _hooks

_seen = set()
_wanted = {wanted!r}


@_hooks.init.add_listener
def _count(environment, **more):
    @environment.events.request.add_listener
    def look(request_type, name, **more):
        _seen.add((request_type, name))
        if _seen >= _wanted:
            print("all seen", flush=True)
"""


def test_code_of_the_page_compiles() -> None:
    assert len(BLOCKS) >= 4
    for block in BLOCKS:
        compile(block, "locust.rst", "exec")


@needs_locust
def test_programs_of_the_page_work_together(tmp_path: Path) -> None:
    pytest.importorskip("websockets")
    server, locustfile = BLOCKS[:2]
    (port,) = find_ports(1)
    for program in (server, locustfile):
        assert "8765" in program
    ours = tmp_path / "server.py"
    ours.write_text(server.replace("8765", str(port)))
    wanted = {("WS", "/feed"), ("WSS", "subscribe"), ("WSQ", "quote"), ("WSR", "tick")}
    source = locustfile.replace("8765", str(port)) + COUNTING.format(wanted=wanted)
    process = subprocess.Popen([sys.executable, "-W", "error", str(ours)])
    try:
        wait_for_port(port)
        with locusts(tmp_path, source, "-u", 2, "-r", 2) as run:
            run.wait_log("all seen")
            result = run.stop()
    finally:
        process.kill()
        process.wait()
    result.check_quiet()
    for kind, name in wanted:
        assert result.count(kind, name)
    # The only failures are those that the server makes.
    assert all("no price" in row["Error"] for row in result.failures)


@needs_locust
def test_example_runs_on_a_server(tmp_path: Path) -> None:
    def serve(connection: ServerConnection) -> None:
        for message in connection:
            if message == "hello":
                connection.send("hello")
                continue
            asked = json.loads(message)
            if asked["op"] == "subscribe":
                connection.send(json.dumps({"sent_at": time.time()}))
            else:
                connection.send(json.dumps({"id": asked["id"], "price": 5}))

    wanted = {("WS", "visit"), ("WSQ", "visit"), ("WSC", "visit")}
    wanted |= {("WS", "/feed"), ("WSS", "subscribe"), ("WSQ", "quote"), ("WSR", "tick")}
    source = (ROOT / "examples" / "locustfile.py").read_text() + COUNTING.format(wanted=wanted)
    source = source.replace("between(0.5, 1.5)", "between(0.01, 0.02)")
    with EchoServer(serve) as server:
        with locusts(tmp_path, source, "-u", 2, "-r", 2, "--host", server.url) as run:
            run.wait_log("all seen")
            result = run.stop()
    assert result.status == 0, result.log
    result.check_quiet()
    for kind, name in wanted:
        assert result.count(kind, name)
    assert result.failures == []


def wait_for_port(port: int) -> None:
    import gevent
    from gevent import socket

    with gevent.Timeout(PATIENCE):
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                gevent.sleep(0.02)
            else:
                return
