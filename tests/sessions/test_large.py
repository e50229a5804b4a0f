"""Large messages, sent and received, leave the hub its turns."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import pytest

import greenws
from tests.support.loopback import LoopbackServer
from tests.support.peer import CLOSE, Frame, Inflater, RawServerPeer, accept_and_echo, build
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE, wait_until

#: Seconds of the hub's thread between two ticks of another greenlet. The server, which unmasks, is
#: another thread.
LARGEST_STEP = 0.05

MIB = 1024 * 1024
NOISE = random.Random(0).randbytes(2 * MIB)
DEFLATES = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


class Received:
    """What a server has received: the wire is kept as it is, and taken apart afterwards."""

    def __init__(self, headers: bytes = b"") -> None:
        self.headers = headers
        self.wire = b""

    def __call__(self, peer: RawServerPeer) -> None:
        peer.accept(self.headers)
        self.wire = peer.read_until_end()

    def messages(self) -> list[tuple[int, bytes]]:
        """The frames, inflated."""
        inflater = Inflater()
        frames = []
        data = self.wire
        while data:
            first, second = data[:2]
            size, start = second & 0x7F, 2
            if size > 125:
                start = 4 if size == 126 else 10
                size = int.from_bytes(data[2:start], "big")
            key, payload = data[start : start + 4], data[start + 4 : start + 4 + size]
            assert len(payload) == size, "half a frame"
            pad = (key * (size // 4 + 1))[:size]
            number = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
            payload = number.to_bytes(size, "big")
            frame = Frame(first & 0x0F, payload, bool(first & 0x80), bool(first & 0x40))
            frames.append((frame.opcode, inflater(frame)))
            data = data[start + 4 + size :]
        return frames


class Sender(greenws.Client):
    """Does the work of the test in a greenlet once it is ready."""

    ping_rate = 0
    max_size = None
    close_timeout = 5.0

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, proxies={}, **options)


def open_sender(server: LoopbackServer, **options: Any) -> Sender:
    client = Sender(server.url, **options).start()
    assert client.wait_ready(PATIENCE)
    return client


def finish(client: Sender) -> None:
    """Let the server, which answers no close frame, see the end."""
    wait_until(lambda: not client.websocket.session.queued_bytes)
    client.websocket.force_disconnect()
    client.join(PATIENCE)


SENDS: dict[str, tuple[Callable[[Sender], object], tuple[int, bytes]]] = {
    "binary": (lambda client: client.send_binary(NOISE), (2, NOISE)),
    "bytearray": (lambda client: client.send_binary(bytearray(NOISE)), (2, NOISE)),
    "text": (lambda client: client.send_text(NOISE.hex()), (1, NOISE.hex().encode())),
    "wide text": (
        lambda client: client.send_text("\U0001f600" * MIB),
        (1, "\U0001f600".encode() * MIB),
    ),
    "zeros": (lambda client: client.send_binary(bytes(16 * MIB)), (2, bytes(16 * MIB))),
}


@pytest.mark.parametrize("name", SENDS)
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_large_message_arrives(name: str, compress: bool, traced: bool) -> None:
    send, expected = SENDS[name]
    received = Received(DEFLATES if compress else b"")
    with LoopbackServer(received) as server:
        trace = (lambda record: None) if traced else None
        client = open_sender(server, compress=compress, trace=trace)
        send(client)
        client.send_text("next")
        finish(client)
    assert received.messages() == [expected, (1, b"next")]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", ["binary", "text"])
def test_large_message_leaves_the_hub_its_turns(kind: str, compress: bool, ticking: Ticker) -> None:
    received = Received(DEFLATES if compress else b"")
    text = NOISE.hex()
    with LoopbackServer(received) as server:
        client = open_sender(server, compress=compress)
        ticking.reset()
        if kind == "binary":
            client.send_binary(NOISE)
        else:
            client.send_text(text)
        gap = ticking.largest_gap
        ticks = ticking.ticks
        finish(client)
    assert gap < LARGEST_STEP
    assert ticks >= 2 or not compress


def test_messages_of_many_greenlets_keep_the_order_of_deflating() -> None:
    received = Received(DEFLATES)
    with LoopbackServer(received) as server:
        client = open_sender(server, compress=True)

        def send(number: int) -> None:
            for step in range(4):
                size = MIB if step == number % 4 else 1000
                client.send_binary(bytes([number, step]) + NOISE[:size])

        gevent.joinall([gevent.spawn(send, number) for number in range(6)], raise_error=True)
        finish(client)
    messages = [payload for _, payload in received.messages()]
    assert len(messages) == 24
    for number in range(6):  # each greenlet's own order
        steps = [payload[1] for payload in messages if payload[0] == number]
        assert steps == [0, 1, 2, 3]
    assert all(payload[2:] == NOISE[: len(payload) - 2] for payload in messages)


def test_killed_sender_of_a_large_deflated_message_leaves_the_connection_whole() -> None:
    received = Received(DEFLATES)
    with LoopbackServer(received) as server:
        client = open_sender(server, compress=True)
        client.send_text("first")
        sender = gevent.spawn(client.send_binary, NOISE)
        gevent.sleep(0.02)
        assert not sender.dead
        sender.kill()
        client.send_binary(NOISE[:1000])
        client.send_binary(NOISE[:1000])
        finish(client)
    small = (2, NOISE[:1000])
    assert received.messages() == [(1, b"first"), small, small]


def test_timeout_of_the_caller_gives_a_large_deflated_message_up() -> None:
    received = Received(DEFLATES)
    with LoopbackServer(received) as server:
        client = open_sender(server, compress=True)
        with gevent.Timeout(0.02, False):
            client.send_binary(NOISE * 4)
        client.send_text("next")
        finish(client)
    assert received.messages() == [(1, b"next")]


def test_close_goes_behind_a_large_message_that_is_being_sent() -> None:
    received = Received(DEFLATES)
    with LoopbackServer(received) as server:
        client = open_sender(server, compress=True)
        sender = gevent.spawn(client.send_binary, NOISE)
        gevent.sleep(0.02)
        assert not sender.dead
        client.close()
        with pytest.raises(greenws.errors.WebSocketClosing):
            client.send_text("too late")
        sender.get(timeout=PATIENCE)
        finish(client)
    assert received.messages() == [(2, NOISE), (CLOSE, b"\x03\xe8goodbye")]


def test_handler_may_send_large_messages() -> None:
    received = Received(DEFLATES)
    is_done = gevent.event.Event()

    class Handler(Sender):
        def on_ready(self, event: Any) -> None:
            self.send_binary(NOISE)
            self.send_text("done")
            is_done.set()

    with LoopbackServer(received) as server:
        client = Handler(server.url, compress=True).start()
        assert is_done.wait(PATIENCE)
        finish(client)
    assert received.messages() == [(2, NOISE), (1, b"done")]


def test_hub_sends_a_large_message_at_once() -> None:
    received = Received(DEFLATES)
    done = gevent.event.Event()
    with LoopbackServer(received) as server:
        client = open_sender(server, compress=True)

        def send() -> None:
            client.send_binary(NOISE[:MIB])
            done.set()

        gevent.get_hub().loop.run_callback(send)
        assert done.wait(PATIENCE)
        finish(client)
    assert received.messages() == [(2, NOISE[:MIB])]


def test_session_of_a_users_class_gets_large_messages_by_its_own_methods() -> None:
    received = Received(DEFLATES)
    sent: list[int] = []

    class Session(greenws.GeventSession):
        def send_compressed(self, opcode: int, payload: Any) -> None:
            sent.append(len(payload))
            super().send_compressed(opcode, payload)

    with LoopbackServer(received) as server:
        client = open_sender(server, compress=True, session_class=Session)
        client.send_binary(NOISE)
        client.send_text(NOISE.hex())
        finish(client)
    assert len(sent) == 2
    assert received.messages() == [(2, NOISE), (1, NOISE.hex().encode())]


@pytest.mark.parametrize("opcode", [1, 2])
def test_large_message_that_is_received_leaves_the_hub_its_turns(
    opcode: int, ticking: Ticker
) -> None:
    payload = ("a\u20ac\U0001f600" * (2 * MIB)).encode()

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        frame = build(opcode, payload)
        for start in range(0, len(frame), 128 * 1024):
            peer.send(frame[start : start + 128 * 1024])
            gevent.sleep(0)
        peer.read_until_end()

    with LoopbackServer(script) as server:
        websocket = greenws.WebSocket(server.url, proxies={}, max_size=None)
        ticking.reset()
        for event in websocket.connect(ping_rate=0):
            if event.name in ("text", "binary"):
                break
        gap = ticking.largest_gap
        websocket.force_disconnect()
    assert (event.text.encode() if opcode == 1 else event.data) == payload
    assert gap < LARGEST_STEP


def test_messages_of_sizes_up_and_down_arrive_whole() -> None:
    """The buffer of a large frame is used again for the next one, as it is."""
    sizes = [70_000, 20_000, 65_536, 16_384, 5, 200_000, 16_383, 100_000, 16_384, 260_000, 30_000]
    with LoopbackServer(accept_and_echo) as server:
        with greenws.connect(server.url, max_size=None) as connection:
            for _ in range(2):
                for size in sizes:
                    connection.send(NOISE[:size])
                    if size % 3:
                        connection.send("between")
                for size in sizes:
                    assert connection.receive(PATIENCE) == NOISE[:size]
                    if size % 3:
                        assert connection.receive(PATIENCE) == "between"
