"""The end of the program: what servers see of the clients of real child processes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import gevent
import gevent.subprocess as subprocess
import pytest
from gevent.event import Event

import greenws
from greenws.testing import EchoServer, silent, stop_reading
from tests.client.recorders import QUICK, FullRecorder
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE, wait_until

# What each program begins with. "closed" is printed by on_close.
BEGIN = """
import os, signal, sys, threading, time
import gevent, greenws

# A shell has its jobs in the background ignore Ctrl-C, and they hand that on.
signal.signal(signal.SIGINT, signal.default_int_handler)
url = sys.argv[1]

class Feed(greenws.Client):
    def on_close(self, event):
        print("closed", event.sent_code, flush=True)

def start(count=1):
    feeds = [Feed(url).start() for _ in range(count)]
    for feed in feeds:
        assert feed.wait_ready(10)
    return feeds

"""

CLOSED = "closed 1001"


class Program:
    """A child process, with a server of the test for it to talk to."""

    def __init__(self, server: EchoServer, code: str, before: str = "") -> None:
        self.server = server
        script = before + BEGIN + textwrap.dedent(code)
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, server.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def finish(self) -> tuple[int, str, str]:
        """Return the exit code, and what was printed."""
        try:
            out, err = self.process.communicate(timeout=2 * PATIENCE)
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, out.decode(), err.decode()

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


def run(server: EchoServer, code: str, before: str = "") -> tuple[int, list[str], str]:
    status, out, err = Program(server, code, before).finish()
    return status, out.splitlines(), err


def codes(server: EchoServer) -> list[int | None]:
    return [connection.wait_ended() for connection in server.connections]


# The ways to the end. Each sends a last message right before.
ENDS = {
    "end of the script": ("start()[0].send_text('last')", 0),
    "sys.exit": ("start()[0].send_text('last'); sys.exit(3)", 3),
    "exception": ("start()[0].send_text('last'); raise LookupError", 1),
    "sys.exit in a greenlet": (
        """
        feed, = start()
        def leave():
            feed.send_text('last')
            sys.exit(3)
        gevent.spawn(leave)
        feed.join()
        """,
        3,
    ),
    "sys.exit in a handler": (
        """
        class Leaver(Feed):
            def on_ready(self, event):
                self.send_text('last')
                sys.exit(3)
        Leaver(url).start().join()
        """,
        3,
    ),
    "sys.exit in a handler of messages": (
        """
        class Leaver(Feed):
            def on_ready(self, event):
                self.send_text('first')
            def on_text(self, event):
                self.send_text('last')
                sys.exit(3)
        Leaver(url).start().join()
        """,
        3,
    ),
    "sys.exit in a handler of run": (
        """
        class Leaver(Feed):
            def on_ready(self, event):
                self.send_text('last')
                sys.exit(3)
        Leaver(url).run()
        """,
        3,
    ),
    "sys.exit in a signal handler in the hub": (
        """
        feed, = start()
        def leave(*_):
            feed.send_text('last')
            sys.exit(3)
        signal.signal(signal.SIGUSR1, leave)
        gevent.spawn_later(0.01, os.kill, os.getpid(), signal.SIGUSR1)
        gevent.get_hub().loop.run_callback(os.kill, os.getpid(), signal.SIGUSR1)
        feed.join()
        """,
        3,
    ),
    "sys.exit in a signal handler in the main greenlet": (
        """
        feed, = start()
        def leave(*_):
            feed.send_text('last')
            sys.exit(3)
        signal.signal(signal.SIGUSR1, leave)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(10)
        """,
        3,
    ),
    "sys.exit in gevent's signal handler": (
        """
        feed, = start()
        def leave():
            feed.send_text('last')
            sys.exit(3)
        gevent.signal_handler(signal.SIGUSR1, leave)
        os.kill(os.getpid(), signal.SIGUSR1)
        feed.join()
        """,
        3,
    ),
    "Ctrl-C": (
        """
        feed, = start()
        feed.send_text('last')
        gevent.spawn(os.kill, os.getpid(), signal.SIGINT)
        feed.join()
        """,
        -signal.SIGINT,
    ),
    "Ctrl-C in run": (
        """
        class Leaver(Feed):
            def on_ready(self, event):
                self.send_text('last')
                gevent.spawn_later(0.05, os.kill, os.getpid(), signal.SIGINT)
        Leaver(url).run()
        """,
        -signal.SIGINT,
    ),
    "sys.exit in a signal handler in the hub during run": (
        """
        class Leaver(Feed):
            def on_ready(self, event):
                self.send_text('last')
                loop = gevent.get_hub().loop
                loop.run_callback(os.kill, os.getpid(), signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))
        Leaver(url).run()
        """,
        3,
    ),
    "Ctrl-C in a handler": (
        """
        class Leaver(Feed):
            def on_ready(self, event):
                self.send_text('last')
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(10)
        Leaver(url).start().join()
        """,
        -signal.SIGINT,
    ),
    "a forked worker that ends": (
        """
        pid = gevent.os.fork()
        if not pid:
            start()[0].send_text('last')
            sys.exit(3)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
        3,
    ),
}


@pytest.mark.parametrize("patched", [False, True], ids=["", "patched"])
@pytest.mark.parametrize("way", ENDS)
def test_end_of_the_program_is_told_to_the_server(
    way: str, patched: bool, server: EchoServer
) -> None:
    code, expected = ENDS[way]
    before = "import gevent.monkey; gevent.monkey.patch_all()\n" if patched else ""
    if "fork" in way:
        before += "import gevent.os\n"
    status, out, err = run(server, code, before)
    assert status in (expected, 130 if expected == -signal.SIGINT else expected), err
    assert out == [CLOSED], err
    assert codes(server) == [1001]
    assert server.messages[-1] == "last"
    if expected == 0:
        assert err == ""


@pytest.fixture
def server() -> Any:
    with EchoServer() as running:
        yield running


def test_connections_are_drained_at_the_end_of_the_program(server: EchoServer) -> None:
    code = """
    connection = greenws.connect(url, proxies={})
    connection.send("last")
    other = greenws.connect(url, proxies={})
    for number in range(100):
        other.send(str(number))
    """
    assert run(server, code) == (0, [], "")
    assert codes(server) == [1001, 1001]
    assert server.message_count == 101


def test_each_of_many_clients_is_drained(server: EchoServer) -> None:
    status, out, err = run(server, "for feed in start(100): feed.send_text('last')")
    assert (status, err) == (0, "")
    assert out == [CLOSED] * 100
    assert codes(server) == [1001] * 100
    assert server.messages.count("last") == 100


def test_large_queue_leaves_before_the_end(server: EchoServer) -> None:
    code = """
    feed, = start()
    for _ in range(8):
        feed.send_binary(bytes(1024 * 1024))
    """
    status, out, _ = run(server, code)
    assert (status, out) == (0, [CLOSED])
    assert [len(message) for message in server.messages] == [1024 * 1024] * 8


def test_client_that_is_reconnecting_ends_quietly() -> None:
    code = """
    feed = Feed("ws://127.0.0.1:1/", reconnect=greenws.Backoff(min_wait=60)).start()
    gevent.sleep(0.05)
    """
    with EchoServer() as server:
        stopwatch = Stopwatch()
        status, out, _ = run(server, code)
        assert (status, out) == (0, [])
        assert stopwatch.own < PATIENCE


@pytest.mark.parametrize("kind", ["deaf", "opening", "on_close waits"])
def test_end_is_bounded(kind: str) -> None:
    script: dict[str, Any] = {"handler": stop_reading} if kind == "deaf" else {}
    code = "start()\n"
    if kind == "opening":
        script = {"opening": silent}
        code = "Feed(url).start(); gevent.sleep(0.1)\n"
    elif kind == "on_close waits":
        code = "Feed.on_close = lambda self, event: gevent.sleep(60)\nstart()\n"
    code += "import atexit, time; began = time.monotonic()\n"
    # Functions of atexit that were registered first run last.
    first = "import atexit, sys\natexit.register(lambda: print(time.monotonic() - began))\n"
    with EchoServer(**script) as server:
        status, out, err = run(server, code, first)
    assert status == 0, err
    assert float(out[-1]) < greenws.constants.EXIT_TIMEOUT + 0.5
    if kind == "deaf":
        assert out[0] == CLOSED


def test_second_interrupt_ends_the_drain_at_once() -> None:
    code = """
    greenws.drain.__globals__["EXIT_TIMEOUT"] = 60
    feed, = start()
    print("ready", flush=True)
    gevent.spawn_later(0.05, os.kill, os.getpid(), signal.SIGINT)
    feed.join()
    """
    with EchoServer(stop_reading) as server:
        program = Program(server, code)
        wait_until(lambda: server.connection_count)
        output: Any = program.process.stdout
        assert output.readline() == b"ready\n"
        gevent.sleep(0.3)
        program.signal(signal.SIGINT)
        status, _, err = program.finish()
    assert status in (-signal.SIGINT, 130)
    assert "atexit" not in err


def test_clients_of_a_daemon_thread_are_drained(server: EchoServer) -> None:
    code = """
    def live():
        feed, = start()
        feed.send_text('last')
        print("ready", flush=True)
        ready.release()
        feed.join()

    from gevent.monkey import get_original
    ready = get_original("_thread", "allocate_lock")()
    ready.acquire()
    threading.Thread(target=live, daemon=True).start()
    ready.acquire()
    """
    status, out, err = run(server, code)
    assert (status, out) == (0, ["ready", CLOSED]), err
    assert codes(server) == [1001]
    assert server.messages == ["last"]


def test_thread_that_has_ended_does_not_delay_the_end(server: EchoServer) -> None:
    code = """
    kept = []
    thread = threading.Thread(target=lambda: kept.extend(start()))
    thread.start()
    thread.join()
    import atexit
    """
    first = (
        "import atexit, time\nbegan = time.monotonic()\n"
        "atexit.register(lambda: print(len(kept), time.monotonic() - began < 10))\n"
    )
    status, out, err = run(server, code, first)
    assert status == 0, err
    assert out[-1] == "1 True"


@pytest.mark.skipif(
    "libev" not in type(gevent.get_hub().loop).__module__,
    reason="destroy() of a hub of libuv does not return while a connection is open",
)
def test_destroyed_hub_does_not_disturb_the_end(server: EchoServer) -> None:
    status, _, err = run(server, "feeds = start(); gevent.get_hub().destroy()")
    assert status == 0
    assert "Traceback" not in err


def test_child_leaves_the_clients_of_its_parent_alone(server: EchoServer) -> None:
    code = """
    feed, = start()
    pid = gevent.os.fork()
    if not pid:
        sys.exit(0)
    assert not os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    feed.send_text('still here')
    """
    status, out, err = run(server, code, "import gevent.os\n")
    assert (status, out) == (0, [CLOSED]), err
    assert codes(server) == [1001]
    assert server.messages == ["still here"]


def test_program_whose_clients_were_closed_pays_nothing(server: EchoServer) -> None:
    code = """
    feeds = start(50)
    for feed in feeds:
        feed.close()
    for feed in feeds:
        feed.join()
    began = time.process_time()
    """
    first = "import atexit\natexit.register(lambda: print(time.process_time() - began < 0.001))\n"
    status, out, err = run(server, code, first)
    assert (status, out[-1]) == (0, "True"), err
    assert CLOSED not in out


def test_nothing_is_registered_before_a_client_has_run(server: EchoServer) -> None:
    code = """
    import atexit
    before = atexit._ncallbacks()
    feed = Feed(url)
    print(atexit._ncallbacks() - before)
    feed.start().wait_ready(10)
    Feed(url).start().wait_ready(10)
    print(atexit._ncallbacks() - before)
    """
    _, out, err = run(server, code)
    assert out[:2] == ["0", "1"], err


def test_os_exit_tells_nobody(server: EchoServer) -> None:
    status, out, _ = run(server, "start(); os._exit(5)")
    assert (status, out) == (5, [])
    assert codes(server) == [None]


# drain(), in this process


def start(server: EchoServer, count: int = 1, **options: Any) -> list[FullRecorder]:
    feeds = [FullRecorder(server.url, **options).start() for _ in range(count)]
    for feed in feeds:
        assert feed.wait_ready(PATIENCE)
    return feeds


def test_drain_closes_and_waits(server: EchoServer) -> None:
    feeds = start(server, 20, reconnect=QUICK)
    for feed in feeds:
        feed.send_text("last")
    assert greenws.drain() == 0
    for feed in feeds:
        assert not feed.is_running
        assert feed.calls.count("connecting") == 1
        assert feed.calls[-1] == "close"
    assert codes(server) == [1001] * 20
    assert server.messages == ["last"] * 20


def test_drain_closes_connections_as_well(server: EchoServer) -> None:
    start(server)
    connection = greenws.connect(server.url, proxies={})
    connection.send("last")
    assert greenws.drain(PATIENCE) == 0
    assert not connection.is_open
    assert connection.sent_code == 1001
    assert server.message_count == 1
    assert codes(server) == [1001, 1001]
    # What was received is still there; then the end.
    assert connection.receive(PATIENCE) == "last"
    with pytest.raises(greenws.errors.WebSocketClosed):
        connection.receive(PATIENCE)


def test_drain_drops_connections_that_are_late() -> None:
    with EchoServer(stop_reading) as server:
        connection = greenws.connect(server.url, proxies={}, close_timeout=None)
        assert greenws.drain(0.05) == 1
        wait_until(lambda: connection.close_code is not None)
        assert connection.close_code == 1006


def test_drain_has_a_code_and_a_reason(server: EchoServer) -> None:
    start(server)
    assert greenws.drain(5, 4000, "new version") == 0
    assert codes(server) == [4000]


def test_drain_kills_those_that_are_late(caplog: pytest.LogCaptureFixture) -> None:
    with EchoServer() as server, EchoServer(stop_reading) as deaf:
        good, late = start(server, 2), start(deaf, 3)
        with caplog.at_level(logging.WARNING):
            assert greenws.drain(0.1) == 3
        assert "did not close in time: 3 of 5 clients" in caplog.text
        assert all(not feed.is_running for feed in good + late)
        assert all(feed.calls[-1] == "close" for feed in good + late)


def test_drain_without_time_kills_at_once() -> None:
    with EchoServer(stop_reading) as deaf:
        (feed,) = start(deaf)
        assert greenws.drain(0) == 1
        assert not feed.is_running


def test_drain_does_not_wait_for_an_on_close_that_waits(server: EchoServer) -> None:
    (feed,) = start(server)
    going_on = Event()

    def wait(event: Any) -> None:
        try:
            going_on.wait(PATIENCE)
        except gevent.GreenletExit:
            going_on.wait(PATIENCE)

    feed.react_close = wait  # type: ignore[attr-defined]
    assert greenws.drain(0.05) == 1
    assert feed.is_running
    going_on.set()
    feed.join(PATIENCE)


def test_drain_again_has_nothing_to_do(server: EchoServer) -> None:
    start(server, 3)
    assert [greenws.drain(), greenws.drain()] == [0, 0]


def test_two_drains_at_once_both_wait(server: EchoServer) -> None:
    feeds = start(server, 3)
    drains = [gevent.spawn(greenws.drain) for _ in range(2)]
    gevent.joinall(drains, PATIENCE)
    assert [drain.value for drain in drains] == [0, 0]
    assert not any(feed.is_running for feed in feeds)


def test_drain_leaves_clients_that_start_meanwhile_alone(server: EchoServer) -> None:
    (feed,) = start(server)
    late: list[FullRecorder] = []
    feed.react_closed = lambda event: late.extend(start(server))  # type: ignore[attr-defined]
    assert greenws.drain() == 0
    assert late[0].is_ready
    late[0].kill()


def test_handler_may_drain_without_waiting_for_itself(server: EchoServer) -> None:
    (other,) = start(server)
    drained: list[int] = []
    feed = FullRecorder(server.url)
    feed.react_ready = lambda event: drained.append(greenws.drain())  # type: ignore[attr-defined]
    feed.run()
    assert drained == [0]
    assert not other.is_running
    assert codes(server) == [1001, 1001]


def in_hub(function: Callable[[], object]) -> list[Any]:
    outcome: list[Any] = []
    gevent.get_hub().loop.run_callback(lambda: outcome.append(function()))
    wait_until(lambda: outcome)
    return outcome


def test_drain_in_the_hub_goes_on_in_a_greenlet(server: EchoServer) -> None:
    (feed,) = start(server)
    assert in_hub(greenws.drain) == [0]
    feed.join(PATIENCE)
    assert not feed.is_running
    assert codes(server) == [1001]


def test_close_that_fails_keeps_no_other_from_closing(
    server: EchoServer, caplog: pytest.LogCaptureFixture
) -> None:
    def trace(record: dict[str, Any]) -> None:
        if record["stage"] == "close_requested":
            raise LookupError("trace")

    (bad,) = start(server, trace=trace)
    (good,) = start(server)
    with gevent.Timeout(PATIENCE):
        greenws.drain()
    assert "could not be closed" in caplog.text
    assert not good.is_running
    assert not bad.is_running


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((-1,), ValueError),
        ((float("nan"),), ValueError),
        ((5, 1005), ValueError),
        ((5, 1001, "x" * 200), ValueError),
        (("5",), TypeError),
        ((None,), TypeError),
    ],
)
def test_wrong_arguments_change_nothing(
    arguments: tuple[Any, ...], error: type[Exception], server: EchoServer
) -> None:
    (feed,) = start(server)
    with pytest.raises(error):
        greenws.drain(*arguments)
    assert feed.is_ready
    feed.kill()


# SystemExit and Ctrl-C out of a handler


class Leaver(FullRecorder):
    """Leaves the program from the handler of an event."""

    where = "ready"
    error: BaseException = SystemExit(3)

    def note(self, name: str, event: Any) -> None:
        super().note(name, event)
        if name == self.where:
            raise self.error

    def on_ready(self, event: Any) -> None:
        self.note("ready", event)
        self.send_text("x")
        self.send_binary(b"x")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["ready", "text", "binary", "closing", "close"])
def test_exit_out_of_a_handler_comes_out_of_run(
    error: BaseException, where: str, server: EchoServer
) -> None:
    if where == "closing":
        server.handler = lambda connection: connection.close(4000)
    feed = Leaver(server.url, reconnect=QUICK)
    feed.where, feed.error = where, error
    if where == "close":
        feed.where = "binary"
        feed.react_close = feed.note  # type: ignore[attr-defined]
    with pytest.raises(type(error)):
        feed.run()
    assert not feed.is_running
    assert feed.calls[-1] == "close"
    assert feed.calls.count("connecting") == 1
    if where != "closing":
        assert codes(server) == [1001]


def test_exit_out_of_a_handler_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenws.client.EXIT_TIMEOUT", 0.05)
    with EchoServer(stop_reading) as server:
        feed = Leaver(server.url, close_timeout=None)
        with pytest.raises(SystemExit):
            feed.run()
    assert feed.calls[-1] == "close"


@pytest.mark.parametrize("where", ["connecting", "connected"])
def test_exit_out_of_a_handler_of_the_opening(where: str, server: EchoServer) -> None:
    feed = Leaver(server.url, reconnect=QUICK)
    feed.where = where
    with pytest.raises(SystemExit):
        feed.run()
    assert "ready" not in feed.calls


def test_second_exit_is_not_delayed(server: EchoServer) -> None:
    feed = Leaver(server.url)

    def leave(event: Any) -> None:
        raise KeyboardInterrupt

    feed.react_closed = leave  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        feed.run()
    assert feed.calls[-1] == "close"
