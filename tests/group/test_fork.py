"""In a forked child a group is empty, and its parent's clients are left alone."""

from __future__ import annotations

import textwrap

import pytest

from tests.client.test_fork import CLIENTS
from tests.sessions.test_fork import PRELUDE
from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer, accept_and_echo
from tests.support.run import run_script


@pytest.fixture(params=["os", "gevent"])
def fork(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


def run(source: str, *args: object) -> list[str]:
    return run_script(PRELUDE + CLIENTS + textwrap.dedent(source), *args).splitlines()


def test_childs_copy_of_a_group_is_empty_and_may_be_used_anew(fork: str) -> None:
    with LoopbackServer(accept_and_echo) as server:
        url = server.url.replace("localhost", "127.0.0.1")
        said = run(
            """
            ended = []
            group = greenws.ClientGroup(max_connecting=1, on_end=ended.append)
            clients = [Client(sys.argv[1]) for _ in range(3)]
            group.start(clients)
            assert group.wait_ready(5)

            def child():
                found = [group.wait_ready(), group.wait_ready(), group.join(), group.drain(),
                         group.is_draining, sum(group.stats().values()), repr(group)]
                with group:
                    group.start(clients)
                    found += [group.wait_ready(5), group.stats()["ready"]]
                    clients[0].say("child")
                found += [group.stats()["ended"], len(ended)]
                return found

            print(in_child(child))
            clients[0].say("parent")
            print(group.stats()["ready"], len(ended), group.drain(), len(ended))
            """,
            url,
            fork,
        )
    found = [False, False, None, 0, False, 0, "<ClientGroup of 0 clients>", True, 3, 3, 3]
    assert said == [repr(found), "3 0 0 3"]


def test_all_that_wait_for_the_group_go_on_in_the_child(fork: str) -> None:
    # The first client hangs in its opening, and the others wait for their turn.
    def script(peer: RawServerPeer) -> None:
        peer.read_until_end()

    with LoopbackServer(script) as server:
        said = run(
            """
            group = greenws.ClientGroup(max_connecting=2)
            # The second one has failed once, and waits for its second turn in a greenlet.
            again = greenws.Backoff(min_wait=0.001)
            clients = [Client(sys.argv[1]), Client("ws://127.0.0.1:1/", reconnect=again)]
            clients += [Client(sys.argv[1]) for _ in range(3)]
            group.start(clients)
            gevent.sleep(0.1)
            greenlets = [gevent.spawn(group.join), gevent.spawn(group.wait_ready),
                         gevent.spawn(group.join, 60), gevent.spawn(group.wait_ready, 60)]
            greenlets += [clients[1]._greenlet]
            gevent.sleep(0.1)

            def child():
                gevent.joinall(greenlets, 5)
                return [g.value if g.dead else "waits" for g in greenlets], ended(), group.drain()

            def ended():
                return [client.is_running for client in clients]

            print(in_child(child))
            print([g.dead for g in greenlets], group.stats()["connecting"],
                  group.stats()["waiting"])
            sys.stdout.flush()
            os._exit(0)
            """,
            server.url,
            fork,
        )
    assert said == [
        "([None, False, None, False, None], [False, False, False, False, False], 0)",
        f"{[False] * 5} 2 3",
    ]


def test_drain_that_is_under_way_is_the_parents(fork: str) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.sock.settimeout(5)
        while peer.sock.recv(4096):
            pass  # no answer to the close

    with LoopbackServer(script) as server:
        said = run(
            """
            import logging
            logging.disable()
            group = greenws.ClientGroup()
            group.start([Client(sys.argv[1])])
            assert group.wait_ready(5)
            draining = gevent.spawn(group.drain, 0.5)
            gevent.sleep(0.1)

            def child():
                draining.join(5)
                return draining.value, group.is_draining

            print(in_child(child))
            print(draining.get(timeout=5), group.stats()["ended"])
            """,
            server.url,
            fork,
        )
    assert said == ["(0, False)", "1 1"]
