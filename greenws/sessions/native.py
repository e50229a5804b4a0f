"""The two system calls of every message, and the switch of greenlets between them.

As in :mod:`greenws.native`: these are the functions of the pure build; ``native.pxd`` has them in
C, where the descriptor is all they need, and nothing that could wait.
"""

from __future__ import annotations

import _socket
from typing import TYPE_CHECKING

from gevent import getcurrent
from greenlet import greenlet

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["getcurrent", "receive", "send", "switch"]

# Unbound, so that a switch looks nothing up. gevent's Hub.switch would first ask the current
# greenlet for a switch_out(), which ours has not.
switch: Callable[..., object] = greenlet.switch

# Unbound: they are called for every message.
_recv_into = _socket.socket.recv_into
_send = _socket.socket.send


def receive(
    sock: _socket.socket, fileno: int, buffer: bytearray | memoryview, size: int
) -> int | None:
    """Read what is there, at most ``size`` bytes.

    :returns: the number of bytes; 0: the peer has ended the stream; None: nothing yet.
    :raises OSError: the connection is broken, or closed here.
    """
    try:
        return _recv_into(sock, buffer, size)
    except BlockingIOError:
        return None


def send(sock: _socket.socket, fileno: int, data: bytes | bytearray | memoryview) -> int | None:
    """Hand over as much of ``data`` as is taken at once.

    :returns: the number of bytes taken; None: none now.
    :raises OSError: the connection is broken, or closed here.
    """
    try:
        return _send(sock, data)
    except BlockingIOError:
        return None
