"""A WebSocket server for the tests of a client, in the process of the tests.

:class:`EchoServer` is the server, and :class:`ThreadedEchoServer` the same in a thread of its own.
A behaviour decides what the server does with a connection. :class:`ServerConnection` is the
connection that a behaviour, or a test, acts on. The fixtures for pytest return
:class:`ServerFactory` and :class:`Authority`.
"""

from __future__ import annotations

from .authority import Authority
from .behaviour import (
    Behaviour,
    accept,
    close_with,
    delay,
    drop,
    echo,
    in_turn,
    reject,
    replies,
    respond,
    send_raw,
    silent,
    stop_reading,
)
from .fixtures import ServerFactory
from .journal import Message
from .server import EchoServer
from .server_connection import ServerConnection
from .threaded import ThreadedEchoServer

__all__ = [
    "Authority",
    "Behaviour",
    "ServerConnection",
    "ServerFactory",
    "EchoServer",
    "Message",
    "ThreadedEchoServer",
    "accept",
    "close_with",
    "delay",
    "drop",
    "echo",
    "in_turn",
    "reject",
    "replies",
    "respond",
    "send_raw",
    "silent",
    "stop_reading",
]
