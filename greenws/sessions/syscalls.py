"""The two system calls of every message; in the compiled build, ``syscalls.pxd`` replaces this."""

from __future__ import annotations

import _socket

# Unbound, as they are called for every message.
_recv_into = _socket.socket.recv_into
_send = _socket.socket.send


def receive(
    sock: _socket.socket, fileno: int, buffer: bytearray | memoryview, size: int
) -> int | None:
    """Read what is there, at most ``size`` bytes.

    :param fileno: the descriptor of ``sock``, which is all that C needs.
    :returns: the number of bytes; 0: the peer has ended the stream; None: nothing yet.
    :raises OSError: the connection is broken, or closed here.
    """
    try:
        return _recv_into(sock, buffer, size)
    except BlockingIOError:
        return None


def send(sock: _socket.socket, fileno: int, data: bytes | bytearray | memoryview) -> int | None:
    """Hand over as much of ``data`` as is taken at once.

    :param fileno: the descriptor of ``sock``, which is all that C needs.
    :returns: the number of bytes taken; None: none now.
    :raises OSError: the connection is broken, or closed here.
    """
    try:
        return _send(sock, data)
    except BlockingIOError:
        return None
