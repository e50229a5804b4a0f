"""A session that is not ours: plain TCP, no deadlines, no pings."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Any

from gevent import socket

from greenws import WebSocket, events
from greenws.protocol.frame import Payload, build_frame
from greenws.sessions.contract import Session


class PlainSession(Session):
    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.sock: Any = None
        self.ready_time = monotonic()

    @property
    def session_time(self) -> float:
        return monotonic() - self.ready_time

    def run(
        self,
        poll: float | None,
        ping_rate: float | None,
        ping_timeout: float | None,
        auto_pong: bool,
        close_timeout: float | None,
    ) -> Iterator[Any]:
        websocket = self.websocket
        self.sock = socket.create_connection((websocket.host, websocket.port))
        reason = "the end of the stream"
        try:
            self.write(websocket.build_request())
            while not websocket.is_closed and (data := self.sock.recv(65536)):
                yield from websocket.feed(data)
        except OSError as error:
            reason = str(error)
        finally:
            websocket.on_disconnect()
        yield events.Disconnected(reason)

    def send(self, opcode: int, payload: Payload) -> None:
        self.write(build_frame(opcode, payload))

    def send_compressed(self, opcode: int, payload: Payload) -> None:
        self.write(build_frame(opcode, payload, rsv1=True))

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()

    def force_disconnect(self) -> None:
        self.close()
