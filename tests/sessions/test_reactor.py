"""What sessions of one hub share: the buffer they read into, the end of a turn."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import Any

import gevent
import gevent.event
import gevent.pool
import greenlet
import pytest
import trustme

import greenws
from greenws.protocol.stream import HEADROOM
from greenws.sessions.reactor import READ_SIZE, get_reactor
from tests.support.loopback import LoopbackServer as Server
from tests.support.peer import BINARY, TEXT, accept_and_echo, accept_and_wait, build, build_text
from tests.support.peer import RawServerPeer as Peer
from tests.support.run import Run, run_script
from tests.support.turns import Turns
from tests.support.waiting import PATIENCE


def make(url: str, **options: Any) -> greenws.WebSocket:
    return greenws.WebSocket(url, **{"proxies": {}, **options})


# The shared buffer


def test_a_handler_that_switches_in_a_chunk_keeps_the_rest_of_it() -> None:
    # While the first one is in the midst of its chunk, the second reads a chunk of its own.
    texts = [f"{number:04}" for number in range(1000)]
    at_third = gevent.event.Event()
    go_on = gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(b"".join(map(build_text, texts)))
        peer.read_until_end()

    def handle(event: Any) -> None:
        if event.name == "text" and event.text == texts[2]:
            at_third.set()
            assert go_on.wait(PATIENCE)

    with Server(script) as server:
        first = Run(iter(make(server.url)), handle)
        assert at_third.wait(PATIENCE)
        second = Run(iter(make(server.url)))
        second.wait("text", len(texts))
        assert len(first.all("text")) == 3
        go_on.set()
        first.wait("text", len(texts))
        first.kill()
        second.kill()
    assert [event.text for event in first.all("text")] == texts
    assert [event.text for event in second.all("text")] == texts


def test_what_comes_meanwhile_is_read_in_the_same_turn() -> None:
    many = b"".join(build_text("x" * 1000) for _ in range(40))
    ours, theirs = gevent.socket.socketpair()
    seen: list[int] = []

    class Reader(greenws.Client):
        def on_text(self, event: Any) -> None:
            seen.append(turns.count)
            if len(seen) == 1:
                assert theirs.send(many[:10_040]) == 10_040
            elif len(seen) == 50:
                self.kill()

    with theirs, Turns() as turns:
        client = Reader("ws://localhost/", socket=ours).start()
        peer = Peer(theirs)
        peer.accept()
        assert client.wait_ready(PATIENCE)
        peer.send(many)
        client.join(PATIENCE)
    assert len(seen) == 50
    assert len(set(seen)) == 1


def pieces(chance: random.Random, name: int) -> tuple[list[bytes], bytes]:
    """Messages of all sizes, some in fragments, and the bytes that they are."""
    messages = []
    stream = b""
    for number in range(120):
        filler = bytes([name]) * chance.choice([0, 1, 60, 200, 3000, 70_000])
        message = b"%d %d " % (name, number) + filler
        messages.append(message)
        cut = chance.randrange(len(message)) if chance.random() < 0.3 else len(message)
        stream += build(BINARY, message[:cut], fin=cut == len(message))
        if cut < len(message):
            stream += build(9, b"between") + build(0, message[cut:])
    return messages, stream


@pytest.mark.parametrize("kind", ["iteration", "client"])
@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_handlers_that_switch_anywhere_lose_and_mix_nothing(
    kind: str, secure: bool, tmp_path: Any
) -> None:
    sent: dict[int, list[bytes]] = {}
    received: dict[int, list[bytes]] = {}
    context, options = None, {}
    if secure:
        context, options = _contexts(tmp_path)

    def script(peer: Peer) -> None:
        name = server.connections
        chance = random.Random(name)
        messages, stream = pieces(chance, name)
        sent[name] = messages
        peer.accept()
        position = 0
        while position < len(stream):
            size = chance.choice([1, 7, 300, 20_000, 200_000])
            peer.send(stream[position : position + size])
            position += size
            if chance.random() < 0.3:
                gevent.sleep(0)
        peer.send(build(8, b"\x03\xe8"))
        peer.read_until_end()

    def keep(own: list[bytes], data: bytes, chance: random.Random) -> None:
        own.append(data)
        received[int(data.split(b" ")[0])] = own
        if chance.random() < 0.3:
            gevent.sleep(chance.choice([0, 0, 0.001]))

    class Keeper(greenws.Client):
        def on_connecting(self, event: Any) -> None:
            self.own: list[bytes] = []
            self.chance = random.Random(id(self))

        def on_binary(self, event: Any) -> None:
            keep(self.own, event.data, self.chance)

    def iterate(seed: int) -> None:
        own: list[bytes] = []
        chance = random.Random(seed)
        for event in make(server.url, **options):
            if event.name == "binary":
                keep(own, event.data, chance)

    def run(seed: int) -> None:
        if kind == "client":
            Keeper(server.url, proxies={}, **options).run()
        else:
            iterate(seed)

    with Server(script, context) as server, gevent.Timeout(30):
        pool = gevent.pool.Pool(8)
        for _ in pool.imap_unordered(run, range(8)):
            pass
    assert received == sent


def _contexts(folder: Any) -> tuple[Any, dict[str, Any]]:
    import ssl

    import gevent.ssl

    authority = trustme.CA()
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return context, {"ssl_cafile": str(path)}


def test_a_trace_that_switches_loses_nothing() -> None:
    # Anything may be read into the buffer while a log is written, a ping's too.
    texts = [str(number) for number in range(100)]
    stream = b"".join(build(9, text.encode()) + build_text(text) for text in texts)

    def trace(record: dict[str, Any]) -> None:
        gevent.sleep(0.001)

    def script(peer: Peer) -> None:
        peer.accept()
        peer.expect(TEXT, b"go")  # not in the segment of the answer
        peer.send(stream)
        peer.read_until_end()

    class Reader(greenws.Client):
        def on_ready(self, event: Any) -> None:
            self.send_text("go")
            self.texts: list[str] = []

        def on_text(self, event: Any) -> None:
            self.texts.append(event.text)
            if len(self.texts) == len(texts):
                self.kill()

    with Server(script) as server, gevent.Timeout(PATIENCE):
        options: dict[str, Any] = {"proxies": {}, "ping_rate": 0, "trace": trace}
        clients = [Reader(server.url, **options).start() for _ in range(4)]
        for client in clients:
            client.join()
    for client in clients:
        assert client.texts == texts


def test_an_iteration_left_in_the_midst_of_a_chunk_gives_the_buffer_back() -> None:
    def script(peer: Peer) -> None:
        peer.accept(then=build_text("x") * 100)
        peer.read_until_end()

    with Server(script) as server:
        for event in make(server.url):
            if event.name == "text":
                break
        assert get_reactor().holder is None
        run = Run(iter(make(server.url)))
        run.wait("text", 100)
        run.kill()


def test_many_connections_share_one_buffer() -> None:
    with Server(accept_and_wait) as server:
        runs = [Run(iter(make(server.url))) for _ in range(20)]
        for run in runs:
            run.wait("ready")
        reactor = get_reactor()
        assert len(reactor.sessions) == 20
        assert len(reactor.buffer) == HEADROOM + READ_SIZE
        for run in runs:
            run.kill()
    assert not reactor.sessions


# The end of a turn


def test_the_first_frames_of_a_process_leave_at_once() -> None:
    # They are queued by a callback of the loop, which has nothing else to do after that.
    got = gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        peer.expect(TEXT, b"first")
        got.set()
        peer.read_until_end()

    with Server(script) as server:
        websocket = make(server.url)
        run = Run(websocket.connect(ping_rate=0, poll=0))
        run.wait("ready")
        websocket.send_text("first")
        assert got.wait(1)
        run.kill()


@pytest.mark.parametrize(
    ("name", "module"),
    [("libev-cext", "libev.corecext"), ("libev-cffi", "libev.corecffi"), ("libuv", "libuv.loop")],
)
def test_what_another_greenlet_sends_leaves_at_once_on_every_loop(name: str, module: str) -> None:
    output = run_script(
        """
        import os, sys
        os.environ["GEVENT_LOOP"] = sys.argv[1]
        import gevent
        try:
            gevent.get_hub()
        except ImportError:
            sys.exit(print("missing"))
        import greenws
        from greenws.testing import EchoServer

        class Asker(greenws.Client):
            def on_text(self, event):
                self.close()

        with EchoServer() as server, gevent.Timeout(10):
            client = Asker(server.url, proxies={}).start()
            assert client.wait_ready()
            client.send_text("hello")
            client.join()
        print("answered on", type(gevent.get_hub().loop).__module__)
        """,
        name,
    )
    if output == "missing\n":
        pytest.skip("this gevent comes without it")
    assert output == f"answered on gevent.{module}\n"


def test_frames_of_a_session_that_ends_in_the_same_turn_harm_nobody() -> None:
    with Server(accept_and_echo) as server:
        first, second = make(server.url), make(server.url)
        runs = [Run(iter(first)), Run(iter(second))]
        for run in runs:
            run.wait("ready")
        first.send_text("into the void")
        second.send_text("hello")
        runs[0].kill()
        runs[1].wait("text")
        runs[1].kill()


def test_the_loop_watches_no_turns_without_sessions() -> None:
    loop = gevent.get_hub().loop
    with Server(accept_and_wait) as server:
        gevent.sleep(0.01)
        before = getattr(loop, "activecnt", 0)
        run = Run(iter(make(server.url)))
        run.wait("ready")
        run.kill()
        server.join()
        gevent.sleep(0.01)
        assert getattr(loop, "activecnt", 0) <= before


# A crowd


class Crowd:
    """Many connections whose server sends to all of them at once, round after round."""

    SIZE = 100

    def __init__(self, handle: Any) -> None:
        self.peers: list[Peer] = []
        self.seen: list[list[str]] = [[] for _ in range(self.SIZE)]
        self.clients: list[greenws.Client] = []
        self.handle = handle

    def run(self, rounds: int) -> None:
        def script(peer: Peer) -> None:
            peer.accept()
            self.peers.append(peer)
            peer.read_until_end()

        crowd = self

        class Member(greenws.Client):
            number = 0

            def on_text(self, event: Any) -> None:
                crowd.seen[self.number].append(event.text)
                crowd.handle(self, event.text)

        with Server(script) as server:
            for number in range(self.SIZE):
                client = Member(server.url, proxies={}).start()
                client.number = number
                self.clients.append(client)
            assert all(client.wait_ready(PATIENCE) for client in self.clients)
            for number in range(rounds):
                for peer in self.peers:
                    with contextlib.suppress(OSError):  # its client may be gone
                        peer.send(build_text(str(number)))
                self.wait(number + 1)
            for client in self.clients:
                client.kill()
                assert not client.is_running
        assert not get_reactor().sessions

    def wait(self, count: int) -> None:
        with gevent.Timeout(PATIENCE):
            while any(
                client.is_ready and len(seen) < count
                for client, seen in zip(self.clients, self.seen, strict=True)
            ):
                gevent.sleep(0.001)


def test_a_crowd_gets_all_its_messages_in_order() -> None:
    crowd = Crowd(lambda client, text: None)
    crowd.run(10)
    assert crowd.seen == [[str(number) for number in range(10)]] * Crowd.SIZE


def test_handlers_of_a_crowd_may_switch() -> None:
    def handle(client: Any, text: str) -> None:
        if client.number % 7 == 3:
            gevent.sleep(0 if client.number % 2 else 0.002)

    crowd = Crowd(handle)
    crowd.run(8)
    assert crowd.seen == [[str(number) for number in range(8)]] * Crowd.SIZE


def test_members_of_a_crowd_may_end_each_other() -> None:
    def handle(client: Any, text: str) -> None:
        if text == "5" and client.number % 10 == 0:
            other = crowd.clients[(client.number + 35) % Crowd.SIZE]
            if client.number % 20:
                other.kill()
            else:
                gevent.spawn(other.kill)
                other.websocket.force_disconnect()

    crowd = Crowd(handle)
    crowd.run(8)
    killed = {(number + 35) % Crowd.SIZE for number in range(0, Crowd.SIZE, 10)}
    for number, seen in enumerate(crowd.seen):
        texts = [str(text) for text in range(8)]
        assert seen == texts[: len(seen)]
        assert len(seen) in (5, 6) if number in killed else len(seen) == 8


def test_a_failing_handler_of_a_crowd_ends_its_own_connection_only() -> None:
    def handle(client: Any, text: str) -> None:
        if text == "4" and client.number % 9 == 0:
            raise ZeroDivisionError

    crowd = Crowd(handle)
    crowd.run(8)
    for number, seen in enumerate(crowd.seen):
        assert len(seen) == (8 if number % 9 else 5)


in_order = pytest.mark.skipif(
    "libev" not in type(gevent.get_hub().loop).__module__, reason="the loop knows no priorities"
)


@in_order
def test_reply_of_a_crowds_member_leaves_before_the_next_member_runs() -> None:
    waiting: list[int] = []

    def handle(client: Any, text: str) -> None:
        client.send_text(text)
        clients = [other for other in crowd.clients if other.is_ready]
        waiting.append(sum(other.websocket.session.queued_bytes > 0 for other in clients))

    crowd = Crowd(handle)
    crowd.run(10)
    assert crowd.seen == [[str(number) for number in range(10)]] * Crowd.SIZE
    assert max(waiting) == 1


@in_order
def test_a_crowd_runs_without_the_hub_in_between() -> None:
    switches = []

    def note(event: str, pair: Any) -> None:
        switches.append(pair)

    before = greenlet.gettrace()
    greenlet.settrace(note)
    try:
        Crowd(lambda client, text: None).run(10)
    finally:
        greenlet.settrace(before)
    hub = gevent.get_hub()
    direct = sum(hub not in pair for pair in switches)
    assert direct > Crowd.SIZE * 10 / 4


# Threads


def test_every_thread_has_a_reactor_of_its_own() -> None:
    found = []

    def look() -> None:
        try:
            found.append(get_reactor())
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(PATIENCE)
    assert found[0] is not get_reactor()


def test_a_connection_may_live_in_another_thread() -> None:
    names: list[str] = []

    def run(url: str) -> None:
        try:
            websocket = make(url)
            for event in websocket:
                names.append(event.name)
                if event.name == "ready":
                    websocket.send_text("hello")
                elif event.name == "text":
                    websocket.close()
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    with Server() as server:
        thread = threading.Thread(target=run, args=(server.url,))
        thread.start()
        with gevent.Timeout(PATIENCE):
            while thread.is_alive():
                gevent.sleep(0.005)
    assert names[-1] == "disconnected"
    assert "text" in names
