"""Options and handlers of a client, annotated in full."""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import greenws
from greenws import events
from greenws.client import ClientOptions


class Ticker(greenws.Client):
    url = "wss://example.org/feed"
    compress = True
    protocols = ["v2", "v1"]
    poll = None
    ping_rate = 5
    ping_timeout = 12.5
    proxies = {}
    cookies = CookieJar()
    ssl_cafile = Path("authorities.pem")
    max_size = None
    socket_options = [(1, 2, b"")]
    reconnect = True
    session_class = greenws.GeventSession

    def __init__(self, channel: str) -> None:
        super().__init__(open_timeout=5)
        self.channel = channel

    def headers(self) -> dict[str, str]:
        return {"X-Channel": self.channel}

    def trace(self, step: dict[str, Any]) -> None:
        print(step["stage"])

    def on_ready(self, event: events.Ready) -> None:
        assert_type(event.protocol, str | None)
        self.send_json(op="subscribe", channel=self.channel)
        self.send_json([1, 2, {"three": None}])

    def on_text(self, event: events.Text) -> None:
        print(event.json["price"], len(event.text))

    def on_binary(self, event: events.Binary | events.Text) -> None:
        """A handler may take more than its own event."""

    def on_rejected(self, event: events.Rejected) -> None:
        print(event.response.status_code, event.response.body[:10])

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        if isinstance(event.error, greenws.errors.ProxyFail):
            print(event.error)

    def on_close(self, event: events.Disconnected) -> None:
        print(event.code + 1, event.reason.upper(), event.graceful)

    def on_error(self, error: Exception) -> None:
        self.close(1011, "sorry")

    def on_quote(self, price: int) -> None:
        """No handler: a method of the user's own."""


class Lasting(greenws.Client):
    headers = {"Authorization": "Bearer x"}
    reconnect = greenws.Backoff(min_wait=1, max_tries=3)
    trace = print


class Named(greenws.Client):
    headers = [("X-Name", b"one"), ("X-Name", b"two")]
    unix_path = b"/run/feed"


def run() -> bool:
    ticker = Ticker("trades").start()
    assert_type(ticker, Ticker)
    assert_type(ticker.websocket, greenws.WebSocket)
    ticker.send_text("text", compress=False)
    ticker.send_binary(bytearray(b"binary"))
    ticker.send_binary(memoryview(b"binary"))
    ticker.send_ping(b"ping")
    ticker.join(timeout=5)
    ticker.kill()
    return ticker.wait_ready(timeout=0.5)


class Sparing(greenws.Client):
    compress = {"server_no_context_takeover": True, "client_max_window_bits": 10}


def make(context: ssl.SSLContext) -> greenws.Client:
    options: ClientOptions = {"compress": True, "ping_rate": None}
    options["headers"] = lambda: {b"X-Name": b"one"}
    options["ssl_context"] = context
    options["compress"] = {"level": 6, "min_size": 100}
    return greenws.Client("wss://example.org/", **options)
