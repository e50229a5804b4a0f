"""What an echo server has seen, and waiting for it without polling."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from gevent.event import Event

Message = str | bytes
T = TypeVar("T")


class Journal:
    """The record that the connections of one server share.

    :param history: how many messages to keep, the latest; 0 for none.
    """

    def __init__(self, history: int) -> None:
        #: The latest messages of all connections, in order of arrival.
        self.messages: deque[Message] = deque(maxlen=history)
        #: How many messages there were in all.
        self.message_count: int = 0
        #: Exceptions that came out of behaviours.
        self.errors: list[BaseException] = []
        self._waiters: set[Event] = set()
        self._raised = 0

    def note_message(self, message: Message) -> None:
        """Record a message."""
        self.message_count += 1
        self.messages.append(message)
        self.note_change()

    def note_change(self) -> None:
        """Have those who wait look at their condition again."""
        for waiter in self._waiters:
            waiter.set()

    def note_error(self, error: BaseException) -> None:
        """Record an exception that came out of a behaviour."""
        self.errors.append(error)
        self.note_change()

    def raise_error(self) -> None:
        """Raise the first exception not raised yet, if there is one."""
        if self._raised < len(self.errors):
            self._raised += 1
            raise self.errors[self._raised - 1]

    def wait_for(self, condition: Callable[[], T], timeout: float | None) -> T:
        """Wait until ``condition()`` is true, and return what it returned.

        :param timeout: seconds, or None to wait for ever.
        :raises TimeoutError: if it is not true in time.
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
                        f"not within {timeout} s ({self.message_count} messages so far)"
                    )
                # libuv's timers have whole milliseconds, and gevent warns about less.
                changed.wait(None if left is None else max(left, 0.001))
                changed.clear()
        finally:
            self._waiters.remove(changed)
