"""In a forked child, a client of the parent has ended, and can begin anew.

Each test runs a script in a process of its own, which forks.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import Any

import pytest

from tests.sessions.test_fork import PRELUDE
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer, accept_and_echo, accept_and_stop, accept_and_wait
from tests.support.run import run_script

CLIENTS = """
class Client(greenws.Client):
    proxies = {}
    ping_rate = 0
    ssl_verify = False

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = []

    def on_ready(self, event):
        self.seen.append("ready")

    def on_text(self, event):
        self.seen.append(event.text)

    def on_connect_fail(self, event):
        pass  # no warning

    def on_close(self, event):
        self.seen.append("close")

    def say(self, text):
        self.send_text(text)
        with gevent.Timeout(5):
            while text not in self.seen:
                gevent.sleep(0.001)
"""


@pytest.fixture(params=["os", "gevent"])
def fork(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


def run(source: str, *args: object) -> list[str]:
    return run_script(PRELUDE + CLIENTS + textwrap.dedent(source), *args).splitlines()


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_ready_client_has_ended_in_the_child_and_begins_anew(
    fork: str, secure: bool, authority: Authority
) -> None:
    with LoopbackServer(accept_and_echo, authority.server_context() if secure else None) as server:
        # gevent's threads, which resolve names, are not there after a plain os.fork().
        url = server.url.replace("localhost", "127.0.0.1")
        said = run(
            """
            client = Client(sys.argv[1]).start()
            assert client.wait_ready(5)

            def child():
                found = [client.is_ready, client.is_running, client.wait_ready(),
                         client.websocket.is_ready, client.close(), client.kill(), client.join()]
                try:
                    client.send_text("of the child")
                except errors.WebSocketUnavailable as error:
                    found.append(str(error))
                del client.seen[:]
                client.start()
                found += [client.wait_ready(5), client.is_running, client.is_ready]
                client.say("child")
                client.close()
                client.join(5)
                return found, client.is_running, client.seen

            print(in_child(child))
            client.say("parent")
            client.close()
            client.join(5)
            print(client.seen)
            """,
            url,
            fork,
        )
        connections = server.connections
    found: list[Any] = [False, False, False, False, None, None, None]
    found += ["the connection belongs to the parent process", True, True, True]
    assert said == [
        repr((found, False, ["ready", "child", "close"])),
        "['ready', 'parent', 'close']",
    ]
    assert connections == 2


def test_client_that_waits_to_connect_again_ends_in_the_child(fork: str) -> None:
    # The greenlets of the parent, and their timers, go on in the child.
    def script(peer: RawServerPeer) -> None:
        peer.read_head()

    with LoopbackServer(script) as server:
        said = run(
            """
            def follow(iteration):
                try:
                    for event in iteration:
                        pass
                except errors.WebSocketUnavailable as error:
                    ends.append("persist")

            def run():
                try:
                    clients[1].run()
                except errors.WebSocketUnavailable as error:
                    ends.append("run")

            ends = []
            reconnect = greenws.Backoff(min_wait=0.4, jitter=0)
            clients = [Client(sys.argv[1], reconnect=reconnect) for _ in range(2)]
            websocket = greenws.WebSocket(sys.argv[1], proxies={})
            iteration = greenws.persist(websocket, min_wait=0.4, max_wait=0.4)
            greenlets = [clients[0].start()._greenlet, gevent.spawn(run),
                         gevent.spawn(follow, iteration)]
            gevent.sleep(0.2)
            print([client.is_running for client in clients])

            def child():
                running = [client.is_running for client in clients]
                gevent.joinall(greenlets, 5)
                return running, sorted(ends), [greenlet.dead for greenlet in greenlets]

            print(in_child(child))
            print(ends, [client.is_running for client in clients])
            sys.stdout.flush()
            os._exit(0)
            """,
            server.url,
            fork,
        )
    assert said == [
        "[True, True]",
        "([False, False], ['persist', 'run'], [True, True, True])",
        "[] [True, True]",
    ]


def test_greenlets_that_wait_for_the_client_go_on_in_the_child(fork: str) -> None:
    def script(peer: RawServerPeer) -> None:
        if server.connections == 1:
            accept_and_stop(peer)
        else:
            peer.read_until_end()

    with LoopbackServer(script, buffer=4096) as server:
        said = run(
            """
            def send():
                try:
                    ready.send_binary(bytes(10_000_000))
                except errors.WebSocketUnavailable as error:
                    return str(error)

            ready = Client(sys.argv[1], write_limit=1000, send_timeout=None).start()
            assert ready.wait_ready(5)
            opening = Client(sys.argv[1]).start()
            greenlets = [gevent.spawn(ready.join), gevent.spawn(ready.join, 60),
                         gevent.spawn(opening.wait_ready), gevent.spawn(opening.wait_ready, 60),
                         gevent.spawn(opening.join), gevent.spawn(send)]
            gevent.sleep(0.2)

            def child():
                gevent.joinall(greenlets, 5)
                return [greenlet.value if greenlet.dead else "waits" for greenlet in greenlets]

            print(in_child(child))
            print([greenlet.dead for greenlet in greenlets])
            sys.stdout.flush()
            os._exit(0)
            """,
            server.url,
            fork,
        )
    assert said == [
        "[None, None, False, False, None, 'the connection belongs to the parent process']",
        repr([False] * 6),
    ]


def test_old_greenlet_leaves_a_client_alone_that_began_anew(fork: str) -> None:
    # Its handler was in the midst of something at the fork, and goes on in the child.
    with LoopbackServer(accept_and_echo) as server:
        said = run(
            """
            class Slow(Client):
                def on_ready(self, event):
                    super().on_ready(event)
                    if os.getpid() == parent:
                        go_on.wait()
                        self.seen.append("woken")

            parent = os.getpid()
            go_on = gevent.event.Event()
            client = Slow(sys.argv[1], reconnect=True).start()
            assert client.wait_ready(5)
            greenlet = client._greenlet

            def child():
                client.start()
                assert client.wait_ready(5)
                go_on.set()
                greenlet.join(5)
                client.say("child")
                found = greenlet.dead, client.is_running
                client.kill()
                return found, client.is_running, client.seen

            print(in_child(child))
            go_on.set()
            client.say("parent")
            client.kill()
            print(client.seen)
            """,
            server.url,
            fork,
        )
    assert said == [
        "((True, True), False, ['ready', 'ready', 'woken', 'child', 'close'])",
        "['ready', 'woken', 'parent', 'close']",
    ]


@pytest.mark.parametrize("anew", ["", "start", "run"])
def test_client_that_has_not_had_a_turn_yet_has_ended_in_the_child(fork: str, anew: str) -> None:
    # Web servers import an application, which starts a client, and fork at once.
    with LoopbackServer(accept_and_echo) as server:
        url = server.url.replace("localhost", "127.0.0.1")
        said = run(
            """
            import logging
            warned = []
            handler = logging.Handler()
            handler.emit = lambda record: warned.append(record.getMessage())
            logging.getLogger("greenws.client").addHandler(handler)
            client = Client(sys.argv[1]).start()
            greenlet = client._greenlet

            def child():
                found = [client.is_running, client.wait_ready(), client.join()]
                if sys.argv[3] == "start":
                    client.start()
                elif sys.argv[3] == "run":
                    gevent.spawn(client.run)
                    gevent.sleep(0)
                found.append(client.wait_ready(5))
                greenlet.join(5)
                if client.is_ready:
                    client.say("child")
                    client.close()
                    client.join(5)
                return found, greenlet.successful(), client.is_running, client.seen, len(warned)

            print(in_child(child))
            assert client.wait_ready(5)
            client.say("parent")
            client.close()
            client.join(5)
            print(client.seen, len(warned))
            """,
            url,
            fork,
            anew,
        )
        connections = server.connections
    seen = ["ready", "child", "close"] if anew else []
    found: list[Any] = [False, False, None, bool(anew)]
    # By run(), it begins anew after the turn of the old greenlet, which has warned.
    warnings = 0 if anew == "start" else 1
    assert said == [
        repr((found, True, False, seen, warnings)),
        "['ready', 'parent', 'close'] 0",
    ]
    assert connections == (2 if anew else 1)


def test_child_of_multiprocessing_leaves_the_client_to_its_parent() -> None:
    ends: Counter[Any] = Counter()

    def script(peer: RawServerPeer) -> None:
        accept_and_wait(peer)
        ends["end"] += 1

    with LoopbackServer(script) as server:
        said = run(
            """
            import multiprocessing

            def work(queue):
                client.kill()
                client.join()
                queue.put((client.is_ready, client.is_running, client.seen))

            client = Client(sys.argv[1]).start()
            assert client.wait_ready(5)
            context = multiprocessing.get_context("fork")
            queue = context.SimpleQueue()
            process = context.Process(target=work, args=(queue,))
            process.start()
            print(queue.get())
            process.join()
            gevent.sleep(0.05)
            print(client.is_ready, client.seen)
            client.kill()
            print(client.seen)
            """,
            server.url,
            "os",
        )
    assert said == ["(False, False, ['ready'])", "True ['ready']", "['ready', 'close']"]
