"""Messages in pieces: received as they arrive, and sent as they come."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from gevent import getcurrent

from .protocol import slices
from .protocol.frame import Payload, build_frame
from .protocol.opcode import Opcode
from .protocol.stream import PieceHandler, Stream
from .sessions.mailboxes import Mailbox, Ticket
from .sessions.resting import Regulator
from .sessions.session import GeventSession

if TYPE_CHECKING:
    from .events import Binary, Text
    from .websocket import WebSocket

# The size of the received pieces at which reading stops, and at which it goes on; in bytes, or in
# characters, which have up to four.
_MAX_WAITING = 256 * 1024
_LOW = _MAX_WAITING // 2

# What a piece counts beyond its length: the object, and its place in the buffer.
_OVERHEAD = 64


class _State(enum.Enum):
    """Where a received message stands.

    ::

        AWAITED -> ARRIVING -> WHOLE
        AWAITED -> WHOLE                  it came as one whole frame
        ARRIVING -> LOST                  the connection is closing, and there is no room
        all -> SKIPPED                    the iterator was left
    """

    AWAITED = 0  #: it has not begun
    ARRIVING = 1  #: it has begun
    WHOLE = 2  #: all of it has arrived
    LOST = 3  #: the rest of it was dropped
    SKIPPED = 4  #: nobody wants the rest of it


AWAITED, ARRIVING, WHOLE, LOST, SKIPPED = _State


class FirstPiece(Ticket):
    """The wait for a message that is to be taken in pieces; it may also come as a whole."""

    __slots__ = ("incoming",)

    def __init__(self, incoming: Incoming) -> None:
        Ticket.__init__(self)
        self.incoming: Incoming = incoming

    def reach_front(self) -> None:
        self.incoming.reach_front()


class Incoming:
    """The message that a :class:`ReceivedPieces` takes.

    The parser knows this object, and not the iterator, which ends when nobody refers to it.

    :param make_error: makes the error of a call after the end of the connection.
    :param may_begin: whether a message that is arriving may be taken in pieces.
    """

    __slots__ = (
        "_buffer",
        "_count",
        "_is_reading",
        "_joined",
        "_mailbox",
        "_make_error",
        "_may_begin",
        "_size",
        "_state",
        "_stream",
        "_ticket",
    )

    def __init__(
        self,
        mailbox: Mailbox,
        stream: Stream,
        make_error: Callable[[], Exception],
        may_begin: Callable[[], bool],
    ) -> None:
        self._mailbox = mailbox
        self._stream = stream
        self._make_error = make_error
        self._may_begin = may_begin
        self._state = AWAITED
        # What has arrived and is not taken: what was joined before, pieces, and their size.
        self._joined: slices.Joined | None = None
        self._buffer: deque[str | bytes] = deque()
        self._size = 0
        # Pieces that have arrived.
        self._count = 0
        # Whether pieces come from the greenlet that reads, which can wait.
        self._is_reading = True
        # The wait that is under way, or None.
        self._ticket: Ticket | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be taken: all was, or nobody wants it, or no more comes."""
        if self._state is SKIPPED:
            return True
        if self._buffer or self._joined is not None:
            return False
        if self._state is WHOLE:
            return True
        return self._mailbox.has_ended and (self._state is not AWAITED or not len(self._mailbox))

    def check_thread(self) -> None:
        """Raise an error in another thread than that of the hub."""
        self._mailbox.check_thread()

    def take(self, timeout: float | None) -> str | bytes | None:
        """Return the next piece; None: there is no more."""
        self._mailbox.check_thread()
        while not self._buffer and self._joined is None:
            if self._state is WHOLE or self._state is SKIPPED:
                return None
            if self._state is AWAITED:
                self._begin(timeout)
            else:
                self._wait(timeout)
        if self._joined is not None:
            return self._take_joined()
        piece = self._buffer.popleft()
        before = self._size
        self._size -= len(piece) + _OVERHEAD
        if before > _LOW >= self._size and self._state is ARRIVING:
            self._mailbox.resume()
        return piece

    def _begin(self, timeout: float | None) -> None:
        """Wait until the message has begun, in the line of those who receive."""
        mailbox = self._mailbox
        if len(mailbox):
            self._take_whole(mailbox.take_for(self))
            return
        if mailbox.has_ended:
            raise self._make_error()
        ticket = self._ticket = FirstPiece(self)
        mailbox.stand_in_line(ticket)
        try:
            if mailbox.first is ticket:
                self.reach_front()
            message = mailbox.wait(ticket, timeout)
        except BaseException:
            if self._state is AWAITED:
                mailbox.withdraw(ticket)
            raise
        finally:
            self._ticket = None
        if message is not None and self._state is AWAITED:
            self._take_whole(message)

    def _wait(self, timeout: float | None) -> None:
        """Wait for the next piece."""
        if self._mailbox.has_ended:
            raise self._make_error()
        ticket = self._ticket = Ticket()
        try:
            self._mailbox.wait(ticket, timeout)
        finally:
            self._ticket = None

    def _take_joined(self) -> str | bytes:
        joined = self._joined
        assert joined is not None
        piece = joined.take()
        if not joined:
            self._joined = None
        return piece

    def _take_whole(self, message: Text | Binary) -> None:
        self._state = WHOLE
        self._buffer.append(message.text if message.name == "text" else message.data)

    def reach_front(self) -> None:
        """Take the message that is arriving, if there is one: nobody stands before this one."""
        if not self._stream.is_joining or not self._may_begin():
            return
        self._is_reading = False  # this is the greenlet that receives, or one that has given up
        try:
            self._stream.take_in_pieces(self.begin())
        finally:
            self._is_reading = True

    # Called by the greenlet that reads

    def begin(self) -> PieceHandler:
        """Take the message that is beginning; returns what gets its pieces."""
        self._state = ARRIVING
        self._leave_line()
        self.wake()
        return self._put

    def _put(self, piece: str | bytes | slices.Joined, final: bool) -> None:
        if self._state is not ARRIVING:
            return
        if isinstance(piece, slices.Joined):
            self._joined = piece
            self._count += 1
        elif piece or not self._count:
            self._buffer.append(piece)
            self._count += 1
            self._size += len(piece) + _OVERHEAD
        if final:
            self._state = WHOLE
        self.wake()
        if self._is_reading:
            while self._state is ARRIVING and self._size >= _MAX_WAITING:
                if not self._mailbox.hold():
                    # The end is near: what has arrived can be taken, and the error comes then.
                    self._state = LOST

    def wake(self) -> None:
        """Have the greenlet that waits for a piece look again."""
        if self._ticket is not None and not self._ticket.is_settled:
            self._ticket.settle(None)

    def _leave_line(self) -> None:
        if self._ticket is not None:
            self._mailbox.withdraw(self._ticket)

    # Leaving

    def skip(self) -> None:
        """Drop what is left of the message, and what is still to come of it."""
        state, self._state = self._state, SKIPPED
        if state is SKIPPED:
            return
        self._joined = None
        self._buffer.clear()
        self._size = 0
        if state is AWAITED:
            self._leave_line()
        self.wake()
        if state is ARRIVING:
            self._mailbox.resume()

    def abandon(self) -> None:
        """Skip, soon if this is another thread. Called by the garbage collector."""
        if not self._mailbox.is_elsewhere:
            self.skip()
            return
        try:
            self._mailbox.reactor.loop.run_callback_threadsafe(self.skip)
        except Exception:
            # The hub was destroyed, or the interpreter ends: nothing arrives there any more.
            return


class ReceivedPieces(Iterator[str | bytes]):
    """The pieces of one message, as they arrive: all str, or all bytes.

    :meth:`greenws.Connection.receive_stream` returns it. When it is left early, by :meth:`close` or
    because nothing refers to it any more, the rest of the message is skipped as it arrives, and the
    connection goes on.
    """

    __slots__ = ("__weakref__", "_incoming", "_owner", "_timeout")

    def __init__(self, owner: object, incoming: Incoming, timeout: float | None) -> None:
        # The Connection, which is not to be collected meanwhile.
        self._owner = owner
        self._incoming = incoming
        self._timeout = timeout

    def __iter__(self) -> ReceivedPieces:
        return self

    def __next__(self) -> str | bytes:
        """Return the next piece.

        :raises TimeoutError: there was none within ``timeout`` seconds. It may be called again.
        :raises WebSocketClosed: the connection has ended before the message was whole. What had
            arrived of it comes before.
        """
        piece = self._incoming.take(self._timeout)
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Skip the rest of the message; idempotent.

        :raises WebSocketUnavailable: called in another thread, before the end.
        """
        if not self._incoming.is_over:
            self._incoming.check_thread()
        self._incoming.skip()

    def __del__(self) -> None:
        if not self._incoming.is_over:
            self._incoming.abandon()


class Outgoing:
    """Whose turn it is to send on a session of others, as no message may come between the pieces of
    another one. A session of ours sees to that itself.
    """

    __slots__ = ("_line", "_owner")

    def __init__(self) -> None:
        # The greenlet that sends a message in pieces, and those that wait for its end.
        self._owner: object = None
        self._line: list[Ticket] = []

    def wait(self, mailbox: Mailbox) -> None:
        """Wait until no message is being sent in pieces.

        :raises RuntimeError: the caller itself sends one.
        """
        while self._owner is not None:
            if self._owner is getcurrent():
                raise RuntimeError("this greenlet is sending a message in pieces")
            mailbox.check_thread()
            ticket = Ticket()
            self._line.append(ticket)
            try:
                mailbox.wait(ticket, None)
            finally:
                if ticket in self._line:
                    self._line.remove(ticket)

    def take(self, mailbox: Mailbox) -> None:
        """Have everybody else wait, until :meth:`leave`."""
        self.wait(mailbox)
        self._owner = getcurrent()

    def leave(self) -> None:
        """Let those go on that wait, in the order in which they came; idempotent."""
        self._owner = None
        line, self._line = self._line, []
        for ticket in line:
            ticket.settle(None)


class PieceSender:
    """Sends the chunks of one message, each cut into pieces that are small enough for one step.

    The turn of the message comes with its first chunk: what makes the chunks may take its time.

    :param outgoing: whose turn it is, if the session is none of ours.
    :param compress: deflate them, if permessage-deflate was agreed on.
    """

    __slots__ = (
        "_compression",
        "_has_turn",
        "_is_begun",
        "_is_whole",
        "_kind",
        "_length",
        "_mailbox",
        "_outgoing",
        "_regulator",
        "_websocket",
    )

    def __init__(
        self, websocket: WebSocket, mailbox: Mailbox, outgoing: Outgoing | None, compress: bool
    ) -> None:
        self._websocket = websocket
        self._mailbox = mailbox
        self._outgoing = outgoing
        session = websocket.session
        self._regulator = Regulator(session) if isinstance(session, GeventSession) else None
        self._compression = websocket.state.compression if compress else None
        # TEXT or BINARY, when it is known.
        self._kind: int | None = None
        self._has_turn = False
        # Bytes so far, before deflating.
        self._length = 0
        self._is_begun = False
        self._is_whole = False

    @property
    def is_cut_short(self) -> bool:
        """Whether a part of the message has been sent, and the rest has not."""
        return self._is_begun and not self._is_whole

    def put(self, chunk: str | Payload) -> None:
        """Send a chunk.

        :raises TypeError: it is neither str nor bytes, or not what the first one was.
        """
        kind = find_kind(chunk)
        if self._kind not in (None, kind):
            raise TypeError("the chunks of a message must be all str, or all bytes")
        self._kind = kind
        if not self._has_turn:
            self._take_turn()
        if not chunk and self._is_begun:
            return
        steps = slices.encode(chunk) if isinstance(chunk, str) else slices.cut(bytes(chunk))
        for piece in steps if chunk else (b"",):
            self._length += len(piece)
            self._send(piece, False)

    def end(self) -> None:
        """End the message. Without any chunk there is none."""
        if self._kind is not None:
            self._send(b"", True)
            self._is_whole = True
        if self._kind is not None and self._websocket.is_traced:
            stage = "send_text" if self._kind == Opcode.TEXT else "send_binary"
            is_compressed = self._compression is not None
            self._websocket.tracer.tell(stage, length=self._length, compressed=is_compressed)

    def leave(self) -> None:
        """Let others send, whether the message is whole or not."""
        if not self._has_turn:
            return
        if self._regulator is not None:
            self._regulator.end_pieces()
        elif self._outgoing is not None:
            self._outgoing.leave()

    def _take_turn(self) -> None:
        self._websocket.state.check_open()
        if self._regulator is not None:
            self._regulator.begin_pieces()
        elif self._outgoing is not None:
            self._outgoing.take(self._mailbox)
        self._has_turn = True

    def _send(self, payload: bytes, fin: bool) -> None:
        assert self._kind is not None
        opcode = Opcode.CONTINUATION if self._is_begun else self._kind
        websocket, compression = self._websocket, self._compression
        websocket.state.check_open()
        rsv1 = compression is not None and not self._is_begun
        if compression is not None:
            payload = compression.end_pieces() if fin else compression.compress_piece(payload)
        self._is_begun = True
        if self._regulator is not None:
            self._regulator.send_piece(opcode, payload, rsv1, fin)
        else:
            session = websocket.session
            assert session is not None  # as it is open
            session.write(build_frame(opcode, payload, fin, rsv1))


def find_kind(chunk: object) -> int:
    """Return the opcode of the messages that this may be a chunk of.

    :raises TypeError: it is neither str nor bytes, bytearray or memoryview.
    """
    if isinstance(chunk, str):
        return Opcode.TEXT
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return Opcode.BINARY
    raise TypeError(f"a chunk of a message must be str or bytes, not {type(chunk).__name__}")


def check_chunks(chunks: Iterable[str] | Iterable[Payload]) -> None:
    """Check what is to be sent in pieces, as far as that is possible before the first is sent.

    :raises TypeError: it is no iterable of chunks; or a list or tuple of mixed kinds.
    """
    if isinstance(chunks, (str, bytes, bytearray, memoryview, dict)) or not isinstance(
        chunks, Iterable
    ):
        kind = type(chunks).__name__
        raise TypeError(f"chunks must be an iterable of str or of bytes, not {kind}")
    if isinstance(chunks, (list, tuple)) and len({find_kind(chunk) for chunk in chunks}) > 1:
        raise TypeError("the chunks of a message must be all str, or all bytes")
