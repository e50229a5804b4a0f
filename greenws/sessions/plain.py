"""A transport without encryption: one socket."""

from __future__ import annotations

import _socket
import struct

from . import syscalls
from .transport import Transport, copy_out

_LINGER = struct.Struct("ii")


class SocketTransport(Transport):
    """Plain TCP, or a unix socket.

    :param sock: connected, of the interpreter's own ``_socket`` (neither gevent's nor a patched
        one); it belongs to the transport from here on, and is made non-blocking.
    :param may_linger: whether it may have ``SO_LINGER`` on: others have made it, or set options.
    """

    __slots__ = ("_fileno", "_may_linger", "_sock", "_unread")

    def __init__(self, sock: _socket.socket, may_linger: bool = True) -> None:
        if sock.gettimeout() != 0.0:
            sock.setblocking(False)
        self._sock = sock
        self._fileno = sock.fileno()
        self._may_linger = may_linger
        self._unread: bytes | memoryview = b""

    def fileno(self) -> int:
        return self._fileno

    def recv_into(self, buffer: bytearray | memoryview, size: int) -> int | None:
        unread = self._unread
        if unread:
            self._unread = rest = copy_out(unread, buffer, size)
            return len(unread) - len(rest)
        return syscalls.receive(self._sock, self._fileno, buffer, size)

    def send(self, data: bytes | bytearray | memoryview) -> int | None:
        return syscalls.send(self._sock, self._fileno, data)

    def flush(self) -> bool:
        return True

    @property
    def is_buffering(self) -> bool:
        return bool(self._unread)

    @property
    def wants_write(self) -> bool:
        return False

    @property
    def wants_read(self) -> bool:
        return False

    @property
    def has_buffered(self) -> bool:
        return bool(self._unread)

    def unread(self, data: bytes) -> None:
        self._unread = memoryview(data + bytes(self._unread))

    def shutdown_write(self) -> None:
        try:
            self._sock.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # the connection is gone already, and with it our half

    def close(self) -> None:
        if self._fileno < 0:
            return
        # Others may get the number from the moment it is closed.
        self._fileno = -1
        sock = self._sock
        try:
            if self._may_linger:
                _do_not_linger(sock)
        finally:
            # Also if a signal handler of the user's has just raised.
            try:
                sock.close()
            except OSError:
                pass  # a late report about bytes nobody waits for; the descriptor is gone


def _do_not_linger(sock: _socket.socket) -> None:
    """Have close() return at once. Linux honours ``SO_LINGER`` on non-blocking sockets too: close()
    would sleep, and the hub with it. An interval of zero (reset the connection) does not.
    """
    try:
        option = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _LINGER.size)
        is_on, seconds = _LINGER.unpack(option)
        if is_on and seconds:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _LINGER.pack(0, 0))
    except OSError:
        pass  # a kind of socket that knows no lingering
