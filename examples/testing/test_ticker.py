"""A client, and its tests by the fixtures: ``python -m pytest examples/testing/test_ticker.py``."""

from __future__ import annotations

from typing import Any

import greenws
from greenws.testing import (
    Authority,
    ServerConnection,
    ServerFactory,
    ThreadedEchoServer,
    accept,
    drop,
    in_turn,
    reject,
)


class Ticker(greenws.Client):
    reconnect = greenws.Backoff(min_wait=0.01)

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.prices: list[int] = []

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_json(op="subscribe", channel="trades")

    def on_text(self, event: greenws.events.Text) -> None:
        if "price" in event.json:
            self.prices.append(event.json["price"])
        if len(self.prices) == 3:
            self.close()


def test_it_subscribes(echo_server: ThreadedEchoServer) -> None:
    client = Ticker(echo_server.url).start()
    assert echo_server.wait_messages(1) == ['{"op": "subscribe", "channel": "trades"}']
    client.close()
    client.join(timeout=5)
    assert echo_server.connections[0].wait_ended() == 1000  # the close code of the client


def test_it_collects_prices(websocket_server: ServerFactory) -> None:
    def trade(connection: ServerConnection) -> None:
        assert "trades" in str(connection.receive())  # a failure here fails the test
        for price in (7, 8, 9):
            connection.send(f'{{"price": {price}}}')

    client = Ticker(websocket_server(trade).url).start()
    client.join(timeout=5)
    assert client.prices == [7, 8, 9]


def test_it_comes_back(websocket_server: ServerFactory) -> None:
    server = websocket_server(opening=in_turn(reject(503, "Busy"), drop(), accept))
    Ticker(server.url).start()  # the fixture ends it
    server.wait_connections(1)
    assert server.connection_count == 3


def test_it_speaks_tls(websocket_server: ServerFactory, websocket_authority: Authority) -> None:
    server = websocket_server(tls=True)
    Ticker(server.url, ssl_cafile=websocket_authority.cafile).start()
    server.wait_messages(1)
