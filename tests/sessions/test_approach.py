"""A dial that is cut short: at each kind of wait, by whoever wants, and with nothing left."""

from __future__ import annotations

import _socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.event
import pytest

import greenws
import greenws.errors
from greenws.sessions.approach import Approach
from greenws.sessions.wait import Interrupted
from greenws.testing import EchoServer, silent

PATIENCE = 10.0


class Stall:
    """A server that accepts, and says nothing; ``url`` and ``options`` lead to the stalled step."""

    def __init__(self, scheme: str = "ws", through: str = "") -> None:
        self._listener = _socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{scheme}://{'example.org' if through else host}/"
        self.options: dict[str, Any] = {"proxies": {}}
        if through:
            self.options["proxies"] = {"http": f"{through}://{host}"}

    def close(self) -> None:
        self._listener.close()


class SlowNames:
    """A resolver that answers nothing, which any name is asked of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = "ws://slow.example/"
        self.options: dict[str, Any] = {"proxies": {}}
        monkeypatch.setattr("greenws.sessions.dial.resolve", self._wait)

    def _wait(self, host: str, port: int) -> Any:
        gevent.event.Event().wait(2 * PATIENCE)
        raise AssertionError("nobody has interrupted it")

    def close(self) -> None: ...


class FullListener:
    """A server whose backlog is full: no connection gets through."""

    def __init__(self) -> None:
        self._listener = _socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self._waiting = []
        address = self._listener.getsockname()
        for _ in range(4):
            client = _socket.socket()
            client.setblocking(False)
            client.connect_ex(address)
            self._waiting.append(client)
        self.url = f"ws://127.0.0.1:{address[1]}/"
        self.options: dict[str, Any] = {"proxies": {}}

    def close(self) -> None:
        for client in (*self._waiting, self._listener):
            client.close()


# The step each stall is in: what its message says, and its stage in the trace.
STEPS: dict[str, tuple[str, str]] = {
    "dns": ("resolving 'slow.example'", "resolve"),
    "tcp": ("connecting to 127.0.0.1:", "connect"),
    "http proxy": ("waiting for the tunnel of proxy http://127.0.0.1:", "proxy"),
    "socks proxy": ("waiting for the tunnel of proxy socks5h://127.0.0.1:", "proxy"),
    "tls": ("doing the TLS handshake with 127.0.0.1", "tls"),
    "upgrade": ("waiting for the answer to the upgrade", "upgrade"),
}
DIALED = [step for step in STEPS if step != "upgrade"]


@contextmanager
def stalled(step: str) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        stall: Any
        if step == "dns":
            stall = SlowNames(monkeypatch)
        elif step == "tcp":
            stall = FullListener()
        elif step == "upgrade":
            stall = Stall()
        elif step == "tls":
            stall = Stall("wss")
        else:
            stall = Stall(through={"http proxy": "http", "socks proxy": "socks5h"}[step])
        try:
            yield stall
        finally:
            stall.close()


def wait_until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.001)


def has_arrived(step: str, records: list[dict[str, Any]]) -> bool:
    """Whether the dial is where it stalls, as far as the steps before it tell."""
    before = {"dns": 0, "tcp": 1, "http proxy": 2, "socks proxy": 2, "tls": 2, "upgrade": 2}
    told = [record for record in records if record["stage"] in ("resolve", "connect")]
    return len(told) >= before[step]


class Run:
    """The iteration over a websocket, in a greenlet of its own, up to a step of the opening."""

    def __init__(self, stall: Any, step: str, **options: Any) -> None:
        self.records: list[dict[str, Any]] = []
        self.names: list[str] = []
        self.events: list[Any] = []
        self.websocket = greenws.WebSocket(
            stall.url, trace=self.records.append, **stall.options, **options
        )
        self.greenlet = gevent.spawn(self._run)
        wait_until(lambda: "connecting" in self.names and has_arrived(step, self.records))
        for _ in range(3):
            gevent.sleep(0.001)  # into the wait itself

    def _run(self) -> None:
        for event in self.websocket:
            self.names.append(event.name)
            self.events.append(event)

    def join(self) -> None:
        self.greenlet.get(timeout=PATIENCE)


# Ended by its websocket, its session, and its client


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("verb", ["close", "force_disconnect"])
def test_websocket_that_gives_up_is_not_ready_any_more(step: str, verb: str) -> None:
    with stalled(step) as stall:
        run = Run(stall, step)
        getattr(run.websocket, verb)()
        run.join()
    assert "ready" not in run.names
    assert run.names[-1] == "connect_fail"
    assert "given up" in run.events[-1].reason
    assert run.websocket.is_closed


@pytest.mark.parametrize("step", STEPS)
def test_session_that_is_closed_is_not_ready_any_more(step: str) -> None:
    with stalled(step) as stall:
        run = Run(stall, step)
        run.websocket.session.close()
        run.join()
    assert run.names[-1] == "connect_fail"
    assert run.websocket.is_closed


@pytest.mark.parametrize("step", STEPS)
def test_greenlet_that_is_killed_leaves_nothing(step: str) -> None:
    with stalled(step) as stall:
        run = Run(stall, step)
        run.greenlet.kill(timeout=PATIENCE)
        assert run.greenlet.ready()
    assert "ready" not in run.names and "connect_fail" not in run.names
    assert run.websocket.is_closed


class Opening(greenws.Client):
    """Notes its handlers; ``reached`` is the record of the trace."""

    def __init__(self, url: str, **options: Any) -> None:
        self.records: list[dict[str, Any]] = []
        super().__init__(url, trace=self.records.append, **options)
        self.called: list[str] = []

    def on_connecting(self, event: Any) -> None:
        self.called.append("connecting")

    def on_ready(self, event: Any) -> None:
        self.called.append("ready")

    def on_connect_fail(self, event: Any) -> None:
        self.called.append("connect_fail")

    def on_close(self, event: Any) -> None:
        self.called.append("close")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("verb", ["close", "kill"])
def test_client_that_gives_up_is_not_ready_any_more(step: str, verb: str) -> None:
    with stalled(step) as stall:
        client = Opening(stall.url, reconnect=True, **stall.options).start()
        wait_until(lambda: client.called and has_arrived(step, client.records))
        getattr(client, verb)()
        client.join(PATIENCE)
        assert not client.is_running
        assert not client.wait_ready(0)
    assert client.called == ["connecting", "connect_fail"][: 2 if verb == "close" else 1]


def test_websocket_that_gives_up_when_told_of_the_connecting_does_not_dial() -> None:
    with EchoServer() as server:
        websocket = greenws.WebSocket(server.url, proxies={})
        found = []
        for event in websocket:
            found.append(event.name)
            if event.name == "connecting":
                websocket.close()
        assert found == ["connecting", "connect_fail"]
        assert server.connection_count == 0


def test_dial_that_is_through_in_the_turn_of_a_close_is_closed_again() -> None:
    # The trace is called in the last step of the dial, when there is nothing left to wait for.
    def trace(record: dict[str, Any]) -> None:
        if record["stage"] == "connect":
            websocket.session.close()

    with EchoServer() as server:
        websocket = greenws.WebSocket(server.url, proxies={}, trace=trace)
        with gevent.Timeout(PATIENCE):
            found = [event.name for event in websocket]
    assert found == ["connecting", "connect_fail"]


# Expired


@pytest.mark.parametrize("step", STEPS)
def test_expired_opening_says_where_it_was(step: str) -> None:
    text, stage = STEPS[step]
    with stalled(step) as stall:
        run = Run(stall, step, open_timeout=0.2)
        run.join()
    assert run.names[-1] == "connect_fail"
    reason = run.events[-1].reason
    assert reason.startswith(f"timed out after 0.2 s while {text}")
    failed = [record for record in run.records if "error" in record and record["stage"] == stage]
    assert [record["error"] for record in failed] == [reason]
    assert failed[0]["duration"] >= 0
    if stage == "connect":
        assert isinstance(run.events[-1].error, greenws.errors.ConnectFail)


def test_opening_that_has_expired_before_it_dials_is_not_begun() -> None:
    with EchoServer() as server:
        websocket = greenws.WebSocket(server.url, proxies={}, open_timeout=0.01)
        found = []
        for event in websocket:
            found.append(event)
            if event.name == "connecting":
                gevent.sleep(0.02)
        assert [event.name for event in found] == ["connecting", "connect_fail"]
        assert "timed out after 0.01 s" in found[-1].reason
        assert server.connection_count == 0


def test_timeout_of_the_users_is_not_taken_for_ours() -> None:
    with stalled("tcp") as stall:
        websocket = greenws.WebSocket(stall.url, **stall.options)
        timeout = gevent.Timeout(0.05)
        with pytest.raises(gevent.Timeout) as caught, timeout:
            for event in websocket:
                assert event.name == "connecting"
        assert caught.value is timeout


# By itself


class Target:
    host = "slow.example"
    port = 80
    is_secure = False


def make_approach(**options: Any) -> tuple[Approach, greenws.WebSocket, list[dict[str, Any]]]:
    records: list[dict[str, Any]] = []
    websocket = greenws.WebSocket("ws://slow.example/", trace=records.append, **options)
    return Approach(websocket, Target(), True), websocket, records


def test_interrupt_ends_a_dial_and_no_other_wait() -> None:
    approach, _, _ = make_approach(proxies={})
    approach.interrupt()  # nothing is under way
    ends: list[str] = []

    def dial() -> None:
        try:
            approach.run()
        except Interrupted:
            ends.append("interrupted")
        gevent.sleep(0.01)
        ends.append("waited")

    with stalled("dns"):
        greenlet = gevent.spawn(dial)
        gevent.sleep(0)
        gevent.get_hub().loop.run_callback(approach.interrupt)
        wait_until(lambda: ends)
        approach.interrupt()  # it is over: this must not hit the sleep that follows
        greenlet.get(timeout=PATIENCE)
    assert ends == ["interrupted", "waited"]


def test_interrupt_is_nothing_that_a_step_could_take_for_its_own() -> None:
    assert not issubclass(Interrupted, Exception)


def test_wrong_proxy_of_the_environment_is_a_failed_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "gopher://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    approach, _, _ = make_approach()
    with pytest.raises(greenws.errors.ConnectFail, match="http_proxy"):
        approach.run()


def test_error_for_a_dial_that_took_too_long_is_traced_once() -> None:
    approach, _, records = make_approach(proxies={}, open_timeout=1.5)
    error = approach.expire()
    assert str(error) == "timed out after 1.5 s while connecting"
    assert [(record["stage"], record["error"]) for record in records] == [("connect", str(error))]


def test_silent_server_ends_in_time_for_each_of_many() -> None:
    with EchoServer(opening=silent) as server:
        websockets = [
            greenws.WebSocket(server.url, proxies={}, open_timeout=0.1) for _ in range(20)
        ]
        found = [gevent.spawn(lambda ws=ws: [e.name for e in ws]) for ws in websockets]
        gevent.joinall(found, PATIENCE)
    assert {tuple(run.value) for run in found} == {("connecting", "connected", "connect_fail")}
