"""The EchoServer with the clients of greenws."""

from __future__ import annotations

import gevent
import pytest

import greenws
from greenws.errors import TransportFail
from greenws.testing import (
    EchoServer,
    ServerConnection,
    accept,
    close_with,
    drop,
    in_turn,
    reject,
    silent,
    stop_reading,
)


class Recorder(greenws.Client):
    def __init__(self, url: str, **options: object) -> None:
        super().__init__(url, **options)
        self.seen: list[object] = []

    def on_connect_fail(self, event: greenws.events.ConnectFail) -> None:
        self.seen.append(event.reason)

    def on_rejected(self, event: greenws.events.Rejected) -> None:
        self.seen.append(event.response.status_code)

    def on_text(self, event: greenws.events.Text) -> None:
        self.seen.append(event.text)

    def on_close(self, event: greenws.events.Disconnected) -> None:
        self.seen.append(event.code)


@pytest.mark.parametrize("compress", [False, True])
def test_client_is_echoed(compress: bool) -> None:
    with EchoServer() as server:
        client = Recorder(server.url, compress=compress).start()
        assert client.wait_ready(5)
        for number in range(100):
            client.send_text(f"message {number}")
        server.wait_messages(100)
        client.close(4000, "done")
        client.join(5)
        assert client.seen == [*(f"message {number}" for number in range(100)), 4000]
        assert server.connections[0].is_compressed is compress
        assert server.connections[0].wait_ended() == 4000
        assert server.connections[0].close_reason == "done"


def test_client_comes_back_after_refusals_and_a_reset() -> None:
    opening = in_turn(reject(503, "Busy"), reject(502, "Bad"), drop(), accept)
    backoff = greenws.Backoff(min_wait=0.01, max_wait=0.01)
    with EchoServer(opening=opening) as server:
        client = Recorder(server.url, reconnect=backoff).start()
        server.wait_connections(1)
        assert server.connection_count == 4
        assert client.seen[:2] == [503, 502]
        client.close()
        client.join(5)


def test_client_hears_how_the_server_closes() -> None:
    with EchoServer(close_with(1012, "restart", after=1)) as server:
        client = Recorder(server.url).start()
        assert client.wait_ready(5)
        client.send_text("x")
        client.join(5)
        assert client.seen == ["x", 1012]


def test_client_gives_up_on_a_silent_server() -> None:
    with EchoServer(opening=silent) as server:
        client = Recorder(server.url, open_timeout=0.05)
        client.run()
        assert "timed out after 0.05 s" in str(client.seen)
        # With TLS the client waits one step earlier, for the answer to its handshake.
        client = Recorder(server.url.replace("ws:", "wss:"), open_timeout=0.05)
        client.run()
        assert "timed out after 0.05 s" in str(client.seen)


def test_client_cannot_send_on_to_a_server_that_stops_reading() -> None:
    with EchoServer(stop_reading, receive_buffer=4096) as server:
        client = Recorder(server.url, send_timeout=0.05, close_timeout=0.05).start()
        assert client.wait_ready(5)
        with gevent.Timeout(5), pytest.raises(TransportFail):
            while True:
                client.send_binary(b"x" * 100_000)
        client.kill()


def test_websocket_gets_what_a_behaviour_pushes() -> None:
    def push(connection: ServerConnection) -> None:
        connection.send("hello")
        connection.send_ping(b"p")
        connection.send(b"data")

    with EchoServer(push) as server:
        names = [event.name for event in greenws.WebSocket(server.url) if event.name != "poll"]
        assert names == [
            *("connecting", "connected", "ready", "text", "ping", "binary"),
            *("closing", "disconnected"),
        ]
        connection = server.connections[0]
        assert connection.wait_ended() == 1000
        assert list(connection.pongs) == [b"p"]
