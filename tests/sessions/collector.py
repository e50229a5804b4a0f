"""A server that keeps what it is sent, and a connection to it."""

from __future__ import annotations

from typing import Any

import gevent.event

import greenws
from tests.support.peer import BINARY, CLOSE, TEXT, Inflater, RawServerPeer, build
from tests.support.run import Run
from tests.support.waiting import PATIENCE

#: The header with which a server agrees to permessage-deflate.
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


class Collector:
    """The script of a server that keeps the frames it gets, and their messages inflated.

    :param headers: of its answer, such as :data:`DEFLATE`.
    :param waits: whether it reads nothing until ``may_read`` is set.
    """

    def __init__(self, headers: bytes = b"", waits: bool = False) -> None:
        self.frames: list[Any] = []
        self.messages: list[bytes] = []
        self.may_read = gevent.event.Event()
        self._headers = headers
        if not waits:
            self.may_read.set()

    def __call__(self, peer: RawServerPeer) -> None:
        peer.accept(self._headers)
        self.may_read.wait(PATIENCE)
        inflate = Inflater()
        while True:
            frame = peer.read_frame()
            self.frames.append(frame)
            if frame.opcode == CLOSE:
                peer.send(build(CLOSE, frame.payload))
                return
            if frame.opcode in (TEXT, BINARY):
                self.messages.append(inflate(frame))


def start(url: str, **options: Any) -> tuple[greenws.WebSocket, Run]:
    """Connect, without pings and polls, and wait until the connection is ready.

    :returns: the WebSocket and its run.
    """
    websocket = greenws.WebSocket(url, **{"proxies": {}, **options})
    run = Run(websocket.connect(ping_rate=0, poll=0))
    run.wait("ready")
    return websocket, run
