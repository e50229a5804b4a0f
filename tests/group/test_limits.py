"""At most so many openings at a time, and so many a second; and whose place is freed when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

import greenws
from greenws import Client, ClientGroup
from greenws.testing import EchoServer, reject, silent
from tests.client.recorders import scripted
from tests.group.members import NOWHERE, QUICK, Counter, Failing, Feed
from tests.support.stalls import STALLS
from tests.support.waiting import PATIENCE, wait_until


def test_server_never_sees_more_openings_than_allowed() -> None:
    openings = Counter()
    with EchoServer(opening=openings) as server, ClientGroup(max_connecting=7) as group:
        group.start(Feed(server.url) for _ in range(100))
        assert group.stats()["connecting"] <= 7
        assert group.wait_ready(PATIENCE)
        assert (openings.most, openings.total) == (7, 100)


def test_clients_that_have_lost_their_server_come_back_in_step() -> None:
    openings = Counter()
    with EchoServer(opening=openings) as server:
        with ClientGroup(max_connecting=10) as group:
            clients = [Feed(server.url, reconnect=QUICK) for _ in range(300)]
            group.start(clients)
            assert group.wait_ready(PATIENCE)
            server.stop()
            wait_until(lambda: not group.stats()["ready"])
            # The tries while nobody listens are bounded as well.
            for _ in range(20):
                gevent.sleep(0.002)
                assert group.stats()["connecting"] <= 10
            openings.most = 0
            server.start()
            wait_until(lambda: group.stats()["ready"] == 300)
            assert openings.most <= 10
            stats = group.stats()
            assert (stats["opened"], stats["reconnects"]) == (600, 300)
            assert (stats["connecting"], stats["waiting"]) == (0, 0)


def test_rate_spreads_openings_evenly() -> None:
    began: list[float] = []

    class Timed(Feed):
        def on_connecting(self, event: Any) -> None:
            began.append(gevent.get_hub().loop.now())

    with EchoServer() as server, ClientGroup(rate=100) as group:
        start = gevent.get_hub().loop.now()
        group.start(Timed(server.url) for _ in range(30))
        assert group.wait_ready(PATIENCE)
    # However slow the machine is, none is early.
    for number, moment in enumerate(began):
        assert moment - start >= number / 100 - 0.01


def test_rate_holds_for_reconnects() -> None:
    with ClientGroup(rate=200) as group:
        client = group.add(Feed(NOWHERE, reconnect=greenws.Backoff(min_wait=0, max_wait=0)))
        start = gevent.get_hub().loop.now()
        tries = 0
        standing = group._herd.admission  # type: ignore[union-attr]
        before = standing._due
        gevent.sleep(0.2)
        tries = round((standing._due - before) * 200)
        seconds = gevent.get_hub().loop.now() - start
        assert 1 < tries <= (seconds + 0.06) * 200 + 2
        assert client.is_running


def enter(client: Client, group: ClientGroup) -> None:
    group.add(client)
    wait_until(lambda: group.stats()["connecting"] == 1)


class Exiting(Feed):
    def on_connecting(self, event: Any) -> None:
        raise gevent.GreenletExit


class Late(Feed):
    def on_connecting(self, event: Any) -> None:
        raise gevent.Timeout


class Unable(Feed):
    @staticmethod
    def session_class(websocket: Any) -> Any:
        raise LookupError


def nothing(client: Client) -> None:
    """It ends by itself."""


ENDS: dict[str, tuple[Callable[..., Client], Callable[[Client], object]]] = {
    "close": (Feed, lambda client: client.close()),
    "kill": (Feed, lambda client: client.kill()),
    "force_disconnect": (Feed, lambda client: client.websocket.force_disconnect()),
    "open_timeout": (lambda url: Feed(url, open_timeout=0.01), nothing),
    "refused": (lambda url: Feed(NOWHERE), nothing),
    "headers fail": (lambda url: Feed(url, headers=lambda: 1 / 0), nothing),
    "GreenletExit in a handler": (Exiting, nothing),
    "Timeout in a handler": (Late, nothing),
    "no session": (Unable, nothing),
    "session that says nothing": (lambda url: Feed(url, session_class=scripted()), nothing),
}


@pytest.mark.parametrize("way", ENDS)
def test_place_is_free_again_whatever_ends_the_opening(
    way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, end = ENDS[way]
    with EchoServer(opening=silent) as stuck, EchoServer() as server:
        with ClientGroup(max_connecting=1) as group:
            client = group.add(make(stuck.url))
            others = [group.add(Feed(server.url)) for _ in range(3)]
            assert group.stats()["waiting"] == 3
            gevent.sleep(0.005)
            end(client)
            wait_until(lambda: not client.is_running)
            assert all(other.wait_ready(PATIENCE) for other in others)
            stats = group.stats()
            assert (stats["connecting"], stats["waiting"], stats["ready"]) == (0, 0, 3)
            assert group._herd.admission.taken == 0  # type: ignore[union-attr]
            assert not len(group._herd.admission)  # type: ignore[union-attr]


@pytest.mark.parametrize("blow", ["close", "kill", "GreenletExit", "Timeout"])
@pytest.mark.parametrize("place", STALLS)
def test_place_is_free_again_wherever_the_opening_is_ended(
    place: str, blow: str, server: EchoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with STALLS[place]() as stall, ClientGroup(max_connecting=1) as group:
        options: dict[str, Any] = {"ssl_verify": False, **stall.options}
        client = group.add(Feed(stall.url, **options))
        next_one = group.add(Feed(server.url))
        assert stall.reached.wait(PATIENCE)
        assert group.stats()["connecting"] == 1
        if blow in ("close", "kill"):
            getattr(client, blow)()
        else:
            error = gevent.GreenletExit() if blow == "GreenletExit" else gevent.Timeout()
            assert client._greenlet is not None
            client._greenlet.kill(error, block=False)
        assert next_one.wait_ready(PATIENCE)
        assert not client.is_running
        assert group._herd.admission.taken == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("way", ["close", "kill", "kill in the hub", "drain"])
def test_client_that_waits_for_its_turn_leaves_the_queue(way: str) -> None:
    with EchoServer(opening=silent) as stuck, EchoServer() as server:
        with ClientGroup(max_connecting=1) as group:
            first = group.add(Feed(stuck.url))
            waiting = [group.add(Feed(server.url)) for _ in range(3)]
            last = group.add(Feed(server.url))
            if way == "kill":
                waiting[0].kill()  # before it has run at all
            gevent.sleep(0.005)
            admission = group._herd.admission  # type: ignore[union-attr]
            if way == "drain":
                assert group.drain() == 0
                assert not len(admission)
                assert admission.taken == 0
                assert server.connection_count == 0
                return
            for client in waiting:
                if way == "kill in the hub":
                    gevent.get_hub().loop.run_callback(client.kill)
                else:
                    getattr(client, way)()
            wait_until(lambda: len(admission) == 1)
            for client in waiting:
                client.join(PATIENCE)
            assert first.is_running
            first.close()
            assert last.wait_ready(PATIENCE)
            assert group.stats()["ended"] == 4
            assert server.connection_count == 1


def test_client_that_is_killed_right_after_its_turn_has_come_frees_its_place() -> None:
    with EchoServer(opening=silent) as stuck, EchoServer() as server:

        class First(Feed):
            def on_connect_fail(self, event: Any) -> None:
                assert second._member is not None
                assert second._member.is_admitted
                second.kill()

        with ClientGroup(max_connecting=1) as group:
            first = group.add(First(stuck.url))
            second, third = group.add(Feed(server.url)), group.add(Feed(server.url))
            gevent.sleep(0.005)
            first.close()
            assert third.wait_ready(PATIENCE)
            assert server.connection_count == 1


def test_slow_handlers_of_a_failed_opening_keep_no_place() -> None:
    class Slow(Feed):
        def on_rejected(self, event: Any) -> None:
            gevent.sleep(60)

        def on_connect_fail(self, event: Any) -> None:
            gevent.sleep(60)

    with EchoServer(opening=reject(503)) as refusing, EchoServer() as server:
        with ClientGroup(max_connecting=1) as group:
            slow = [group.add(Slow(url)) for url in (refusing.url, NOWHERE)]
            assert group.add(Feed(server.url)).wait_ready(PATIENCE)
            assert group.stats()["waiting"] == 2
            for client in slow:
                client.kill()


def test_exception_of_a_handler_frees_the_place_once(server: EchoServer) -> None:
    with ClientGroup(max_connecting=1) as group:
        group.start(Failing(server.url) for _ in range(5))
        with pytest.raises(LookupError):
            group.join(PATIENCE)
        assert group._herd.admission.taken == 0  # type: ignore[union-attr]


def test_turns_come_in_the_order_of_adding(server: EchoServer) -> None:
    order: list[int] = []

    class Numbered(Feed):
        number = 0

        def on_connecting(self, event: Any) -> None:
            order.append(self.number)

    clients = [Numbered(server.url) for _ in range(20)]
    for number, client in enumerate(clients):
        client.number = number
    with ClientGroup(max_connecting=2) as group:
        group.start(clients)
        assert group.wait_ready(PATIENCE)
    assert order == list(range(20))


def test_huge_rate_leaves_the_hub_its_turns(server: EchoServer) -> None:
    with ClientGroup(rate=1e9) as group:
        group.start(Feed(server.url) for _ in range(500))
        assert group.wait_ready(PATIENCE)
