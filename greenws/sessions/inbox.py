"""The receiving half of a session: its watcher, and whether its transport still holds bytes.

An inbox never calls its session, and never waits. The session asks whether there may be something
to read, waits if not, and then has the inbox read into the buffer that all sessions of the hub
share.
"""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.traffic import Traffic
from .clock import Loop, Watcher, close_watcher
from .transport import Transport
from .wait import READ

#: The size of a read that found neither bytes nor the end of the stream.
NOTHING = -1
_NOTHING = NOTHING  # this second name is a C integer when compiled; modules import the first

#: Bytes of a read after which more are likely to have come by the time it is handled.
LARGE_READ = 32 * 1024

# Reads of what TLS holds decrypted before the loop gets a turn: 16 records of 16 KiB are some
# 0.3 ms of decryption.
_BURST = 16


class Inbox:
    """The reading half of one session's transport."""

    __slots__ = (
        "_burst",
        "_is_buffering",
        "_is_flowing",
        "_is_watching",
        "_streak",
        "_traffic",
        "_watcher",
        "is_dry",
        "transport",
    )

    def __init__(self) -> None:
        #: Where the bytes come from; None: there is no connection.
        self.transport: Transport | None = None
        #: Whether the last read found nothing more.
        self.is_dry: bool = True
        # Whether the transport may hold bytes of its own, of which its descriptor does not tell.
        self._is_buffering = False
        self._watcher: Watcher = None
        self._is_watching = False
        # Whether to read once more before the session parks, because handlers were quick with a
        # large read; and the bytes of large reads since the session waited last.
        self._is_flowing = False
        self._streak = 0
        # Where bytes are counted; None: nobody counts them.
        self._traffic: Traffic | None = None
        # Reads without waiting, of bytes that the transport held, since the loop had its turn.
        self._burst = 0

    def count(self, traffic: Traffic) -> None:
        """Have bytes counted, from now on."""
        self._traffic = traffic

    def open(self, transport: Transport, loop: Loop) -> None:
        """Read from ``transport`` from now on."""
        self.transport = transport
        self._is_buffering = transport.is_buffering
        self.is_dry = not transport.has_buffered
        self._watcher = loop.io(transport.fileno(), READ)

    def close(self) -> None:
        """Forget the transport, which the caller closes; idempotent."""
        self.transport = None
        self._is_watching = False
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            close_watcher(watcher)

    def watch(self, callback: Callable[[], object], is_libuv: bool) -> None:
        """Have ``callback`` called when there is something to read, until :meth:`unwatch`.

        :param is_libuv: libuv ceases to watch at an error, although bytes may come before it.
        """
        self._burst = 0
        self._streak = 0
        if not self._is_watching or is_libuv:
            self._watcher.start(callback)
            self._is_watching = True

    def unwatch(self) -> None:
        """Cease to call back."""
        if self._watcher is not None:
            self._watcher.stop()
            self._is_watching = False

    def has_bytes(self) -> bool:
        """Whether the transport holds bytes that need no waiting."""
        return not self.is_dry and self._is_buffering and self._has_buffered()

    def _has_buffered(self) -> bool:
        return self.transport is not None and self.transport.has_buffered

    def take_burst(self) -> bool:
        """Count a read without waiting.

        :returns: whether there were so many that the loop has to have its turn.
        """
        self._burst += 1
        if self._burst <= _BURST:
            return False
        self._burst = 0
        return True

    def end_burst(self) -> None:
        """Have the loop get its turn before the next read without waiting."""
        self._burst = _BURST

    def take_flow(self) -> bool:
        """Whether to look for more before the session parks; once for each :meth:`note_handled`."""
        is_flowing = self._is_flowing
        self._is_flowing = False
        return is_flowing

    def note_handled(self, size: int, was_quick: bool, limit: int) -> None:
        """Take note that a large read of ``size`` bytes was handled.

        :param was_quick: whether that was quick enough to look for more at once.
        :param limit: the bytes that may be read so before the loop has its turn.
        """
        self._streak += size
        if was_quick:
            self._is_flowing = self._streak < limit

    def read(self, view: memoryview, size: int) -> int:
        """Read at most ``size`` bytes into ``view``; never waits.

        :returns: the number of bytes; 0 at the end of the stream; :data:`NOTHING`.
        :raises OSError: the connection is broken.
        """
        transport = self.transport
        if transport is None:  # closed by another greenlet meanwhile
            return _NOTHING
        count = transport.recv_into(view, size)
        if count is None:
            self.is_dry = True
            if self._is_buffering and transport.is_paused:
                # Not the descriptor, but the next turn of the loop says when to read on.
                self.is_dry = False
                self._burst = _BURST
            return _NOTHING
        self.is_dry = not count
        if self._traffic is not None:
            self._traffic.bytes_received += count
        return count
