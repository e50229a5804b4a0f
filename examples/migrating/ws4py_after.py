"""The same chat with greenws: ``python ws4py_after.py URL``."""

from __future__ import annotations

import sys

import greenws


class Chat(greenws.Client):
    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_text("hello")
        self.send_binary(b"\x00\x01")

    def on_text(self, event: greenws.events.Text) -> None:
        print("text:", event.text)

    def on_binary(self, event: greenws.events.Binary) -> None:
        print("binary:", event.data)
        self.close(1000, "bye")

    def on_close(self, event: greenws.events.Disconnected) -> None:
        print("closed:", event.code)

    def on_connect_fail(self, event: greenws.events.ConnectFail) -> None:
        print("no connection:", event.reason)


if __name__ == "__main__":
    chat = Chat(sys.argv[1], protocols=["chat"], headers=[("X-Room", "7")], ping_rate=30)
    chat.start()
    chat.join()
