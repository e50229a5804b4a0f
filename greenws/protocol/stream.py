"""The inbound half of a connection after the upgrade: bytes in, events out (RFC 6455 section 5).

A chunk of received bytes is walked with an offset, frame by frame; nothing is cut out of it but
payloads. What a chunk ends in the middle of is kept in one of two ways:

* a head, or a control frame, is at most 139 bytes long: it is kept as it is (the *tail*) and put
  in front of the next chunk;
* of a data frame, the payload that is there is taken at once into the *message*, inflated and
  checked, so that bad UTF-8 or too many bytes are found as early as they can be. The message is
  one buffer, whatever the number of frames and chunks it came in. If it is one frame, of binary
  or of ASCII, the buffer is the *whole*, which becomes the message without a copy.

A message that lies in the chunk as one whole frame, the common case, needs none of this.

Any other message may be taken *in pieces* (:attr:`Stream.find_taker`): what would go into the
message goes to a handler instead, so the message may have any size.

The parser may share its thread with others, so its work comes in units, none of which is long: a
frame; a slice of a message that is inflated; a slice of a long text that is decoded; a piece. A
driver that sets :attr:`Stream.allowance` is asked after every few units, and may have the parser
pause.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..constants import MAX_MESSAGE_SIZE
from ..errors import CriticalProtocolError, PayloadTooLarge, ProtocolError
from ..events import AnyEvent, Binary, Closing, Ping, Pong, Text
from ..implementation import is_compiled
from ..native import references, utf8, wholes
from . import slices
from .frame import parse_close_payload
from .mask import mask

if TYPE_CHECKING:
    from .allowance import Allowance
    from .compression import Deflate

# An event that its handler has not kept is used again for the next message: nobody can tell, and it
# is less work than a new one (references.pxd has the figure). None while the event is in use.
_spare_text: Text | None = None
_spare_binary: Binary | None = None

# In place of the opcode of a message that is being joined, while no frame has come at all. The
# first head is then checked off the fast path, which costs the heads that follow nothing.
_UNBEGUN = -1

# Bytes that an error quotes of a stream that does not begin with a frame.
_QUOTED = 200

#: What :meth:`Stream.receive` may write in front of a chunk: the longest tail there is, a masked
#: control frame that lacks one byte, rounded up; and the longest frame of which
#: :meth:`Stream.digest_briefly` keeps a part.
HEADROOM = 256
_HEADROOM = HEADROOM  # this second name is a C integer when compiled; modules import the first

# Bytes that are inflated, or decoded, in one unit of work: 0.3 to 1 ms for a message that was
# deflated to next to nothing, or for text of three bytes a character.
_SLICE = 256 * 1024

# Inflated bytes that are as much work as a frame, as a power of two.
_UNIT_BITS = 12

#: Bytes of a message that are joined before somebody is asked to take it in pieces: half of the
#: memory that a message in pieces may take, and more than a whole frame in one chunk has.
HOLD_SIZE = 4 * 1024 * 1024
_HOLD_SIZE = HOLD_SIZE  # this second name is a C integer when compiled; modules import the first

# Bytes of the largest piece, which is a unit of work.
_PIECE = slices.SIZE

# Units of work of the next chunk that need no grant.
_FREE = 1
# Units that are never used up: four hundred days of frames.
_UNLIMITED = 1 << 48

# A whole has room for its frame, but for so many times what has arrived at most, and for less until
# so many bytes are there: room for nearly all would cost as much as room for all. Room takes up
# addresses, and memory only as bytes arrive; but a peer that announces huge frames, and sends
# little, is not to use up the addresses that a process may have.
_ROOM_FACTOR = 64
_FIRST_ROOM = 1024 * 1024

# What a message that is joined waits for, beside bytes.
_NOTHING = 0
_INFLATING = 1  # a piece of it has not been inflated to its end
_DECODING = 2  # its bytes are complete, and the text is not

#: Called with each piece of a message, and at its end with an empty one and True. What was joined
#: before the message was taken in pieces comes first, in one object.
PieceHandler = Callable[[str | bytes | slices.Joined, bool], object]


# The class is over 400 lines long: it is one loop over the bytes, with what the loop calls for each
# kind of frame. To split the state between two objects would cost time for every message.
class Stream:
    """Parse frames, and join them to messages.

    :param is_client: which side we are: a client must get frames without a mask, a server with
        one (RFC 6455 section 5.1).
    :param max_size: bytes of one message, after inflation; None for no limit.
    """

    __slots__ = (
        "_chunk",
        "_end",
        "_error",
        "_event",
        "_export",
        "_filled",
        "_fin",
        "_is_ascii",
        "_is_calling",
        "_is_client",
        "_is_halted",
        "_key",
        "_max_size",
        "_message",
        "_message_deflated",
        "_message_opcode",
        "_need",
        "_offset",
        "_pos",
        "_room",
        "_stage",
        "_tail",
        "_taken",
        "_taker",
        "_texts",
        "_units",
        "_utf8_rest",
        "_whole",
        "allowance",
        "binary_handler",
        "deflate",
        "find_taker",
        "handler_failed",
        "is_brief",
        "is_closed",
        "is_paused",
        "received_time",
        "skip_binary",
        "skip_text",
        "text_handler",
        "tracer",
    )

    def __init__(self, is_client: bool = True, max_size: int | None = MAX_MESSAGE_SIZE) -> None:
        #: The agreement on permessage-deflate, or None: then RSV1 is an error.
        self.deflate: Deflate | None = None
        #: Called with each event of its kind, which is then not returned by next_event().
        self.text_handler: Callable[[Text], object] | None = None
        self.binary_handler: Callable[[Binary], object] | None = None
        #: Called with an Exception that one of the two has raised.
        self.handler_failed: Callable[[Exception], object] | None = None
        #: Asked who takes a message in pieces that does not lie in the chunk as one whole frame; a
        #: message for which it returns None is joined. Asked when the message begins (False), and
        #: again before it is refused as too large, or gets larger than HOLD_SIZE (True). The latter
        #: call may switch. None: all messages are joined.
        self.find_taker: Callable[[bool], PieceHandler | None] | None = None
        #: Check messages of this kind, but make no events of them: nobody reads them.
        self.skip_text: bool = False
        self.skip_binary: bool = False
        #: Called with the kind and the length of each message that comes in, or None.
        self.tracer: Callable[[str, int], object] | None = None
        #: Nothing more is parsed: there was a close frame or a violation, or the owner said so.
        self.is_closed: bool = False
        #: Epoch seconds at which the current chunk was received.
        self.received_time: float = 0.0
        #: Whether next_event() returned None only because no more work was granted.
        self.is_paused: bool = False
        #: Whether bytes are parsed by :meth:`digest_briefly`.
        self.is_brief: bool = False
        #: Asked for grants of work; None: work is not limited.
        self.allowance: Allowance | None = None
        # Units of work that are granted already.
        self._units: int = 1
        # Whether halt() was called since the parser began to work on the bytes at hand.
        self._is_halted: bool = False
        # Whether a handler is being called: an exception is the handler's then.
        self._is_calling: bool = False

        self._is_client: bool = is_client
        self._max_size: int = -1 if max_size is None else max_size
        self._chunk: bytes | bytearray = b""
        # While it lives, nobody can resize the chunk under the parser.
        self._export: memoryview | None = None
        self._pos: int = 0
        self._end: int = 0
        self._tail: bytes | None = None
        # The data frame that the last chunk ended in: bytes of payload to come, bytes seen.
        self._need: int = 0
        self._offset: int = 0
        self._fin: bool = False
        self._key: bytes = b""
        # The message that is being joined; opcode 0: there is none.
        self._message: bytearray | None = None
        # What is put together if it is one frame, of binary or of ASCII; the bytes in there, and
        # its room.
        self._whole: Any = None
        self._filled: int = 0
        self._room: int = 0
        self._message_opcode: int = _UNBEGUN
        self._message_deflated: bool = False
        self._utf8_rest: bytes = b""
        # Whether it is a text that is ASCII so far.
        self._is_ascii: bool = True
        self._stage: int = _NOTHING
        # Who takes it in pieces, and the bytes of these; None: it is joined.
        self._taker: PieceHandler | None = None
        self._taken: int = 0
        # The text so far, while the stage is _DECODING; _offset is where to go on.
        self._texts: list[str] | None = None
        # The event, or the error, that digest() has left for next_event().
        self._event: AnyEvent | None = None
        self._error: ProtocolError | CriticalProtocolError | None = None

    def receive(
        self, chunk: bytes | bytearray, start: int, stop: int, received_time: float
    ) -> None:
        """Take ``chunk[start:stop]`` as the bytes that come next.

        It is not copied: a bytearray may not change until next_event() returned None or detach()
        was called, and the ``HEADROOM`` bytes before ``start`` may be overwritten. To resize it
        meanwhile is a BufferError.

        :raises ValueError: there are no such bytes in ``chunk``.
        """
        self._take(chunk, start, stop, received_time, None)

    def _take(
        self,
        chunk: bytes | bytearray,
        start: int,
        stop: int,
        received_time: float,
        export: memoryview | None,
    ) -> None:
        """As :meth:`receive`.

        :param export: a view of ``chunk``; None: one is made.
        """
        if not 0 <= start <= stop <= len(chunk):
            raise ValueError(f"no bytes {start} to {stop} in a chunk of {len(chunk)}")
        if self._pos < self._end:  # an iteration was left early: nothing of it may be lost
            self._keep_tail()
        self.received_time = received_time
        self.is_paused = False
        if self.allowance is not None:
            self._units = _FREE  # what is left of the last grant may be of another turn
        tail = self._tail
        if tail is not None:
            self._tail = None
            size = len(tail)
            if size <= start and size <= HEADROOM and type(chunk) is bytearray:
                chunk[start - size : start] = tail
                start -= size
            else:
                chunk = tail + chunk[start:stop]
                start = 0
                stop = len(chunk)
        if type(chunk) is bytes:
            self._export = None
        else:
            self._export = memoryview(chunk) if export is None else export
        self._chunk = chunk
        self._pos = start
        self._end = stop

    def detach(self) -> None:
        """Copy the bytes that are not parsed yet, so that the chunk may be reused."""
        self._chunk = bytes(self._chunk[self._pos : self._end])
        self._export = None
        self._end -= self._pos
        self._pos = 0

    @property
    def is_joining(self) -> bool:
        """Whether a message is arriving that nobody takes in pieces."""
        if self.is_closed or self._taker is not None or self._stage == _DECODING:
            return False
        return self._message_opcode > 0

    def take_in_pieces(self, handler: PieceHandler) -> None:
        """Have ``handler`` get the message that is arriving, if there is one (:attr:`is_joining`).

        What has arrived of it comes at once. A text is cut between characters.
        """
        if self.is_joining:
            self._begin_pieces(handler)

    def close(self) -> None:
        """Parse nothing more and forget what was kept."""
        self.is_closed = True
        self._chunk = b""
        self._export = None
        self._pos = self._end = 0
        self._tail = None
        self._message = self._whole = None
        self._need = 0
        self._stage = _NOTHING
        self._texts = None
        self.is_paused = False
        self._event = self._error = None
        self.text_handler = self.binary_handler = self.handler_failed = None
        self.find_taker = self._taker = None
        self.tracer = None

    def digest(self, chunk: bytes | bytearray, start: int, stop: int, received_time: float) -> bool:
        """Take bytes as :meth:`receive` does, and parse them as far as handlers take the events.

        :returns: True if that was all; False if something is left for :meth:`next_event`.
        """
        self._take(chunk, start, stop, received_time, None)
        return self.resume()

    def digest_viewed(
        self,
        chunk: bytearray,
        start: int,
        stop: int,
        received_time: float,
        export: memoryview,
    ) -> bool:
        """As :meth:`digest`, of a chunk of which the caller has a view, ``export``, anyway: a view
        for each read costs 4 % of an echo. Not to be called from Python when compiled, as nobody
        checks the view.
        """
        self._take(chunk, start, stop, received_time, export)
        return self.resume()

    def resume(self) -> bool:
        """Go on with the bytes at hand, after a pause; as :meth:`digest`.

        :returns: True if that was all; False if something is left for :meth:`next_event`, or if
            the parser has paused again.
        """
        try:
            self._event = self._run()
        except (ProtocolError, CriticalProtocolError) as error:
            self._stop()
            self._error = error
            return False
        return self._event is None and not self.is_paused

    def digest_briefly(
        self, chunk: bytes | bytearray, start: int, stop: int, received_time: float
    ) -> bool:
        """As :meth:`digest`, but pause before a message that is not one whole frame in the chunk:
        so nobody is asked who takes it in pieces, and nothing is called but handlers. Only a short
        frame that the chunk ends in is kept, and not paused at.
        """
        self._take(chunk, start, stop, received_time, None)
        return self.resume_briefly()

    def digest_viewed_briefly(
        self,
        chunk: bytearray,
        start: int,
        stop: int,
        received_time: float,
        export: memoryview,
    ) -> bool:
        """As :meth:`digest_briefly`, in the way of :meth:`digest_viewed`."""
        self._take(chunk, start, stop, received_time, export)
        return self.resume_briefly()

    def resume_briefly(self) -> bool:
        """As :meth:`resume`, with the limits of :meth:`digest_briefly`."""
        self.is_brief = True
        try:
            return self.resume()
        finally:
            self.is_brief = False

    def halt(self) -> None:
        """Have the parser pause before the next frame; called by a handler."""
        self._is_halted = True
        self._units = 0

    @property
    def is_between(self) -> bool:
        """Whether no message has begun to arrive, but for a part of a short frame at most."""
        return self._message_opcode <= 0 and not self.is_closed

    def next_event(self) -> AnyEvent | None:
        """Return the next event in the bytes at hand, or None when no whole one is left, or when
        the parser has paused (:attr:`is_paused`); the next call goes on then.

        A close frame comes out as :class:`~greenws.events.Closing`, and is the last.

        :raises ProtocolError: a violation, or a message beyond ``max_size``; the stream is closed.
        :raises CriticalProtocolError: invalid UTF-8 or a broken deflate stream; likewise.
        """
        event = self._event
        if event is not None:
            self._event = None
            return event
        error = self._error
        if error is not None:
            self._error = None
            raise error
        try:
            return self._run()
        except (ProtocolError, CriticalProtocolError):
            self._stop()
            raise

    def _run(self) -> AnyEvent | None:
        """Parse, and report what handlers raise."""
        self.is_paused = self._is_halted = False
        while True:
            self._is_calling = False
            try:
                return self._parse()
            except Exception as error:
                if not self._is_calling:
                    raise
                # Caught here, and not around the call of each handler, which would cost a text of
                # 64 bytes that is received 2 % more.
                self._report(error)

    def _stop(self) -> None:
        """Parse nothing more, after a violation."""
        self.is_closed = True
        self.is_paused = False
        self._export = None

    def _parse(self) -> AnyEvent | None:
        chunk = self._chunk
        data = chunk  # a C pointer when compiled
        pos = self._pos
        end = self._end
        while not self.is_closed:
            if self._message_opcode != 0:  # one look for two: a message is being joined
                if self._stage != _NOTHING:
                    if self._units <= 0 and not self._may_go_on():
                        return None
                    self._units -= 1
                    event = self._advance()
                    if event is not None:
                        return event
                    chunk = self._chunk
                    data = chunk  # a C pointer when compiled
                    pos = self._pos
                    end = self._end
                    continue

                if self._need:
                    if self._taker is not None:
                        if self._units <= 0 and not self._may_go_on():
                            return None
                        self._units -= 1
                    self._take_payload(pos, end)
                    if self.is_closed:
                        break
                    if self._fin and not self._need and self._stage == _NOTHING:
                        event = self._finish_message()
                        if event is not None:
                            return event
                    # A handler may have switched and had us detached.
                    chunk = self._chunk
                    data = chunk  # a C pointer when compiled
                    pos = self._pos
                    end = self._end
                    if self._need and pos >= end and self._stage == _NOTHING:
                        break
                    continue

            available = end - pos
            if available < 2:
                break
            if self._units <= 0 and not self._may_go_on():
                return None
            self._units -= 1
            first = data[pos]
            second = data[pos + 1]
            length = second & 0x7F
            start = pos + 2
            # The commonest heads need no check.
            if (
                (first != 0x81 and first != 0x82)
                or second > 0x7F
                or not self._is_client
                or self._message_opcode != 0
            ):
                self._check_head(first, second)
            if length == 126:
                if available < 4:
                    break
                length = (data[pos + 2] << 8) | data[pos + 3]
                start = pos + 4
                if length < 126:
                    raise ProtocolError("length of a frame not in its shortest form")
            elif length == 127:
                if available < 10:
                    break
                length = self._long_length(pos + 2)
                start = pos + 10
            if second > 0x7F:
                if end - start < 4:
                    break
                self._key = bytes(data[start : start + 4])
                start += 4
            stop = start + length
            opcode = first & 0x0F

            if opcode >= 8:
                if stop > end:
                    break
                self._pos = stop  # before the tracer, which may switch and have us detached
                return self._control(opcode, start, stop)

            if stop <= end and first & 0x80 and opcode != 0 and second < 0x80:
                # One whole message.
                self._pos = stop
                if first & 0x40:
                    event = self._emit_inflated(opcode, wholes.cut(data, start, stop))
                else:
                    if length > self._max_size >= 0:
                        if self.is_brief:
                            self._pos = pos
                            self.is_paused = True
                            return None
                        # It is refused here, or taken in pieces.
                        self._pos = start
                        self._begin_frame(first, opcode, length)
                        event = None
                    elif opcode == 1:
                        text = utf8.decode(data, start, stop)
                        if text is None:
                            raise self._bad_text(start, stop)
                        event = self._emit_text(text, length)
                    else:
                        event = self._emit_binary(wholes.cut(data, start, stop))
                if event is not None:
                    return event
                # The handler may have switched and had us detached, or closed the stream.
                if self._chunk is not chunk:
                    chunk = self._chunk
                    data = chunk  # a C pointer when compiled
                pos = self._pos
                end = self._end
                continue

            if self.is_brief:
                is_refused = length > self._max_size >= 0  # at once, without this mode
                if stop > end and stop - pos <= _HEADROOM and not is_refused:
                    break  # it is kept as it is
                self.is_paused = True
                return None
            self._pos = start  # before it is asked who takes the message, which may switch
            self._begin_frame(first, opcode, length)
            if length == 0 and not self.is_closed:
                self._absorb(b"", self._fin)
                if self._fin and self._stage == _NOTHING and not self.is_closed:
                    event = self._finish_message()
                    if event is not None:
                        return event
            chunk = self._chunk
            data = chunk  # a C pointer when compiled
            pos = self._pos
            end = self._end
        if not self.is_closed and self._pos < self._end:
            self._keep_tail()
        self._export = None
        return None

    def _may_go_on(self) -> bool:
        """Ask for the next units; if there are none, pause."""
        allowance = self.allowance
        if self._is_halted:
            self.is_paused = True
            return False
        if allowance is None:
            self._units = _UNLIMITED
            return True
        self._units = allowance.grant()
        self.is_paused = self._units <= 0
        return not self.is_paused

    def _keep_tail(self) -> None:
        self._tail = bytes(self._chunk[self._pos : self._end])
        self._pos = self._end

    def _long_length(self, pos: int) -> int:
        head = bytes(self._chunk[pos : pos + 8])
        length = int.from_bytes(head, "big")
        if length < 0x10000:
            raise ProtocolError("length of a frame not in its shortest form")
        if length > 0x7FFFFFFFFFFFFFFF:  # RFC 6455 section 5.2: the top bit must be zero
            raise ProtocolError("payload is too large")
        if length > 0x3FFFFFFFFFFFFFFF:  # so that adding an offset cannot overflow
            raise PayloadTooLarge("payload is too large")
        return length

    def _check_first_head(self, first: int, second: int) -> None:
        """Check the head of the first frame. If it is none, the bytes are something else, an error
        in the form of HTTP for example, and their reader wants to see them.
        """
        self._message_opcode = 0
        try:
            self._check_head(first, second)
        except ProtocolError as error:
            began = _quote(bytes(self._chunk[self._pos : self._end]))
            raise ProtocolError(f"{error}; the stream begins with {began}") from None

    def _check_head(self, first: int, second: int) -> None:
        if self._message_opcode == _UNBEGUN:
            self._check_first_head(first, second)
            return
        opcode = first & 0x0F
        if first & 0x30 or (first & 0x40 and (self.deflate is None or opcode not in (1, 2))):
            raise ProtocolError("reserved bits set")
        if opcode >= 8:
            if opcode > 10:
                raise ProtocolError("opcode is reserved")
            if second & 0x7F > 125:
                raise ProtocolError("control frames must be <= 125 bytes in length")
            if not first & 0x80:
                raise ProtocolError("control frames may not be fragmented")
        elif opcode > 2:
            raise ProtocolError("opcode is reserved")
        elif opcode == 0:
            if self._message_opcode == 0:
                raise ProtocolError("continuation frame has nothing to continue")
        elif self._message_opcode != 0:
            raise ProtocolError("continuation frame expected")
        if self._is_client:
            if second & 0x80:
                raise ProtocolError("server sent masked frame")
        elif not second & 0x80:
            raise ProtocolError("client sent unmasked frame")

    def _control(self, opcode: int, start: int, stop: int) -> Closing | Ping | Pong:
        payload = bytes(self._chunk[start:stop])
        if not self._is_client:
            payload = mask(payload, self._key)
        event: Closing | Ping | Pong
        if opcode == 8:
            code, reason = parse_close_payload(payload)
            self.is_closed = True
            event = Closing(code, reason)
            kind = "message_close"
        elif opcode == 9:
            event = Ping(payload)
            kind = "message_ping"
        else:
            event = Pong(payload)
            kind = "message_pong"
        event.received_time = self.received_time
        if self.tracer is not None:
            self.tracer(kind, len(payload))
        return event

    def _begin_frame(self, first: int, opcode: int, length: int) -> None:
        """Begin with a frame that is not taken as a whole; may switch, and close the stream."""
        self._fin = bool(first & 0x80)
        self._need = length
        self._offset = 0
        if opcode != 0:
            self._message_opcode = opcode
            self._message_deflated = bool(first & 0x40)
            self._message = bytearray()
            self._utf8_rest = b""
            self._is_ascii = True
            if self.find_taker is not None:
                taker = self.find_taker(False)
                if taker is not None:
                    self._begin_pieces(taker)
        if not self._message_deflated and self._message is not None:
            # The length of a deflated frame says nothing: the inflated bytes are counted.
            self._check_size(length + len(self._message))

    def _check_size(self, size: int) -> None:
        """Refuse a message that would be joined to ``size`` bytes, unless somebody takes it in
        pieces.
        """
        if self._taker is not None:
            return
        is_too_large = size > self._max_size >= 0
        if (is_too_large or size > _HOLD_SIZE) and self.find_taker is not None:
            taker = self.find_taker(True)
            # While it waited, take_in_pieces() may have been called.
            if taker is not None and self._taker is None and not self.is_closed:
                self._begin_pieces(taker)
            if self._taker is not None or self.is_closed:
                return
        if is_too_large:
            self._refuse_size()

    def _begin_pieces(self, taker: PieceHandler) -> None:
        """Hand out what there is of the message, and all that follows."""
        joined = self._message
        assert joined is not None
        is_text = self._message_opcode == 1
        if self._whole is not None:
            joined = wholes.take_out(self._whole, self._filled, is_text)
            self._whole = None
        self._taker = taker
        self._taken = len(joined)
        self._message = bytearray()
        if is_text and self._utf8_rest:
            del joined[-len(self._utf8_rest) :]  # the beginning of the next piece
        if joined:
            taker(slices.Joined(joined, is_text), False)

    def _hand_out(self, piece: bytes) -> None:
        """Give the next bytes of the message to its taker, who may switch, and close the stream."""
        handler: Any = self._taker
        self._taken += len(piece)  # as the wire has it: before a character is completed
        if self._message_opcode == 1:
            text = self._check_utf8(piece)
            if text:
                handler(text, False)
        elif piece:
            handler(piece, False)

    def _take_payload(self, pos: int, end: int) -> None:
        """Take what is there of a frame; of a message that goes out in pieces, one of them."""
        taken = min(end - pos, self._need)
        if self._taker is not None:
            taken = min(taken, _PIECE)
        # First, as a taker may switch and have us detached.
        self._pos = pos + taken
        if taken:
            self._need -= taken
            if (
                not self._message_deflated
                and self._is_client
                and self._taker is None
                and self._take_directly(pos, taken)
            ):
                return
            piece = bytes(self._chunk[pos : pos + taken])
            if not self._is_client:
                piece = mask(piece, self._key, self._offset)
            self._offset += taken
            self._absorb(piece, self._fin and self._need == 0)

    def _take_directly(self, pos: int, count: int) -> bool:
        """Take bytes as they are into the message, with nothing to unmask or inflate.

        :returns: False if they are text that has to be checked.
        """
        message = self._message
        assert message is not None
        if self._message_opcode == 1:
            data = self._chunk
            if not self._is_ascii or not utf8.is_ascii(data, pos, count):
                if self._whole is not None:
                    message += wholes.take_out(self._whole, self._filled, True)
                    self._whole = None
                return False
        if self._fin and not message:
            self._take_whole(pos, count)
        else:
            message += memoryview(self._chunk)[pos : pos + count]
        return True

    def _take_whole(self, pos: int, count: int) -> None:
        """Take bytes of a message that is one frame."""
        filled = self._filled if self._whole is not None else 0
        is_text = self._message_opcode == 1
        data = self._chunk
        self._filled = filled + count
        if self._whole is None or self._filled > self._room:
            room = _ROOM_FACTOR * self._filled
            if self._filled < _FIRST_ROOM:
                room = min(room, _FIRST_ROOM)
            self._room = min(room, self._filled + self._need)
            self._whole = wholes.grow(self._whole, filled, self._room, is_text)
        wholes.put(self._whole, filled, data, pos, count, is_text)

    def _absorb(self, piece: bytes, final: bool) -> None:
        """Take the next bytes of a message; ``final``: they are the last ones."""
        if self._message_deflated:
            assert self.deflate is not None
            self._stage = _INFLATING
            piece = self.deflate.begin(piece, final, self._inflate_limit())
            if self.deflate.is_whole:
                self._stage = _NOTHING
        self._append(piece)

    def _inflate_limit(self) -> int:
        """Return how many bytes may be inflated at once: a slice, or a piece, or one more than
        there is room for.
        """
        if self._taker is not None:
            return _PIECE
        if self._max_size < 0:
            return _SLICE
        message = self._message
        room = self._max_size - (0 if message is None else len(message))
        return min(room + 1, _SLICE)

    def _append(self, piece: bytes) -> None:
        """Take the next bytes of the message, inflated and without a mask; may switch, and close
        the stream.
        """
        message = self._message
        assert message is not None
        self._check_size(len(message) + len(piece))
        if self._taker is not None:
            self._hand_out(piece)
        elif not self.is_closed:
            # Text without other characters needs no text made of it to be checked.
            if self._message_opcode == 1 and (self._utf8_rest or not piece.isascii()):
                self._is_ascii = False
                self._check_utf8(piece)
            message += piece

    def _advance(self) -> AnyEvent | None:
        """Do one unit of work on the message that is being joined, or taken in pieces."""
        if self._stage == _INFLATING:
            assert self.deflate is not None
            self._units = 0
            piece = b"" if self.deflate.is_whole else self.deflate.go_on(self._inflate_limit())
            if self.deflate.is_whole:
                self._stage = _NOTHING
            self._append(piece)
            if self._stage or self._need or not self._fin or self.is_closed:
                return None
            return self._finish_message()
        message = self._message
        assert message is not None
        start = self._offset
        size = len(message)
        if start < size:
            with memoryview(message) as view:
                text, used = utf_8_decode(view[start : start + _SLICE], "strict", False)
            if self._texts is None:
                self._texts = []
            self._texts.append(text)
            self._offset = start + used
            return None
        # To join the pieces is one step, whatever the size.
        texts, self._texts = self._texts, None
        self._message = None
        self._message_opcode = 0
        self._stage = _NOTHING
        return self._emit_text("".join(texts or ()), size)

    def _check_utf8(self, piece: bytes) -> str:
        """Check the next bytes of a text, failing as soon as they can no longer be right.

        :returns: the text up to the last whole character.
        """
        if self._utf8_rest:
            piece = self._utf8_rest + piece
        try:
            text, used = utf_8_decode(piece, "strict", False)
        except UnicodeDecodeError as error:
            raise _bad_utf8(error) from None
        rest = piece[used:]
        # The codec waits for the third byte of a surrogate, although the second one is wrong.
        if len(rest) == 2 and rest[0] == 0xED and rest[1] >= 0xA0:
            raise CriticalProtocolError("payload contains invalid utf-8; surrogates not allowed")
        self._utf8_rest = rest
        return text

    def _finish_message(self) -> AnyEvent | None:
        opcode = self._message_opcode
        message = self._message
        assert message is not None
        whole = self._whole
        if whole is not None:
            self._message = self._whole = None
            self._message_opcode = 0
            if opcode == 1:
                return self._emit_text(wholes.finish(whole, True), self._filled)
            return self._emit_binary(wholes.finish(whole, False))
        if opcode == 1:
            if self._utf8_rest:
                raise CriticalProtocolError(
                    "payload contains invalid utf-8; it ends in a character"
                )
            if len(message) > _SLICE:
                self._stage = _DECODING
                self._offset = 0
                return None
        self._message = None
        self._message_opcode = 0
        if self._taker is not None:
            self._finish_pieces(opcode)
            return None
        if opcode == 2:
            return self._emit_binary(bytes(message))
        return self._emit_text(message.decode("utf-8"), len(message))

    def _finish_pieces(self, opcode: int) -> None:
        handler: Any = self._taker
        self._taker = None
        if self.tracer is not None:
            self.tracer("message_text" if opcode == 1 else "message_binary", self._taken)
        handler("" if opcode == 1 else b"", True)

    def _emit_inflated(self, opcode: int, piece: bytes) -> AnyEvent | None:
        assert self.deflate is not None
        payload = self.deflate.begin(piece, True, self._inflate_limit())
        self._units -= len(payload) >> _UNIT_BITS
        if not self.deflate.is_whole or len(payload) > self._max_size >= 0:
            # More than a slice, or than is joined. _advance() goes on.
            self._stage = _INFLATING
            self._begin_frame(0xC0, opcode, 0)
            self._append(payload)
            return None
        if opcode == 2:
            return self._emit_binary(payload)
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _bad_utf8(error) from None
        return self._emit_text(text, len(payload))

    def _emit_text(self, text: str, length: int) -> AnyEvent | None:
        if self.tracer is not None:
            self.tracer("message_text", length)
        if self.skip_text:
            return None
        global _spare_text
        handler: Any = self.text_handler
        event = _spare_text
        if event is None or handler is None:
            event = Text.__new__(Text)
            event._json = None
        else:
            _spare_text = None
        event.text = text
        event.received_time = self.received_time
        if handler is None:
            return event
        self._is_calling = True
        handler(event)
        self._is_calling = False
        if _IS_COMPILED and references.is_unshared(event):
            event.text = ""
            event._json = None
            _spare_text = event
        return None

    def _emit_binary(self, payload: bytes) -> AnyEvent | None:
        if self.tracer is not None:
            self.tracer("message_binary", len(payload))
        if self.skip_binary:
            return None
        global _spare_binary
        handler: Any = self.binary_handler
        event = _spare_binary
        if event is None or handler is None:
            event = Binary.__new__(Binary)
        else:
            _spare_binary = None
        event.data = payload
        event.received_time = self.received_time
        if handler is None:
            return event
        self._is_calling = True
        handler(event)
        self._is_calling = False
        if _IS_COMPILED and references.is_unshared(event):
            event.data = b""
            _spare_binary = event
        return None

    def _report(self, error: Exception) -> None:
        # The handler may have called close(): then only the caller is left to be told.
        if self.handler_failed is None:
            raise error
        try:
            raise error  # so that handler_failed can log it with logging.exception()
        except Exception:
            self.handler_failed(error)

    def _bad_text(self, start: int, stop: int) -> CriticalProtocolError:
        try:
            bytes(self._chunk[start:stop]).decode("utf-8")
        except UnicodeDecodeError as error:
            return _bad_utf8(error)
        raise AssertionError("the text was refused, and is right")

    def _refuse_size(self) -> None:
        raise PayloadTooLarge("message is larger than max_size ({} bytes)", self._max_size)


def _quote(data: bytes) -> str:
    more = "..." if len(data) > _QUOTED else ""
    data = data[:_QUOTED]
    try:
        return repr(utf_8_decode(data, "strict", False)[0]) + more
    except UnicodeDecodeError:
        return repr(data) + more


def _bad_utf8(error: UnicodeDecodeError) -> CriticalProtocolError:
    # Not the error's own text: that would carry the payload into logs.
    return CriticalProtocolError(
        "payload contains invalid utf-8; {} at byte {}", error.reason, error.start
    )


_IS_COMPILED = is_compiled(_bad_utf8)
