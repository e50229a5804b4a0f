"""A session of the user's, against the protocol; and callables that return one."""

from __future__ import annotations

from collections.abc import Iterator

import greenws
from greenws import events
from greenws.events import AnyEvent
from greenws.sessions.contract import Session


class Replay(Session):
    """Derived from the protocol: a type checker compares every method."""

    def __init__(self, websocket: greenws.WebSocket) -> None:
        self.websocket = websocket

    @property
    def session_time(self) -> float:
        return 0.0

    def run(
        self,
        poll: float | None,
        ping_rate: float | None,
        ping_timeout: float | None,
        auto_pong: bool,
        close_timeout: float | None,
    ) -> Iterator[AnyEvent]:
        yield events.Connecting(self.websocket.url)
        yield from self.websocket.feed(b"recorded")
        self.websocket.on_disconnect()
        yield events.Disconnected()

    def send(self, opcode: int, payload: bytes | bytearray | memoryview) -> None:
        pass

    def send_compressed(self, opcode: int, payload: bytes | bytearray | memoryview) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass

    def force_disconnect(self) -> None:
        pass


class Fake:
    """Not derived from anything: it has the methods. It takes options it does not name."""

    session_time = 0.0

    def __init__(self, websocket: object) -> None:
        pass

    def run(
        self,
        poll: float | None = None,
        ping_rate: float | None = None,
        ping_timeout: float | None = None,
        auto_pong: bool = True,
        close_timeout: float | None = None,
    ) -> Iterator[AnyEvent]:
        return iter([events.Connecting("ws://example.org/"), events.ConnectFail("no network")])

    def send(self, opcode: int, payload: object) -> None: ...
    def send_compressed(self, opcode: int, payload: object) -> None: ...
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def force_disconnect(self) -> None: ...


class Traced(greenws.GeventSession):
    def send(self, opcode: int, payload: bytes | bytearray | memoryview) -> None:
        super().send(opcode, payload)


class Recorded(greenws.Client):
    session_class = Replay


def make_session(websocket: greenws.WebSocket) -> Session:
    return Traced(websocket)


def run(websocket: greenws.WebSocket) -> None:
    websocket.connect(session_class=Replay)
    websocket.connect(session_class=Fake)
    websocket.connect(session_class=Traced)
    websocket.connect(make_session, ping_rate=None)
    greenws.Client("ws://example.org/", session_class=Fake).run()
    greenws.persist(websocket, session_class=Replay)
