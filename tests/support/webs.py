"""Web servers that run the applications of examples/web, the service upstream of them, and their
visitors.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import gevent
import gevent.event
import gevent.socket
import pytest
from gevent import subprocess

from greenws.testing import EchoServer, ServerConnection
from tests.support.programs import find_ports
from tests.support.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "web"

#: Seconds for processes that import a framework, or that a server replaces by others.
LONG = 3 * PATIENCE

#: Seconds between two requests of one visitor, who is not to keep a core busy.
PACE = 0.02


def is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not is_installed(module), reason=f"{module} is not installed")


#: The frameworks that are here. A test runs all of them at the same time.
FRAMEWORKS = [name for name in ("flask", "django", "pyramid") if is_installed(name)]


class Upstream:
    """The service: ticks when the test says so, and replies that it may hold back."""

    def __init__(self) -> None:
        self._server = EchoServer(self._serve)
        self._held: list[tuple[ServerConnection, str]] | None = None

    def __enter__(self) -> Upstream:
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def count(self) -> int:
        """The number of all connections so far."""
        return self._server.connection_count

    def check_codes(self, codes: Sequence[int | None]) -> None:
        """Check the close codes of all connections so far."""
        found = [connection.close_code for connection in self._server.connections]
        assert found == [*codes], self._server.connections

    def wait_open(self, count: int, total: int) -> None:
        """Wait until just so many connections are left of so many there were, all subscribed."""

        def are_open() -> bool:
            left = [each for each in self._server.connections if not each.is_ended]
            is_settled = len(left) == count and self.count >= total
            return is_settled and all(each.is_open and each.messages for each in left)

        self._server.wait_for(are_open, LONG)

    def headers(self, name: str) -> list[str | None]:
        """The header of this name in the request of each connection so far."""
        requests = [connection.request for connection in self._server.connections]
        return [None if request is None else request.get(name) for request in requests]

    def wait_end(self) -> None:
        """Wait until no connection is left."""
        self._server.wait_idle(PATIENCE)

    def tick(self, text: str) -> None:
        """Send a message to all."""
        for connection in self._server.open_connections:
            connection.send(json.dumps({"tick": text}))

    def hold(self) -> None:
        """Keep replies back from now on."""
        self._held = []

    def wait_held(self, count: int) -> None:
        """Wait until so many questions wait for their replies."""
        self._server.wait_for(lambda: self._held is not None and len(self._held) >= count, LONG)

    def release(self) -> None:
        """Send the replies."""
        held, self._held = self._held, None
        for connection, reply in held or ():
            connection.send(reply)

    def _serve(self, connection: ServerConnection) -> None:
        for message in connection:
            asked = json.loads(message)
            if asked["op"] == "subscribe":
                connection.send(json.dumps({"tick": "first"}))
                continue
            reply = json.dumps({**asked, "price": 100})
            if self._held is None:
                connection.send(reply)
            else:
                self._held.append((connection, reply))


class Site:
    """A web server in a group of processes of its own, and its visitors.

    :param command: without the address.
    :param folder: where its log is.
    """

    def __init__(self, command: list[object], port: int, folder: Path, upstream: Upstream) -> None:
        self._port = port
        self._log = folder / f"log-{port}"
        names = ("http_proxy", "https_proxy", "all_proxy", "pythonpath")
        environment = {k: v for k, v in os.environ.items() if k.lower() not in names}
        path = [str(folder), str(EXAMPLES), str(ROOT)]
        environment["PYTHONPATH"] = os.pathsep.join(path)
        environment["FEED_URL"] = upstream.url
        environment["HOME"] = str(folder)  # gunicorn has a control socket there
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                list(map(str, command)),
                cwd=EXAMPLES,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What the server has printed so far."""
        return self._log.read_text(errors="replace")

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait_end(self) -> None:
        """Wait until no process is left; the first one must say that all is well."""
        assert self._process.wait(LONG) == 0, self.log
        wait_until(lambda: not self._has_members())

    def check_quiet(self) -> None:
        """Check that nothing has failed. What older versions of gevent complain of as the
        interpreter is taken apart does not count.
        """
        log = self.log
        assert "Traceback" not in re.sub("Exception ignored in.*\nTraceback", "", log), log

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def fetch(self, path: str) -> tuple[int, str]:
        """Make a request, and return status and body."""
        with self.open(path) as visit:
            head, _, body = visit.read_to_end().partition("\r\n\r\n")
        assert head, f"no answer to {path}\n{self.log}"
        return int(head.split()[1]), body

    def quote(self) -> int:
        """Ask the service through the application, and return the status."""
        status, body = self.fetch("/quote/ABC")
        assert status != 200 or json.loads(body)["price"] == 100
        return status

    def open(self, path: str, version: str = "1.0") -> Visit:
        return Visit(self._port, path, version)

    def watch(self) -> Visit:
        """Open a stream of events, and wait for its beginning."""
        visit = self.open("/events")
        visit.read_until("retry: 1000\n\n")
        return visit

    def wait_healthy(self) -> None:
        """Wait until the application answers, and is well."""

        def is_healthy() -> bool:
            if self._process.poll() is not None:
                raise AssertionError(f"the server has ended\n{self.log}")
            try:
                return self.fetch("/health")[0] == 200
            except OSError:  # it does not listen yet
                return False

        with gevent.Timeout(LONG, AssertionError(f"the site is not well\n{self.log}")):
            while not is_healthy():
                gevent.sleep(PACE)

    def _has_members(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Visit:
    """One request of a browser."""

    def __init__(self, port: int, path: str, version: str) -> None:
        self._received = ""
        self._sock = gevent.socket.create_connection(("127.0.0.1", port), timeout=LONG)
        self._sock.sendall(f"GET {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        self._sock.close()

    def read_until(self, text: str) -> str:
        """Read until the answer has this text, and return all of it so far."""
        while text not in self._received:
            assert self._read(), f"ended before {text!r}: {self._received!r}"
        return self._received

    def read_to_end(self) -> str:
        while self._read():
            pass
        return self._received

    def _read(self) -> bool:
        piece: str = self._sock.recv(65536).decode()
        self._received += piece
        return bool(piece)


#: Makes the command of a server that listens on a port.
Command = Callable[[int], "list[object]"]


@contextlib.contextmanager
def serving(command: Command, folder: Path) -> Iterator[tuple[Site, Upstream]]:
    """Run a web server and its service as long as a ``with`` block."""
    (port,) = find_ports(1)
    with Upstream() as upstream:
        site = Site(command(port), port, folder, upstream)
        try:
            yield site, upstream
        finally:
            site.kill()


def live(command: Command, folder: Path, *, workers: int, can_reload: bool) -> None:
    """Have a site begin, serve, be reloaded, and end, always in the midst of its work."""
    with serving(command, folder) as (site, upstream):
        upstream.wait_open(workers, workers)
        site.wait_healthy()
        assert site.quote() == 200
        if can_reload:
            with visiting(site):
                _stop_amid_requests(site, upstream, signal.SIGHUP)
                upstream.wait_open(workers, 2 * workers)
            upstream.check_codes([1001] * workers + [None] * workers)
        _stop_amid_requests(site, upstream, signal.SIGTERM)
        site.wait_end()
        upstream.wait_end()
        upstream.check_codes([1001] * workers * (2 if can_reload else 1))
        site.check_quiet()


def _stop_amid_requests(site: Site, upstream: Upstream, number: int) -> None:
    with site.watch() as stream:
        upstream.tick("news")
        stream.read_until('data: {"tick": "news"}\n\n')
        upstream.hold()
        visits = [gevent.spawn(site.quote) for _ in range(4)]
        upstream.wait_held(4)
        site.send_signal(number)
        assert stream.read_to_end().endswith(": goodbye\n\n")
    # Their connection is still there.
    upstream.release()
    assert [visit.get() for visit in visits] == [200] * 4


@contextlib.contextmanager
def visiting(site: Site) -> Iterator[None]:
    """Make requests, one after the other, as long as a ``with`` block; none may fail."""
    is_over = gevent.event.Event()

    def visit() -> None:
        while not is_over.is_set():
            assert site.quote() == 200
            is_over.wait(PACE)

    visitor = gevent.spawn(visit)
    try:
        yield
    finally:
        is_over.set()
        visitor.join()
    visitor.get()


def run_together(cases: Mapping[str, Callable[[], object]]) -> None:
    """Run some cases at the same time: servers wait more than they work."""
    running = {name: gevent.spawn(case) for name, case in cases.items()}
    try:
        gevent.joinall(list(running.values()))
    finally:
        gevent.killall(list(running.values()))
    failed = {name: each.exc_info for name, each in running.items() if not each.successful()}
    told = [
        f"{name}:\n{''.join(traceback.format_exception(info[1]))}"
        for name, info in failed.items()
        if info is not None
    ]
    assert not failed, "\n".join(told)
