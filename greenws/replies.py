"""Requests that wait for their reply: who gets which message."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent import Timeout

from . import errors
from .constants import LONGEST_WAIT, SHORTEST_WAIT
from .options import check_seconds
from .sessions.mailboxes import Ticket

if TYPE_CHECKING:
    from .events import Binary, Text

    Message = Text | Binary
    Match = Callable[[Text | Binary], object]

#: Returns the key of a message, by which a waiting request is found; None: it is no reply.
ReplyKey = Callable[["Text | Binary"], "Hashable | None"]


class Replies:
    """The requests of one connection that wait.

    By key a reply is found by one look-up, however many wait; by ``match`` the requests are asked
    in the order in which they were made.
    """

    __slots__ = ("_by_key", "_by_match", "_reply_key")

    def __init__(self) -> None:
        self._by_key: dict[Hashable, Ticket] = {}
        self._by_match: dict[Ticket, Match] = {}
        # Kept while requests wait by key: it may be a method of an object that has the connection.
        self._reply_key: ReplyKey | None = None

    def __len__(self) -> int:
        return len(self._by_key) + len(self._by_match)

    def ask(
        self,
        send: Callable[[], object],
        wait: Callable[[Ticket, float | None], Any],
        match: Match | None,
        key: Hashable | None,
        reply_key: ReplyKey | None,
        timeout: float | None,
        give_back: Callable[[Message], object] | None,
    ) -> Message:
        """Send a request, and wait for its reply; arguments as :func:`check_request` wants them.

        :param send: sends the request.
        :param wait: waits for the ticket, for so many seconds at most.
        :param give_back: called with the reply of a request that has gone meanwhile; or None.
        :raises TypeError: the key cannot be hashed.
        :raises ValueError: another request waits for it.
        """
        deadline = None if timeout is None else monotonic() + timeout
        if key is not None and key in self._by_key:
            raise ValueError(f"a request waits for the key {key!r} already")
        ticket = Ticket()
        # First, as the reply may come while the send waits.
        if match is not None:
            self._by_match[ticket] = match
        else:
            assert key is not None
            self._by_key[key] = ticket
            self._reply_key = reply_key
        reply: Message
        try:
            send_in_time(send, timeout)
            reply = wait(ticket, None if deadline is None else max(0.0, deadline - monotonic()))
        except BaseException:
            self._remove(ticket, key)
            if ticket.value is not None and give_back is not None:
                give_back(ticket.value)
            raise
        return reply

    def _remove(self, ticket: Ticket, key: Hashable | None) -> None:
        if key is None:
            self._by_match.pop(ticket, None)
        elif self._by_key.get(key) is ticket:
            del self._by_key[key]
            self._forget_reply_key()

    def take(self, message: Message) -> bool:
        """Give the message to the request whose reply it is; False: it is nobody's.

        :raises Exception: what came out of ``reply_key``. An exception of a ``match`` comes out of
            its own request.
        """
        if self._by_key:
            assert self._reply_key is not None
            key = self._reply_key(message)
            ticket = None if key is None else self._by_key.pop(key, None)
            if ticket is not None:
                self._forget_reply_key()
                ticket.settle(message)
                return True
        if self._by_match:
            for ticket, match in list(self._by_match.items()):
                try:
                    is_reply = match(message)
                except Exception as error:
                    if self._by_match.pop(ticket, None) is not None:
                        ticket.fail(error)
                    continue
                # It may have gone meanwhile, as a match may switch.
                if is_reply and self._by_match.pop(ticket, None) is not None:
                    ticket.settle(message)
                    return True
        return False

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """Have every request raise an error: the connection has ended."""
        waiting = [*self._by_key.values(), *self._by_match]
        self._by_key.clear()
        self._by_match.clear()
        self._reply_key = None
        for ticket in waiting:
            ticket.fail(make_error())

    def _forget_reply_key(self) -> None:
        if not self._by_key:
            self._reply_key = None


def send_in_time(send: Callable[[], object], timeout: float | None) -> None:
    """Send; raise TimeoutError if that waits too long, for a server that reads nothing."""
    if timeout is None or timeout == float("inf"):
        send()
        return
    limit = Timeout(min(max(SHORTEST_WAIT, timeout), LONGEST_WAIT))
    limit.start()
    try:
        send()
    except Timeout as error:
        if error is not limit:
            raise
        raise TimeoutError(f"it was not taken within {timeout:g} s") from None
    finally:
        limit.close()


def check_request(match: Match | None, key: Hashable | None, reply_key: ReplyKey | None) -> None:
    """Check what a request is told of its reply.

    :raises TypeError: it is not told just one of ``match`` and ``key``; or by key, and there is no
        ``reply_key``.
    """
    if match is None and key is None:
        raise TypeError("request() needs a match or a key, to know its reply")
    if match is not None and key is not None:
        raise TypeError("request() takes a match or a key, not both")
    if match is not None and not callable(match):
        raise TypeError("match must be callable")
    if key is not None and reply_key is None:
        raise TypeError("request() by key needs reply_key, which tells the key of a message")


def check_timeout(timeout: float | None) -> None:
    """Check the time limit of a call.

    :raises TypeError: it is no number.
    :raises ValueError: it is negative, or too large.
    """
    check_seconds("timeout", timeout)


def encode_request(message: object) -> str | bytes | bytearray | memoryview:
    """Return what a request sends: a dict or a list as JSON, all else as it is.

    :raises TypeError: it is no message.
    """
    if isinstance(message, (str, bytes, bytearray, memoryview)):
        return message
    if isinstance(message, (dict, list)):
        return json.dumps(message)
    raise TypeError(
        f"a request must be str, bytes, or a dict or list for JSON, not {type(message).__name__}"
    )


def build_closed(
    code: int,
    reason: str,
    sent_code: int | None,
    graceful: bool,
    cause: BaseException | None = None,
) -> errors.WebSocketClosed:
    """Return the error of a call after the end of a connection.

    :param code: the close code received, or what stands for none.
    :param cause: the exception of the user's that has ended it.
    """
    error = errors.WebSocketClosed(
        f"the connection has ended (code {code})" + (f": {reason}" if reason else ""),
        code=code,
        reason=reason,
        sent_code=sent_code,
        graceful=graceful,
    )
    error.__cause__ = cause
    return error
