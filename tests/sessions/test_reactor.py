"""What the sessions of a hub share: the buffer that they read into, and who is told in a child.

Where no connection is needed, the tests run the plain twin on a loop that does nothing.
"""

from __future__ import annotations

import random
import ssl
import sys
import threading
from typing import Any

import gevent
import gevent.event
import gevent.pool
import gevent.socket
import pytest
from hypothesis import given
from hypothesis import strategies as st

import greenws
from greenws.protocol.stream import HEADROOM
from greenws.sessions.reactor import READ_SIZE, get_reactor
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer
from tests.support.peer import BINARY, TEXT, RawServerPeer, accept_and_wait, build, build_text
from tests.support.pure import load_pure
from tests.support.run import Run
from tests.support.turns import Turns
from tests.support.waiting import PATIENCE

twin: Any = load_pure("sessions.reactor")

KIB = 1024
FIRST = 64 * KIB
LEAST = 8 * KIB
SLOW, FAST = 0.008, 0.002


class Watcher:
    priority = 0
    is_closed = False

    def start(self, callback: Any) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True


class Loop:
    """A loop that watches nothing, and its hub. Any loop that is not libev's counts as one of
    libuv's.
    """

    def __init__(self) -> None:
        self.loop: Any = self
        self.reinits = 0
        self.error: Exception | None = None
        self.watchers: list[Watcher] = []

    def idle(self, ref: bool = True) -> Watcher:
        self.watchers.append(Watcher())
        return self.watchers[-1]

    prepare = check = timer = idle

    def reinit(self) -> None:
        self.reinits += 1
        if self.error is not None:
            raise self.error


class LibevLoop(Loop):
    __module__ = "gevent.libev.corecext"


class Session:
    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[str] = []
        self.error = error

    def _detach(self) -> None:
        self.told.append("detach")

    def _abandon(self) -> None:
        self._tell("abandon")

    def _expire(self) -> None:
        self._tell("expire")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        if self.error is not None:
            raise self.error


def make(url: str, **options: Any) -> greenws.WebSocket:
    return greenws.WebSocket(url, **{"proxies": {}, **options})


@pytest.fixture
def reactor() -> Any:
    return twin.Reactor(LibevLoop())


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The exceptions that were handed to the excepthook."""
    found: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: found.append(error))
    return found


# The size of a read


def test_quick_full_read_doubles_the_next_up_to_the_limit(reactor: Any) -> None:
    assert reactor.read_size == FIRST
    sizes = []
    for _ in range(6):
        assert reactor.note_read(reactor.read_size, 0.001)
        sizes.append(reactor.read_size // KIB)
    assert sizes == [128, 256, 512, 768, 768, 768]


def test_slow_full_read_makes_the_next_one_take_half_of_what_is_slow(reactor: Any) -> None:
    assert not reactor.note_read(FIRST, 2 * SLOW)
    assert reactor.read_size == FIRST // 4
    assert not reactor.note_read(FIRST // 4, SLOW / 2)  # the aim
    assert reactor.read_size == FIRST // 4


def test_reads_never_get_smaller_than_the_least(reactor: Any) -> None:
    for _ in range(10):
        reactor.note_read(reactor.read_size, 1.0)
    assert reactor.read_size == LEAST


@pytest.mark.parametrize("seconds", [0.0, 0.005, 1.0])
def test_read_that_was_not_full_changes_nothing(reactor: Any, seconds: float) -> None:
    assert reactor.note_read(FIRST - 1, seconds) == (seconds < FAST)
    assert reactor.read_size == FIRST


@given(st.lists(st.floats(0, 10), max_size=30))
def test_reads_stay_within_their_limits(times: list[float]) -> None:
    reactor = twin.Reactor(LibevLoop())
    for seconds in times:
        reactor.note_read(reactor.read_size, seconds)
        assert LEAST <= reactor.read_size <= twin.READ_SIZE


# The holder of the buffer


def test_borrower_makes_the_holder_copy_its_rest(reactor: Any) -> None:
    first, second = Session(), Session()
    view = reactor.borrow(first)
    assert reactor.borrow(first) is view
    assert first.told == []
    assert reactor.borrow(second) is view
    assert first.told == ["detach"] and reactor.holder is second


def test_only_the_holder_gives_back(reactor: Any) -> None:
    first, second = Session(), Session()
    reactor.borrow(first)
    reactor.give_back(second)
    assert reactor.holder is first
    reactor.give_back(first)
    assert reactor.holder is None
    reactor.borrow(second)
    assert first.told == []


def test_session_that_is_removed_holds_nothing(reactor: Any) -> None:
    session = Session()
    reactor.add(session)
    reactor.borrow(session)
    reactor.remove(session)
    reactor.remove(session)
    assert reactor.holder is None and reactor.sessions == set()


# The buffer, under connections


def test_handler_that_switches_in_a_chunk_keeps_the_rest_of_it() -> None:
    # While the first client is in the midst of its chunk, the second one reads a chunk.
    texts = [f"{number:04}" for number in range(1000)]
    at_third = gevent.event.Event()
    go_on = gevent.event.Event()

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.send(b"".join(map(build_text, texts)))
        peer.read_until_end()

    def handle(event: Any) -> None:
        if event.name == "text" and event.text == texts[2]:
            at_third.set()
            assert go_on.wait(PATIENCE)

    with LoopbackServer(script) as server:
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


def find_turns_of_bytes_that_come_while_handlers_run() -> set[int]:
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
        peer = RawServerPeer(theirs)
        peer.accept()
        assert client.wait_ready(PATIENCE)
        peer.send(many)
        client.join(PATIENCE)
    assert len(seen) == 50
    return set(seen)


def test_bytes_that_come_while_handlers_run_are_read_in_the_same_turn() -> None:
    # A turn is bounded in time, too: on a busy machine it may be over in between.
    assert any(len(find_turns_of_bytes_that_come_while_handlers_run()) == 1 for _ in range(20))


def pieces(chance: random.Random, name: int) -> tuple[list[bytes], bytes]:
    """Build messages of all sizes, some in fragments, and the stream of their frames."""
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
    kind: str, secure: bool, authority: Authority
) -> None:
    sent: dict[int, list[bytes]] = {}
    received: dict[int, list[bytes]] = {}
    context: ssl.SSLContext | None = None
    options: dict[str, Any] = {}
    if secure:
        context, options = authority.server_context(), {"ssl_cafile": authority.cafile}

    def script(peer: RawServerPeer) -> None:
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

    with LoopbackServer(script, context) as server, gevent.Timeout(30):
        pool = gevent.pool.Pool(8)
        for _ in pool.imap_unordered(run, range(8)):
            pass
    assert received == sent


def test_trace_that_switches_loses_nothing() -> None:
    # While a trace switches, also that of a ping, another session may read into the buffer.
    texts = [str(number) for number in range(100)]
    stream = b"".join(build(9, text.encode()) + build_text(text) for text in texts)

    def trace(record: dict[str, Any]) -> None:
        gevent.sleep(0.001)

    def script(peer: RawServerPeer) -> None:
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

    with LoopbackServer(script) as server, gevent.Timeout(PATIENCE):
        options: dict[str, Any] = {"proxies": {}, "ping_rate": 0, "trace": trace}
        clients = [Reader(server.url, **options).start() for _ in range(4)]
        for client in clients:
            client.join()
    for client in clients:
        assert client.texts == texts


def test_iteration_left_in_the_midst_of_a_chunk_gives_the_buffer_back() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("x") * 100)
        peer.read_until_end()

    with LoopbackServer(script) as server:
        for event in make(server.url):
            if event.name == "text":
                break
        assert get_reactor().holder is None
        run = Run(iter(make(server.url)))
        run.wait("text", 100)
        run.kill()


def test_many_connections_share_one_buffer() -> None:
    with LoopbackServer(accept_and_wait) as server:
        runs = [Run(iter(make(server.url))) for _ in range(20)]
        for run in runs:
            run.wait("ready")
        reactor = get_reactor()
        assert len(reactor.sessions) == 20
        assert len(reactor.buffer) == HEADROOM + READ_SIZE
        for run in runs:
            run.kill()
    assert not reactor.sessions


# A child


@pytest.mark.parametrize("loop_class", [LibevLoop, Loop], ids=["libev", "libuv"])
def test_each_session_is_told_whatever_another_one_does(
    loop_class: type[Loop], printed: list[BaseException]
) -> None:
    reactor = twin.Reactor(loop_class())
    error = LookupError("session")
    sessions = [Session(), Session(error), Session()]
    for session in sessions:
        reactor.add(session)
    reactor.borrow(sessions[0])
    reactor.abandon()
    assert [session.told for session in sessions] == [["abandon"]] * 3
    assert printed == [error]
    assert reactor.sessions == set() and reactor.holder is None
    # libuv's loop has to let go of the set that it shares with the parent first.
    assert reactor.loop.reinits == (1 if loop_class is Loop else 0)


def test_hub_without_sessions_is_left_as_it_is() -> None:
    reactor = twin.Reactor(Loop())
    reactor.abandon()
    assert reactor.loop.reinits == 0


def test_loop_that_fails_keeps_nobody_from_being_told(printed: list[BaseException]) -> None:
    broken, whole = twin.Reactor(Loop()), twin.Reactor(Loop())
    broken.loop.error = OSError("a loop that was destroyed")
    sessions = [Session(), Session()]
    broken.add(sessions[0])
    whole.add(sessions[1])
    twin._reactors.update((broken, whole))
    twin._abandon_all()
    twin._reactors.clear()
    assert [session.told for session in sessions] == [["abandon"]] * 2
    assert printed == [broken.loop.error]


def test_session_of_a_hub_has_to_define_how_it_lets_go() -> None:
    session = twin.HubSession()
    with pytest.raises(NotImplementedError):
        session._detach()
    with pytest.raises(NotImplementedError):
        session._abandon()
    with pytest.raises(NotImplementedError):
        session._expire()


# The end of a hub


@pytest.mark.parametrize("loop_class", [LibevLoop, Loop], ids=["libev", "libuv"])
def test_each_session_ends_with_its_hub_whatever_another_one_does(
    loop_class: type[Loop], printed: list[BaseException]
) -> None:
    reactor = twin.Reactor(loop_class())
    error = LookupError("session")
    sessions = [Session(), Session(error), Session()]
    for session in sessions:
        reactor.add(session)
    reactor.borrow(sessions[0])
    assert not reactor.is_over()
    reactor.expire()
    reactor.expire()
    assert [session.told for session in sessions] == [["expire"]] * 3
    assert printed == [error]
    assert reactor.is_over() and reactor.holder is None
    assert len(reactor.buffer) == len(reactor.view) == 0
    assert all(watcher.is_closed for watcher in reactor.loop.watchers)


def test_hub_without_a_loop_is_over(reactor: Any) -> None:
    session = Session()
    reactor.add(session)
    reactor.borrow(session)
    reactor.hub.loop = None
    assert reactor.is_over()
    reactor.forget(session)
    assert reactor.sessions == set() and reactor.holder is None


def test_reactor_of_a_parents_thread_is_abandoned(
    reactor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session()
    reactor.add(session)
    monkeypatch.setattr("os.getpid", lambda: -1)
    reactor.expire()
    assert session.told == ["abandon"]


@pytest.mark.parametrize("is_finalizing", [False, True])
def test_thread_that_ends_takes_its_reactor_along(
    reactor: Any, is_finalizing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At the end of the interpreter the system closes what is open.
    monkeypatch.setattr("sys.is_finalizing", lambda: is_finalizing)
    home = twin._Home(reactor)
    assert not reactor.is_over()
    del home
    assert reactor.is_over() is not is_finalizing


def test_hub_that_was_destroyed_is_followed_by_a_new_reactor() -> None:
    found = []

    def look() -> None:
        for _ in range(2):
            found.append(get_reactor())
            assert found[-1] is get_reactor()
            gevent.get_hub().destroy(destroy_loop=True)
        assert found[0] is not found[1]
        assert found[0].hub is None and found[1].hub is not None

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(PATIENCE)
    assert len(found) == 2 and found[1].hub is None


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


def test_connection_may_live_in_another_thread() -> None:
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

    with LoopbackServer() as server:
        thread = threading.Thread(target=run, args=(server.url,))
        thread.start()
        with gevent.Timeout(PATIENCE):
            while thread.is_alive():
                gevent.sleep(0.005)
    assert names[-1] == "disconnected"
    assert "text" in names
