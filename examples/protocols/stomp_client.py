"""STOMP, the protocol of message brokers: ``python stomp_client.py URL``.

The URL is that of ``servers/stomp_server.js``, a broker with somebody who answers questions.
"""

from __future__ import annotations

import re
import sys
from itertools import count
from typing import Any, NamedTuple

import gevent

import greenws

ORIGINALS = {r"\\": "\\", r"\r": "\r", r"\n": "\n", r"\c": ":"}
ESCAPES = str.maketrans({original: escape for escape, original in ORIGINALS.items()})


class StompError(Exception):
    """The broker has sent an ERROR frame."""


class Frame(NamedTuple):
    command: str
    headers: dict[str, str]
    body: bytes


def unescape(text: str) -> str:
    return re.sub(r"\\.", lambda found: ORIGINALS[found[0]], text)


def encode(command: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    table = {} if command == "CONNECT" else ESCAPES
    lines = [f"{name.translate(table)}:{text.translate(table)}" for name, text in headers.items()]
    return "\n".join([command, *lines, "", ""]).encode() + body + b"\0"


def decode(message: str | bytes) -> Frame:
    """Decode a message, which is one frame: its body ends at the last NUL."""
    data = message.encode() if isinstance(message, str) else message
    head, rest = re.split(rb"\r?\n\r?\n", data, maxsplit=1)
    command, *lines = [line.decode() for line in head.splitlines()]
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = map(str if command == "CONNECTED" else unescape, line.partition(":"))
        headers.setdefault(name, value)  # of several headers of one name, the first one counts
    return Frame(command, headers, rest[: rest.rindex(b"\0")])


class Stomp:
    """A connection to a broker; ``headers`` may have its ``login`` and ``passcode``."""

    def __init__(self, url: str, headers: dict[str, str] | None = None, **options: Any) -> None:
        options.setdefault("protocols", ["v12.stomp", "v11.stomp"])
        options["reply_key"] = lambda event: decode(event.message).headers.get("receipt-id")
        self.connection = greenws.connect(url, **options)
        self._receipts = map(str, count(1))
        hello = {"accept-version": "1.1,1.2", "host": "/", "heart-beat": "0,0", **(headers or {})}
        check(self.connection.request(encode("CONNECT", hello), lambda _: True, timeout=10).message)

    def tell(self, command: str, body: bytes = b"", **headers: str) -> None:
        self.connection.send(encode(command, headers, body))

    def confirm(self, command: str, body: bytes = b"", **headers: str) -> None:
        """Send a frame, and wait for its receipt, while somebody receives the messages."""
        headers["receipt"] = receipt = next(self._receipts)
        reply = self.connection.request(encode(command, headers, body), key=receipt, timeout=10)
        check(reply.message)

    def receive(self, timeout: float | None = None) -> Frame:
        return check(self.connection.receive(timeout))

    def close(self) -> None:
        """Wait until the broker has read all that was sent, and close."""
        self.tell("DISCONNECT", receipt="the last")
        with gevent.Timeout(10, TimeoutError("the broker has sent no receipt")):
            for message in self.connection:  # RabbitMQ closes in place of a receipt
                if check(message).command == "RECEIPT":
                    break
        self.connection.close()


def check(message: str | bytes) -> Frame:
    frame = decode(message)
    if frame.command == "ERROR":
        raise StompError(frame.headers.get("message"), frame.body.decode())
    return frame


if __name__ == "__main__":
    stomp = Stomp(sys.argv[1])
    stomp.tell("SUBSCRIBE", id="1", destination="/topic/answers")
    stomp.tell("SEND", b"6 * 7", destination="/topic/questions")
    print(stomp.receive(timeout=10).body.decode())
    stomp.close()
