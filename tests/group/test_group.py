"""What a group tells, and what it waits for."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from typing import Any

import gevent
import pytest

import greenws
from greenws import ClientGroup, Status
from greenws.sessions import lomond
from greenws.testing import EchoServer, close_with, reject, silent
from tests.client.recorders import scripted
from tests.group.members import NOWHERE, QUICK, Failing, Feed
from tests.support.waiting import PATIENCE, wait_until

KEYS = [
    *("connecting", "ready", "waiting", "ended", "failed", "opened", "reconnects"),
    *("messages_sent", "messages_received", "bytes_sent", "bytes_received"),
]


def test_new_group_has_counted_nothing() -> None:
    group = ClientGroup()
    assert group.stats() == dict.fromkeys(KEYS, 0)
    assert list(group.stats()) == KEYS
    assert group.wait_ready(0)
    group.join()
    assert group.drain() == 0
    assert not group.is_draining
    assert repr(group) == "<ClientGroup of 0 clients>"


def test_group_starts_clients_and_tells_when_all_are_ready(server: EchoServer) -> None:
    with ClientGroup() as group:
        assert group.start(Feed(server.url) for _ in range(5)) is group
        client = group.add(Feed(server.url))
        assert type(client) is Feed
        assert group.stats()["connecting"] == 6
        assert group.wait_ready(PATIENCE)
        assert client.is_ready
        assert group.stats()["ready"] == group.stats()["opened"] == 6
        assert repr(group) == "<ClientGroup of 6 clients>"
    assert group.stats()["ended"] == 6
    assert [c.close_code for c in server.connections] == [1001] * 6
    assert group.wait_ready()


@pytest.mark.parametrize("compress", [False, True])
def test_messages_and_bytes_are_counted(server: EchoServer, compress: bool) -> None:
    with ClientGroup() as group:
        clients = [group.add(Feed(server.url, compress=compress)) for _ in range(3)]
        assert group.wait_ready(PATIENCE)
        before = group.stats()
        assert before["messages_sent"] == before["messages_received"] == 0
        assert before["bytes_sent"] > 300 and before["bytes_received"] > 300
        for client in clients:
            client.send_text("x" * 10)
            client.send_binary(bytes(10))
            client.send_json(a=1)
            client.send_text("large " * 500_000)
            client.send_ping(b"no message")
        wait_until(lambda: group.stats()["messages_received"] == 12)
        stats = group.stats()
        assert stats["messages_sent"] == 12
        if not compress:
            sent = stats["bytes_sent"] - before["bytes_sent"]
            assert sent == 3 * (16 + 16 + 6 + 8 + 3_000_000 + 14 + 16)
            assert stats["bytes_received"] - before["bytes_received"] == sent - 5 * 3 * 4


def test_messages_of_which_nobody_wants_an_event_are_counted(server: EchoServer) -> None:
    with ClientGroup() as group:
        client = group.add(greenws.Client(server.url, proxies={}))
        client.wait_ready(PATIENCE)
        client.send_text("x")
        wait_until(lambda: group.stats()["messages_received"])


def test_refused_send_is_not_counted(server: EchoServer) -> None:
    with ClientGroup() as group:
        client = group.add(Feed(server.url))
        with pytest.raises(greenws.errors.WebSocketUnavailable):
            client.send_text("too early")
        client.wait_ready(PATIENCE)
        client.close()
        with pytest.raises(greenws.errors.WebSocketClosing):
            client.send_text("too late")
        group.join(PATIENCE)
        assert group.stats()["messages_sent"] == 0


def test_messages_of_a_session_of_others_are_counted() -> None:
    sent: list[Any] = []

    class Session(greenws.GeventSession):
        """One that the WebSocket does not take for ours."""

    class Foreign:
        def __init__(self, websocket: Any) -> None:
            self._session = Session(websocket)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def run(self, **options: Any) -> Any:
            websocket = self._session.websocket
            websocket.state._step(1)
            websocket.state._step(2)
            websocket.state._opening = None
            yield greenws.events.Ready(None, None, set())  # type: ignore[arg-type]
            gevent.sleep(60)

        def send(self, opcode: int, payload: Any) -> None:
            sent.append(payload)

    adapted = lomond.ForeignSession(Foreign(greenws.WebSocket(NOWHERE)), None)  # type: ignore[arg-type]
    group = ClientGroup()
    group.add(Feed(NOWHERE)).kill()
    herd = group._herd
    assert herd is not None
    adapted.count(herd.traffic)
    adapted.send(1, b"x")
    adapted.send(9, b"ping")
    adapted._session.send_compressed = lambda opcode, payload: None
    adapted.send_compressed(2, b"x")
    assert group.stats()["messages_sent"] == 2


def test_trace_sees_the_messages_of_a_group(server: EchoServer) -> None:
    records: list[dict[str, Any]] = []
    with ClientGroup() as group:
        client = group.add(Feed(server.url, trace=records.append))
        client.wait_ready(PATIENCE)
        client.send_text("x")
        wait_until(lambda: any(r["stage"] == "message_text" for r in records))


def test_session_of_others_that_is_ready_twice_counts_once() -> None:
    ready = greenws.events.Ready(None, None, set())  # type: ignore[arg-type]
    missed = greenws.events.ConnectFail("no")
    with ClientGroup() as group:
        group.add(Feed(NOWHERE, session_class=scripted(ready, ready, missed)))
        group.join(PATIENCE)
        assert (group.stats()["opened"], group.stats()["ended"]) == (1, 1)


def test_clients_that_cannot_connect_have_failed(server: EchoServer) -> None:
    with EchoServer(opening=reject(503)) as refusing, ClientGroup() as group:
        group.add(Feed(NOWHERE))
        group.add(Feed(refusing.url))
        group.add(Feed(NOWHERE, reconnect=greenws.Backoff(min_wait=0, max_tries=2)))
        group.add(Feed(server.url))
        assert not group.wait_ready(PATIENCE)
        stats = group.stats()
        assert (stats["failed"], stats["ready"], stats["opened"]) == (3, 1, 1)
        assert not group.wait_ready(PATIENCE)
        group.add(Feed(server.url))  # a new batch
        assert group.wait_ready(PATIENCE)


def test_client_that_was_closed_before_it_was_ready_has_not_failed() -> None:
    with EchoServer(opening=silent) as server, ClientGroup() as group:
        client = group.add(Feed(server.url))
        gevent.sleep(0.005)
        client.close()
        assert not group.wait_ready(PATIENCE)
        assert (group.stats()["failed"], group.stats()["ended"]) == (0, 1)


def test_wait_ready_gives_up_in_time_and_sees_the_rest_later() -> None:
    with EchoServer(opening=silent) as server, ClientGroup() as group:
        group.add(Feed(server.url))
        assert not group.wait_ready(0.01)
        assert not group.wait_ready(0)
        group.join(0.01)


def test_client_that_waits_to_connect_again_is_waiting() -> None:
    with ClientGroup() as group:
        group.add(Feed(NOWHERE, reconnect=greenws.Backoff(min_wait=60)))
        wait_until(lambda: group.stats()["waiting"] == 1)
        assert not group.wait_ready(0.01)
    assert group.stats()["ended"] == 1


def test_end_by_the_server_is_an_end() -> None:
    with EchoServer(close_with(1000)) as server, ClientGroup() as group:
        group.start(Feed(server.url) for _ in range(3))
        group.join(PATIENCE)
        assert group.wait_ready()  # each was
        assert (group.stats()["ended"], group.stats()["failed"]) == (3, 0)


def test_first_exception_comes_out_of_join_and_all_are_counted_and_logged(
    server: EchoServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with ClientGroup() as group:
        group.start(Failing(f"{server.url}{number}") for number in range(5))
        group.add(Feed(server.url))
        wait_until(lambda: group.stats()["failed"] == 5)
        group.join(0.001)  # one runs still
        assert group.drain() == 0
        for _ in range(2):
            with pytest.raises(LookupError) as caught:
                group.join()
        assert caught.value is group._herd.error  # type: ignore[union-attr]
        records = [r for r in caplog.records if r.name == "greenws.group"]
        assert len(records) == 5
        assert all(r.levelno == logging.ERROR and r.exc_info for r in records)
        group.add(Feed(server.url))
        group.drain()
        group.join()  # what was raised is over
    assert capsys.readouterr().err == ""  # not once more by gevent


def test_exception_that_on_error_has_dealt_with_is_none_of_the_groups(server: EchoServer) -> None:
    class Tolerant(Failing):
        def on_error(self, error: Exception) -> None:
            self.close()

    with ClientGroup() as group:
        group.add(Tolerant(server.url))
        group.join(PATIENCE)
        assert group.stats()["failed"] == 0


def test_on_end_is_told_of_each_client_and_may_add_it_again(server: EchoServer) -> None:
    ended: list[Any] = []

    def note(client: Any) -> None:
        assert not client.is_running
        ended.append(client)
        if not group.is_draining and len(ended) == 1:
            group.add(client)

    with ClientGroup(on_end=note) as group:
        client = group.add(Feed(server.url))
        client.wait_ready(PATIENCE)
        client.close()
        wait_until(lambda: group.stats()["opened"] == 2)
        assert client.is_running
        assert group.stats()["reconnects"] == 0
    assert ended == [client, client]


def test_exception_of_on_end_comes_out_of_join(
    server: EchoServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(client: Any) -> None:
        raise LookupError("on_end")

    with ClientGroup(on_end=fail) as group:
        group.start(Feed(server.url) for _ in range(3))
        group.wait_ready(PATIENCE)
        assert group.drain() == 0
        with pytest.raises(LookupError, match="on_end"):
            group.join()
    assert len([r for r in caplog.records if "on_end failed" in r.message]) == 3


def test_join_waits_for_on_end(server: EchoServer) -> None:
    done: list[int] = []

    def slow(client: Any) -> None:
        gevent.sleep(0.02)
        done.append(1)

    group = ClientGroup(on_end=slow)
    client = group.add(Feed(server.url))
    client.wait_ready(PATIENCE)
    client.close()
    group.join(PATIENCE)
    assert done == [1]


def test_client_that_has_ended_leaves_nothing_but_counts(server: EchoServer) -> None:
    with ClientGroup() as group:
        client = group.add(Feed(server.url))
        client.wait_ready(PATIENCE)
        client.close()
        client.join(PATIENCE)
        gone = weakref.ref(client)
        del client
        wait_until(lambda: not group._herd.present)  # type: ignore[union-attr]
        gevent.sleep(0.01)
        gc.collect()
        assert gone() is None
        assert group.stats()["ended"] == 1


def test_client_that_begins_anew_by_itself_is_outside_of_the_group(server: EchoServer) -> None:
    with ClientGroup() as group:
        client = group.add(Feed(server.url))
        client.wait_ready(PATIENCE)
        client.close()
        client.join(PATIENCE)
        client.start()
        assert client.wait_ready(PATIENCE)
        assert group.drain() == 0
        assert client.is_running
        assert group.stats()["opened"] == 1
        client.kill()


def test_group_that_nobody_refers_to_goes_on_and_is_collected(server: EchoServer) -> None:
    group = ClientGroup(max_connecting=1)
    clients = [Feed(server.url) for _ in range(5)]
    group.start(clients)
    gone = weakref.ref(group)
    del group
    gc.collect()
    assert gone() is None
    assert all(client.wait_ready(PATIENCE) for client in clients)
    greenws.drain()


# Wrong types and values, and wrong moments


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_connecting": 0}, ValueError),
        ({"max_connecting": -1}, ValueError),
        ({"max_connecting": 1.5}, TypeError),
        ({"max_connecting": True}, TypeError),
        ({"max_connecting": "7"}, TypeError),
        ({"rate": 0}, ValueError),
        ({"rate": float("nan")}, ValueError),
        ({"rate": float("inf")}, ValueError),
        ({"rate": "many"}, TypeError),
        ({"rate": False}, TypeError),
        ({"on_end": 5}, TypeError),
    ],
)
def test_wrong_limit_is_an_error_that_names_it(options: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        ClientGroup(**options)


def test_wrong_clients_are_refused_and_nothing_is_started(server: EchoServer) -> None:
    group = ClientGroup()
    good = Feed(server.url)
    calls: list[Any] = [
        lambda: group.add(5),  # type: ignore[type-var]
        lambda: group.add([good]),  # type: ignore[type-var]
        lambda: group.start(good),  # type: ignore[arg-type]
        lambda: group.start(5),  # type: ignore[arg-type]
        lambda: group.start([good, "x"]),  # type: ignore[list-item]
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    for clients in ([good, good], iter([good, 1 / 1, good])):
        with pytest.raises((RuntimeError, TypeError)):
            group.start(clients)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        group.start(Feed(server.url) if number else 1 / 0 for number in (1, 1, 0))  # type: ignore[misc]
    assert not good.is_running
    assert group.stats() == dict.fromkeys(KEYS, 0)


def test_client_that_runs_is_refused(server: EchoServer) -> None:
    with ClientGroup() as group:
        client = group.add(Feed(server.url))
        for call in (lambda: group.add(client), lambda: group.start([client])):
            with pytest.raises(RuntimeError, match="running already"):
                call()
        assert group.wait_ready(PATIENCE)
        assert group.stats()["ready"] == 1
        with ClientGroup() as other, pytest.raises(RuntimeError, match="running already"):
            other.add(client)


def test_start_of_the_users_that_fails_leaves_no_trace(server: EchoServer) -> None:
    class Broken(Feed):
        def start(self) -> Any:
            raise LookupError

    class Lazy(Feed):
        def start(self) -> Any:
            return self

    with ClientGroup(max_connecting=1) as group:
        good = Feed(server.url)
        with pytest.raises(LookupError):
            group.start([Broken(server.url), Lazy(server.url), good])
        assert good.wait_ready(PATIENCE)  # the failure of one is not the others'
        assert group.stats()["ready"] == 1
        assert group._herd.present == 1  # type: ignore[union-attr]


def test_start_that_fails_ends_the_waits_for_it(server: EchoServer) -> None:
    class Broken(Feed):
        def start(self) -> Any:
            waits.extend(gevent.spawn(call) for call in (group.wait_ready, group.join))
            gevent.sleep(0.001)
            raise LookupError

    waits: list[Any] = []
    group = ClientGroup()
    with pytest.raises(LookupError):
        group.add(Broken(server.url))
    assert [wait.get(timeout=PATIENCE) for wait in waits] == [True, None]


def test_timeouts_are_checked() -> None:
    group = ClientGroup()
    for call in (group.join, group.wait_ready, group.drain):
        with pytest.raises(ValueError):
            call(timeout=-1)
        with pytest.raises(TypeError):
            call(timeout="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        group.drain(code=5)
    with pytest.raises(ValueError):
        group.drain(reason="x" * 124)
    with pytest.raises(TypeError):
        group.drain(timeout=None)  # type: ignore[arg-type]


def test_handler_that_would_wait_for_itself_is_told_so(server: EchoServer) -> None:
    told: list[str] = []

    class Waiter(Feed):
        def on_connecting(self, event: Any) -> None:
            self.note(group.wait_ready)

        def on_ready(self, event: Any) -> None:
            assert group.wait_ready()
            self.note(group.join)
            group.join(0)

        def note(self, call: Any) -> None:
            with pytest.raises(RuntimeError, match="wait for itself") as caught:
                call()
            told.append(str(caught.value))

    with ClientGroup() as group:
        group.add(Waiter(server.url))
        assert group.wait_ready(PATIENCE)
        wait_until(lambda: len(told) == 2)
        gevent.sleep(0.001)


def test_hub_cannot_wait_but_look(server: EchoServer) -> None:
    found: list[Any] = []

    def look() -> None:
        for call in (group.join, group.wait_ready):
            with pytest.raises(RuntimeError, match="the hub cannot wait"):
                call()
            found.append(call(timeout=0))
        group.add(Feed(server.url))
        group.start([Feed(server.url)])
        found.append(group.drain())
        with pytest.raises(RuntimeError, match="drained"):
            group.add(Feed(server.url))

    with ClientGroup() as group:
        group.add(Feed(server.url))
        gevent.get_hub().loop.run_callback(look)
        wait_until(lambda: len(found) == 3)
        assert found == [None, False, 0]
        group.join(PATIENCE)
        assert group.stats()["ended"] == 3


def test_calls_from_another_thread_are_refused(server: EchoServer) -> None:
    told: list[str] = []

    def call_all() -> None:
        for call in (
            lambda: group.add(Feed(server.url)),
            lambda: group.start([Feed(server.url)]),
            group.wait_ready,
            group.join,
            group.drain,
        ):
            try:
                call()
            except RuntimeError as error:
                told.append(str(error))
        told.append(str(group.stats()["connecting"]))

    with EchoServer(opening=silent) as stuck, ClientGroup() as group:
        group.add(Feed(stuck.url))
        gevent.get_hub().threadpool.apply(call_all)
        assert len(told) == 6
        assert all("another thread" in text for text in told[:5])
        assert told[5] == "1"


def test_group_without_clients_moves_to_another_thread(server: EchoServer) -> None:
    group = ClientGroup(max_connecting=1, rate=1000)
    results: list[Any] = []

    def work() -> None:
        for _ in range(2):
            group.start(Feed(server.url) for _ in range(3))
            results.append(group.wait_ready(PATIENCE))
            results.append(group.drain(PATIENCE))
        gevent.get_hub().destroy(destroy_loop=True)

    group.start([Feed(server.url)])
    assert group.wait_ready(PATIENCE)
    group.drain()
    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: not thread.is_alive())
    assert results == [True, 0] * 2
    assert group.add(Feed(server.url)).wait_ready(PATIENCE)
    group.drain(code=Status.NORMAL)
    assert group.stats()["ended"] == 8


# gevent's own Hub.destroy() does not return on libuv while a watcher is started.
@pytest.mark.skipif(
    "libev" not in type(gevent.get_hub().loop).__module__, reason="destroy() would not return"
)
def test_group_of_a_thread_whose_hub_was_destroyed_begins_anew(server: EchoServer) -> None:
    with EchoServer(opening=silent) as stuck:
        group = ClientGroup(max_connecting=1)

        def work() -> None:
            clients = [Feed(stuck.url) for _ in range(3)]
            group.start(clients)
            gevent.sleep(0.02)
            gevent.get_hub().destroy(destroy_loop=True)
            for client in clients:
                client.kill()

        thread = threading.Thread(target=work)
        thread.start()
        wait_until(lambda: not thread.is_alive())
        client = group.add(Feed(server.url))
        assert client.wait_ready(PATIENCE)
        group.drain()


def test_reconnects_are_those_after_the_first_connection() -> None:
    with EchoServer(close_with(1001)) as server, ClientGroup() as group:
        group.add(Feed(server.url, reconnect=QUICK))
        wait_until(lambda: group.stats()["reconnects"] >= 2)
        client_stats = group.stats()
        assert client_stats["opened"] == client_stats["reconnects"] + 1
