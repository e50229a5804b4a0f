"""Sessions that are none: each is an error on its own line."""

from __future__ import annotations

from collections.abc import Iterator

import greenws
from greenws.events import AnyEvent
from greenws.sessions.contract import Session


class WithoutClose:
    session_time = 0.0

    def __init__(self, websocket: greenws.WebSocket) -> None:
        pass

    def run(
        self,
        poll: float | None,
        ping_rate: float | None,
        ping_timeout: float | None,
        auto_pong: bool,
        close_timeout: float | None,
    ) -> Iterator[AnyEvent]:
        return iter(())

    def send(self, opcode: int, payload: object) -> None: ...
    def send_compressed(self, opcode: int, payload: object) -> None: ...
    def write(self, data: bytes) -> None: ...
    def force_disconnect(self) -> None: ...


class WithNames(WithoutClose):
    """Its events are their names."""

    def close(self) -> None: ...

    def run(  # error: override
        self,
        poll: float | None,
        ping_rate: float | None,
        ping_timeout: float | None,
        auto_pong: bool,
        close_timeout: float | None,
    ) -> Iterator[str]:
        return iter(["connecting"])


class Derived(Session):
    def write(self, data: str) -> None:  # error: override
        pass


class Lacking(Session):
    def write(self, data: bytes) -> None:
        pass


class NeedsMore(greenws.GeventSession):
    def __init__(self, websocket: greenws.WebSocket, path: str) -> None:
        super().__init__(websocket)


websocket = greenws.WebSocket("ws://example.org/")
websocket.connect(session_class=WithoutClose)  # error: arg-type
websocket.connect(session_class=WithNames)  # error: arg-type
websocket.connect(session_class=NeedsMore)  # error: arg-type
websocket.connect(session_class=NeedsMore(websocket, "path"))  # error: arg-type
greenws.Client("ws://example.org/", session_class=WithoutClose)  # error: arg-type
greenws.persist(websocket, session_class=WithoutClose)  # error: arg-type
websocket.connect(session_class=Derived)  # error: arg-type
Lacking()  # error: abstract
