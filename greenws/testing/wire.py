"""The bytes of one accepted connection: a non-blocking socket, TLS on it if wanted, a send queue.

Reading is done by one greenlet at a time and always asks the hub first, so that a client that
sends without a pause takes its turn like every other one. Writing only appends to the queue; the
queue leaves with the next read or at the end of the hub's turn, whichever is first, in one system
call.
"""

from __future__ import annotations

import _socket
import contextlib
import ssl
import struct
from collections.abc import Callable
from typing import Any

from gevent import get_hub
from gevent.event import Event
from gevent.hub import Waiter

from ..constants import WRITE_LIMIT
from ..errors import WebSocketClosed

# Bytes asked for in one read.
_READ_SIZE = 65536

# Reads that may be thrown away before a close, so that a client that never stops sending cannot
# hold it up: 4 MiB.
_MAX_DRAIN = 64

_READABLE = 1
_WRITABLE = 2

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Wire:
    """The transport of one connection.

    :param sock: an accepted socket, non-blocking; the wire owns it.
    """

    __slots__ = (
        "_flush_queued",
        "_hub",
        "_queue",
        "_read_watcher",
        "_reader",
        "_room",
        "_sock",
        "_write_watcher",
        "is_ended",
    )

    def __init__(self, sock: _socket.socket) -> None:
        self._hub = get_hub()
        self._sock: Any = sock
        self._queue = bytearray()
        self._flush_queued = False
        # Set while the queue is short enough to take more; made when it first was not.
        self._room: Event | None = None
        self._reader: Waiter[bool] | None = None
        self._read_watcher = self._hub.loop.io(sock.fileno(), _READABLE)
        self._write_watcher: Any = None
        #: The socket is closed.
        self.is_ended: bool = False

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the server's side of the TLS handshake.

        :raises WebSocketClosed: if it failed.
        """
        try:
            self._sock = context.wrap_socket(
                self._sock, server_side=True, do_handshake_on_connect=False
            )
            while True:
                try:
                    self._sock.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    self._wait_readable()
                except ssl.SSLWantWriteError:
                    self._wait_writable()
        except OSError as error:
            raise WebSocketClosed("TLS handshake failed: {}", error) from error

    def read(self) -> bytes:
        """Wait for bytes and return them, at most 64 KiB; ``b""`` at the end of the stream.

        :raises WebSocketClosed: if the connection failed, or was dropped meanwhile.
        :raises RuntimeError: if another greenlet is reading.
        """
        self.flush_now()
        pending: Callable[[], int] | None = getattr(self._sock, "pending", None)
        while True:
            # TLS may hold bytes that the descriptor no longer tells of.
            if pending is None or not pending():
                self._wait_readable()
            try:
                return self._sock.recv(_READ_SIZE)  # type: ignore[no-any-return]
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except ssl.SSLWantWriteError:
                self._wait_writable()
            except OSError as error:
                raise WebSocketClosed("receiving failed: {}", error) from error

    def write(self, data: bytes | bytearray) -> None:
        """Queue bytes; see :meth:`queue` for the rest."""
        self.queue.extend(data)
        self.flush_soon()

    @property
    def queue(self) -> bytearray:
        """What is to be sent: append to it, and call :meth:`flush_soon`.

        :raises WebSocketClosed: if the connection has ended.
        """
        if self.is_ended:
            raise WebSocketClosed("the connection has ended")
        return self._queue

    def flush_soon(self) -> None:
        """Have the queue sent in this turn of the hub; wait while it is above its limit."""
        if not self._flush_queued:
            self._flush_queued = True
            self._hub.loop.run_callback(self._flush_queue)
        if len(self._queue) > WRITE_LIMIT:
            self._wait_for_room(WRITE_LIMIT)

    def flush(self) -> None:
        """Wait until the whole queue is with the kernel, or the connection has ended."""
        self._wait_for_room(0)

    def flush_now(self) -> None:
        """Send as much of the queue as the kernel takes, without waiting."""
        queue = self._queue
        while queue:
            try:
                sent = self._sock.send(queue)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if self._write_watcher is None:
                    self._write_watcher = self._hub.loop.io(self._sock.fileno(), _WRITABLE)
                if not self._write_watcher.active:
                    self._write_watcher.start(self.flush_now)
                return
            except OSError:
                # The client is gone; whoever reads is told so by the next read.
                queue.clear()
            else:
                del queue[:sent]
        if self._write_watcher is not None:
            self._write_watcher.stop()
        if self._room is not None:
            self._room.set()

    def end(self, reset: bool = False) -> None:
        """Close the socket, at once; what the kernel has taken is still delivered.

        :param reset: with RST instead of FIN; bytes not yet received by the client may be lost.
        """
        if self.is_ended:
            return
        self.flush_now()
        self.is_ended = True
        self._queue.clear()
        self._read_watcher.close()
        if self._write_watcher is not None:
            self._write_watcher.close()
        # It may fail in many ways when the client was first; the descriptor is freed all the same.
        with contextlib.suppress(OSError, ValueError):
            if reset:
                self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET_ON_CLOSE)
            else:
                self._finish_sending()
        self._sock.close()
        if self._reader is not None:
            error = WebSocketClosed("the connection was dropped")
            self._hub.loop.run_callback(self._reader.throw, error)
        if self._room is not None:
            self._room.set()

    def _finish_sending(self) -> None:
        if hasattr(self._sock, "unwrap"):
            # Puts close_notify on the way; the answer to it is not waited for.
            with contextlib.suppress(OSError):
                self._sock.unwrap()
        self._sock.shutdown(_socket.SHUT_WR)
        # Linux sends RST when a socket is closed with bytes unread, and a RST can overtake what
        # the client has not read yet.
        for _ in range(_MAX_DRAIN):
            if not self._sock.recv(_READ_SIZE):
                break

    def _flush_queue(self) -> None:
        self._flush_queued = False
        if not self.is_ended:
            self.flush_now()

    def _wait_readable(self) -> None:
        if self.is_ended:
            raise WebSocketClosed("the connection has ended")
        if self._reader is not None:
            raise RuntimeError("another greenlet is receiving on this connection")
        self._reader = Waiter(self._hub)
        self._read_watcher.start(self._reader.switch, True)
        try:
            self._reader.get()
        finally:
            self._reader = None
            if not self.is_ended:
                self._read_watcher.stop()

    def _wait_for_room(self, limit: int) -> None:
        self.flush_now()
        while len(self._queue) > limit:
            if self._room is None:
                self._room = Event()
            self._room.clear()
            self._room.wait()

    def _wait_writable(self) -> None:
        # Not the watcher of the queue: that one may be at work.
        watcher = self._hub.loop.io(self._sock.fileno(), _WRITABLE)
        try:
            self._hub.wait(watcher)
        finally:
            watcher.close()
