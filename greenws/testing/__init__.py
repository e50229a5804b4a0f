"""A WebSocket server for the tests of a client, in the process of the tests.

:class:`EchoServer` is the server. A behaviour decides what the server does with a connection.
:class:`ServerConnection` is the connection that a behaviour, or a test, acts on.
"""

from __future__ import annotations

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
from .journal import Message
from .server import EchoServer
from .server_connection import ServerConnection

__all__ = [
    "Behaviour",
    "ServerConnection",
    "EchoServer",
    "Message",
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
