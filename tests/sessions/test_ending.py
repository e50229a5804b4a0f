"""Every connection ends in time, with the right code, and with nothing left open."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import greenws
from greenws import errors
from greenws.sessions.reactor import get_reactor
from tests.support.loopback import LoopbackServer
from tests.support.peer import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    RawServerPeer,
    accept_and_stop,
    accept_and_wait,
    build,
    build_close,
    build_text,
)
from tests.support.run import Run
from tests.support.stalls import STALLS
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE, wait_until

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def make(url: str, **options: Any) -> greenws.WebSocket:
    return greenws.WebSocket(url, **{"proxies": {}, **options})


def start(url: str, connect: dict[str, Any] | None = None, **options: Any) -> Any:
    """Connect and wait until the connection is ready.

    :returns: the WebSocket and the run.
    """
    websocket = make(url, **options)
    run = Run(websocket.connect(**{"ping_rate": 0, "poll": 0, **(connect or {})}))
    run.wait("ready")
    return websocket, run


@pytest.fixture(autouse=True)
def _reactor_is_empty() -> Iterator[None]:
    yield
    assert not get_reactor().sessions
    assert get_reactor().holder is None


# close()


def test_close_returns_at_once_and_queued_frames_go_first() -> None:
    got = []

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        gevent.sleep(0.05)
        got.append(len(peer.expect(BINARY).payload))
        got.append(peer.expect(CLOSE).code)
        peer.send(build_close(1000))

    with LoopbackServer(script, buffer=4096) as server:
        websocket, run = start(server.url, write_limit=10_000_000)
        stopwatch = Stopwatch()
        websocket.send_binary(bytes(6_000_000))
        websocket.close()
        assert stopwatch.own < 0.1
        run.join()
        server.join()
    assert got == [6_000_000, 1000]
    assert run.names[-2:] == ["closed", "disconnected"]


def test_close_ends_in_close_timeout_when_the_server_reads_nothing() -> None:
    with LoopbackServer(accept_and_stop, buffer=4096) as server:
        websocket, run = start(server.url, {"close_timeout": 0.1}, write_limit=10_000_000)
        websocket.send_binary(bytes(8_000_000))
        websocket.close()
        stopwatch = Stopwatch()
        run.join()
        assert stopwatch.own < 0.3
    assert "close" in run.events[-1].reason
    assert (run.events[-1].code, run.events[-1].sent_code) == (1006, 1000)


def test_close_ends_in_close_timeout_although_the_server_chatters_on() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        while True:
            peer.send(build_text("and another thing") * 1000)

    with LoopbackServer(script) as server:
        websocket, run = start(server.url, {"close_timeout": 0.1})
        websocket.close()
        stopwatch = Stopwatch()
        run.join()
        assert stopwatch.own < 0.4


def test_close_frees_a_handler_that_waits_at_the_mark_in_close_timeout() -> None:
    caught = []
    sending = gevent.event.Event()

    class Sender(greenws.Client):
        close_timeout = 0.1
        write_limit = 50_000

        def on_ready(self, event: Any) -> None:
            sending.set()
            try:
                self.send_binary(bytes(8_000_000))
            except errors.TransportFail as error:
                caught.append(str(error))

    with LoopbackServer(accept_and_stop, buffer=4096) as server:
        client = Sender(server.url, proxies={}).start()
        # The handler switches for the first time when it waits at the mark.
        assert sending.wait(PATIENCE)
        client.close()
        stopwatch = Stopwatch()
        client.join(PATIENCE)
        assert not client.is_running
        assert stopwatch.own < 0.3
    assert "close packet" in caught[0]


def test_close_ends_in_close_timeout_against_pings_that_cannot_be_answered() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        while True:
            peer.send(build(PING, bytes(125)) * 500)

    with LoopbackServer(script, buffer=4096) as server:
        websocket, run = start(server.url, {"close_timeout": 0.1}, write_limit=50_000)
        wait_until(lambda: websocket.session.queued_bytes >= 40_000)
        websocket.close()
        stopwatch = Stopwatch()
        run.join()
        assert stopwatch.own < 0.4


def test_force_disconnect_frees_a_handler_that_waits_at_the_mark() -> None:
    with LoopbackServer(accept_and_stop, buffer=4096) as server:
        websocket = make(server.url, write_limit=50_000)

        def handle(event: Any) -> None:
            if event.name == "ready":
                websocket.send_binary(bytes(8_000_000))

        run = Run(websocket.connect(ping_rate=0), handle)
        run.wait("ready")  # and then the handler waits at the mark
        websocket.force_disconnect()
        with pytest.raises(errors.TransportFail):
            run.join()


@pytest.mark.parametrize("stall", STALLS)
def test_close_while_opening_gives_up(stall: str) -> None:
    with STALLS[stall]() as place:
        websocket = make(place.url, **place.options)
        run = Run(iter(websocket))
        assert place.reached.wait(PATIENCE)
        websocket.close()
        last = run.join()
    assert last.name == "connect_fail"
    assert "given up" in last.reason


def test_both_sides_may_close_at_once() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.send(build_close(1001))
        assert peer.expect(CLOSE).code == 1000

    with LoopbackServer(script) as server:
        websocket = make(server.url)
        run = Run(
            websocket.connect(ping_rate=0),
            lambda event: event.name == "ready" and websocket.close(),
        )
        run.join()
        server.join()
    assert (run.events[-1].code, run.events[-1].sent_code) == (1001, 1000)
    assert run.events[-1].graceful


def test_close_of_the_server_is_echoed_and_the_end_of_the_stream_awaited() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_close(4000, "bye"))
        frame = peer.expect(CLOSE)
        assert (frame.code, frame.payload[2:]) == (4000, b"bye")
        assert peer.read_until_end() == b""  # ended by a FIN, not by a RST

    with LoopbackServer(script) as server:
        websocket = make(server.url)
        events = list(websocket)
        server.join()
    assert (events[-1].code, events[-1].sent_code, events[-1].graceful) == (4000, 4000, True)


def test_close_frame_without_a_code_is_answered_by_one() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build(CLOSE))
        peer.expect(CLOSE, b"")

    with LoopbackServer(script) as server:
        events = list(make(server.url))
        server.join()
    assert (events[-1].code, events[-1].sent_code) == (1005, 1005)


def test_lingering_is_bounded_when_the_server_does_not_end_the_stream() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_close(1000))
        peer.expect(CLOSE)
        gevent.sleep(30)

    with LoopbackServer(script) as server:
        stopwatch = Stopwatch()
        events = list(make(server.url).connect(close_timeout=0.2))
        assert stopwatch.own < 0.5
    assert events[-1].graceful


def test_lingering_is_bounded_and_fair_when_the_server_talks_on(ticking: Any) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_close(1000))
        while True:
            peer.send(build_text("and another thing") * 1000)

    with LoopbackServer(script) as server:
        stopwatch = Stopwatch()
        events = list(make(server.url).connect(close_timeout=0.2))
        assert stopwatch.own < 0.5
    assert ticking.largest_gap < 0.1
    assert events[-1].graceful


# The end of the stream


@pytest.mark.parametrize(
    "drop", [RawServerPeer.reset, lambda peer: peer.sock.close()], ids=["rst", "fin"]
)
@pytest.mark.parametrize(
    "sent",
    [b"", build_text("half")[:3], build(TEXT, b"part", fin=False)],
    ids=["", "frame", "part"],
)
def test_stream_that_breaks_off_is_disconnected_with_1006(drop: Any, sent: bytes) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("whole") + sent)
        assert got_text.wait(PATIENCE)
        drop(peer)

    def handle(event: Any) -> None:
        if event.name == "text":
            got_text.set()

    got_text = gevent.event.Event()
    with LoopbackServer(script) as server:
        run = Run(make(server.url).connect(ping_rate=0), handle)
        run.join()
    events = run.events
    assert [event.name for event in events[-1:]] == ["disconnected"]
    assert (events[-1].code, events[-1].sent_code, events[-1].graceful) == (1006, None, False)


def test_end_without_an_answer_to_close_is_not_graceful() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(CLOSE)

    with LoopbackServer(script) as server:
        websocket, run = start(server.url)
        websocket.close()
        last = run.join()
    assert (last.code, last.sent_code, last.graceful) == (1006, 1000, False)


# Violations


VIOLATIONS = {
    "reserved opcode": (build(3), 1002),
    "reserved control opcode": (build(11), 1002),
    "rsv1": (build(TEXT, b"\xff", rsv=4), 1002),
    "rsv2": (build(TEXT, b"x", rsv=2), 1002),
    "rsv3 on a ping": (build(PING, b"x", rsv=1), 1002),
    "masked": (b"\x81\x81\0\0\0\0x", 1002),
    "fragmented ping": (build(PING, b"x", fin=False), 1002),
    "long ping": (build(PING, bytes(126)), 1002),
    "nothing to continue": (build(0, b"x"), 1002),
    "message in a message": (build(TEXT, b"x", fin=False) + build(TEXT, b"y"), 1002),
    "length too long for 16 bits": (b"\x81\x7e\x00\x01x", 1002),
    "length too long for 64 bits": (b"\x81\x7f" + struct.pack(">Q", 200) + bytes(200), 1002),
    "negative length": (b"\x81\x7f" + struct.pack(">Q", 1 << 63), 1002),
    "close of one byte": (build(CLOSE, b"x"), 1002),
    "close 1004": (build_close(1004), 1002),
    "close 1005": (build_close(1005), 1002),
    "close 1006": (build_close(1006, "Slow Consumer"), 1002),
    "close 1015": (build_close(1015), 1002),
    "close 2999": (build_close(2999, "why"), 1002),
    "close 999": (build_close(999), 1002),
    "close 5000": (build_close(5000), 1002),
    "close reason": (build(CLOSE, b"\x03\xe8\xff"), 1007),
    "text": (build(TEXT, b"\xff"), 1007),
    "text in fragments": (build(TEXT, b"\xc3", fin=False) + build(0, b"\x28", fin=False), 1007),
    "text that ends too early": (build(TEXT, b"\xc3"), 1007),
    "large": (build(BINARY, bytes(1001)), 1009),
    "large length": (b"\x82\x7f" + struct.pack(">Q", 1 << 40), 1009),
    "large in fragments": (build(BINARY, bytes(600), fin=False) + build(0, bytes(600)), 1009),
}


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_gets_its_close_code(name: str, compress: bool) -> None:
    data, code = VIOLATIONS[name]
    if compress and name == "rsv1":
        code = 1007  # RSV1 marks a compressed message here, and this one is broken

    def script(peer: RawServerPeer) -> None:
        peer.accept(
            DEFLATE if compress else b"", then=build_text("before") + data + build_text("after")
        )
        assert peer.expect(CLOSE).code == code

    with LoopbackServer(script) as server:
        websocket = make(server.url, max_size=1000, compress=compress)
        events = list(websocket.connect(ping_rate=0, poll=0))
        server.join()
    names = [event.name for event in events]
    assert names[2:] == ["ready", "text", "protocol_error", "disconnected"]
    assert events[4].critical == (code == 1007)
    assert (events[-1].code, events[-1].sent_code, events[-1].graceful) == (1006, code, False)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (build_text("x" * 11), "message is larger than max_size (10 bytes)"),
        (b"\x81\x01\xff", "payload contains invalid utf-8; invalid start byte at byte 0"),
        (build(3), "opcode is reserved"),
        (
            build_close(1006, "Slow Consumer"),
            "reserved close code (1006) in a close frame, with the reason 'Slow Consumer'",
        ),
    ],
)
@pytest.mark.parametrize("how", ["linger", "reset", "reset at once", "force_disconnect", "drop"])
def test_end_after_a_violation_names_the_violation(data: bytes, cause: str, how: str) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("before") + data)
        if how == "reset":
            peer.expect(CLOSE)
            peer.reset()
        elif how == "reset at once":
            peer.reset()
        else:
            peer.read_until_end()

    with LoopbackServer(script) as server:
        websocket = make(server.url, max_size=10)
        events = []
        for event in websocket:
            events.append(event)
            if event.name == "protocol_error" and how == "force_disconnect":
                websocket.force_disconnect()
            elif event.name == "protocol_error" and how == "drop":
                websocket.session.close()
    assert events[-2].error == cause
    assert events[-1].reason == f"disconnected; protocol error; {cause}"


@pytest.mark.parametrize(
    "code", [1000, 1001, 1008, 4004], ids=["normal", "going away", "policy", "own"]
)
def test_reason_of_the_end_is_that_of_the_servers_close(code: int) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_close(code, "Authentication failed"))
        peer.read_until_end()

    with LoopbackServer(script) as server:
        last = list(make(server.url))[-1]
    assert (last.reason, last.code, last.graceful) == ("Authentication failed", code, True)


def test_reason_of_the_end_is_that_of_the_server_whose_answer_has_one() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(CLOSE)
        peer.send(build_close(4004, "Authentication failed"))

    with LoopbackServer(script) as server:
        websocket, run = start(server.url)
        websocket.close()
        last = run.join()
    assert (last.reason, last.code, last.sent_code) == ("Authentication failed", 4004, 1000)


@pytest.mark.parametrize("reason", ["", "goodbye"])
def test_reason_of_the_end_is_not_the_servers_where_it_has_none_of_its_own(reason: str) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(CLOSE)
        peer.send(build_close(1000, reason))

    with LoopbackServer(script) as server:
        websocket, run = start(server.url)
        websocket.close()
        assert run.join().reason == "closed"


def test_reason_of_the_server_survives_a_reset_while_a_handler_sends() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_close(1008, "no \x1b[2J"))
        peer.reset()

    with LoopbackServer(script) as server:
        websocket = make(server.url)
        events = []
        for event in websocket:
            events.append(event)
            if event.name == "closing":
                with contextlib.suppress(errors.WebSocketError):
                    while True:
                        websocket.send_binary(bytes(100_000))
    # The event of the close frame has the reason as it came.
    assert next(e for e in events if e.name == "closing").reason == "no \x1b[2J"
    assert (events[-1].code, events[-1].reason) == (1008, "no \\x1b[2J")


def answer(status: str, body: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("how", ["whole", "eof", "reset", "force_disconnect", "close"])
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (answer("403 Forbidden"), "403"),
        (answer("200 OK"), "200"),
        (answer("302 Found"), "302"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101"),
        (b"HTTP/1.1 503 x\r\nContent-Length: 9\r\n\r\nbusy", "503"),
    ],
)
def test_end_after_a_rejection_names_the_status(head: bytes, status: str, how: str) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(head)
        if how == "reset":
            peer.reset()
        elif how == "whole" and status != "503":
            peer.read_until_end()

    with LoopbackServer(script) as server:
        websocket = make(server.url)
        events = []
        for event in websocket:
            events.append(event)
            if event.name == "rejected" and how in ("force_disconnect", "close"):
                getattr(websocket, how)()
    assert [event.name for event in events[-2:]] == ["rejected", "disconnected"]
    last = events[-1]
    assert last.reason.startswith("rejected; ")
    assert status in last.reason
    assert (last.graceful, last.code, last.sent_code) == (False, 1006, None)


def test_inflated_message_beyond_the_limit_gets_1009() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(bytes(50_000_000)) + deflate.flush(zlib.Z_SYNC_FLUSH)

    def script(peer: RawServerPeer) -> None:
        peer.accept(DEFLATE, build(BINARY, bomb[:-4], rsv=4))
        assert peer.expect(CLOSE).code == 1009

    with LoopbackServer(script) as server:
        events = list(make(server.url, compress=True, max_size=1_000_000).connect(ping_rate=0))
        server.join()
    assert events[-1].sent_code == 1009


def test_violation_after_close_ends_the_connection() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(CLOSE)
        peer.send(build(3))
        assert peer.read_until_end() == b""

    with LoopbackServer(script) as server:
        websocket, run = start(server.url)
        websocket.close()
        last = run.join()
        server.join()
    assert "protocol_error" in run.names
    assert (last.sent_code, last.graceful) == (1000, False)


@pytest.fixture(scope="module")
def rambler() -> Iterator[tuple[LoopbackServer, list[bytes]]]:
    """A server that sends the bytes in the list, and nothing else."""
    script: list[bytes] = []

    def ramble(peer: RawServerPeer) -> None:
        data, *compressed = script
        peer.accept(DEFLATE if compressed else b"", then=data[: len(data) // 2])
        peer.send(data[len(data) // 2 :])

    with LoopbackServer(ramble) as server:
        yield server, script


FRAMES = st.builds(
    build,
    st.integers(0, 15),
    st.binary(max_size=140),
    st.booleans(),
    st.sampled_from([0, 0, 0, 4, 2]),
)


@settings(max_examples=60)
@given(
    st.one_of(st.binary(max_size=200), st.lists(FRAMES, max_size=6).map(b"".join)), st.booleans()
)
def test_any_bytes_give_events_only(
    rambler: tuple[LoopbackServer, list[bytes]], data: bytes, compress: bool
) -> None:
    server, script = rambler
    script[:] = [data, b"compressed"] if compress else [data]
    websocket = make(server.url, max_size=1000, compress=compress)
    events = list(websocket.connect(ping_rate=0, close_timeout=0.2))
    assert [event.name for event in events[:3]] == ["connecting", "connected", "ready"]
    assert events[-1].name == "disconnected"


@settings(max_examples=40)
@given(st.binary(max_size=200))
def test_any_bytes_in_place_of_the_answer_give_events_only(
    stranger: tuple[LoopbackServer, list[bytes]], data: bytes
) -> None:
    server, script = stranger
    script[:] = [data]
    events = list(make(server.url, open_timeout=2))
    assert events[-1].name in ("connect_fail", "disconnected")


@pytest.fixture(scope="module")
def stranger() -> Iterator[tuple[LoopbackServer, list[bytes]]]:
    """A server that answers with the bytes in the list, in place of an upgrade."""
    script: list[bytes] = []
    prefixes = iter([b"", b"HTTP/1.1 101 ", b"HTTP/1.1 403 No\r\nContent-Length: "] * 1000)

    def answer(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(next(prefixes) + script[0] + b"\r\n\r\n")

    with LoopbackServer(answer) as server:
        yield server, script


# Killed, timed out, abandoned


class Blow:
    """Ends the greenlet of a run early, by ``kill`` or by a Timeout."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, run: Run) -> None:
        if self.name == "kill":
            run.greenlet.kill()
        else:
            timeout = gevent.Timeout(1)
            run.greenlet.kill(timeout)
            timeout.close()  # libuv complains about a timer that is only dropped
        assert run.greenlet.dead


@pytest.fixture(params=["kill", "timeout"])
def blow(request: pytest.FixtureRequest) -> Blow:
    return Blow(request.param)


@pytest.mark.parametrize("stall", STALLS)
def test_opening_may_be_stopped_at_any_step(stall: str, blow: Blow) -> None:
    with STALLS[stall]() as place:
        run = Run(iter(make(place.url, **place.options)))
        assert place.reached.wait(PATIENCE)
        blow(run)
        assert not get_reactor().sessions


def test_idle_connection_may_be_stopped(blow: Blow) -> None:
    with LoopbackServer(accept_and_wait) as server:
        websocket, run = start(server.url)
        blow(run)
        server.join()  # the server has seen the end
    assert websocket.is_closed


def test_handler_may_be_stopped_while_it_writes(blow: Blow) -> None:
    with LoopbackServer(accept_and_stop, buffer=4096) as server:
        websocket = make(server.url, write_limit=50_000)
        run = Run(
            iter(websocket),
            lambda event: event.name == "ready" and websocket.send_binary(bytes(8_000_000)),
        )
        run.wait("ready")  # and then the handler waits at the mark
        blow(run)


def test_handler_may_be_stopped_in_the_midst_of_a_chunk(blow: Blow) -> None:
    in_handler = gevent.event.Event()

    def handle(event: Any) -> None:
        if event.name == "text":
            in_handler.set()
            gevent.sleep(30)

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("one") * 100)
        peer.read_until_end()

    with LoopbackServer(script) as server:
        run = Run(iter(make(server.url)), handle)
        assert in_handler.wait(PATIENCE)
        blow(run)
        server.join()


def test_connection_may_be_stopped_while_it_lingers(blow: Blow) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_close(1000))
        peer.expect(CLOSE)
        echoed.set()
        gevent.sleep(30)

    echoed = gevent.event.Event()
    with LoopbackServer(script) as server:
        run = Run(make(server.url).connect(ping_rate=0))
        assert echoed.wait(PATIENCE)
        blow(run)


def test_client_may_be_killed_while_it_waits_to_connect_again() -> None:
    waiting = gevent.event.Event()

    class Persistent(greenws.Client):
        reconnect = greenws.Backoff(min_wait=30)

        def on_back_off(self, event: Any) -> None:
            waiting.set()

    with LoopbackServer(lambda peer: None) as server:
        client = Persistent(server.url, proxies={}).start()
        assert waiting.wait(PATIENCE)
        gevent.sleep(0)
        client.kill()
        assert not client.is_running


@pytest.mark.parametrize("name", ["connecting", "connected", "ready", "poll", "text", "closing"])
def test_iteration_may_be_left_at_any_event(name: str) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("one") * 10 + build_close(1000))
        peer.read_until_end()

    with LoopbackServer(script) as server:
        websocket = make(server.url)
        for event in websocket:
            if event.name == name:
                break
        assert not get_reactor().sessions
        if name != "connecting":
            server.join()
        assert websocket.is_closed
        with pytest.raises(errors.WebSocketClosed):
            websocket.send_text("nobody is there")


def test_iteration_that_is_only_made_opens_nothing() -> None:
    with LoopbackServer() as server:
        websocket = make(server.url)
        events = websocket.connect()
        del events
        assert server.connections == 0
        assert not get_reactor().sessions


def test_exception_thrown_into_the_iteration_closes_everything() -> None:
    with LoopbackServer(accept_and_wait) as server:
        events: Any = iter(make(server.url))
        while next(events).name != "ready":
            pass
        with pytest.raises(LookupError):
            events.throw(LookupError("of the caller"))
        server.join()


def test_twenty_kills_leave_the_loop_as_it_was(blow: Blow) -> None:
    loop = gevent.get_hub().loop
    with LoopbackServer(accept_and_wait) as server:
        gevent.sleep(0.01)
        before = getattr(loop, "activecnt", 0)
        for _ in range(20):
            _, run = start(server.url, {"ping_rate": 30, "poll": 5, "ping_timeout": 60})
            blow(run)
        server.join()
        gevent.sleep(0.01)
        assert getattr(loop, "activecnt", 0) <= before


# The user's exceptions


def test_exception_of_a_client_handler_is_told_to_the_server() -> None:
    codes = []

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("bad"))
        codes.append(peer.expect(CLOSE).code)
        peer.send(build_close(1011))

    class Failing(greenws.Client):
        def on_text(self, event: Any) -> None:
            raise LookupError("of the handler")

    with LoopbackServer(script) as server:
        client = Failing(server.url, proxies={}, ping_rate=0).start()
        with pytest.raises(LookupError, match="of the handler"):
            client.join(PATIENCE)
    assert codes == [1011]
