"""A visit to a server by a greenws.Client, and a report of it that JSON can carry.

A test makes each visit twice: in its own process, which is not patched, and in a process that has
run ``monkey.patch_all()``. That process runs this file as a program, which reads a visit per line
and writes a report per line.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import gevent.event

import greenws
from greenws import events
from tests.support.ticker import Ticker

ROOT = Path(__file__).parents[2]


class Visitor(greenws.Client):
    """Sends given texts, waits for their echoes, closes, and reports everything."""

    def __init__(self, url: str, sends: list[str], **options: Any) -> None:
        super().__init__(url, trace=self.note, **options)
        self.sends = sends
        self.report: dict[str, Any] = {"events": [], "trace": [], "texts": []}

    def iterate(self, way: str) -> None:
        """Handle the events of an iteration, by the same handlers."""
        websocket = self.websocket
        leave = gevent.event.Event()
        steps = greenws.persist(websocket, exit_event=leave) if way == "persist" else websocket
        for event in steps:
            handler = getattr(self, f"on_{event.name}")
            handler(event)
            if event.name == "back_off":
                leave.set()

    def note(self, record: dict[str, Any]) -> None:
        self.report["trace"].append(record)

    def see(self, event: events.Event) -> None:
        self.report["events"].append(event.name)
        self.report.setdefault("shown", []).append(repr(event))

    on_connecting = see

    def on_connected(self, event: events.Connected) -> None:
        self.see(event)
        self.report["proxy"] = event.proxy

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        self.see(event)
        self.report["reason"] = event.reason
        self.report["error"] = type(event.error).__name__
        self.report["status_code"] = getattr(event.error, "status_code", None)
        self.report["socks_code"] = getattr(event.error, "socks_code", None)

    def on_rejected(self, event: events.Rejected) -> None:
        self.see(event)
        self.report["reason"] = event.reason
        self.report["status_code"] = event.response.status_code
        self.report["headers"] = event.response.headers
        self.report["body"] = event.response.body.decode()

    def on_ready(self, event: events.Ready) -> None:
        self.see(event)
        for text in self.sends:
            self.send_text(text)

    def on_text(self, event: events.Text) -> None:
        self.report["texts"].append(event.text)
        if len(self.report["texts"]) == len(self.sends):
            self.close()

    def on_disconnected(self, event: events.Disconnected) -> None:
        self.see(event)
        self.report["code"] = event.code

    def on_back_off(self, event: events.BackOff) -> None:
        self.see(event)
        self.report["delay"] = event.delay
        self.close()


def visit(
    url: str,
    sends: tuple[str, ...] | list[str] = ("hello",),
    environment: dict[str, str] | None = None,
    cookies: dict[str, Any] | None = None,
    times: int = 1,
    way: str = "client",
    connected: list[Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Connect, wait for the echoes, close.

    :param way: ``"client"``: handlers are called; ``"websocket"``: the test iterates;
        ``"persist"``: it iterates until the first back-off.
    :param connected: the address of a socket that the visit connects and hands over.
    :param environment: variables that the process has during the visit.
    :param cookies: None: no cookie jar; otherwise its contents are reported.
    :param times: how often to do it; the report is of the last time.
    :param options: of the client, as far as JSON can carry them.
    """
    from http.cookiejar import CookieJar

    if cookies is not None:
        options["cookies"] = CookieJar()
    if connected is not None:
        options["socket"] = socket.create_connection((connected[0], connected[1]))
    options.setdefault("open_timeout", 10)
    ticker = Ticker()
    try:
        with _variables(environment or {}):
            for _ in range(times):
                client = Visitor(url, list(sends), **options)
                if way == "client":
                    client.run()
                else:
                    client.iterate(way)
    finally:
        ticker.stop()
    report = client.report
    report["largest_gap"] = ticker.largest_gap
    if cookies is not None:
        report["cookies"] = {cookie.name: cookie.value for cookie in options["cookies"]}
    report["shown"].append(repr(client))
    return report


@contextmanager
def _variables(environment: dict[str, str]) -> Any:
    before = {
        name: value
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy") or name in environment
    }
    for name in before:
        del os.environ[name]
    os.environ.update(environment)
    try:
        yield
    finally:
        for name in environment:
            os.environ.pop(name, None)
        os.environ.update(before)


class PatchedVisitor:
    """A patched process that makes visits; call it as :func:`visit`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.network.visitor"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, url: str, **options: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"url": url, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the patched process has ended"
        report: dict[str, Any] = json.loads(line)
        assert report.pop("patched")
        return report

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _main() -> None:
    from gevent import monkey

    for line in sys.stdin:
        report = visit(**json.loads(line))
        report["patched"] = monkey.is_module_patched("socket")
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    _main()
