"""The end of a group: closed in order, killed if need be, and nothing forgotten."""

from __future__ import annotations

import gc
import logging
from typing import Any

import gevent
import pytest

from greenws import ClientGroup
from greenws.testing import EchoServer, silent, stop_reading
from tests.group.members import NOWHERE, QUICK, Feed
from tests.sessions.test_masses import LIMIT, burn
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE, wait_until


def test_every_server_side_sees_the_code_and_the_last_message(server: EchoServer) -> None:
    with ClientGroup() as group:
        clients = [Feed(server.url, reconnect=QUICK) for _ in range(200)]
        group.start(clients)
        assert group.wait_ready(PATIENCE)
        for client in clients:
            client.send_text("last")
        assert group.drain(code=1001, reason="done") == 0
        assert not any(client.is_running for client in clients)
        server.wait_idle(PATIENCE)
        codes = [(c.close_code, c.close_reason) for c in server.connections]
        assert codes == [(1001, "done")] * 200
        assert server.message_count == 200
        assert group.stats()["messages_received"] <= 200


def test_clients_whose_server_does_not_answer_are_killed_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with EchoServer(stop_reading) as deaf, EchoServer() as server, ClientGroup() as group:
        group.start([Feed(deaf.url) for _ in range(5)] + [Feed(server.url) for _ in range(5)])
        assert group.wait_ready(PATIENCE)
        assert group.drain(timeout=0.05) == 5
        assert group.stats()["ended"] == 10
        assert [r.levelno for r in caplog.records if r.name == "greenws.drain"] == [logging.WARNING]


def test_clients_at_any_stage_are_drained(server: EchoServer) -> None:
    with EchoServer(opening=silent) as stuck, ClientGroup(max_connecting=2) as group:
        ready = group.add(Feed(server.url))
        waiting = group.add(Feed(NOWHERE, reconnect=QUICK))
        assert ready.wait_ready(PATIENCE)
        connecting = group.add(Feed(stuck.url))
        queued = [group.add(Feed(stuck.url)) for _ in range(3)]
        gevent.sleep(0.01)
        assert group.drain() == 0
        for client in (ready, waiting, connecting, *queued):
            assert not client.is_running


def test_only_the_groups_own_clients_are_drained(server: EchoServer) -> None:
    other = Feed(server.url).start()
    with ClientGroup() as group, ClientGroup() as second:
        mine, theirs = group.add(Feed(server.url)), second.add(Feed(server.url))
        assert all(client.wait_ready(PATIENCE) for client in (mine, theirs, other))
        assert group.drain() == 0
        assert [client.is_ready for client in (mine, theirs, other)] == [False, True, True]
    other.kill()


def test_adding_while_the_group_is_drained_is_refused() -> None:
    with EchoServer(stop_reading) as server:
        group = ClientGroup()
        group.add(Feed(server.url))
        assert group.wait_ready(PATIENCE)
        draining = gevent.spawn(group.drain, 0.05)
        gevent.sleep(0.001)
        assert group.is_draining
        for call in (lambda: group.add(Feed(server.url)), lambda: group.start([Feed(server.url)])):
            with pytest.raises(RuntimeError, match="being drained"):
                call()
        assert draining.get() == 1
        assert not group.is_draining
        group.add(Feed(server.url))
        assert group.drain(0) in (0, 1)


def test_start_ends_where_a_drain_begins() -> None:
    class Drainer(Feed):
        def start(self) -> Any:
            super().start()
            wait_until(lambda: self.is_ready)
            drains.append(gevent.spawn(group.drain, 0.02))
            gevent.sleep(0.001)
            return self

    drains: list[Any] = []
    with EchoServer(stop_reading) as server:
        group = ClientGroup()
        last = Feed(server.url)
        with pytest.raises(RuntimeError, match="being drained"):
            group.start([Feed(server.url), Drainer(server.url), last])
        assert not last.is_running
        assert drains[0].get(timeout=PATIENCE) == 2


def test_handler_may_drain_its_own_group(server: EchoServer) -> None:
    class Drainer(Feed):
        def on_text(self, event: Any) -> None:
            killed.append(group.drain(PATIENCE))

    killed: list[int] = []
    group = ClientGroup()
    client = group.add(Drainer(server.url))
    group.start(Feed(server.url) for _ in range(3))
    assert group.wait_ready(PATIENCE)
    client.send_text("x")
    group.join(PATIENCE)
    assert killed == [0]
    assert group.stats()["ended"] == 4


def test_failure_of_one_close_does_not_end_the_drain(
    server: EchoServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Stubborn(Feed):
        def close(self, *args: Any, **options: Any) -> None:
            raise LookupError("close")

    with ClientGroup() as group:
        group.start([Feed(server.url), Stubborn(server.url), Feed(server.url)])
        assert group.wait_ready(PATIENCE)
        assert group.drain(0.05) == 1
        assert group.stats()["ended"] == 3
    assert "could not be closed" in caplog.text


@pytest.mark.parametrize("error", [ValueError, gevent.GreenletExit, gevent.Timeout])
def test_leaving_the_block_by_an_exception_drains(
    server: EchoServer, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        with ClientGroup() as group:
            group.start(Feed(server.url, reconnect=QUICK) for _ in range(5))
            assert group.wait_ready(PATIENCE)
            raise error()
    group.join(PATIENCE)
    assert [c.wait_ended() for c in server.connections] == [1001] * 5


def test_kill_that_leaves_the_block_does_not_wait() -> None:
    def work() -> None:
        with group:
            group.add(Feed(server.url))
            gevent.sleep(60)

    with EchoServer(stop_reading) as server:
        group = ClientGroup()
        worker = gevent.spawn(work)
        wait_until(lambda: group.stats()["ready"])
        worker.kill(timeout=PATIENCE)
        assert group.is_draining
        assert group.stats()["ready"] == 1
        for client in [*group._herd.roster.present()]:  # type: ignore[union-attr]
            client.kill()
        group.join(PATIENCE)
        wait_until(lambda: not group.is_draining)


def test_exception_during_the_drain_kills_the_rest() -> None:
    with EchoServer(stop_reading) as server:
        group = ClientGroup()
        group.start(Feed(server.url) for _ in range(3))
        assert group.wait_ready(PATIENCE)
        draining = gevent.spawn(group.drain, 60)
        gevent.sleep(0.005)
        draining.kill()
        group.join(PATIENCE)
        assert group.stats()["ended"] == 3
        assert not group.is_draining


def test_bulk_work_leaves_the_hub_its_turns(server: EchoServer, ticking: Ticker) -> None:
    # Slow steps of each client, and a hundred of them take several times the limit.
    class Heavy(Feed):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            pause()

        def close(self, *args: Any, **options: Any) -> None:
            pause()
            super().close(*args, **options)

    def pause() -> None:
        burn(3 * LIMIT / 100)

    gc.collect()
    gc.disable()
    try:
        with ClientGroup(max_connecting=20) as group:
            ticking.reset()
            group.start(Heavy(server.url) for _ in range(100))
            assert group.wait_ready(PATIENCE)
            assert group.drain() == 0
            assert ticking.largest_gap < LIMIT
            assert ticking.ticks
    finally:
        gc.enable()
