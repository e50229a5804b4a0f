"""The record of an echo server, and waiting for a change of the record without polling."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from gevent.event import Event

Message = str | bytes
T = TypeVar("T")


# The number of errors to keep. The first ones tell most, and each keeps the frames it came through.
_MOST_ERRORS = 1000


class Journal:
    """The record that the connections of one server share.

    :param history: the number of latest messages to keep; 0 for none.
    """

    def __init__(self, history: int) -> None:
        #: The latest messages of all connections, in order of arrival.
        self.messages: deque[Message] = deque(maxlen=history)
        #: The number of all messages received.
        self.message_count: int = 0
        #: The first exceptions that came out of behaviours.
        self.errors: list[BaseException] = []
        self._waiters: set[Event] = set()
        self._raised = 0

    def record_message(self, message: Message) -> None:
        """Record a message."""
        self.message_count += 1
        self.messages.append(message)
        self.notify_waiters()

    def notify_waiters(self) -> None:
        """Make every greenlet in :meth:`wait_for` check its condition again."""
        for waiter in self._waiters:
            waiter.set()

    def record_error(self, error: BaseException) -> None:
        """Record an exception that came out of a behaviour, unless there are a thousand already."""
        if len(self.errors) < _MOST_ERRORS:
            self.errors.append(error)
        self.notify_waiters()

    def raise_error(self) -> None:
        """Raise the first exception that was not raised yet, if any."""
        if self._raised < len(self.errors):
            self._raised += 1
            raise self.errors[self._raised - 1]

    def wait_for(self, condition: Callable[[], T], timeout: float | None) -> T:
        """Wait until ``condition()`` is true, and return its result.

        :param timeout: the time limit in seconds; None: no limit.
        :raises TimeoutError: the condition is not true in time.
        """
        deadline = None if timeout is None else monotonic() + timeout
        changed = Event()
        self._waiters.add(changed)
        try:
            while True:
                self.raise_error()
                if result := condition():
                    return result
                left = None if deadline is None else deadline - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(
                        f"not true within {timeout} s ({self.message_count} messages so far)"
                    )
                # libuv's timers have a resolution of a millisecond, and gevent warns about less.
                changed.wait(None if left is None else max(left, 0.001))
                changed.clear()
        finally:
            self._waiters.remove(changed)
