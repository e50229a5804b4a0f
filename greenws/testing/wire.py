"""The transport of one accepted connection: a non-blocking socket, TLS, and a send queue.

One greenlet at a time reads. The reader waits in the hub before each read, so a client that sends
without a pause takes its turn like every other client. Writing only appends to the queue. The queue
leaves with the next read or at the end of the hub's turn, whichever is first, in one system call.

The client has a transport and a send queue too, in :mod:`greenws.sessions`. This module is a
second one on purpose. A test must not judge the client's transport by that same transport: a
fault that loses or delays bytes would be in both ends, and two faults can cancel out. The server
also does what a client must never do: it sends illegal frames, stops reading, and closes with RST.
"""

from __future__ import annotations

import _socket
import contextlib
import ssl
import struct
from typing import Any

from gevent import get_hub
from gevent.event import Event
from gevent.hub import Waiter

from ..constants import WRITE_LIMIT
from ..errors import WebSocketClosed

# The largest number of bytes of one read.
_READ_SIZE = 65536

# The largest number of reads, 4 MiB together, whose bytes are thrown away before a close. Without a
# limit, a client that never stops sending could delay the close for ever.
_MAX_DRAIN = 64

_READABLE = 1
_WRITABLE = 2

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Wire:
    """The transport of one connection.

    :param sock: an accepted, non-blocking socket; the wire owns the socket.
    """

    __slots__ = (
        "_failure",
        "_flush_queued",
        "_hub",
        "_queue",
        "_read_watcher",
        "_reader",
        "_room",
        "_sock",
        "_tls",
        "_write_watcher",
        "is_ended",
    )

    def __init__(self, sock: _socket.socket) -> None:
        self._hub = get_hub()
        self._sock: Any = sock
        # The same socket, once it speaks TLS.
        self._tls: ssl.SSLSocket | None = None
        self._queue = bytearray()
        self._flush_queued = False
        # Set while the queue has room; made when the queue is full for the first time.
        self._room: Event | None = None
        self._reader: Waiter[bool] | None = None
        # Why nothing is waited for any more.
        self._failure: WebSocketClosed | None = None
        self._read_watcher = self._hub.loop.io(sock.fileno(), _READABLE)
        self._write_watcher: Any = None
        #: Whether the socket is closed.
        self.is_ended: bool = False

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the server's side of the TLS handshake.

        :raises WebSocketClosed: the handshake failed.
        """
        try:
            self._sock = self._tls = context.wrap_socket(
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

        :raises WebSocketClosed: the connection failed, or was dropped meanwhile.
        :raises RuntimeError: another greenlet is reading.
        """
        self.flush_now()
        while True:
            # TLS may hold decrypted bytes, for which the descriptor is not readable.
            if self._tls is None or not self._tls.pending():
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
        """Queue bytes, as by :attr:`queue` and :meth:`flush_soon`."""
        self.queue.extend(data)
        self.flush_soon()

    @property
    def queue(self) -> bytearray:
        """The send queue: append bytes to it, and then call :meth:`flush_soon`.

        :raises WebSocketClosed: the connection has ended.
        """
        if self.is_ended:
            raise WebSocketClosed("the connection has ended")
        return self._queue

    def flush_soon(self) -> None:
        """Send the queue in this turn of the hub; wait while the queue is above its limit."""
        if not self._flush_queued:
            self._flush_queued = True
            self._hub.loop.run_callback(self._flush_queue)
        if len(self._queue) > WRITE_LIMIT:
            self._wait_for_room(WRITE_LIMIT)

    def flush(self) -> None:
        """Wait until the kernel has the whole queue, or the connection has ended."""
        self._wait_for_room(0)

    def flush_now(self) -> None:
        """Send as much of the queue as the kernel accepts, without waiting."""
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
                # The client has gone. The next read reports that to the reader.
                queue.clear()
            else:
                del queue[:sent]
        if self._write_watcher is not None:
            self._write_watcher.stop()
        if self._room is not None:
            self._room.set()

    def fail(self, error: WebSocketClosed) -> None:
        """Wait no longer for the client: a read that waits, and every later one, raises ``error``.

        The same holds for the TLS handshake. What was written still leaves.
        """
        if self._failure is None:
            self._failure = error
            self._wake_reader(error)

    def end(self, reset: bool = False) -> None:
        """Close the socket at once; the kernel still delivers the bytes that it has accepted.

        :param reset: True: close with RST, so that bytes on their way may be lost; False: close
            with FIN.
        """
        if self.is_ended:
            return
        self.flush_now()
        self.is_ended = True
        self._queue.clear()
        self._read_watcher.close()
        if self._write_watcher is not None:
            self._write_watcher.close()
        # These calls may fail in many ways if the client has closed first. The descriptor is closed
        # in any case.
        try:
            with contextlib.suppress(OSError, ValueError):
                if reset:
                    self._sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET_ON_CLOSE)
                else:
                    self._finish_sending()
        finally:
            self._sock.close()
        self._wake_reader(WebSocketClosed("the connection was dropped"))
        if self._room is not None:
            self._room.set()

    def _finish_sending(self) -> None:
        if self._tls is not None:
            # unwrap() sends close_notify. The server does not wait for the client's answer.
            with contextlib.suppress(OSError):
                self._tls.unwrap()
        self._sock.shutdown(_socket.SHUT_WR)
        # Linux sends RST if a socket is closed with unread bytes, and a RST can overtake bytes that
        # the client has not read yet.
        for _ in range(_MAX_DRAIN):
            if not self._sock.recv(_READ_SIZE):
                break

    def _flush_queue(self) -> None:
        self._flush_queued = False
        if not self.is_ended:
            self.flush_now()

    def _wake_reader(self, error: WebSocketClosed) -> None:
        if self._reader is not None:
            self._hub.loop.run_callback(self._reader.throw, error)

    def _wait_readable(self) -> None:
        self._check_reader()
        self._reader = Waiter(self._hub)
        self._read_watcher.start(self._reader.switch, True)
        try:
            self._reader.get()
        finally:
            self._reader = None
            if not self.is_ended:
                self._read_watcher.stop()

    def _check_reader(self) -> None:
        if self.is_ended:
            raise WebSocketClosed("the connection has ended")
        if self._failure is not None:
            raise self._failure
        if self._reader is not None:
            raise RuntimeError("another greenlet is receiving on this connection")

    def _wait_for_room(self, limit: int) -> None:
        self.flush_now()
        while len(self._queue) > limit:
            if self._room is None:
                self._room = Event()
            self._room.clear()
            self._room.wait()

    def _wait_writable(self) -> None:
        """Wait until TLS can write, which a reader has to do in a handshake."""
        self._check_reader()
        # The watcher of the queue may be active, so this wait needs a watcher of its own.
        watcher = self._hub.loop.io(self._sock.fileno(), _WRITABLE)
        try:
            self._reader = Waiter(self._hub)
            watcher.start(self._reader.switch, True)
            self._reader.get()
        finally:
            self._reader = None
            watcher.close()
