"""What sessions of one hub share: the buffer they read into, the end of a turn."""

from __future__ import annotations

import random
import threading
from typing import Any

import gevent
import gevent.event
import gevent.pool
import pytest
import trustme

import greenws
from greenws.protocol.stream import HEADROOM
from greenws.sessions.reactor import READ_SIZE, get_reactor
from tests.support.peer import (
    BINARY,
    PATIENCE,
    TEXT,
    Peer,
    Run,
    Server,
    accept_and_echo,
    accept_and_wait,
    build,
    build_text,
)


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
