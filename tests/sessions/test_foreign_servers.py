"""greenws with the servers of other libraries, each in a process of its own."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

import greenws
from greenws.options import CompressOptions
from tests.support import foreign
from tests.support.run import Run
from tests.support.servers import SPARING, ForeignServer
from tests.support.waiting import PATIENCE

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1_000_000)


server, url, options = foreign.server, foreign.url, foreign.options


def converse(websocket: greenws.WebSocket, messages: list[Any]) -> tuple[list[Any], Any]:
    """Send each message when the one before has come back.

    :returns: the messages received, and the last event.
    """
    received: list[Any] = []
    rest = iter(messages)

    def send() -> None:
        message = next(rest, None)
        if message is None:
            websocket.close()
        elif isinstance(message, str):
            websocket.send_text(message)
        else:
            websocket.send_binary(message)

    with gevent.Timeout(PATIENCE):
        for event in websocket:
            if event.name == "text":
                received.append(event.text)
            elif event.name == "binary":
                received.append(event.data)
            if event.name in ("ready", "text", "binary"):
                send()
    return received, event


def test_messages_of_all_sizes_come_back(url: str, options: dict[str, Any]) -> None:
    texts = ["\u00e9x" * (size // 3) + "x" * (size % 3) for size in SIZES]
    data = [bytes(range(256)) * (size // 256) + bytes(size % 256) for size in SIZES]
    websocket = greenws.WebSocket(url, **options)
    received, last = converse(websocket, texts + data)
    assert received == texts + data
    assert (last.code, last.graceful) == (1000, True)


def test_many_small_messages_come_back_in_order(url: str, options: dict[str, Any]) -> None:
    count = 500
    received = []

    class Counter(greenws.Client):
        def on_ready(self, event: Any) -> None:
            for number in range(count):
                self.send_json(number=number)

        def on_text(self, event: Any) -> None:
            received.append(event.json["number"])
            if len(received) == count:
                self.close()

    with gevent.Timeout(PATIENCE):
        Counter(url, **options).run()
    assert received == list(range(count))


def test_compression_is_agreed_on_and_carries_context(server: ForeignServer) -> None:
    websocket = greenws.WebSocket(server.url, compress=True, proxies={})
    agreed = []

    def trace(record: dict[str, Any]) -> None:
        if record["stage"] == "handshake_ready":
            agreed.append(record["extensions"])

    websocket = greenws.WebSocket(server.url, compress=True, proxies={}, trace=trace)
    received, _ = converse(websocket, ["again and again " * 50] * 20)
    assert agreed == [["permessage-deflate"]]
    assert received == ["again and again " * 50] * 20


WISHES: list[CompressOptions] = [
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True, "level": 9},
    {"server_no_context_takeover": True, "client_no_context_takeover": True, "min_size": 100},
    {"server_max_window_bits": 10, "client_max_window_bits": 10},
    {"server_max_window_bits": 9, "client_max_window_bits": 9, "level": 0},
    {"client_max_window_bits": 8},
    {"server_max_window_bits": 15, "client_max_window_bits": 15, "level": -1},
]


@pytest.mark.parametrize("wishes", WISHES, ids=str)
def test_compression_is_agreed_on_as_it_is_wished_for(
    server: ForeignServer, wishes: CompressOptions
) -> None:
    texts = ["again and again " * 50, "short", "a long text of one's own " * 8000] * 3
    websocket = greenws.WebSocket(server.url, compress=wishes, proxies={})
    if server.kind == "tornado" and "server_no_context_takeover" in wishes:
        # Tornado overlooks parameters without a value, and would go on with its window.
        run = Run(iter(websocket))
        last = run.join()
        (rejected,) = run.all("rejected")
        assert "server_no_context_takeover was offered, and is missing" in rejected.reason
        assert (last.code, last.sent_code, last.graceful) == (1006, None, False)
        return
    received, last = converse(websocket, [*texts, bytes(range(256)) * 500])
    assert received == [*texts, bytes(range(256)) * 500]
    assert (last.code, last.graceful) == (1000, True)
    deflate = websocket.state.compression
    assert deflate is not None
    assert deflate.decompress_wbits <= wishes.get("server_max_window_bits", 15)
    assert deflate.compress_wbits <= wishes.get("client_max_window_bits", 15)
    assert deflate.reset_compress is wishes.get("client_no_context_takeover", False)
    assert deflate.reset_decompress is wishes.get("server_no_context_takeover", False)


@pytest.mark.parametrize("server", ["websockets", "aiohttp"], indirect=True)
def test_declined_offer_leaves_an_open_connection_that_compresses_nothing(
    server: ForeignServer,
) -> None:
    # zlib cannot compress with a window of 8 bits; Tornado finds out too late, and answers 500.
    websocket = greenws.WebSocket(
        server.url, compress={"server_max_window_bits": 8, "min_size": 1}, proxies={}
    )
    received, last = converse(websocket, ["again and again " * 50, b"x" * 300_000])
    assert received == ["again and again " * 50, b"x" * 300_000]
    assert (last.code, websocket.supports_compression) == (1000, False)


@pytest.mark.parametrize("server", [SPARING], indirect=True)
@pytest.mark.parametrize("wishes", [True, {}, *WISHES], ids=str)
def test_server_may_ask_for_less_than_is_offered(
    server: ForeignServer, wishes: bool | CompressOptions
) -> None:
    texts = ["again and again " * 50, "a long text of one's own " * 8000] * 3
    websocket = greenws.WebSocket(server.url, compress=wishes, proxies={})
    received, last = converse(websocket, texts)
    assert received == texts
    assert (last.code, last.graceful) == (1000, True)
    deflate = websocket.state.compression
    assert deflate is not None
    assert (deflate.compress_wbits, deflate.decompress_wbits) == (8, 9)
    assert deflate.reset_compress and deflate.reset_decompress


def test_server_may_close(url: str, options: dict[str, Any]) -> None:
    websocket = greenws.WebSocket(url, **options)
    run = Run(iter(websocket), lambda event: event.name == "ready" and websocket.send_text("close"))
    last = run.join()
    closing = run.wait("closing") if not run.greenlet.dead else run.all("closing")[0]
    assert (closing.code, closing.reason) == (4001, "as you wish")
    assert (last.code, last.sent_code, last.graceful) == (4001, 4001, True)


def test_pings_are_answered(url: str, options: dict[str, Any]) -> None:
    websocket = greenws.WebSocket(url, **options)
    run = Run(
        iter(websocket), lambda event: event.name == "ready" and websocket.send_ping(b"payload")
    )
    assert bytes(run.wait("pong").data) == b"payload"
    websocket.close()
    assert run.join().graceful


@pytest.mark.parametrize("server", ["websockets"], indirect=True)  # the others send no fragments
def test_fragments_are_joined(url: str, options: dict[str, Any]) -> None:
    websocket = greenws.WebSocket(url, **options)
    run = Run(
        iter(websocket), lambda event: event.name == "ready" and websocket.send_text("fragments")
    )
    assert run.wait("text").text == "one two three"
    assert run.names.index("ping") < run.names.index("text")
    websocket.close()
    assert run.join().graceful


def test_certificate_of_an_unknown_issuer_is_a_connect_fail(server: ForeignServer) -> None:
    run = Run(iter(greenws.WebSocket(server.secure_url, proxies={})))
    fail = run.join()
    assert fail.name == "connect_fail"
    assert "TLS handshake with localhost failed" in fail.reason


def test_twenty_connections_at_once(url: str, options: dict[str, Any]) -> None:
    def run(number: int) -> None:
        websocket = greenws.WebSocket(url, **options)
        received, _ = converse(websocket, [f"{number} {n}" for n in range(10)])
        assert received == [f"{number} {n}" for n in range(10)]

    gevent.joinall([gevent.spawn(run, n) for n in range(20)], timeout=PATIENCE, raise_error=True)
