"""A Connection with the servers of other libraries, each in a process of its own."""

from __future__ import annotations

import random
from typing import Any

import gevent
import pytest

import greenws
from greenws import errors
from tests.support import foreign
from tests.support.servers import ForeignServer
from tests.support.waiting import PATIENCE, wait_until

server, url, options = foreign.server, foreign.url, foreign.options


def test_messages_and_their_end(url: str, options: dict[str, Any]) -> None:
    with greenws.connect(url, **options) as connection:
        for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
            for message in ("ä" * size, bytes(size)):
                connection.send(message)
                assert connection.receive(PATIENCE) == message
        assert connection.ping(PATIENCE) > 0
        connection.send("close")
        with pytest.raises(errors.WebSocketClosed) as caught:
            connection.receive(PATIENCE)
        assert (caught.value.code, caught.value.reason) == (4001, "as you wish")
        assert caught.value.graceful


def test_requests_beside_each_other(url: str, options: dict[str, Any]) -> None:
    def ask(number: int) -> Any:
        return connection.request({"id": number}, key=number, timeout=PATIENCE).json["id"]

    def read_id(event: Any) -> Any:
        return event.json["id"]

    with greenws.connect(url, reply_key=read_id, **options) as connection:
        requests = [gevent.spawn(ask, number) for number in range(200)]
        assert [request.get(timeout=PATIENCE) for request in requests] == list(range(200))
        assert connection.request("1", lambda event: event.text == "1").text == "1"


def test_messages_in_pieces(url: str, options: dict[str, Any]) -> None:
    noise = random.Random(1)
    texts = ["aä€𝄞" * noise.randrange(3000) for _ in range(100)]
    binary = [noise.randbytes(noise.randrange(30_000)) for _ in range(100)]
    with greenws.connect(url, max_size=1000, **options) as connection:
        chunks: Any
        for chunks, empty in ((texts, ""), (binary, b""), ([*texts, ""], "")):
            connection.send_stream(iter(chunks))
            pieces = list(connection.receive_stream(PATIENCE))
            assert empty.join(pieces) == empty.join(chunks)
        connection.send("and on")
        assert connection.receive(PATIENCE) == "and on"


def test_server_is_held_back_while_nobody_receives(url: str, options: dict[str, Any]) -> None:
    messages = [str(number) * 200 for number in range(2000)]
    with greenws.connect(url, max_queue=8, ping_rate=0.05, ping_timeout=0.2, **options) as held:
        sending = gevent.spawn(lambda: [held.send(message) for message in messages])
        wait_until(lambda: len(held._reader.mailbox) == 8)
        gevent.sleep(0.5)
        assert held.is_open
        assert [held.receive(PATIENCE) for _ in messages] == messages
        sending.get(timeout=PATIENCE)


def test_fragments_with_a_ping_between(server: ForeignServer) -> None:
    if server.kind != "websockets":
        pytest.skip("the server sends no fragments")
    with greenws.connect(server.url, proxies={}) as connection:
        connection.send("fragments")
        assert "".join(map(str, connection.receive_stream(PATIENCE))) == "one two three"
        connection.send("fragments")
        assert connection.receive(PATIENCE) == "one two three"
