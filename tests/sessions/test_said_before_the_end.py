"""What a server has said is told before a failure of writing, or a reset, ends the session; and a
server that takes bytes lives.
"""

from __future__ import annotations

import socket
from typing import Any, ClassVar

import gevent
import gevent.event
import pytest

import greenws
from tests.support.loopback import LoopbackServer
from tests.support.peer import BINARY, PONG, RawServerPeer, build, build_close
from tests.support.waiting import PATIENCE


class Uploader(greenws.Client):
    """Sends more than the kernel takes, and keeps what comes of it."""

    proxies: ClassVar[dict[str, str]] = {}
    write_limit = 65536

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.errors: list[Exception] = []
        self.closed: list[tuple[int, str]] = []

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_binary(bytes(8_000_000))

    def on_error(self, error: Exception) -> None:
        self.errors.append(error)

    def on_close(self, event: greenws.events.Disconnected) -> None:
        self.closed.append((event.code, event.reason))


@pytest.mark.parametrize("code", [1008, 1009, 4004])
def test_close_code_is_not_lost_to_a_send_that_fails(code: int) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.sock.recv(1000)  # the beginning of a message that is unwelcome
        peer.send(build_close(code, "too big"))
        # The kernel resets the connection, as bytes were not read.

    with LoopbackServer(script) as server, gevent.Timeout(PATIENCE):
        client = Uploader(server.url)
        client.run()
    assert [type(error) for error in client.errors] == [greenws.errors.TransportFail]
    assert client.closed[0][0] == code


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\n\r\nwhy not",
    ],
)
def test_rejection_counts_before_the_reset_that_follows(head: bytes) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(head)
        peer.reset()

    with LoopbackServer(script) as server, gevent.Timeout(PATIENCE):
        found = list(greenws.WebSocket(server.url, proxies={}))
    assert [event.name for event in found[-2:]] == ["rejected", "disconnected"]


def test_server_that_takes_a_slow_upload_is_not_unresponsive() -> None:
    taken = []

    def script(peer: RawServerPeer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.accept()
        # No word, for five times the ping_timeout.
        while sum(taken) < 400_000:
            taken.append(len(peer.sock.recv(8000)))
            gevent.sleep(0.02)
        peer.send(build_close(1000))
        peer.read_until_end()

    options: Any = {
        "socket_options": [(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)],
        "ping_rate": 0.05,
        "ping_timeout": 0.2,
    }
    with LoopbackServer(script, buffer=4096) as server, gevent.Timeout(PATIENCE):
        websocket = greenws.WebSocket(
            server.url, proxies={}, socket_options=options.pop("socket_options")
        )
        names = []
        for event in websocket.connect(**options):
            names.append(event.name)
            if event.name == "ready":
                gevent.spawn(websocket.send_binary, bytes(450_000))
    assert "unresponsive" not in names


def test_send_timeout_does_not_count_while_the_server_takes_something() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        taken = 0
        while taken < 300_000:
            taken += len(peer.sock.recv(8000))
            gevent.sleep(0.02)
        peer.send(build_close(1000))
        peer.read_until_end()

    with LoopbackServer(script, buffer=4096) as server, gevent.Timeout(PATIENCE):
        client = Uploader(
            server.url,
            send_timeout=0.2,
            socket_options=[(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)],
        )
        client.on_ready = lambda event: client.send_binary(bytes(400_000))  # type: ignore[method-assign]
        client.run()
    assert [error for error in client.errors if "nothing was taken" in str(error)] == []


def test_latest_ping_is_answered_when_the_queue_has_room_again() -> None:
    count = 400
    is_full = gevent.event.Event()

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        assert is_full.wait(PATIENCE)
        for number in range(count):
            peer.send(build(9, b"%d" % number))
        answers = []
        while not answers or answers[-1] != b"%d" % (count - 1):
            frame = peer.read_frame()
            if frame.opcode == PONG:
                answers.append(frame.payload)
            else:
                assert frame.opcode == BINARY
        peer.close()

    with LoopbackServer(script, buffer=4096) as server, gevent.Timeout(PATIENCE):
        websocket = greenws.WebSocket(server.url, proxies={}, write_limit=10_000)
        sender = None
        for event in websocket.connect():
            if event.name == "ready":
                sender = gevent.spawn(websocket.send_binary, bytes(6_000_000))
                gevent.spawn(watch_queue, websocket, is_full)
        server.join()
    assert sender is not None and sender.successful()


def watch_queue(websocket: greenws.WebSocket, is_full: gevent.event.Event) -> None:
    """Set ``is_full`` as soon as the queue of the session is at its mark."""
    session: Any = websocket.session
    while session.queued_bytes < 10_000:
        gevent.sleep(0.001)
    is_full.set()
