"""A session opens its connection and reads from it: the hub never blocks, and one deadline holds.

The public names of a session, and the calls that it refuses, are in ``test_session_surface.py``.
"""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from typing import Any

import gevent
import gevent.event
import pytest

import greenws
from greenws.constants import MAX_BODY_SIZE
from greenws.sessions import dial, session
from greenws.sessions.plain import SocketTransport
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer, closed_port
from tests.support.peer import (
    CLOSE,
    TEXT,
    RawServerPeer,
    accept_and_echo,
    accept_and_stop,
    build,
    build_text,
)
from tests.support.proxies import HTTPProxy
from tests.support.run import Run, run_script
from tests.support.stalls import STALLS, Stall
from tests.support.stopwatch import Stopwatch
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE, wait_until

# Seconds a stalled client is watched: 30 ticks.
WATCH = 0.15


@pytest.fixture(params=STALLS)
def stall(request: pytest.FixtureRequest) -> Iterator[Stall]:
    with STALLS[request.param]() as stall:
        yield stall


# Seconds of silence that end the body of a rejection in some tests.
SHORT_SILENCE = 0.1


@pytest.fixture
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "BODY_SILENCE", SHORT_SILENCE)


def make(url: str, **options: Any) -> greenws.WebSocket:
    return greenws.WebSocket(url, **{"proxies": {}, **options})


def follow(url: str, handle: Callable[[Any], object] | None = None, **options: Any) -> Run:
    return Run(iter(make(url, **options)), handle)


def expect_ticks(ticking: Ticker) -> None:
    """Watch the hub for a while, up to three times.

    A busy machine may delay the ticks once. A hub that blocks stays blocked.
    """
    for _ in range(3):
        ticking.reset()
        gevent.sleep(WATCH)
        if ticking.ticks >= 10 and ticking.largest_gap < 0.1:
            return
    raise AssertionError(f"{ticking.ticks} ticks, {ticking.largest_gap:.3f} s without one")


# Promise 1: the hub never blocks


def test_hub_ticks_while_opening(stall: Stall, ticking: Ticker) -> None:
    run = follow(stall.url, **stall.options)
    assert stall.reached.wait(PATIENCE)
    expect_ticks(ticking)
    run.kill()


def test_hub_ticks_while_the_handshake_of_a_users_context_waits(ticking: Ticker) -> None:
    context = ssl.create_default_context()
    with STALLS["tls"]() as stall:
        run = follow(stall.url, ssl_context=context)
        assert stall.reached.wait(PATIENCE)
        expect_ticks(ticking)
        run.kill()


def test_hub_ticks_while_reading(ticking: Ticker) -> None:
    with LoopbackServer() as server:
        run = follow(server.url)
        run.wait("ready")
        expect_ticks(ticking)
        run.kill()


def test_hub_ticks_while_writing_against_a_full_window(ticking: Ticker) -> None:
    with LoopbackServer(accept_and_stop, buffer=4096) as server:
        websocket = make(server.url, write_limit=65536)
        run = Run(iter(websocket))
        run.wait("ready")
        writer = gevent.spawn(websocket.send_binary, bytes(8_000_000))
        expect_ticks(ticking)
        assert not writer.dead
        writer.kill()
        run.kill()


def test_hub_ticks_while_everything_waits_under_monkey_patching() -> None:
    source = """
    from gevent import monkey
    monkey.patch_all()
    import socket, ssl, time, gevent, greenws

    def serve(listener):
        peers = []
        while True:
            peers.append(listener.accept()[0])

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    gevent.spawn(serve, listener)
    ticks = []

    def tick():
        while True:
            gevent.sleep(0.005)
            ticks.append(time.monotonic())

    gevent.spawn(tick)
    proxies = {"http": f"http://127.0.0.1:{port}"}
    for url, options in (
        (f"ws://127.0.0.1:{port}/", {}),
        (f"wss://127.0.0.1:{port}/", {"ssl_context": ssl.create_default_context()}),
        ("ws://example.invalid/", {"proxies": proxies}),
    ):
        ticks.clear()
        websocket = greenws.WebSocket(url, open_timeout=0.15, **{"proxies": {}, **options})
        events = list(websocket)
        assert events[-1].name == "connect_fail", events
        assert "timed out after 0.15 s" in events[-1].reason, events
        assert len(ticks) >= 10, (url, len(ticks))
        assert max(b - a for a, b in zip(ticks, ticks[1:])) < 0.1
    print("fine")
    """
    assert run_script(source).endswith("fine\n")


def test_echo_works_under_monkey_patching() -> None:
    source = """
    from gevent import monkey
    monkey.patch_all()
    import sys, greenws

    websocket = greenws.WebSocket(sys.argv[1], proxies={})
    for event in websocket:
        if event.name == "ready":
            websocket.send_text("hello")
        elif event.name == "text":
            assert event.text == "hello"
            websocket.close()
    assert event.graceful and event.code == 1000, event
    """
    with LoopbackServer(accept_and_echo) as server:
        run_script(source, server.url)


def test_importing_greenws_patches_nothing() -> None:
    source = """
    import socket, ssl, threading, time
    before = socket.socket, ssl.SSLContext, threading.Lock, time.sleep, socket.getaddrinfo
    import greenws, greenws.testing
    assert before == (
        socket.socket, ssl.SSLContext, threading.Lock, time.sleep, socket.getaddrinfo
    )
    """
    run_script(source)


# Promise 2: one deadline


def test_stalled_opening_ends_in_time_with_its_cause(stall: Stall) -> None:
    run = follow(stall.url, open_timeout=0.2, **stall.options)
    fail = run.join(2)
    assert fail.name == "connect_fail"
    assert "timed out after 0.2 s" in fail.reason
    assert stall.message in fail.reason


ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda peer: peer.dribble(ANSWER * 10, 0.01), id="dribbling head"),
        pytest.param(
            lambda peer: peer.dribble(b"HTTP/1.1 100 Continue\r\n\r\n" * 10, 0.01),
            id="dribbling 1xx",
        ),
        pytest.param(lambda peer: send_forever(peer, b"HTTP/1.1 100 Hm\r\n\r\n" * 99), id="1xx"),
        pytest.param(lambda peer: (peer.send(ANSWER), gevent.sleep(9)), id="half a head"),
    ],
)
def test_answer_that_never_ends_is_given_up_in_time(script: Any, ticking: Ticker) -> None:
    with LoopbackServer(lambda peer: (peer.read_head(), script(peer))) as server:
        run = follow(server.url, open_timeout=0.2)
        fail = run.join(2)
        assert fail.name == "connect_fail"
        assert "timed out after 0.2 s while waiting for the answer" in fail.reason
        assert ticking.largest_gap < 0.1


def send_forever(peer: RawServerPeer, data: bytes) -> None:
    while True:
        peer.send(data)


def test_head_without_end_is_refused_at_its_limit() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\n")
        send_forever(peer, b"X: y\r\n" * 99)

    with LoopbackServer(script) as server:
        run = follow(server.url)
        run.join()
    assert run.events[-1].name in ("connect_fail", "disconnected")
    assert "head" in run.events[-2].reason


def test_deadline_is_one_for_all_steps() -> None:
    def script(peer: RawServerPeer) -> None:
        # Each step alone would be in time.
        peer.read_head()
        gevent.sleep(0.2)
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.read_until_end()

    with LoopbackServer(script) as server:
        proxies = {"http": f"http://127.0.0.1:{server.port}"}
        run = follow("ws://example.invalid/", proxies=proxies, open_timeout=0.3)
        stopwatch = Stopwatch()
        fail = run.join(2)
        assert stopwatch.own < 0.45
    assert "while waiting for the answer" in fail.reason


# Redirects


def redirect(url: str, more: bytes = b"") -> Callable[[RawServerPeer], object]:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        head = f"HTTP/1.1 302 Found\r\nSet-Cookie: seen=1\r\nLocation: {url}\r\n"
        peer.send(head.encode() + b"Content-Length: 0\r\n\r\n" + more)
        peer.read_until_end()

    return script


@pytest.mark.parametrize("is_home", [True, False])
@pytest.mark.parametrize("more", [b"", b"x", b"HTTP/1.1 400 x\r\n\r\n"])
def test_server_may_redirect_to_itself(more: bytes, is_home: bool) -> None:
    # As one does that sets a cookie first.
    heads: list[bytes] = []

    def script(peer: RawServerPeer) -> None:
        if target.connections < 3:
            redirect(target.url, more)(peer)
        else:
            accept_and_echo(peer)
        heads.append(peer.head)

    def close(event: Any) -> None:
        if event.name == "ready":
            websocket.close()

    with LoopbackServer(script) as target, LoopbackServer(redirect(target.url)) as home:
        websocket = make(target.url if is_home else home.url, cookies=CookieJar())
        run = Run(iter(websocket), close)
        assert run.join().graceful
        target.join()
        assert target.connections == 3
    expected = ["connecting", *["connected"] * (3 if is_home else 4), "ready", "poll", "closed"]
    assert run.names == [*expected, "disconnected"]
    assert b"Cookie: seen=1" in heads[-1].split(b"\r\n")


def test_bytes_beyond_ascii_go_back_as_they_came() -> None:
    heads: list[bytes] = []

    def script(peer: RawServerPeer) -> None:
        heads.append(peer.read_head())
        if server.connections == 1:
            peer.send(
                b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /caf\xc3\xa9\r\n"
                b"Set-Cookie: a=caf\xc3\xa9\r\nSet-Cookie: b=\xff\xa0\r\n\r\n"
            )
        else:
            peer.send(peer.answer(b"X-Name: gr\xc3\xbcn\xa0\0\r!\r\n"))

    with LoopbackServer(script) as server:
        run = follow(server.url, cookies=CookieJar())
        run.join()
    lines = heads[1].split(b"\r\n")
    assert lines[0] == b"GET /caf%C3%A9 HTTP/1.1"
    assert b"Cookie: a=caf\xc3\xa9; b=\xff\xa0" in lines
    response = run.wait("ready").response
    assert response.get("x-name") == "gr\xc3\xbcn\xa0  !"
    assert response.get_bytes("x-name") == b"gr\xc3\xbcn\xa0  !"


def fail_by_refusal(peer: RawServerPeer) -> None:
    peer.read_head()
    peer.send(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")


def fail_by_a_reset(peer: RawServerPeer) -> None:
    peer.read_head()
    peer.reset()


@pytest.mark.parametrize(
    "fail",
    [fail_by_refusal, fail_by_a_reset, RawServerPeer.read_head, RawServerPeer.read_until_end],
    ids=["rejection", "reset", "end", "silence"],
)
def test_failed_hop_says_that_a_redirect_led_there(fail: Any) -> None:
    with LoopbackServer(fail) as target, LoopbackServer(redirect(target.url + "?a=b")) as home:
        run = follow(home.url, open_timeout=0.3)
        run.join()
        failure = run.events[3]
        assert failure.name in ("connect_fail", "rejected")
        assert failure.reason.endswith(f"; redirected to {target.url}?a=...")
        if failure.name == "connect_fail":
            assert str(failure.error) == failure.reason
        plain = follow(target.url, open_timeout=0.3)
        plain.join()
        assert "redirect" not in plain.events[2].reason


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_hop_that_cannot_be_dialed_says_that_a_redirect_led_there(scheme: str) -> None:
    # Nobody listens, or nobody speaks TLS.
    with LoopbackServer(lambda peer: peer.send(b"hello\r\n")) as talker:
        port = closed_port() if scheme == "ws" else talker.port
        with LoopbackServer(redirect(f"{scheme}://127.0.0.1:{port}/x")) as home:
            run = follow(home.url)
            failure = run.join()
    assert run.names == ["connecting", "connected", "connect_fail"]
    assert failure.reason.endswith(f"; redirected to {scheme}://127.0.0.1:{port}/x")
    assert str(failure.error) == failure.reason


# How an opening fails


@pytest.mark.parametrize(
    "drop", [RawServerPeer.reset, lambda peer: peer.sock.close()], ids=["rst", "fin"]
)
@pytest.mark.parametrize("sent", [b"", ANSWER], ids=["nothing", "half a head"])
def test_connection_that_ends_before_the_answer_is_a_connect_fail(drop: Any, sent: bytes) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(sent)
        drop(peer)

    with LoopbackServer(script) as server:
        run = follow(server.url)
        run.join()
    assert run.names == ["connecting", "connected", "connect_fail"]


@pytest.mark.parametrize("sent", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\6\4\0\0\0\0\0", b"\x15\3\3"])
@pytest.mark.parametrize("way", ["first", "dribbled", "tls"])
def test_server_that_speaks_no_http_is_known_at_once(
    sent: bytes, way: str, authority: Authority
) -> None:
    def script(peer: RawServerPeer) -> None:
        if way == "dribbled":
            peer.read_head()
            peer.dribble(sent)
        else:
            peer.send(sent)  # before any request
        peer.read_until_end()

    context = authority.server_context() if way == "tls" else None
    with LoopbackServer(script, context) as server:
        run = follow(server.url, open_timeout=None, ssl_cafile=authority.cafile)
        run.join()
    assert run.names == ["connecting", "connected", "rejected", "disconnected"]
    rejected = run.events[2]
    assert rejected.reason.startswith("the server does not speak HTTP")
    assert rejected.response.status_code is None


@pytest.mark.parametrize("drop", ["end", "reset", "silence"])
@pytest.mark.parametrize("sent", [b"HT", b"HTTP/1.1 101 Switching\r\nSecret: x"])
def test_answer_cut_short_is_quoted(sent: bytes, drop: str) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(sent)
        if drop == "reset":
            assert arrived.wait(PATIENCE)
            peer.reset()
        elif drop == "silence":
            peer.read_until_end()

    def trace(record: dict[str, Any]) -> None:
        if record["stage"] == "connect_fail":
            reasons.append(record["reason"])

    arrived = gevent.event.Event()
    reasons: list[str] = []
    with LoopbackServer(script) as server:
        websocket = make(server.url, open_timeout=0.3, trace=trace)
        run = Run(iter(websocket))
        run.wait("connected")
        wait_until(lambda: websocket.state.aside)
        arrived.set()
        failure = run.join()
    assert failure.name == "connect_fail"
    quoted = "'HT'" if sent == b"HT" else r"'HTTP/1.1 101 Switching\r'"
    assert failure.reason.endswith(f"; the server sent {quoted}")
    assert reasons == [failure.reason]


def test_reset_before_the_answer_names_the_step() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.reset()

    with LoopbackServer(script) as server:
        failure = follow(server.url).join()
    assert "Connection reset by peer while waiting for the answer to the upgrade" in failure.reason
    assert str(failure.error) == failure.reason


def test_request_that_cannot_be_sent_names_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, data: Any) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    class Failing(SocketTransport):
        send = fail

    monkeypatch.setattr(dial, "SocketTransport", Failing)
    with LoopbackServer(RawServerPeer.read_until_end) as server:
        failure = follow(server.url).join()
    assert failure.name == "connect_fail"
    assert failure.reason.endswith("Broken pipe while sending the request")


@pytest.mark.parametrize(
    ("head", "sent", "body"),
    [
        pytest.param(b"Content-Length: 4\r\n", b"gone", b"gone", id="content-length"),
        pytest.param(b"Content-Length: 4\r\n", b"gone and more", b"gone", id="more than announced"),
        pytest.param(b"Content-Length: 9\r\n", b"gone", b"gone", id="less than announced"),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n",
            b"2\r\ngo\r\n2\r\nne\r\n0\r\n\r\n",
            b"gone",
            id="chunked",
        ),
        pytest.param(b"", b"gone", b"gone", id="until close"),
        pytest.param(b"", b"x" * 100_000, b"x" * MAX_BODY_SIZE, id="too long"),
    ],
)
def test_rejection_has_its_body(head: bytes, sent: bytes, body: bytes) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 410 Gone\r\n" + head + b"\r\n" + sent)

    with LoopbackServer(script) as server:
        run = follow(server.url)
        run.join()
    assert run.names == ["connecting", "connected", "rejected", "disconnected"]
    assert run.events[2].response.status_code == 410
    assert run.events[2].response.body == body


def test_body_without_end_is_cut_at_its_limit() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n")
        send_forever(peer, b"3e8\r\n" + b"x" * 1000 + b"\r\n")

    with LoopbackServer(script) as server:
        run = follow(server.url)
        run.join()
    assert run.wait("rejected").response.body == b"x" * MAX_BODY_SIZE


BODIES = [
    pytest.param(b"", b"no entry", b"no entry", id="no length"),
    pytest.param(b"", b"", b"", id="nothing"),
    pytest.param(b"Connection: close\r\n", b"no", b"no", id="close"),
    pytest.param(b"Content-Length: 9\r\n", b"no", b"no", id="content-length"),
    pytest.param(b"Transfer-Encoding: chunked\r\n", b"2\r\nno\r\n", b"no", id="chunked"),
    pytest.param(b"Transfer-Encoding: chunked\r\n", b"9\r\nno", b"no", id="half a chunk"),
    pytest.param(b"Transfer-Encoding: gzip\r\n", b"no", b"no", id="gzip"),
]


@pytest.mark.parametrize(("head", "sent", "body"), BODIES)
@pytest.mark.parametrize("way", ["plain", "tls", "tunnel"])
def test_rejection_ends_when_no_more_of_its_body_comes(
    head: bytes, sent: bytes, body: bytes, way: str, authority: Authority, short_silence: None
) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 403 Forbidden\r\n" + head + b"\r\n")
        peer.send(sent)
        assert peer.read_until_end() == b""

    context = authority.server_context() if way == "tls" else None
    with LoopbackServer(script, context) as server, HTTPProxy() as proxy:
        proxies = {"http": proxy.url} if way == "tunnel" else {}
        run = follow(server.url, open_timeout=None, proxies=proxies, ssl_cafile=authority.cafile)
        run.join()
        server.join()
    assert run.names == ["connecting", "connected", "rejected", "disconnected"]
    assert (run.events[2].response.status_code, run.events[2].response.body) == (403, body)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", id="304"),
        pytest.param(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", id="no body"),
        pytest.param(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", id="whole body"),
        pytest.param(
            b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked"
        ),
        pytest.param(b"HTTP/1.1 101 x\r\n\r\n", id="bad 101"),
    ],
)
def test_rejection_whose_body_has_ended_waits_for_nothing(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "BODY_SILENCE", 1000.0)

    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(answer)
        peer.read_until_end()

    with LoopbackServer(script) as server:
        run = follow(server.url, open_timeout=None)
        run.join()
    assert run.names[2:] == ["rejected", "disconnected"]


def test_body_that_goes_on_is_waited_for() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        peer.dribble(b"no entry", 0.2)
        peer.read_until_end()

    with LoopbackServer(script) as server:
        run = follow(server.url)
        run.join()
    assert run.wait("rejected").response.body == b"no entry"


def test_body_that_came_while_the_hub_was_held_counts(short_silence: None) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 403 Forbidden\r\n\r\nno ")
        wait_until(lambda: websocket.awaits_body)
        peer.send(b"entry")
        time.sleep(3 * SHORT_SILENCE)  # holds the hub
        peer.read_until_end()

    with LoopbackServer(script) as server:
        websocket = make(server.url)
        run = Run(iter(websocket))
        run.join()
    assert run.wait("rejected").response.body == b"no entry"


def test_interim_response_is_no_rejection(short_silence: None) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        gevent.sleep(4 * SHORT_SILENCE)
        peer.send(peer.answer() + build(CLOSE))

    with LoopbackServer(script) as server:
        run = follow(server.url)
        run.join()
    assert "ready" in run.names


def test_refusal_of_a_proxy_waits_for_no_body() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 99\r\n\r\nwhy not")
        peer.read_until_end()

    with LoopbackServer(script) as server:
        proxies = {"http": f"http://127.0.0.1:{server.port}"}
        run = follow("ws://example.invalid/", proxies=proxies, open_timeout=None)
        failure = run.join()
    assert failure.error.response.body == b"why not"


def test_rejection_whose_body_stalls_is_known_at_the_deadline() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 403 Forbidden\r\n\r\nno entry")  # the body ends with the stream
        peer.read_until_end()

    with LoopbackServer(script) as server:
        run = follow(server.url, open_timeout=0.2)
        run.join(2)
    assert run.names[2:] == ["rejected", "disconnected"]
    response = run.events[2].response
    assert (response.status_code, response.body) == (403, b"no entry")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
        pytest.param(b"HTTP/1.1 101 {0} {\r\n\r\n", id="braces"),
        pytest.param(b"HTTP/1.1 101 \xff\r\nUpgrade: \xff\xfe\r\n\r\n", id="no ASCII"),
        pytest.param(ANSWER + b"Connection: Upgrade\r\n\r\n", id="no accept"),
    ],
)
def test_bad_upgrade_is_rejected_with_a_reason(answer: bytes) -> None:
    with LoopbackServer(lambda peer: (peer.read_head(), peer.send(answer))) as server:
        run = follow(server.url)
        run.join()
    assert run.names[2:] == ["rejected", "disconnected"]
    assert run.events[2].reason


def test_interim_answer_is_skipped() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + peer.answer())
        peer.close()

    with LoopbackServer(script) as server:
        run = follow(server.url)
        run.join()
    assert run.all("ready")


def test_answer_that_came_together_with_the_proxys_is_read() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        # The server behind the proxy has no patience.
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")
        peer.read_until_end()

    with LoopbackServer(script) as server:
        proxies = {"http": f"http://127.0.0.1:{server.port}"}
        run = follow("ws://example.invalid/", proxies=proxies, open_timeout=2)
        run.join()
    assert run.wait("rejected").response.status_code == 408


def test_unsent_rest_of_a_request_does_not_follow_a_redirect() -> None:
    heads = []

    def second(peer: RawServerPeer) -> None:
        heads.append(peer.read_head())
        peer.send(peer.answer())
        peer.close()

    def first(peer: RawServerPeer) -> None:
        peer.read_exactly(1000)
        peer.send(b"HTTP/1.1 307 There\r\nLocation: %s\r\n\r\n" % target.url.encode())
        peer.read_until_end()

    with LoopbackServer(second) as target, LoopbackServer(first, buffer=4096) as server:
        run = follow(server.url, headers={"X-Long": "x" * 8_000_000})
        run.join()
        target.join()
    assert run.all("ready")
    assert heads[0].startswith(b"GET / HTTP/1.1\r\n")


# Reading


def test_messages_in_the_segment_of_the_answer_are_not_lost() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("one") + build_text("two")[:2])
        gevent.sleep(0.01)
        peer.send(build_text("two")[2:])
        peer.close()

    with LoopbackServer(script) as server:
        run = follow(server.url)
        run.join()
    assert [event.text for event in run.all("text")] == ["one", "two"]


def test_answer_and_messages_may_come_byte_by_byte() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        stream = build_text("one") + build(TEXT, b"t", fin=False) + build(9, b"p")
        peer.dribble(peer.answer() + stream + build(0, b"wo") + build(CLOSE, b"\x03\xe8bye"))
        peer.expect(10, b"p")
        peer.expect(CLOSE)

    with LoopbackServer(script) as server:
        run = follow(server.url)
        run.join()
        server.join()
    assert [event.text for event in run.all("text")] == ["one", "two"]
    assert run.events[-1].code == 1000


@pytest.mark.parametrize("handled", ["iteration", "client"])
def test_tls_bytes_that_are_decrypted_already_are_handled_without_waiting(
    handled: str, authority: Authority
) -> None:
    # One TLS record holds many messages. Once it is read, the descriptor is not readable.
    texts = [f"{number:05}" for number in range(5000)]
    received: list[str] = []

    def script(peer: RawServerPeer) -> None:
        peer.accept(then=b"".join(map(build_text, texts)))
        peer.echo()

    class Reader(greenws.Client):
        def on_text(self, event: Any) -> None:
            received.append(event.text)
            if len(received) == len(texts):
                self.close()

    with LoopbackServer(script, authority.server_context()) as server:
        if handled == "client":
            Reader(server.url, ssl_cafile=authority.cafile, proxies={}, ping_rate=0).run()
            assert received == texts
            return
        run = follow(server.url, ssl_cafile=authority.cafile)
        run.wait("text", len(texts))
        run.kill()
    assert [event.text for event in run.all("text")] == texts


def test_received_time_is_when_the_bytes_came() -> None:
    with LoopbackServer() as server:
        websocket = make(server.url)
        seen = []

        def handle(event: Any) -> None:
            if event.name == "ready":
                websocket.send_text("now")
            elif event.name == "text":
                seen.append((event.received_time, run.events[0].received_time))
                websocket.close()

        run = Run(iter(websocket), handle)
        run.join()
    (received, connecting) = seen[0]
    assert 0 <= received - connecting < PATIENCE
