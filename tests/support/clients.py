"""Clients for the tests of servers: one made of a socket, and ``websockets`` in a process."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import Any

import gevent
from gevent import socket, subprocess

from greenws.events import Binary, Closing, Event, Text
from greenws.protocol.extensions import OFFER
from greenws.protocol.frame import build_close_payload, build_frame
from greenws.protocol.handshake import accept_for
from greenws.protocol.head import HeadReader
from greenws.protocol.response import Response
from greenws.protocol.stream import Stream
from greenws.testing import EchoServer
from tests.support.waiting import PATIENCE

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


class RawClient:
    """A client that does nothing by itself: the test decides every byte.

    :param receive_buffer: bytes of the kernel's buffer; None: the system's default.
    """

    def __init__(self, server: EchoServer, receive_buffer: int | None = None) -> None:
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        self.sock = socket.socket(family)
        try:
            if receive_buffer is not None:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.sock.settimeout(PATIENCE)
            self.sock.connect((server.host, server.port))
        except BaseException:
            self.sock.close()
            raise
        self.stream = Stream(is_client=True, max_size=None)
        self.response: Response | None = None
        self.rest = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sock.close()

    def request(
        self, *headers: str, path: str = "/", compress: bool = False, version: int = 13
    ) -> RawClient:
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Version: {version}",
            f"Sec-WebSocket-Key: {KEY.decode()}",
            *headers,
        ]
        if compress:
            lines.append(f"Sec-WebSocket-Extensions: {OFFER}")
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        return self

    def read_response(self) -> Response:
        reader = HeadReader()
        head = None
        while head is None:
            data = self.sock.recv(65536)
            assert data, "the server closed before its response was complete"
            head = reader.feed(data)
        self.rest = reader.rest
        self.stream.receive(reader.rest, 0, len(reader.rest), 0.0)
        self.response = Response(head)
        return self.response

    def open(self, *headers: str, path: str = "/", compress: bool = False) -> RawClient:
        """Open the WebSocket, which has to succeed."""
        response = self.request(*headers, path=path, compress=compress).read_response()
        assert response.status_code == 101
        assert response.get("sec-websocket-accept") == accept_for(KEY)
        return self

    def send(self, message: str | bytes, **options: Any) -> None:
        opcode, payload = (1, message.encode()) if isinstance(message, str) else (2, message)
        self.sock.sendall(build_frame(opcode, payload, **options))

    def send_ping(self, payload: bytes) -> None:
        self.sock.sendall(build_frame(9, payload))

    def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        self.sock.sendall(build_frame(8, build_close_payload(code, reason)))

    def next_event(self) -> Event:
        """Wait for the next frame.

        :raises EOFError: the connection ended instead.
        """
        while (event := self.stream.next_event()) is None:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.stream.receive(data, 0, len(data), 0.0)
        return event

    def next_message(self) -> str | bytes:
        event = self.next_event()
        if isinstance(event, Text):
            return event.text
        assert isinstance(event, Binary), event
        return event.data

    def next_close(self) -> tuple[int | None, str]:
        event = self.next_event()
        assert isinstance(event, Closing), event
        return event.code, event.reason

    def read_to_end(self) -> bytes:
        """Read until the server closes."""
        pieces = []
        while piece := self.sock.recv(65536):
            pieces.append(piece)
        return b"".join(pieces)

    def expect_silence(self) -> None:
        """Check that nothing comes, while the hub gives the server time to send."""
        with gevent.Timeout(0.05, False):  # type: ignore[arg-type]
            raise AssertionError(f"got {self.sock.recv(100)!r}")


_PREAMBLE = """
import json, ssl, sys
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
url, cafile, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if cafile:
    options["ssl"] = ssl.create_default_context(cafile=cafile)
def tell(value):
    print(json.dumps(value))
"""


def run_websockets(server: EchoServer, code: str, cafile: str = "", **options: Any) -> list[Any]:
    """Run code with the client of ``websockets`` in a process.

    :param code: may use ``connect``, ``url``, ``options`` for ``connect``, and ``tell()``.
    :returns: the values that it passed to ``tell()``.
    """
    with gevent.Timeout(PATIENCE):
        run = subprocess.run(
            [sys.executable, "-c", _PREAMBLE + code, server.url, cafile, json.dumps(options)],
            stdout=subprocess.PIPE,
            check=True,
        )
    return [json.loads(line) for line in run.stdout.splitlines()]
