"""What a session needs of a byte stream: the verbs, and nothing of how they are done.

:class:`~.plain.SocketTransport` does them over a socket, :class:`~.tls.TLSTransport` over another
transport, and :class:`~.metered.MeteredTransport` counts the bytes of another one.
"""

from __future__ import annotations


class Transport:
    """A byte stream that never blocks and never switches.

    All of its methods may be called from the hub's own greenlet. A failure is an ``OSError``, with
    a text for people in ``str``. To be subclassed.
    """

    __slots__ = ()

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 once closed."""
        raise NotImplementedError

    def recv_into(self, buffer: bytearray | memoryview, size: int) -> int | None:
        """Read what is there, at most ``size`` bytes (at least 1).

        :returns: the number of bytes; 0: the peer has ended the stream; None: nothing yet.
        :raises OSError: the connection is broken, or closed here.
        """
        raise NotImplementedError

    def send(self, data: bytes | bytearray | memoryview) -> int | None:
        """Hand over as much of ``data`` as is taken at once.

        :returns: the number of bytes taken; None: none now, wait until it is writable.
        :raises OSError: the connection is broken, or closed here.
        """
        raise NotImplementedError

    def flush(self) -> bool:
        """Pass on the bytes that the transport itself holds for the peer.

        :returns: True when none are left.
        :raises OSError: the connection is broken.
        """
        raise NotImplementedError

    @property
    def is_buffering(self) -> bool:
        """Whether the transport may hold bytes of its own, now or later.

        If not, the descriptor alone tells what can be read and written, and nobody has to ask for
        ``wants_write``, ``wants_read`` and ``has_buffered``.
        """
        raise NotImplementedError

    @property
    def wants_write(self) -> bool:
        """Whether the transport holds bytes for the peer, to be passed on by ``flush`` as soon as
        the descriptor is writable.
        """
        raise NotImplementedError

    @property
    def wants_read(self) -> bool:
        """Whether the transport takes nothing before more was read. To wait until the descriptor
        is writable is of no use then: it is writable already.
        """
        raise NotImplementedError

    @property
    def has_buffered(self) -> bool:
        """Whether ``recv_into`` may have something although the descriptor has not."""
        raise NotImplementedError

    @property
    def is_paused(self) -> bool:
        """Whether ``recv_into`` has returned None although there was more to read: the bytes so far
        were work without data, and others have their turn before it goes on.
        """
        return False

    def unread(self, data: bytes) -> None:
        """Give back bytes that were read too far; the next ``recv_into`` yields them first."""
        raise NotImplementedError

    def shutdown_write(self) -> None:
        """End our half of the stream; never raises."""
        raise NotImplementedError

    def close(self) -> None:
        """Close at once, for good; idempotent."""
        raise NotImplementedError


def copy_out(
    source: bytes | memoryview, buffer: bytearray | memoryview, size: int
) -> bytes | memoryview:
    """Copy at most ``size`` of the bytes that were given back into ``buffer``.

    :returns: the rest of them.
    """
    piece = source[:size]
    with memoryview(buffer) as view:
        view[: len(piece)] = piece
    return source[len(piece) :] or b""
