"""The end of a web application: what the servers of its clients see when gunicorn or uWSGI end."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import gevent
import gevent.socket
import gevent.subprocess as subprocess
import pytest

from greenws.testing import EchoServer
from tests.support.programs import find
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[1]

# Each worker starts its client with its first request.
APPLICATION = """
import os
import greenws

class Feed(greenws.Client):
    def on_close(self, event):
        with open(os.environ["ENDS"], "a") as ends:
            ends.write(f"{event.code} {event.sent_code}\\n")

feeds = []

def application(environ, start_response):
    if not feeds:
        feeds.append(Feed(os.environ["FEED"], proxies={}).start())
        assert feeds[0].wait_ready(10)
    feeds[0].send_text("a request")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""

# As docs/client.rst has it.
DRAINING = """
import signal
import gevent
from uwsgidecorators import postfork

def watch_signals():
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        gevent.signal_handler(number, greenws.drain)

@postfork
def begin():
    gevent.spawn(watch_signals)
"""


def find_port() -> int:
    with gevent.socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def ask(port: int) -> bytes:
    """Make a request, as soon as somebody listens."""
    while True:
        try:
            with gevent.socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while piece := sock.recv(4096):
                    answer += piece
            return answer
        except OSError:
            gevent.sleep(0.02)


def run(command: list[str], port: int, number: int, folder: Path, code: str) -> list[str]:
    """Run a web server until a signal, after one request.

    :returns: the ends of its clients, as ``on_close`` was told of them.
    """
    folder.joinpath("feeding.py").write_text(textwrap.dedent(code), encoding="utf-8")
    ends = folder / "ends"
    ends.touch()
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    with EchoServer() as feed, open(folder / "log", "wb") as log:
        environment = {**os.environ, "PYTHONPATH": path, "ENDS": str(ends), "FEED": feed.url}
        environment["HOME"] = str(folder)  # gunicorn has a control socket there
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            with gevent.Timeout(PATIENCE):
                assert ask(port).endswith(b"done"), (folder / "log").read_text()
                process.send_signal(number)
                assert process.wait() == 0
        finally:
            process.kill()
            process.wait()
        feed.wait_idle()
        assert [connection.close_code for connection in feed.connections] == [1001]
        assert feed.messages == ["a request"]
    return ends.read_text().splitlines()


@pytest.mark.skipif(find_spec("gunicorn") is None, reason="gunicorn is not installed")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
def test_worker_of_gunicorn_ends_in_good_order(
    number: int, preload: list[str], tmp_path: Path
) -> None:
    port = find_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}"]
    command += [*preload, "feeding:application"]
    assert run(command, port, number, tmp_path, APPLICATION) == ["1001 1001"]


def test_worker_of_uwsgi_that_drains_ends_in_good_order(tmp_path: Path) -> None:
    port = find_port()
    command = [find("uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--gevent", "20", "--master"]
    command += ["--processes", "1", "--virtualenv", sys.prefix, "--gevent-wait-for-hub"]
    command += ["--need-app", "--wsgi-file", "feeding.py"]
    assert run(command, port, signal.SIGINT, tmp_path, APPLICATION + DRAINING) == ["1001 1001"]
