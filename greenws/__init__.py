"""A WebSocket client framework for gevent.

- :class:`Client`: subclass it, write ``on_ready``, ``on_text``, ``on_close``, ...; each
  connection runs in a greenlet of its own.
- :class:`ClientGroup`: thousands of clients, started, counted and drained together.
- :func:`connect`: opens a :class:`Connection`, which sends and receives by calls.
- :class:`WebSocket`: iterate it for events.
- :func:`drain`: close all clients in good order, as the end of the program does by itself.
- :class:`GeventSession`: what drives a WebSocket; cooperative without monkey patching.

Importing greenws patches nothing.

PYTEST_DONT_REWRITE: pytest need not complain when greenws is imported before it, as its fixtures
come with greenws.
"""

from __future__ import annotations

from .implementation import COMPILED  # first: it decides which files the other imports take

# isort: split
from . import constants, errors, events
from .backoff import Backoff
from .client import Client
from .connection import Connection, connect
from .drain import drain
from .group import ClientGroup
from .persist import persist
from .sessions.session import GeventSession
from .status import Status
from .version import __version__
from .websocket import WebSocket

__all__ = [
    "COMPILED",
    "Backoff",
    "Client",
    "ClientGroup",
    "Connection",
    "GeventSession",
    "Status",
    "WebSocket",
    "__version__",
    "connect",
    "constants",
    "drain",
    "errors",
    "events",
    "persist",
]
