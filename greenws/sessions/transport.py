"""The few verbs of a byte stream that never blocks and never switches."""

from __future__ import annotations

import _socket
import struct

from . import native

_LINGER = struct.Struct("ii")

# Bytes that may be on their way to a peer on the same machine; Linux makes twice as many of them.
_LOOPBACK_BUFFER = 128 * 1024
_LOOPBACK = ("127.", "::1", "::ffff:127.")

# Bytes that are a lot to be taken at once; and as many by and by that this is a stream. Until then
# the kernel may swallow what a handler sends before it reads again.
_MUCH = 32 * 1024
_STREAM = 4 * 1024 * 1024


class Transport:
    """Plain TCP, or a unix socket: the verbs every transport has.

    All of them may be called from the hub's own greenlet. Failures are ``OSError``, with a text
    for people in ``str``.

    :param sock: connected, of the interpreter's own ``_socket`` (neither gevent's nor a patched
        one); it belongs to the transport from here on, and is made non-blocking.
    :param may_tune: whether the size of its send buffer may be changed.
    """

    __slots__ = ("_fileno", "_may_tune", "_sock", "_streamed", "_unread")

    def __init__(self, sock: _socket.socket, may_tune: bool = False) -> None:
        if sock.gettimeout() != 0.0:
            sock.setblocking(False)
        self._sock = sock
        self._fileno = sock.fileno()
        self._may_tune = may_tune
        # Bytes sent, many at once.
        self._streamed = 0
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
        sent = native.send(self._sock, self._fileno, data)
        if self._may_tune and sent is not None:
            count = sent
            if count >= _MUCH:
                self._streamed += count
                if self._streamed >= _STREAM:
                    self._tune()
        return sent

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

    def _tune(self) -> None:
        """Have less on its way to a peer on the same machine.

        The kernel lets the buffer grow to megabytes, for the sake of distant peers. On loopback
        they gain nothing, and have left the caches by the time the peer reads them: sending takes
        up to four times as long.
        """
        self._may_tune = False
        sock = self._sock
        try:
            if (
                sock.getpeername()[0].startswith(_LOOPBACK)
                and sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF) > 2 * _LOOPBACK_BUFFER
            ):
                sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _LOOPBACK_BUFFER)
        except OSError:
            pass  # the connection is gone, as the next send will say

    def _take_unread(self, buffer: bytearray | memoryview, size: int) -> int:
        piece = self._unread[:size]
        with memoryview(buffer) as view:
            view[: len(piece)] = piece
        self._unread = self._unread[len(piece) :] or b""
        return len(piece)
