"""The few verbs of a byte stream that never blocks and never switches."""

from __future__ import annotations

import _socket
import struct

from . import native

_LINGER = struct.Struct("ii")


class Transport:
    """Plain TCP, or a unix socket: the verbs every transport has.

    All of them may be called from the hub's own greenlet. Failures are ``OSError``, with a text
    for people in ``str``.

    :param sock: connected, of the interpreter's own ``_socket`` (neither gevent's nor a patched
        one); it belongs to the transport from here on, and is made non-blocking.
    """

    __slots__ = ("_fileno", "_sock", "_unread")

    def __init__(self, sock: _socket.socket) -> None:
        if sock.gettimeout() != 0.0:
            sock.setblocking(False)
        self._sock = sock
        self._fileno = sock.fileno()
        self._unread: bytes | memoryview = b""

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 once closed."""
        return self._fileno

    def recv_into(self, buffer: bytearray | memoryview, size: int) -> int | None:
        """Read what is there, at most ``size`` bytes (at least 1).

        :returns: the number of bytes; 0: the peer has ended the stream; None: nothing yet.
        :raises OSError: the connection is broken, or closed here.
        """
        if self._unread:
            return self._take_unread(buffer, size)
        return native.receive(self._sock, self._fileno, buffer, size)

    def send(self, data: bytes | bytearray | memoryview) -> int | None:
        """Hand over as much of ``data`` as is taken at once.

        :returns: the number of bytes taken; None: none now, wait until it is writable.
        :raises OSError: the connection is broken, or closed here.
        """
        return native.send(self._sock, self._fileno, data)

    def flush(self) -> bool:
        """Pass on bytes of the transport's own that wait; True when none are left.

        :raises OSError: the connection is broken.
        """
        return True

    @property
    def wants_write(self) -> bool:
        """Whether bytes of its own wait until the descriptor is writable (then ``flush``)."""
        return False

    @property
    def wants_read(self) -> bool:
        """Whether nothing is taken before more was read: then it is no use to wait until the
        descriptor is writable, as it is already.
        """
        return False

    @property
    def has_buffered(self) -> bool:
        """Whether ``recv_into`` may have something although the descriptor has not."""
        return bool(self._unread)

    def unread(self, data: bytes) -> None:
        """Give back bytes that were read too far; the next ``recv_into`` yields them first."""
        self._unread = memoryview(data + bytes(self._unread))

    def shutdown_write(self) -> None:
        """End our half of the stream; never raises."""
        try:
            self._sock.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # the connection is gone already, and with it our half

    def close(self) -> None:
        """Close at once, for good; idempotent."""
        if self._fileno < 0:
            return
        # The number is free for others from the moment it is closed.
        self._fileno = -1
        sock = self._sock
        try:
            # Linux honours SO_LINGER on non-blocking sockets too: close would sleep, and the
            # hub with it. An interval of zero (reset the connection) does not.
            option = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _LINGER.size)
            is_on, seconds = _LINGER.unpack(option)
            if is_on and seconds:
                off = _LINGER.pack(0, 0)
                sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, off)
        except OSError:
            pass  # a kind of socket that knows no lingering
        try:
            sock.close()
        except OSError:
            pass  # a late report about bytes nobody waits for; the descriptor is gone

    def _take_unread(self, buffer: bytearray | memoryview, size: int) -> int:
        piece = self._unread[:size]
        with memoryview(buffer) as view:
            view[: len(piece)] = piece
        self._unread = self._unread[len(piece) :] or b""
        return len(piece)
