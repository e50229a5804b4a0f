"""The outbound half of a session: a queue of frames, its high-water mark, and who waits at it.

Frames are built in one buffer, which is handed over at the end of the turn, or when the session
parks, or when it is large; whoever is there does it. What the peer does not take stays until its
descriptor is writable.
"""

from __future__ import annotations

from typing import Any

from gevent import getcurrent
from gevent.event import Event as Drained

from .. import constants
from ..native import threads, utf8
from ..protocol.frame import append_frame
from ..protocol.opcode import Opcode
from .reactor import Session
from .transport import Transport
from .wait import WRITE

# Bytes that are handed to the kernel before the turn is over: while they are in the cache.
_FLUSH_SIZE = 64 * 1024

# As plain numbers: they are compared with for every frame.
_TEXT = int(Opcode.TEXT)
_BINARY = int(Opcode.BINARY)
_CLOSE = int(Opcode.CLOSE)


class Sender(Session):
    """What of a session sends.

    :param websocket: the one whose frames they are.
    """

    #: Seconds a sender waits at the high-water mark, for a websocket that does not say.
    send_timeout: float | None = constants.SEND_TIMEOUT
    #: The high-water mark, in bytes, for a websocket that does not say.
    write_limit: int = constants.WRITE_LIMIT

    __slots__ = (
        "_abort",
        "_burst",
        "_drained",
        "_flush_size",
        "_is_buffering",
        "_is_stalled",
        "_out",
        "_passed",
        "_refuses",
        "_thread",
        "_transport",
        "_write_limit",
        "_writer",
        "websocket",
    )

    def __init__(self, websocket: Any) -> None:
        Session.__init__(self)
        self.websocket = websocket
        # The thread whose hub it is; 0: it does not run yet.
        self._thread = 0
        self._transport: Transport | None = None
        # Whether the transport may hold bytes of its own.
        self._is_buffering = False
        # TLS takes nothing before more was read.
        self._is_stalled = False
        # Why it is over, as soon as it is.
        self._abort: str | None = None
        # Nothing may be sent: not ready yet, closing, failed or over.
        self._refuses = True
        # What is queued; None: nothing.
        self._out: bytearray | None = None
        self._writer: Any = None
        self._drained: Drained | None = None
        self._write_limit = getattr(websocket, "write_limit", self.write_limit)
        self._flush_size = min(_FLUSH_SIZE, self._write_limit)
        # Bytes that were flushed early, and reads of what was buffered, since the loop had a turn.
        self._passed = 0
        self._burst = 0

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to take them."""
        out = self._out
        return 0 if out is None else len(out)

    def send(self, opcode: int, payload: bytes | bytearray | memoryview) -> None:
        """Queue a frame. It leaves in this turn of the loop; at the high-water mark, waits.

        :raises WebSocketUnavailable: not ready, of another thread, or of the parent process.
        :raises WebSocketClosed: the connection has ended.
        :raises TransportFail: it has failed, or took nothing for ``send_timeout`` seconds.
        """
        self._queue(opcode, payload, False)

    def send_compressed(self, opcode: int, payload: bytes | bytearray | memoryview) -> None:
        """Queue a frame whose payload is deflated already; as :meth:`send`."""
        self._queue(opcode, payload, True)

    def send_text(self, text: str) -> None:
        """Queue a text message that is not to be deflated; as :meth:`send`.

        :raises TypeError: if ``text`` is not str.
        :raises ValueError: if it has lone surrogates.
        """
        if not isinstance(text, str):
            raise TypeError("text argument must not be bytes")
        self._queue(_TEXT, utf8.encode(text), False)

    def send_binary(self, data: bytes | bytearray | memoryview) -> None:
        """Queue a binary message that is not to be deflated; as :meth:`send`.

        :raises TypeError: if ``data`` is not bytes.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("data argument must be bytes")
        self._queue(_BINARY, data, False)

    def _queue(self, opcode: int, payload: bytes | bytearray | memoryview, rsv1: bool) -> None:
        if self._refuses or self._thread != threads.get_ident():
            raise self._refusal()
        out = self._out
        if out is None:
            out = self._out = self._reactor.take_queue()
        elif len(out) >= self._write_limit and opcode < 8:
            self._check_wait()
        append_frame(out, opcode, payload, rsv1, True)
        if not self._is_dirty:
            self._is_dirty = True
            self._reactor.flush_later(self)
        if opcode == _CLOSE:
            self._begin_closing(payload)
        elif len(out) >= self._flush_size:
            self._drain()

    def check_send(self) -> None:
        """Raise what a message to be sent now would be refused with; called before deflating it,
        which cannot be undone.

        :raises WebSocketError: as :meth:`send`.
        """
        if self._refuses or self._thread != threads.get_ident():
            raise self._refusal()
        if self.queued_bytes >= self._write_limit:
            self._check_wait()

    def _check_wait(self) -> None:
        if getcurrent() is self._hub:
            raise self._error(
                "WebSocketUnavailable", "the send queue is full, and the hub itself cannot wait"
            )

    def write(self, data: bytes) -> None:
        """Queue bytes as they are: the opening request.

        :raises WebSocketUnavailable: there is no connection, or it is not this thread's.
        :raises TransportFail: it has failed.
        """
        if self._transport is None or self._thread != threads.get_ident():
            raise self._refusal()
        if self._out is None:
            self._out = bytearray()
        self._out += data
        self.flush()
        if self._abort is not None:
            raise self._error("TransportFail", self._abort)

    def flush(self) -> None:
        """Hand over to the transport what it takes now; never waits."""
        self._is_dirty = False
        transport = self._transport
        if transport is None:
            return
        out = self._out
        try:
            if out:
                sent = transport.send(out)
                if sent is not None:
                    if sent == len(out):
                        self._out = None
                        self._reactor.give_queue(out)
                        out = None
                    else:
                        del out[:sent]
            is_left = bool(out)
            if self._is_buffering:
                if not is_left and transport.wants_write:
                    is_left = not transport.flush()
                # Then the session tries again after its next read.
                self._is_stalled = is_left and transport.wants_read
                is_left = is_left and not self._is_stalled
            if is_left:
                if self._writer is None:
                    self._writer = self._hub.loop.io(transport.fileno(), WRITE)
                    self._writer.start(self.flush)
            elif self._writer is not None:
                self._writer.stop()
                self._writer.close()
                self._writer = None
        except OSError as error:
            self._out = None
            self._give_up(f"socket fail; {error}")
        if self._drained is not None and self.queued_bytes <= self._write_limit // 2:
            self._let_senders_go()

    def _let_senders_go(self) -> None:
        """Wake those who wait at the mark, because there is room, or because it is over."""
        if self._drained is not None:
            self._drained.set()
            self._drained = None
            self._reactor.stay_awake()

    def _drain(self) -> None:
        """Flush, and at the mark wait until the queue is half empty."""
        self._passed += self.queued_bytes
        self.flush()
        if getcurrent() is self._hub:
            return
        if self._abort is None and self._transport is not None:
            if self.queued_bytes < self._write_limit:
                # A peer that takes it as fast as it comes is no reason to keep the hub.
                if self._passed >= self._write_limit:
                    self._passed = 0
                    self._take_turn()
                return
            if self._drained is None:
                self._drained = Drained()
            seconds = getattr(self.websocket, "send_timeout", self.send_timeout)
            if not self._drained.wait(seconds):
                self._out = None
                self._give_up(f"socket fail; nothing was taken for {seconds:g} s")
        if self._abort is not None or self._transport is None:
            raise self._error("TransportFail", self._abort or "the connection has ended")

    def _take_turn(self) -> None:
        """Let the loop look at all its descriptors and timers once.

        A callback, as ``gevent.sleep(0)`` is one, would not do: the loop runs many of them before
        it looks again.
        """
        self._burst = 0
        timer = self._hub.loop.timer(0)
        try:
            self._hub.wait(timer)
        finally:
            timer.close()

    # What the session knows

    def _begin_closing(self, payload: bytes | bytearray | memoryview) -> None:
        """Take note that a close frame with ``payload`` was queued: it is the last one."""
        raise NotImplementedError

    def _give_up(self, reason: str) -> None:
        """Have the session end, for ``reason``."""
        raise NotImplementedError

    def _refusal(self) -> Exception:
        """Return the error for a call that cannot be served now, or not from here."""
        raise NotImplementedError

    def _error(self, name: str, message: str) -> Exception:
        """Return the error of that name that users of the websocket catch."""
        raise NotImplementedError
