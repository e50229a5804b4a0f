"""Options and methods of a WebSocket."""

from __future__ import annotations

import socket
import threading
from typing import Any

import gevent.event
from typing_extensions import assert_type

import greenws
from greenws.options import CompressOptions, RunOptions, WebSocketOptions
from greenws.sessions.contract import Session


def make(url: str, sock: socket.socket) -> greenws.WebSocket:
    websocket = greenws.WebSocket(
        url,
        {"http": None, "https": "http://proxy:8080"},
        ["v1"],
        "agent/1.0",
        True,
        headers=[("X-Name", "one"), ("X-Name", b"two")],
        origin="https://example.org",
        source_address=("127.0.0.1", 0),
        socket=sock,
        socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        ssl_password=lambda: "secret",
        open_timeout=None,
        trace=print,
    )
    websocket.add_header(b"X-Name", b"three")
    return websocket


def use(websocket: greenws.WebSocket) -> None:
    websocket.send_text("text")
    websocket.send_json({"op": "subscribe"})
    websocket.send_json(op="subscribe", count=1)
    websocket.send_ping()
    websocket.close(greenws.Status.NORMAL, "bye")
    websocket.close(None)
    assert_type(websocket.session, Session | None)
    if isinstance(websocket.session, greenws.GeventSession):
        print(websocket.session.queued_bytes + 1)
    try:
        websocket.send_binary(b"binary")
    except greenws.errors.WebSocketUnavailable as error:
        print(error)


def trace(step: dict[str, Any]) -> None:
    print(step["stage"], step.get("length", 0) + 1)


def run(url: str) -> None:
    wishes: CompressOptions = {"client_no_context_takeover": True, "level": 9}
    options: WebSocketOptions = {"compress": wishes, "trace": trace}
    run_options: RunOptions = {"ping_rate": 5, "close_timeout": None}
    with greenws.WebSocket(url, **options) as websocket:
        for event in websocket.connect(**run_options):
            print(event)
    websocket.reset()
    greenws.persist(websocket, exit_event=threading.Event())
    greenws.persist(websocket, exit_event=gevent.event.Event(), close_timeout=None)
