"""A connection at full speed leaves the others their turn.

The limits find gross failures only; the benchmarks measure the promise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.event
import lomond
import pytest

import greenws
from greenws.sessions.reactor import get_reactor
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer, build, build_close
from tests.support.run import Run
from tests.support.servers import ForeignServer
from tests.support.stopwatch import Stopwatch
from tests.support.streams import deflate
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE, wait_until

# Seconds of the processor that the hub's thread has during a flood.
DURATION = 0.7

#: The longest the hub may be deaf beside a flood, seconds. DESIGN promises the same.
LARGEST_GAP = 0.1

#: The longest the hub's thread may work while a round trip waits, seconds. DESIGN promises 0.05.
LONGEST_TRIP = 0.15


@pytest.fixture(scope="module")
def flood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignServer]:
    with ForeignServer("flood", tmp_path_factory.mktemp("flood")) as server:
        yield server


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignServer]:
    with ForeignServer("websockets", tmp_path_factory.mktemp("echo")) as server:
        yield server


class Pinger(greenws.Client):
    """Sends a message a moment after the one before has come back.

    A trip lasts as long as the hub's thread works meanwhile; the server's wait for a processor
    is not the hub's fault.
    """

    ping_rate = 0

    def __init__(self, url: str) -> None:
        super().__init__(url, proxies={})
        self.trips: list[float] = []

    def on_ready(self, event: Any) -> None:
        self.send()

    def on_text(self, event: Any) -> None:
        self.trips.append(time.thread_time() - self.sent)
        gevent.sleep(0.01)
        self.send()

    def send(self) -> None:
        self.sent = time.thread_time()
        self.send_text("ping")


class Flooded(greenws.Client):
    count = 0

    def on_text(self, event: Any) -> None:
        self.count += 1


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def watch(ticking: Ticker) -> float:
    """Let the hub's thread work for a while, and return its largest gap, seconds.

    The best of three counts. A session reads as much at once as the last flood on its hub allowed,
    and learns only from such a read that its own handler is slow.
    """
    gap = LARGEST_GAP
    for _ in range(3):
        if gap < LARGEST_GAP:
            break
        ticking.reset()
        end = time.thread_time() + DURATION
        wait_until(lambda end=end: time.thread_time() >= end, 30)
        gap = ticking.largest_gap
    return gap


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_flooded_client_leaves_the_others_their_turn(
    secure: bool, flood: ForeignServer, echo: ForeignServer, ticking: Ticker
) -> None:
    pingers = [Pinger(echo.url).start() for _ in range(20)]
    for pinger in pingers:
        assert pinger.wait_ready(PATIENCE)
    url = flood.secure_url if secure else flood.url
    flooded = Flooded(url, proxies={}, ssl_cafile=flood.cafile).start()
    assert flooded.wait_ready(PATIENCE)
    for pinger in pingers:
        pinger.trips.clear()
    gap = watch(ticking)
    trips = [trip for pinger in pingers for trip in pinger.trips]
    count = flooded.count
    for client in [flooded, *pingers]:
        client.kill()
    assert count > 20_000  # it was a flood
    assert gap < LARGEST_GAP
    assert percentile(trips, 0.99) < LONGEST_TRIP
    assert all(len(pinger.trips) >= 5 for pinger in pingers)


def work(seconds: float) -> None:
    """Use the processor for so long, as a handler may."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def iterate_flood(
    websocket: greenws.WebSocket, ticking: Ticker, seconds: float = 0.0
) -> tuple[int, float]:
    """Iterate over a flood, work ``seconds`` on each event, and watch the hub.

    :returns: how many texts there were, and the largest gap.
    """
    texts = 0

    def iterate() -> None:
        nonlocal texts
        for event in websocket:
            if seconds:
                work(seconds)
            texts += event.name == "text"

    greenlet = gevent.spawn(iterate)
    wait_until(lambda: texts)
    gap = watch(ticking)
    greenlet.kill()
    return texts, gap


# Seconds of work per message. Thousands of messages fit into one read, and all of them at once
# would keep the hub for half a second.
SLOWLY = 5e-5


def test_flood_that_is_handled_slowly_leaves_the_hub_its_turn(
    flood: ForeignServer, ticking: Ticker
) -> None:
    class Slow(Flooded):
        def on_text(self, event: Any) -> None:
            work(SLOWLY)
            super().on_text(event)

    client = Slow(flood.url, proxies={}).start()
    assert client.wait_ready(PATIENCE)
    gap = watch(ticking)
    count = client.count
    client.kill()
    assert count > 1000
    assert gap < LARGEST_GAP


def test_flood_that_is_iterated_slowly_leaves_the_hub_its_turn(
    flood: ForeignServer, ticking: Ticker
) -> None:
    texts, gap = iterate_flood(greenws.WebSocket(flood.url, proxies={}), ticking, SLOWLY)
    assert texts > 1000
    assert gap < LARGEST_GAP


# Seconds that the hub's thread may work between two ticks of another greenlet, whatever is read.
LARGEST_STEP = 0.05

BOMB = build(2, deflate(bytes(16 * 1024 * 1024 - 1)), rsv=4)
TEXT_BOMB = build(1, deflate(b"a" * (16 * 1024 * 1024 - 1)), rsv=4)
FRAGMENTS = build(1, b"x", fin=False) + build(0, b"x", fin=False) * 100_000 + build(0, b"x")

#: What comes after a ramp of cheap messages, and how many events come of it.
ATTACKS = {
    "bombs": (BOMB * 6, 6),
    "text bombs": (TEXT_BOMB * 3, 3),
    "streams that end at once": (build(2, b"\x03\x00" * 4095, rsv=4) * 40, 40),
    "empty pongs": (build(10) * 200_000, 200_000),
    "pings": (build(9) * 50_000, 50_000),
    "empty texts": (build(1) * 200_000, 200_000),
    "texts of a byte": (build(1, b"x") * 200_000, 200_000),
    "fragments of a byte": (FRAGMENTS * 2, 2),
    "empty fragments": (
        build(1, fin=False) + build(0, fin=False) * 200_000 + build(0),
        1,
    ),
}

RAMP = build(2, b"x" * 4000) * 1000


def attack(peer: RawServerPeer, *pieces: bytes) -> None:
    """Send the pieces as fast as they are taken, and drop what comes back."""
    peer.accept(b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n")
    draining = gevent.spawn(peer.read_until_end)
    for piece in pieces:
        for start in range(0, len(piece), 64 * 1024):  # the peer is on the same hub
            peer.send(piece[start : start + 64 * 1024])
            gevent.sleep(0)
    peer.send(build_close(1000))
    draining.join()


class Attacked(greenws.Client):
    """Counts the events after the ramp."""

    compress = True
    ping_rate = 0
    count = -1000

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, proxies={}, **options)

    def on_text(self, event: Any) -> None:
        self.count += 1

    on_binary = on_ping = on_pong = on_text


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("handles", [True, False], ids=["handlers", "iteration"])
def test_no_bytes_of_a_peer_hold_the_hub(
    name: str, handles: bool, secure: bool, authority: Authority, ticking: Ticker
) -> None:
    data, events = ATTACKS[name]
    context = authority.server_context() if secure else None
    with LoopbackServer(lambda peer: attack(peer, RAMP, data), context) as server:

        def find_gap() -> float:
            client = Attacked(server.url, ssl_cafile=authority.cafile)
            ticking.reset()
            if handles:
                client.run()
                count = client.count
            else:
                names = ("text", "binary", "ping", "pong")
                count = sum(event.name in names for event in client.websocket.connect(ping_rate=0))
                count -= 1000
            assert count == events
            return ticking.largest_gap

        assert find_smallest(find_gap) < LARGEST_STEP


def find_smallest(find_gap: Callable[[], float]) -> float:
    """Return the first gap that is small enough, or the smallest of three.

    A machine that is a guest of a busy host may stop without a word.
    """
    gaps: list[float] = []
    while len(gaps) < 3 and min(gaps, default=LARGEST_STEP) >= LARGEST_STEP:
        gaps.append(find_gap())
    return min(gaps)


# Six messages may be handled between two looks at the clock: 0.006 s each are the most.
@pytest.mark.parametrize("seconds", [0.0005, 0.002, 0.005])
@pytest.mark.parametrize("handles", [True, False], ids=["handler", "iteration"])
def test_handler_that_becomes_slow_after_a_ramp_leaves_the_hub_its_turn(
    seconds: float, handles: bool, ticking: Ticker
) -> None:
    gap = find_smallest(lambda: find_gap_beside_slow_handler(seconds, handles, ticking))
    assert gap < LARGEST_STEP


def find_gap_beside_slow_handler(seconds: float, handles: bool, ticking: Ticker) -> float:
    count = int(0.3 / seconds)
    with LoopbackServer(lambda peer: attack(peer, RAMP, build(1, b"x") * count)) as server:

        class Slow(Attacked):
            def on_text(self, event: Any) -> None:
                work(seconds)

        client = Slow(server.url)
        ticking.reset()
        if handles:
            client.run()
        else:
            for event in client.websocket.connect(ping_rate=0):
                if event.name == "text":
                    work(seconds)
    return ticking.largest_gap


def test_many_attacks_at_once_share_a_turn(ticking: Ticker) -> None:
    data, events = ATTACKS["bombs"]
    with LoopbackServer(lambda peer: attack(peer, RAMP, data)) as server:
        clients = [Attacked(server.url) for _ in range(4)]
        ticking.reset()
        for client in clients:
            client.start()
        for client in clients:
            client.join(PATIENCE)
    assert [client.count for client in clients] == [events] * 4
    assert ticking.largest_gap < 2 * LARGEST_STEP  # their servers work on the same hub


def test_close_and_kill_end_a_client_that_pauses(ticking: Ticker) -> None:
    data, _ = ATTACKS["bombs"]
    with LoopbackServer(lambda peer: attack(peer, data * 20)) as server:
        clients = [Attacked(server.url, close_timeout=0.1) for _ in range(3)]
        for client in clients:
            client.start()
        wait_until(lambda: all(client.count > -1000 for client in clients))
        clients[0].kill()
        clients[1].close()
        clients[2].websocket.force_disconnect()
        for client in clients:
            client.join(PATIENCE)
        assert not any(client.is_running for client in clients)


def test_what_is_left_of_a_read_is_handled_before_a_failed_write_ends_it() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.send(build(1, b"x") * 1000 + build_close(4321, "said"))
        peer.reset()

    class Slow(greenws.Client):
        count = 0
        code = 0

        def on_text(self, event: Any) -> None:
            work(0.0005)
            self.count += 1
            self.send_text("x" * 1000)

        def on_close(self, event: Any) -> None:
            self.code = event.code

        def on_error(self, error: Exception) -> None:
            pass  # of sending

    with LoopbackServer(script) as server:
        client = Slow(server.url, proxies={})
        client.run()
    assert (client.count, client.code) == (1000, 4321)


def test_foreign_websocket_leaves_the_hub_its_turn(ticking: Ticker) -> None:
    texts = 5000
    with LoopbackServer(lambda peer: attack(peer, build(1, b"x" * 10) * texts)) as server:
        websocket = lomond.WebSocket(server.url, proxies={})
        ticking.reset()
        events = websocket.connect(session_class=greenws.GeventSession, ping_rate=0)
        count = 0
        for event in events:
            work(0.0002)
            count += event.name == "text"
    assert count == texts
    assert ticking.largest_gap < 0.25  # a second of work; lomond's own opening has steps, too


def test_smaller_reads_grow_again(flood: ForeignServer) -> None:
    reactor = get_reactor()
    seconds = 0.001
    grown = gevent.event.Event()

    class Client(Flooded):
        def on_text(self, event: Any) -> None:
            if seconds:
                work(seconds)
            elif reactor.read_size > 64 * 1024:
                grown.set()

    client = Client(flood.url, proxies={}).start()
    try:
        wait_until(lambda: reactor.read_size <= 16 * 1024)
        seconds = 0.0
        assert grown.wait(PATIENCE)
    finally:
        client.kill()


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("path", ["", "goodbye"], ids=["never", "theirs"])
def test_flood_that_goes_on_after_the_close_frame_ends(
    path: str, secure: bool, flood: ForeignServer, ticking: Ticker
) -> None:
    class Client(Flooded):
        close_timeout = 0.3
        ssl_cafile = flood.cafile
        is_over = False

        def on_close(self, event: Any) -> None:
            self.is_over = True

        def on_text(self, event: Any) -> None:
            super().on_text(event)
            if self.count == 10_000:
                self.close()

    client = Client((flood.secure_url if secure else flood.url) + path, proxies={}).start()
    assert client.wait_ready(PATIENCE)
    ticking.reset()
    client.join(PATIENCE)
    assert client.is_over
    assert ticking.largest_gap < 3 * LARGEST_GAP


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_flooded_iteration_leaves_the_hub_its_turn(
    secure: bool, flood: ForeignServer, ticking: Ticker
) -> None:
    url = flood.secure_url if secure else flood.url
    websocket = greenws.WebSocket(url, proxies={}, ssl_cafile=flood.cafile)
    texts, gap = iterate_flood(websocket, ticking)
    assert texts > 5000
    assert gap < LARGEST_GAP


def test_sender_at_full_speed_leaves_the_others_their_turn(
    echo: ForeignServer, ticking: Ticker
) -> None:
    # The messages are pongs, which nobody answers, so that nothing comes back.
    pingers = [Pinger(echo.url).start() for _ in range(5)]
    websocket = greenws.WebSocket(echo.url, proxies={})
    run = Run(iter(websocket))
    run.wait("ready")
    for pinger in pingers:
        assert pinger.wait_ready(PATIENCE)

    def send() -> None:
        while True:
            websocket.send_pong(b"x" * 100)

    sender = gevent.spawn(send)
    for pinger in pingers:
        pinger.trips.clear()
    gap = watch(ticking)
    sender.kill()
    run.kill()
    trips = [trip for pinger in pingers for trip in pinger.trips]
    for pinger in pingers:
        pinger.kill()
    assert gap < LARGEST_GAP
    assert trips


def test_close_and_kill_get_through_a_flood(flood: ForeignServer) -> None:
    first = Flooded(flood.url, proxies={}, close_timeout=0.2).start()
    second = Flooded(flood.url, proxies={}).start()
    for client in (first, second):
        assert client.wait_ready(PATIENCE)
    stopwatch = Stopwatch()
    first.close()
    second.kill()
    assert not second.is_running
    first.join(PATIENCE)
    assert not first.is_running
    assert stopwatch.own < 1
