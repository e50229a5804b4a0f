"""Received messages that nobody has taken yet, and the greenlets that wait for one.

A :class:`Ticket` is one wait of one greenlet. A :class:`Mailbox` has two queues, of which one is
always empty: messages that wait for a receiver, or receivers that wait for a message. So the first
receiver gets the first message, and no message goes to two.

A message is handed to a receiver before the receiver runs. If the receiver is killed meanwhile, the
message goes to the next one, or back to the head of the queue: none is lost.

A receiver that takes its message in pieces (:mod:`greenws.fragments`) stands in the same line, by a
ticket of a class of its own. It leaves the line when its message begins to arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from gevent import get_hub, getcurrent, sleep
from greenlet import greenlet

from ..errors import WebSocketUnavailable
from ..native import ticks
from . import threads
from .clock import NEVER, Alarm
from .lifecycle import ELSEWHERE
from .reactor import Reactor, get_reactor

if TYPE_CHECKING:
    from ..events import Binary, Text

    Message = Text | Binary

# As in sessions/crowd.py: gevent's Hub.switch would first ask the current greenlet for a
# switch_out().
_switch = greenlet.switch

# Bytes from which on a message is measured.
_LARGE = 1024


class Valve(Protocol):
    """What stops reading, and goes on: that of a session of ours, or a :class:`Gate`."""

    def hold(self) -> bool:
        """Wait until reading may go on, in the greenlet that reads; False: the session is over."""

    def release(self) -> None:
        """Have reading go on."""


class Ticket(Alarm):
    """One wait of one greenlet: for a value, an error, or the end of its time."""

    __slots__ = ("_error", "_greenlet", "_is_late", "_reactor", "is_settled", "value")

    def __init__(self) -> None:
        Alarm.__init__(self)
        #: Whether there is a value or an error.
        self.is_settled: bool = False
        #: What was waited for.
        self.value: Any = None
        self._error: BaseException | None = None
        # The greenlet, while it waits.
        self._greenlet: Any = None
        self._reactor: Reactor | None = None
        self._is_late = False

    def take(self, value: object) -> None:
        """Take a value; the caller sees to it that the greenlet runs."""
        self.value = value
        self.is_settled = True

    def settle(self, value: object) -> None:
        """End the wait by a value. The greenlet runs later."""
        self.take(value)
        self.wake_later()

    def wake(self) -> None:
        """Switch to the greenlet, if it waits; called in the hub's greenlet."""
        if self._greenlet is not None:
            _switch(self._greenlet)

    def wake_later(self) -> None:
        """Have the hub switch to the greenlet, if it waits."""
        if self._greenlet is not None:
            assert self._reactor is not None
            self._reactor.turn.run_callback(self.wake)

    def fail(self, error: BaseException) -> None:
        """End the wait by an error, which :meth:`wait` raises."""
        self._error = error
        self.settle(None)

    def wait(self, reactor: Reactor, timeout: float | None = None) -> Any:
        """Wait, and return the value.

        :raises TimeoutError: ``timeout`` seconds have passed, and :attr:`is_settled` is False.
        """
        if not self.is_settled:
            hub = reactor.hub
            if hub is None or hub.loop is None:  # destroyed
                hub = get_hub()
            current = getcurrent()
            if current is hub:
                raise RuntimeError("the hub itself cannot wait; spawn a greenlet for that")
            self._greenlet = current
            self._reactor = reactor
            self._is_late = False
            if timeout is not None:
                reactor.clock.set(self, ticks.precise() + timeout)
            try:
                # Anybody may switch to a greenlet, so this looks whether it was meant.
                while not self.is_settled and not self._is_late:
                    _switch(hub)
            finally:
                self._greenlet = None
                if timeout is not None:
                    reactor.clock.set(self, NEVER)
            if not self.is_settled:
                raise TimeoutError(f"nothing came within {timeout:g} s")
        if self._error is not None:
            raise self._error
        return self.value

    def reset(self) -> None:
        """Forget the value: the ticket, which is a bare one, can be used again."""
        self.is_settled = False
        self.value = None
        self._reactor = None

    def reach_front(self) -> None:
        """Take note that no receiver is before this one any more, as the last one has gone."""

    def _ring(self, due: float, now: float) -> None:
        self._is_late = not self.is_settled
        self.wake()


def wait_for_ticket(ticket: Ticket, timeout: float | None) -> Any:
    """Wait for a ticket on the hub of this thread; as :meth:`Ticket.wait`."""
    return ticket.wait(get_reactor(), timeout)


class Piecemeal(Protocol):
    """What a mailbox has to know of a message that is received in pieces."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be taken of it."""

    def wake(self) -> None:
        """Have the greenlet that waits for it look again."""


class Gate:
    """Stops reading for a session of others, by keeping its greenlet in the handler."""

    __slots__ = ("_reactor", "_ticket")

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._ticket: Ticket | None = None

    def hold(self) -> bool:
        """Wait until :meth:`release` is called."""
        self._ticket = Ticket()
        try:
            self._ticket.wait(self._reactor)
        finally:
            self._ticket = None
        return True

    def release(self) -> None:
        """End the wait, if there is one."""
        if self._ticket is not None and not self._ticket.is_settled:
            self._ticket.settle(None)


class Mailbox:
    """The received messages of one connection, as events.

    :param max_messages: messages at which reading stops.
    :param max_bytes: bytes of them at which it stops, too.
    """

    __slots__ = (
        "_end",
        "_first_called",
        "_has_requests",
        "_is_called_by_hub",
        "_is_open",
        "_is_wanting",
        "_large",
        "_line",
        "_low",
        "_max_bytes",
        "_max_messages",
        "_owner",
        "_queue",
        "_size",
        "_thread",
        "_valve",
        "piecemeal",
        "reactor",
    )

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        #: The reactor of the hub that the connection belongs to.
        self.reactor: Reactor = get_reactor()
        self._thread = threads.get_ident()
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        # Messages at which reading goes on.
        self._low = max_messages // 2
        # Smaller messages are counted, but not measured: all of them together are no more than
        # max_bytes.
        self._large = min(_LARGE, max_bytes // max_messages + 1)
        # Idle connections have neither of the two.
        self._queue: deque[Message] | None = None
        self._line: deque[Ticket] | None = None
        # Bytes of the large messages in the queue.
        self._size = 0
        # Makes the error of a call after the end; None: there may be more messages.
        self._end: Callable[[], Exception] | None = None
        self._valve: Valve | None = None
        self._owner: object = None
        # Whether reading goes on, however many messages there are.
        self._is_open = False
        # Whether reading has stopped until somebody waits for a message.
        self._is_wanting = False
        # Whether messages may go elsewhere than here, which a greenlet has to find out.
        self._has_requests = False
        # Whether the hub reads, and resumes the first receiver itself; and this receiver.
        self._is_called_by_hub = False
        self._first_called: Ticket | None = None
        #: The message that is received in pieces, or was last; None: there is none.
        self.piecemeal: Piecemeal | None = None

    def __len__(self) -> int:
        return 0 if self._queue is None else len(self._queue)

    def regulate(self, valve: Valve) -> None:
        """Stop reading by ``valve`` when there are too many messages."""
        self._valve = valve

    def own(self, owner: object) -> None:
        """Take note of the greenlet that reads, which cannot wait for what it has to bring itself;
        None: there is none, or it is the hub.
        """
        self._owner = owner

    def share(self) -> None:
        """Take note that :meth:`accept` is not the handler of the parser any more: a function of
        the user's may take a message, and has to be called by a greenlet.
        """
        self._has_requests = True

    def is_alone(self) -> bool:
        """Whether all messages come here as a whole, so that the hub can bring them."""
        if self._has_requests:
            return False
        return self.piecemeal is None or self.piecemeal.is_over

    # What the hub brings

    def begin_calls(self) -> None:
        """Have the first receiver that gets a message wait for :meth:`end_calls`."""
        self._is_called_by_hub = True

    def end_calls(self) -> Ticket | None:
        """Return the ticket of the receiver that the caller has to wake."""
        self._is_called_by_hub = False
        ticket, self._first_called = self._first_called, None
        return ticket

    def accept(self, message: Message) -> None:
        """Take a message: the handler of a parser whose messages all come here."""
        if self._line:
            self._hand_over(message)
        else:
            self.put(message, measure(message))

    def open(self) -> None:
        """Have reading go on for good, as the connection is closing: the peer's answer may stand
        behind messages that nobody takes. Those that find no room are dropped.
        """
        self._is_open = True
        self.resume()

    def hold(self) -> bool:
        """Stop reading until :meth:`resume` or :meth:`open` is called.

        :returns: False if what comes now and finds no room is to be dropped: the connection is
            closing.
        """
        return not self._is_open and self._valve is not None and self._valve.hold()

    def await_receiver(self) -> bool:
        """Stop reading until somebody waits for a message, or for a reply; as :meth:`hold`."""
        self._is_wanting = True
        try:
            return self.hold()
        finally:
            self._is_wanting = False

    def call(self) -> None:
        """Have reading go on, if it has stopped for want of somebody who waits."""
        if self._is_wanting:
            self.resume()

    def resume(self) -> None:
        """Have reading go on, if it has stopped."""
        if self._valve is not None:
            self._valve.release()

    @property
    def is_awaited(self) -> bool:
        """Whether a greenlet waits for a message."""
        return bool(self._line)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the caller is in another thread than the hub."""
        return self._thread != threads.get_ident()

    def check_thread(self) -> None:
        """Raise an error in another thread than that of the hub."""
        if self._thread != threads.get_ident():
            raise WebSocketUnavailable(ELSEWHERE)

    @property
    def may_wait(self) -> bool:
        """Whether the caller can wait: neither the hub can, nor the greenlet that reads."""
        current = getcurrent()
        return current is not self._owner and current is not get_hub()

    def wait(self, ticket: Ticket, timeout: float | None) -> Any:
        """Wait for a ticket; as :meth:`Ticket.wait`.

        :raises RuntimeError: the caller reads the messages, or is the hub.
        """
        if self._owner is not None and getcurrent() is self._owner:
            raise RuntimeError("this greenlet receives the messages, and cannot wait for one")
        return ticket.wait(self.reactor, timeout)

    # Putting messages in, in the greenlet that reads, or in the hub

    def put(self, message: Message, size: int) -> None:
        """Hand a message to the first that waits, or queue it; waits at the limit.

        :param size: its bytes, or its characters.
        """
        if self._line:
            self._hand_over(message)
            return
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        if size >= self._large:
            if self._is_open and self._is_full:
                return
            self._size += size
        elif self._is_open and self._is_full:
            return
        queue.append(message)
        if len(queue) >= self._max_messages or self._size >= self._max_bytes:
            self.hold()

    def _hand_over(self, message: Message) -> None:
        """Give a message to the first of those that wait."""
        line = self._line
        assert line is not None
        ticket = line.popleft()
        if self._is_called_by_hub and self._first_called is None:
            self._first_called = ticket
            ticket.take(message)
        else:
            ticket.settle(message)

    @property
    def _is_full(self) -> bool:
        return len(self) >= self._max_messages or self._size >= self._max_bytes

    def give_back(self, message: Message) -> None:
        """Take back a message whose receiver has gone: it is the next one's."""
        if self._line:
            self._line.popleft().settle(message)
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.appendleft(message)
        size = measure(message)
        if size >= self._large:
            self._size += size

    # Taking them out

    def take(self, timeout: float | None) -> Message:
        """Return the next message, after waiting if there is none.

        :raises TimeoutError: there was none within ``timeout`` seconds.
        :raises WebSocketUnavailable: called in another thread.
        :raises RuntimeError: a message is being received in pieces.
        :raises Exception: after the end, what :meth:`end` was told.
        """
        if self._thread != threads.get_ident():
            raise WebSocketUnavailable(ELSEWHERE)
        if self.piecemeal is not None:
            self._check_piecemeal()
        queue = self._queue
        if not queue:
            return self._wait(timeout)
        message = queue.popleft()
        is_room = len(queue) == self._low
        if self._size:
            size = measure(message)
            if size >= self._large:
                is_room |= self._size >= self._max_bytes
                self._size -= size
        if is_room:
            self.resume()
        return message

    def take_for(self, piecemeal: Piecemeal) -> Message:
        """Return the next message, of which there is one, for a receiver that takes pieces."""
        self.piecemeal = None
        try:
            return self.take(None)
        finally:
            self.piecemeal = piecemeal

    def _check_piecemeal(self) -> None:
        """Raise an error while a message is received in pieces: the next message stands behind it,
        and whoever waits for that may be the one that has to take the pieces.
        """
        if self._is_in_pieces and self.may_wait:
            # Right after a gevent.Timeout, the hub is in the midst of the callback that has raised
            # it. Until the hub goes on, an iterator that was left by it is kept with its frames.
            sleep(0)
        if self._is_in_pieces:
            raise RuntimeError("a receive_stream() has not ended; its close() would end it")
        self.piecemeal = None

    @property
    def _is_in_pieces(self) -> bool:
        return self.piecemeal is not None and not self.piecemeal.is_over

    def begin_pieces(self, piecemeal: Piecemeal) -> None:
        """Take note of a message that is received in pieces.

        :raises RuntimeError: there is another one.
        """
        self._check_piecemeal()
        self.piecemeal = piecemeal

    def _wait(self, timeout: float | None) -> Message:
        if self._end is not None:
            raise self._end()
        reactor = self.reactor
        ticket: Ticket | None = reactor.spare_ticket
        reactor.spare_ticket = None
        if ticket is None:
            ticket = Ticket()
        self.stand_in_line(ticket)
        # The session has noted that it waits again before the receiver had the message, and so
        # before there was anything that the peer could answer.
        reactor.busy_poll.note()
        message: Message
        try:
            message = self.wait(ticket, timeout)
        except BaseException:
            self.withdraw(ticket)
            raise
        # Somebody else may have switched to this greenlet before the callback that was to wake it.
        # Then the next wait by this ticket is woken in vain, and waits on.
        ticket.reset()
        reactor.spare_ticket = ticket
        return message

    def stand_in_line(self, ticket: Ticket) -> None:
        """Have ``ticket`` settled with the first message that nobody before it takes."""
        if self._line is None:
            self._line = deque()
        self._line.append(ticket)
        if self._is_wanting:
            self.resume()

    @property
    def first(self) -> Ticket | None:
        """The receiver that gets the next message, if one waits."""
        return self._line[0] if self._line else None

    def withdraw(self, ticket: Ticket) -> None:
        """Take a receiver that has gone out of the line; what it was handed is the next one's."""
        if not ticket.is_settled:
            line = self._line
            if line and ticket in line:
                line.remove(ticket)
                if line:
                    line[0].reach_front()
        elif ticket.value is not None:
            self.give_back(ticket.value)

    # The end

    @property
    def has_ended(self) -> bool:
        """Whether no more messages will come."""
        return self._end is not None

    def end(self, make_error: Callable[[], Exception]) -> None:
        """Have those that wait, and calls to come, raise an error, once the messages are taken."""
        if self._end is not None:
            return
        self._end = make_error
        line, self._line = self._line, None
        for ticket in line or ():
            ticket.fail(make_error())


def measure(message: Message) -> int:
    """Return the number of bytes, or of characters, of a message."""
    return len(message.text) if message.name == "text" else len(message.data)
