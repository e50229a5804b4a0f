"""Nothing stays of dead threads, of destroyed hubs and of abandoned iterations."""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any
from weakref import ref

import gevent
import lomond
import pytest

import greenws
from greenws.sessions.reactor import get_reactor
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer, accept_and_echo, accept_and_wait
from tests.support.run import run_script
from tests.support.waiting import PATIENCE, wait_until

COUNT_SOCKETS = """
            import contextlib, gc, os, sys, threading, gevent, greenws

            def count_sockets():
                links = ["/proc/self/fd/" + name for name in os.listdir("/proc/self/fd")]
                return sum("socket" in os.readlink(link) for link in links if os.path.islink(link))
"""

# On libuv, gevent's own Hub.destroy() does not return while a watcher is started.
needs_libev = pytest.mark.skipif(
    "libev" not in type(gevent.get_hub().loop).__module__, reason="the loop is libuv's"
)

# Threads


@pytest.mark.parametrize(
    "end",
    ["pass", pytest.param("gevent.get_hub().destroy(destroy_loop=True)", marks=needs_libev)],
)
@pytest.mark.parametrize("state", ["ended", "started", "iterated"])
def test_dead_threads_leave_neither_memory_nor_descriptors(state: str, end: str) -> None:
    with LoopbackServer(accept_and_echo) as server:
        said = run_script(
            COUNT_SOCKETS
            + """
            kept = []

            class Client(greenws.Client):
                def on_ready(self, event):
                    self.send_binary(bytes(60_000))  # reading it makes the buffer take memory

                def on_binary(self, event):
                    if sys.argv[2] == "ended":
                        self.close()

            def work():
                client = Client(sys.argv[1], proxies={})
                if sys.argv[2] == "ended":
                    client.run()
                elif sys.argv[2] == "started":
                    client.start()
                    assert client.wait_ready(5)
                else:
                    client = iter(greenws.WebSocket(sys.argv[1], proxies={}))
                    while next(client).name != "ready":
                        pass
                kept.append(client)
                exec(sys.argv[3])

            def run(count):
                for _ in range(count):
                    thread = threading.Thread(target=work)
                    thread.start()
                    thread.join()
                gc.collect()

            def measure():
                with open("/proc/self/statm") as file:
                    return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

            run(10)
            memory, sockets = measure(), count_sockets()
            run(50)
            print((measure() - memory) // 50 // 1024 < 100, count_sockets() - sockets)
            sys.stdout.flush()
            os._exit(0)
            """,
            server.url,
            state,
            end,
        )
    assert said == "True 0\n"


# Hubs


@needs_libev
@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize(
    "verb",
    [
        "iteration.close()",
        "del iteration, websocket",
        "websocket.close()",
        "websocket.force_disconnect()",
        "websocket.session.close()",
        "with contextlib.suppress(Exception): list(iteration)",  # gevent's own error
        "client.close()",
        "client.kill(); assert not client.is_running",
        "list(greenws.WebSocket('ws://127.0.0.1:1/', proxies={}))",
    ],
)
def test_end_of_one_connection_of_a_destroyed_hub_closes_all(
    verb: str, secure: bool, authority: Authority
) -> None:
    with LoopbackServer(accept_and_wait, authority.server_context() if secure else None) as server:
        said = run_script(
            COUNT_SOCKETS
            + """
            url, verb = sys.argv[1:]
            websocket, other = (
                greenws.WebSocket(url, proxies={}, ssl_verify=False) for _ in range(2)
            )
            iteration, idle = iter(websocket), other.connect()
            client = greenws.Client(url, proxies={}, ssl_verify=False).start()
            for events in (iteration, idle):
                while next(events).name != "poll":
                    pass
            assert client.wait_ready(5)
            print(count_sockets())
            gevent.get_hub().destroy(destroy_loop=True)
            del events
            exec(verb)
            print(count_sockets(), other.is_ready, client.is_ready)
            """,
            server.url,
            verb,
        )
    assert said == "3\n0 False False\n"


@needs_libev
@pytest.mark.parametrize("end", ["close here", "close elsewhere", "loop alone", "connect"])
def test_connection_of_a_threads_destroyed_hub_is_closed(end: str) -> None:
    ends: list[bytes] = []
    errors: list[BaseException] = []
    destroyed, may_go = threading.Event(), threading.Event()
    iterations: list[Any] = []

    def script(peer: RawServerPeer) -> None:
        accept_and_wait(peer)
        ends.append(b"")

    def work() -> None:
        try:
            websocket = greenws.WebSocket(server.url, proxies={})
            iterations.append(websocket.connect(ping_rate=0, poll=0))
            while next(iterations[0]).name != "ready":
                pass
            hub = gevent.get_hub()
            if end == "loop alone":
                hub.loop.destroy()
            else:
                hub.destroy(destroy_loop=True)
            if end == "close here":
                iterations[0].close()
            elif end == "connect":
                list(greenws.WebSocket("ws://127.0.0.1:1/", proxies={}))
                gevent.get_hub().destroy(destroy_loop=True)
        except BaseException as error:
            errors.append(error)
        finally:
            destroyed.set()
            may_go.wait(PATIENCE)

    with LoopbackServer(script) as server, gevent.Timeout(PATIENCE):
        thread = threading.Thread(target=work)
        thread.start()
        wait_until(destroyed.is_set)
        if end in ("close elsewhere", "loop alone"):
            iterations[0].close()
        wait_until(lambda: ends)
        may_go.set()
        wait_until(lambda: not thread.is_alive())
    assert errors == []


# Iterations


class Owner:
    """Refers to an iteration, and is referred to by its WebSocket."""

    def __init__(self, url: str, kind: str) -> None:
        self.events: Any
        if kind == "lomond":
            websocket = lomond.WebSocket(url, proxies={})
            websocket.owner = self
            self.events = websocket.connect(session_class=greenws.GeventSession)
            return
        own = greenws.WebSocket(url, proxies={}, **{kind: getattr(self, kind)})
        self.events = greenws.persist(own) if kind == "headers" else own.connect()

    def headers(self) -> list[Any]:
        return []

    def trace(self, record: dict[str, Any]) -> None: ...


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have been printed of exceptions that nobody can take."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: found.append(args.exc_value))
    return found


def in_thread(function: Any) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(PATIENCE)


@pytest.mark.parametrize("stop", ["connecting", "connected", "ready", "poll"])
@pytest.mark.parametrize("kind", ["headers", "trace", "lomond"])
@pytest.mark.parametrize(
    "way", ["collect", "collect elsewhere", "close elsewhere", "drop elsewhere"]
)
def test_abandoned_iteration_ends_its_connection(
    kind: str, stop: str, way: str, unraisable: list[Any]
) -> None:
    ends = []

    def script(peer: RawServerPeer) -> None:
        try:
            accept_and_wait(peer)
        finally:
            ends.append(True)

    with LoopbackServer(script) as server, gevent.Timeout(PATIENCE):
        owner = Owner(server.url, kind)
        while next(owner.events).name != stop:
            pass
        if stop != "connecting":
            assert len(get_reactor().sessions) == 1
        box = [owner.events]
        if way != "drop elsewhere":
            box.clear()
        gc.disable()
        try:
            if way == "close elsewhere":
                in_thread(owner.events.close)
            owner.events = None if way == "drop elsewhere" else owner.events
            del owner
            if way == "collect":
                gc.collect()
            elif way == "collect elsewhere":
                in_thread(gc.collect)
            elif way == "drop elsewhere":
                in_thread(box.clear)
        finally:
            gc.enable()
        wait_until(lambda: not get_reactor().sessions)
        wait_until(lambda: ends or stop == "connecting")
    gc.collect()
    assert unraisable == []


def test_iteration_keeps_its_websocket() -> None:
    with LoopbackServer(accept_and_wait) as server, gevent.Timeout(PATIENCE):
        iteration = greenws.WebSocket(server.url, proxies={}).connect(ping_rate=0.001)
        while next(iteration).name != "ready":
            pass
        session: Any
        (session,) = get_reactor().sessions
        gc.collect()
        websocket = session.websocket
        assert websocket.is_ready
        iteration.close()
        assert websocket.is_closed


@pytest.mark.parametrize("end", ["closed", "refused", "killed"])
def test_ended_client_leaves_nothing_to_the_garbage_collector(end: str) -> None:
    class Feed(greenws.Client):
        def on_ready(self, event: Any) -> None:
            if end == "closed":
                self.close()

        def on_connect_fail(self, event: Any) -> None:
            pass  # without it, the failure is logged, and pytest keeps the record

    with LoopbackServer(accept_and_echo) as server:
        url = "ws://127.0.0.1:1/" if end == "refused" else server.url
        gc.collect()
        gc.disable()
        try:
            client = Feed(url, proxies={}).start()
            if end == "killed":
                assert client.wait_ready(PATIENCE)
                client.kill()
            client.join(PATIENCE)
            parts = [ref(client), ref(client.websocket)]
            del client
            gevent.sleep(0)
            assert [part() for part in parts] == [None, None]
        finally:
            gc.enable()


def test_ended_session_keeps_its_websocket() -> None:
    session = greenws.GeventSession(greenws.WebSocket("ws://127.0.0.1:1/", proxies={}))
    names = [event.name for event in session.run()]
    assert names == ["connecting", "connect_fail"]
    assert session.websocket.url == "ws://127.0.0.1:1/"


def test_websocket_that_allows_no_weak_reference_is_driven_all_the_same() -> None:
    class Wrapper:
        __slots__ = ("_inner",)

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    wrapper = Wrapper(lomond.WebSocket("ws://127.0.0.1:1/", proxies={}))
    session = greenws.GeventSession(wrapper)
    assert session.websocket is wrapper


@needs_libev
def test_client_of_a_destroyed_hub_can_be_killed() -> None:
    found: list[Any] = []

    def work() -> None:
        client = greenws.Client("ws://127.0.0.1:1/", proxies={}).start()
        gevent.sleep(0)
        gevent.get_hub().destroy(destroy_loop=True)
        client.kill()
        found.append(client.is_running)

    in_thread(work)
    assert found == [False]
