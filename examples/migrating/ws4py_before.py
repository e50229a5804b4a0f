"""A chat with ws4py's client for gevent: ``python ws4py_before.py URL``."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()  # before every other import: the client waits on sockets of the standard library

import sys

from ws4py.client.geventclient import WebSocketClient
from ws4py.messaging import Message


class Chat(WebSocketClient):  # type: ignore[misc]  # ws4py has no annotations
    def opened(self) -> None:
        self.send("hello")
        self.send(b"\x00\x01", binary=True)

    def received_message(self, message: Message) -> None:
        if message.is_text:
            print("text:", message.data.decode())
        else:
            print("binary:", message.data)
            self.close(1000, "bye")

    def closed(self, code: int, reason: str | None = None) -> None:
        print("closed:", code)


if __name__ == "__main__":
    chat = Chat(sys.argv[1], protocols=["chat"], headers=[("X-Room", "7")], heartbeat_freq=30)
    try:
        chat.connect()
    except Exception as error:
        print("no connection:", error)
    else:
        chat._th.join()  # the only way to wait for the end
