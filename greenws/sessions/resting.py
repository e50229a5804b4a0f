"""Sessions without a greenlet: while they wait, the hub reads for them, and parses.

A session that *rests* has its iteration left where it is, at :data:`.session.RESTING`. The hub
reads and parses, as long as that is messages for the mailbox, one whole frame each, and switches
straight to whoever waits for a message. For anything else a greenlet goes on with the iteration. So
an idle :class:`greenws.Connection` has no stack, and a message costs two switches.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..native import ticks
from ..protocol.frame import Payload
from ..protocol.stream import HEADROOM, Stream
from .inbox import NOTHING
from .lifecycle import FAILED, READY
from .mailboxes import Mailbox
from .reactor import Deputy
from .session import End, GeventSession


class HubReader(Deputy):
    """Goes on with a session in the hub, while the session has no greenlet.

    :param session: the session; it refers to this object until it ends.
    :param stream: its parser.
    :param mailbox: where its messages go.
    :param rouse: has a greenlet go on with the iteration.
    """

    __slots__ = ("_chunk_size", "_failure", "_found", "_mailbox", "_rouse", "_session", "_stream")

    def __init__(
        self,
        session: GeventSession,
        stream: Stream,
        mailbox: Mailbox,
        rouse: Callable[[], object],
    ) -> None:
        self._session = session
        self._stream = stream
        self._mailbox = mailbox
        self._rouse = rouse
        # What the hub has found that is left for the greenlet: a size as of _receive(), or why the
        # session ends.
        self._found = NOTHING
        self._failure: End | None = None
        # The size of the read whose messages are held.
        self._chunk_size = 0

    def may_rest(self) -> bool:
        if self._session._life.state != READY:
            return False
        return self._stream.is_between and self._mailbox.is_alone()

    def take_found(self) -> int:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        size, self._found = self._found, NOTHING
        return size

    def halt(self) -> bool:
        if not self._stream.is_brief:
            return False
        self._stream.halt()
        return True

    def resume(self) -> None:
        session = self._session
        try:
            self._go_on()
        except BaseException:
            # A signal handler's, or a receiver's that is no greenlet of gevent's. An exception that
            # got to the loop would stop the watcher.
            session._hub.handle_error(session, *sys.exc_info())
            session._reactor.turn.run_callback(session._wake_now)

    def _go_on(self) -> None:
        """Read, and resume a receiver; or have a greenlet go on, if there is more to be done."""
        session, mailbox = self._session, self._mailbox
        if session._deputy is None:
            return  # released; the iteration is about to be closed
        if session._is_held and session._life.state < FAILED:
            if session._attention:  # a silence, which is ours
                session._attention = False
                session._schedule.note_received(ticks.precise())
                session._arm()
            return
        if session._attention or self._found != NOTHING or self._failure is not None:
            self._start_greenlet()
            return
        if not mailbox.is_alone():
            session._attention = True
            self._start_greenlet()
            return
        is_done = False
        mailbox.begin_calls()
        session._is_resting = False  # nobody else goes on meanwhile
        try:
            is_done = self._read() and not session._attention
        finally:
            session._is_resting = True
            ticket = mailbox.end_calls()
            if ticket is not None and not is_done:
                ticket.wake_later()
        if not is_done:
            self._start_greenlet()
            return
        if ticket is not None:
            ticket.wake()  # who waits again, the mailbox notes that
        elif not session._crowd.is_crowded:
            session._reactor.busy_poll.note()
        outbox = session._outbox
        if outbox.is_dirty and outbox.transport is not None:
            outbox.flush()

    def _start_greenlet(self) -> None:
        session = self._session
        if session._deputy is not None:
            session._is_held = False
            self._rouse()

    def read_on(self) -> bool:
        session, stream = self._session, self._stream
        session._is_held = False
        session._schedule.note_received(ticks.precise())
        if session._attention or not self._mailbox.is_alone() or session._reactor.rota.is_over():
            if stream.is_paused:
                self._found = self._chunk_size
            else:
                session._attention = True  # which has the greenlet read
            return False
        session._is_resting = False
        try:
            if stream.is_paused:
                self._found = self._chunk_size
                if not self._note_parsed(self._chunk_size, stream.resume_briefly()):
                    return False
                if session._is_held:
                    return True
            return self._read()
        finally:
            session._is_resting = True

    def _read(self) -> bool:
        """Read and parse as long as the greenlet would before it waits.

        :returns: False if a greenlet has to go on.
        """
        session, stream = self._session, self._stream
        reactor, inbox, outbox = session._reactor, session._inbox, session._outbox
        while True:
            try:
                size = session._read()
            except End as end:
                self._failure = end
                return False
            if size == 0:
                self._found = 0
                return False
            if size > 0:
                self._found = size  # should the parser be interrupted
                is_done = stream.digest_viewed_briefly(
                    reactor.buffer, HEADROOM, HEADROOM + size, ticks.epoch(), reactor.view
                )
                if not self._note_parsed(size, is_done):
                    return False
                if session._is_held:
                    return True
            if inbox.has_bytes():
                if size == NOTHING or inbox.take_burst() or reactor.rota.is_over():
                    inbox.end_burst()
                    session._attention = True
                    return False
            elif size == NOTHING or not inbox.take_flow():
                break
        if outbox.is_dirty or outbox.is_stalled:
            outbox.flush()
        if inbox.transport is not None:
            inbox.watch(session, reactor.is_libuv)
        return True

    def _note_parsed(self, size: int, is_done: bool) -> bool:
        """Take note that the parser has stopped; False: not because of a hold, and not at the end
        of the bytes.
        """
        if not is_done and not self._session._is_held:
            return False
        self._found = NOTHING
        if not is_done:
            self._chunk_size = size
            return True
        self._session._note_digested(self._stream, size)
        return True


class Regulator:
    """What a :class:`greenws.Connection` needs of its session, beyond the contract.

    :param session: the session, which runs.
    """

    __slots__ = ("_session",)

    def __init__(self, session: GeventSession) -> None:
        self._session = session

    def hold(self) -> bool:
        """Read nothing more until :meth:`release` is called; False: the session is over."""
        return self._session._hold()

    def release(self) -> None:
        """Read on; idempotent."""
        self._session._go_on()

    def rest(self, mailbox: Mailbox, rouse: Callable[[], object]) -> None:
        """Let the session do without a greenlet while it waits, if it can.

        The hub reads then, and parses what comes, as long as that is messages for the mailbox, one
        whole frame each. Whenever the iteration has yielded :data:`.session.RESTING`, it need not
        be continued before ``rouse`` is called, which is to do so in a greenlet of its own, at
        once.

        A session whose parser calls functions of the user's, or inflates, does not rest. Nor does
        one of a class of the user's, which may not know :data:`.session.RESTING`.

        :param mailbox: its ``accept`` takes the messages, unless it says otherwise.
        """
        session = self._session
        stream = session._get_websocket().parser
        if type(session) is not GeventSession or stream is None:
            return
        if stream.tracer is None and stream.deflate is None:
            session._deputy = HubReader(session, stream, mailbox, rouse)

    @property
    def has_broken(self) -> bool:
        """Whether the connection was found broken by a write."""
        return self._session._has_broken()

    def flush(self) -> None:
        """Send what is queued, as far as it is taken at once."""
        self._session._outbox.flush()

    def begin_pieces(self) -> None:
        """Have other messages wait for one that is sent in pieces; waits for its turn."""
        self._session._outbox.begin_pieces()

    def send_piece(self, opcode: int, payload: Payload, rsv1: bool, fin: bool) -> None:
        """Send a piece as a fragment; see :meth:`.outbox.Outbox.put_piece`."""
        self._session._outbox.put_piece(opcode, payload, rsv1, fin)

    def end_pieces(self) -> None:
        """Let other messages go on; idempotent."""
        self._session._outbox.end_pieces()
