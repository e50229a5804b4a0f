"""An echo server in a thread of its own, beside clients of any kind."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import gevent
import gevent.os
import pytest
import websockets.sync.client
from gevent import subprocess
from gevent._hub_local import get_hub_if_exists
from gevent.monkey import get_original

import greenws
from greenws.errors import WebSocketClosed
from greenws.testing import (
    ServerConnection,
    ThreadedEchoServer,
    close_with,
    silent,
    stop_reading,
    threaded,
)
from tests.support.authority import Authority

get_thread: Callable[[], int] = get_original("_thread", "get_ident")


class ChildThread(threading.Thread):
    """A thread that keeps the exception of its function, for join()."""

    error: BaseException | None = None

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self.start()

    def run(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001  # finish() raises it
            self.error = error

    def finish(self) -> None:
        self.join(10)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def test_a_client_that_blocks_its_thread_is_served() -> None:
    with ThreadedEchoServer() as server, websockets.sync.client.connect(server.url) as client:
        client.send("hello")
        assert client.recv(timeout=5) == "hello"
        time.sleep(0)  # not gevent's
        server.connections[0].send("from the test")
        assert client.recv(timeout=5) == "from the test"
        assert server.messages == ["hello"]


def test_a_client_of_greenws_goes_on_while_the_test_waits_for_the_server() -> None:
    with ThreadedEchoServer() as server:
        client = greenws.Client(server.url).start()
        assert server.wait_connections(1)[0].is_open
        assert client.wait_ready(5)
        gevent.spawn(client.send_text, "later")
        assert server.wait_messages(1) == ["later"]
        connection = server.connections[0]
        client.close(4000, "enough")
        assert connection.wait_ended() == 4000
        assert connection.close_reason == "enough"
        server.wait_idle()
        client.join()


def test_a_test_acts_on_a_connection_itself() -> None:
    with ThreadedEchoServer(stop_reading) as server:
        with greenws.connect(server.url) as client:
            connection = server.wait_connections(1)[0]
            client.send("one")
            client.send(b"two")
            assert connection.receive() == "one"
            assert connection.receive() == b"two"
            connection.send_ping(b"alive?")
            connection.send_pong()
            connection.send_text("text")
            connection.send_binary(b"binary")
            connection.flush()
            assert [client.receive(5), client.receive(5)] == ["text", b"binary"]
            client.send("three")
            assert connection.receive() == "three"
            assert list(connection.pongs) == [b"alive?"]
            connection.close(4001)
            with pytest.raises(WebSocketClosed):
                connection.receive()
            connection.drop(reset=False)
            with pytest.raises(WebSocketClosed) as caught:
                client.receive(5)
            assert caught.value.code == 4001


def test_behaviours_and_conditions_run_in_the_thread_of_the_server() -> None:
    seen: list[int] = []

    def note(connection: ServerConnection) -> None:
        seen.append(get_thread())
        connection.send("noted")

    with ThreadedEchoServer(note) as server, greenws.connect(server.url) as client:
        assert client.receive(5) == "noted"
        assert server.wait_for(get_thread) == seen[0] != get_thread()


def test_an_exception_of_a_behaviour_comes_out_of_the_block() -> None:
    def fail(connection: ServerConnection) -> None:
        assert connection.receive() == "this"

    with pytest.raises(AssertionError), ThreadedEchoServer(fail) as server:
        with greenws.connect(server.url) as client:
            client.send("that")
            with pytest.raises(WebSocketClosed):
                client.receive(5)


def test_a_condition_that_never_holds_is_a_timeout() -> None:
    with ThreadedEchoServer() as server:
        with pytest.raises(TimeoutError):
            server.wait_for(lambda: False, timeout=0.01)
        with pytest.raises(ZeroDivisionError):
            server.wait_for(lambda: 1 / 0)


def test_a_wait_that_is_given_up_ends_in_the_thread_of_the_server_too() -> None:
    def condition() -> bool:
        return False

    with ThreadedEchoServer() as server:
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
            server.wait_for(condition, timeout=None)
        waiter = gevent.spawn(server.wait_for, condition, None)
        gevent.sleep(0.01)
        waiter.kill()
        assert isinstance(waiter.value, gevent.GreenletExit)
        # The journal has forgotten both.
        assert server.wait_for(lambda: len(server._journal._waiters) == 1)


def test_a_thread_without_a_hub_gets_none() -> None:
    def visit() -> None:
        with websockets.sync.client.connect(server.url) as client:
            client.send("hello")
            assert server.wait_messages(1) == ["hello"]
        assert server.connections[0].wait_ended() == 1000
        with pytest.raises(TimeoutError):
            server.wait_for(lambda: False, timeout=0.01)
        assert get_hub_if_exists() is None

    with ThreadedEchoServer() as server:
        ChildThread(visit).finish()


def test_after_the_end_calls_return_at_once() -> None:
    with ThreadedEchoServer() as server, greenws.connect(server.url) as client:
        client.close(4000)
    (connection,) = server.connections
    assert connection.wait_ended() == 4000
    assert connection.is_ended
    server.wait_idle()
    with pytest.raises(WebSocketClosed):
        connection.receive()
    with pytest.raises(WebSocketClosed):
        connection.send("late")
    connection.close()
    connection.drop()
    server.stop()


def test_a_server_can_be_started_again_on_its_port() -> None:
    server = ThreadedEchoServer()
    server.start()
    with pytest.raises(RuntimeError, match="already running"):
        server.start()
    port = server.port
    server.stop()
    server.start()
    assert server.port == port
    with greenws.connect(server.url) as client:
        client.send("again")
        assert client.receive(5) == "again"
    server.stop()


def test_a_port_that_is_taken_is_an_error_and_leaves_no_thread() -> None:
    with ThreadedEchoServer() as server:
        before = threading.active_count()
        with pytest.raises(OSError):
            ThreadedEchoServer(port=server.port).start()
        assert threading.active_count() == before


def test_a_hub_that_cannot_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no descriptors")

    monkeypatch.setattr(threaded, "get_hub", fail)
    with pytest.raises(OSError, match="no descriptors"):
        ThreadedEchoServer().start()


def test_a_behaviour_may_stop_its_server() -> None:
    def end(connection: ServerConnection) -> None:
        connection.receive()
        server.stop()

    with ThreadedEchoServer(end) as server:
        with greenws.connect(server.url) as client:
            client.send("end")
            with pytest.raises(WebSocketClosed):
                client.receive(5)
        server.start()
        assert greenws.connect(server.url).is_open
    assert server.open_connections == []


def test_serve_forever_ends_by_a_kill() -> None:
    server = ThreadedEchoServer()
    serving = gevent.spawn(server.serve_forever)
    while not server.port:
        gevent.sleep(0.001)
    with greenws.connect(server.url) as client:
        client.send("hello")
        assert client.receive(5) == "hello"
    serving.kill()
    with pytest.raises(greenws.errors.ConnectFail):
        greenws.connect(server.url)


def test_tls_and_faults_are_those_of_any_echo_server(authority: Authority) -> None:
    server = ThreadedEchoServer(close_with(4002), ssl_context=authority.server_context())
    with server, greenws.connect(server.url, ssl_cafile=authority.cafile) as client:
        with pytest.raises(WebSocketClosed) as caught:
            client.receive(5)
    assert caught.value.code == 4002
    with ThreadedEchoServer(opening=silent) as server:
        with pytest.raises(greenws.errors.ConnectFail, match="timed out"):
            greenws.connect(server.url, open_timeout=0.05)


def test_a_server_that_is_forgotten_does_no_harm_at_the_exit() -> None:
    program = (
        "import greenws\n"
        "from greenws.testing import ThreadedEchoServer\n"
        "server = ThreadedEchoServer().start()\n"
        "client = greenws.Client(server.url).start()\n"
        "assert client.wait_ready(10)\n"
        "ThreadedEchoServer().start()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(greenws.__path__[0]).parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=30, env=environment, cwd="/"
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_in_a_forked_child_the_server_is_the_parents() -> None:
    with ThreadedEchoServer() as server, greenws.connect(server.url) as client:
        client.send("before")
        assert client.receive(5) == "before"
        (connection,) = server.connections
        pid = os.fork()
        if not pid:
            status = 1
            try:
                server.stop()
                server.wait_idle()
                with pytest.raises(WebSocketClosed):
                    connection.send("from the child")
                with ThreadedEchoServer() as own, greenws.connect(own.url) as other:
                    other.send("hello")
                    status = 0 if other.receive(5) == "hello" else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(gevent.os.waitpid(pid, 0)[1]) == 0
        client.send("after")
        assert client.receive(5) == "after"
