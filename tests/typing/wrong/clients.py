"""Wrong options and handlers of a client: each is an error on its own line."""

from __future__ import annotations

import greenws
from greenws import events
from greenws.client import ClientOptions
from greenws.options import CompressOptions


class Options(greenws.Client):
    url = b"ws://example.org/"  # error: assignment
    compress = "yes"  # error: assignment
    ping_rate = "5"  # error: assignment
    max_size = "1 MiB"  # error: assignment
    reconnect = 5  # error: assignment
    proxies = "http://proxy:8080"  # error: assignment
    headers = 5  # error: assignment
    session_class = greenws.WebSocket  # error: assignment


class Handlers(greenws.Client):
    def on_text(self, event: events.Binary) -> None:  # error: override
        pass

    def on_close(self, event: events.Closing) -> None:  # error: override
        pass

    def on_ready(self) -> None:  # error: override
        pass

    def on_error(self, error: str) -> None:  # error: override
        pass

    def on_binary(self, event: events.Binary) -> None:
        print(event.text)  # error: attr-defined


class Methods(greenws.Client):
    def headers(self) -> int:  # error: override
        return 5


greenws.Client("ws://example.org/", pingrate=5)  # error: call-arg
greenws.Client("ws://example.org/", ping_rate="5")  # error: arg-type
greenws.Client("ws://example.org/", compress="yes")  # error: arg-type
greenws.Client("ws://example.org/", headers=lambda: 5)  # error: arg-type, return-value
greenws.Client("ws://example.org/", reconnect="yes")  # error: arg-type
greenws.Client("ws://example.org/", session_class=greenws.WebSocket)  # error: arg-type
greenws.Client("ws://example.org/", True)  # error: call-arg

options: ClientOptions = {"compress": "yes"}  # error: typeddict-item
wishes: CompressOptions = {"min_size": 1.5}  # error: typeddict-item

client = greenws.Client("ws://example.org/")
client.send_text(b"text")  # error: arg-type
client.send_binary("binary")  # error: arg-type
client.close("1000")  # error: arg-type
client.wait_ready(timeout="5")  # error: arg-type
client.send_txt("text")  # error: attr-defined
