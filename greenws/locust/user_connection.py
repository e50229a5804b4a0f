"""One connection of a user, whose openings, sends, requests and end are rows of Locust's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from time import monotonic, perf_counter, time
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from gevent import Greenlet, getcurrent, sleep

from .. import errors, events
from ..backoff import Backoff, Outcome, find_retry_after
from ..connection import Connection, ConnectionOptions, Message, connect
from ..replies import check_request, check_timeout, encode_request
from ..status import Status
from .answer import STEERING, Answer
from .failures import ENDINGS, abandon, quieten

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..events import Binary, Text

    Handler = Callable[[Text | Binary], object]


# Requests given up that a connection remembers. A server that is late with more has lost them.
_MOST_GIVEN_UP = 100


class Owner(Protocol):
    """The user of a connection, as the connection sees it."""

    def report(
        self,
        kind: str,
        name: str,
        response_time: float,
        response_length: int,
        exception: Exception | None = None,
        response: object = None,
        url: str | None = None,
    ) -> None:
        """Make a row."""

    def take_failure(self, error: Exception) -> None:
        """Deal with an exception out of a function of the user's."""

    def keep(self, connection: UserConnection) -> None:
        """Close this connection when the user stops."""

    def release(self, connection: UserConnection) -> None:
        """Forget a connection that has ended for good."""

    def on_reconnect(self, connection: UserConnection) -> None:
        """A connection was opened again."""


class Terms:
    """What is agreed on for a connection before it is opened."""

    __slots__ = ("backoff", "name", "normal_codes", "on_binary", "on_text", "options", "url")

    def __init__(
        self,
        url: str,
        name: str,
        options: ConnectionOptions,
        on_text: Callable[[Text], object] | None,
        on_binary: Callable[[Binary], object] | None,
        backoff: Backoff | None,
        normal_codes: frozenset[int],
    ) -> None:
        self.url: str = url
        #: Of the rows, where a call has no other.
        self.name: str = name
        self.options: ConnectionOptions = options
        #: The handlers of pushes, or None.
        self.on_text: Callable[[Text], object] | None = on_text
        self.on_binary: Callable[[Binary], object] | None = on_binary
        #: The waits before the connection is opened again; None: it is not.
        self.backoff: Backoff | None = backoff
        self.normal_codes: frozenset[int] = normal_codes


class UserConnection:
    """A connection of a user; :meth:`WebSocketUser.connect` opens it.

    Use it as a context manager, which closes it, or leave it to the end of the user.

    An error that is raised was told in a row before, or was no failure. A task need not catch it:
    it just ends there, without a traceback. A user that comes back to a connection that has ended
    is stopped.
    """

    __slots__ = (
        "_again",
        "_asked",
        "_connection",
        "_end",
        "_failures",
        "_given_up",
        "_is_met",
        "_ready",
        "_terms",
        "_user",
    )

    def __init__(self, user: Owner, terms: Terms) -> None:
        self._user = user
        self._terms = terms
        self._connection: Connection
        # How the connection has ended, or None.
        self._end: errors.WebSocketClosed | None = None
        # Whether a call has met that end.
        self._is_met = False
        # When the user has asked for the end, in seconds of perf_counter(), or None.
        self._asked: float | None = None
        # The greenlet that opens it again, or None.
        self._again: Greenlet[..., Any] | None = None
        # Requests that were given up, as match and key; None: there was none.
        self._given_up: (
            deque[tuple[Callable[[Text | Binary], object] | None, Hashable | None]] | None
        ) = None
        # Failures in a row, for the back-off; and when the connection became ready.
        self._failures = 0
        self._ready = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {'open' if self.is_open else 'closed'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close: with 1000, or with 1011 after an exception. The end of the user, or a
        ``gevent.Timeout``, does not wait here for the end of the connection.
        """
        if error is None or isinstance(error, STEERING):
            self.close()
        elif isinstance(error, Exception):
            self.close(Status.UNEXPECTED_CONDITION)
        else:
            self._ask()
            self._connection.__exit__(kind, error, traceback)

    # What it is

    @property
    def name(self) -> str:
        """The name of its rows, where a call has no other."""
        return self._terms.name

    @property
    def url(self) -> str:
        """The URL."""
        return self._terms.url

    @property
    def connection(self) -> Connection:
        """The :class:`greenws.Connection` underneath, whose calls are no rows."""
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether messages may be sent."""
        return self._end is None and self._connection.is_open

    # Opening

    def open(self) -> None:
        """Open it: a row ``WS``, whose time is that until messages may be sent.

        :raises greenws.errors.ConnectFail: it could not be opened.
        """
        terms = self._terms
        began = perf_counter()
        try:
            connection = connect(terms.url, **terms.options)
        except errors.ConnectFail as error:
            self._report("WS", terms.name, began, 0, error)
            raise
        seconds = perf_counter() - began
        connection.listen(self)
        self._connection = connection
        self._end, self._is_met, self._given_up = None, False, None
        self._ready = monotonic()
        self._user.keep(self)
        self._user.report("WS", terms.name, seconds * 1000, 0, url=terms.url)

    # Sending and receiving

    def send(self, message: object, *, name: str | None = None) -> None:
        """Send a message: a row ``WSS``, whose time is that until the system, or the queue, has it.

        :param message: str as text; bytes, bytearray or memoryview as binary; a dict or a list as
            JSON.
        :param name: of the row; None: that of the connection.
        """
        payload = encode_request(message)
        connection = self._use()
        began = perf_counter()
        try:
            connection.send(payload)
        except ENDINGS as error:
            raise self._meet(error) from None
        self._report("WSS", name, began, count_bytes(payload))

    def receive(self, timeout: float | None = None, *, name: str | None = None) -> Message:
        """Return the next message that no request and no handler takes: str or bytes.

        :param timeout: seconds to wait; None: no limit.
        :param name: of a row ``WSR``, whose time is that of the wait; None: there is no row, and
            :meth:`WebSocketUser.record` may make one.
        :raises TimeoutError: there was none in time. With a ``name`` it is a failed row.
        """
        began = perf_counter()
        while True:
            connection = self._connection
            try:
                message = connection.receive(timeout)
            except TimeoutError:
                if name is None:
                    raise
                late = _build_timeout("message", timeout)
                self._report("WSR", name, began, 0, late)
                raise quieten(late) from None
            except ENDINGS as error:
                self._await_end()
                self._await_again()
                if self._connection is connection:
                    raise self._meet(error) from None
                continue
            if name is not None:
                self._report("WSR", name, began, count_bytes(message))
            return message

    @overload
    def request(
        self,
        message: object,
        *,
        name: str | None = None,
        match: Callable[[Text | Binary], object] | None = None,
        key: Hashable | None = None,
        timeout: float | None = None,
        catch_response: Literal[False] = False,
    ) -> Text | Binary: ...

    @overload
    def request(
        self,
        message: object,
        *,
        name: str | None = None,
        match: Callable[[Text | Binary], object] | None = None,
        key: Hashable | None = None,
        timeout: float | None = None,
        catch_response: Literal[True],
    ) -> Answer: ...

    def request(
        self,
        message: object,
        *,
        name: str | None = None,
        match: Callable[[Text | Binary], object] | None = None,
        key: Hashable | None = None,
        timeout: float | None = None,
        catch_response: bool = False,
    ) -> Text | Binary | Answer:
        """Send a message and wait for its reply: a row ``WSQ``, whose time is that from the one to
        the other, and whose length is the reply's.

        :param message: as of :meth:`send`.
        :param name: of the row; None: that of the connection.
        :param match: called with each message that comes; true for the reply.
        :param key: the reply is the first message for which ``reply_key`` returns an equal key.
            With neither of the two, it is the next message.
        :param timeout: seconds to wait; None: no limit.
        :param catch_response: return an :class:`Answer`, a context manager that lets the user judge
            the reply.
        :returns: the event of the reply.
        :raises TimeoutError: there was no reply in time.
        """
        terms = self._terms
        payload = encode_request(message)
        if match is None and key is None:
            match = _take_any
        check_request(match, key, terms.options.get("reply_key"))
        check_timeout(timeout)
        connection = self._use()
        reply: Text | Binary | None = None
        failure: Exception | None = None
        began = perf_counter()
        try:
            reply = connection.request(payload, match, key=key, timeout=timeout)
        except ENDINGS as error:
            raise self._meet(error) from None
        except STEERING:  # somebody ends the user
            self._give_up(match, key)
            raise
        except TimeoutError:
            self._give_up(match, key)
            failure = _build_timeout("reply", timeout)
        except Exception as error:
            failure = error
        except BaseException:  # a kill, or a gevent.Timeout
            self._give_up(match, key)
            raise
        seconds = perf_counter() - began
        length = 0 if reply is None else _measure(reply)

        row = name or terms.name
        if catch_response:

            def report(verdict: Exception | None) -> None:
                self._user.report("WSQ", row, seconds * 1000, length, verdict, reply, terms.url)

            return Answer(reply, failure, report)
        self._user.report("WSQ", row, seconds * 1000, length, failure, reply, terms.url)
        if reply is None:
            assert failure is not None
            raise quieten(failure) from failure.__cause__
        return reply

    # The end

    def close(self, code: int | None = Status.NORMAL, reason: str = "") -> None:
        """Close, and wait for the end, for at most ``close_timeout`` seconds: a row ``WSC``, whose
        time is that of the closing handshake.
        """
        self._ask()
        again = self._again
        if again is not None and again is not getcurrent():
            again.kill()
        try:
            self._connection.close(code, reason)
        except ValueError:
            self._asked = None
            raise

    def _ask(self) -> None:
        if self._asked is None:
            self._asked = perf_counter()

    # As the listener of its connection

    def take(self, message: Text | Binary) -> bool:
        """Call the handler of a push, if there is one.

        A message that comes after the user has asked for the end is no push any more, nor is the
        reply to a request that was given up: it is dropped.
        """
        if self._given_up and self._is_given_up(message):
            return True
        handler: Callable[[Any], object] | None = (
            self._terms.on_text if message.name == "text" else self._terms.on_binary
        )
        if handler is None:
            return False
        if self._asked is not None:
            return True
        try:
            handler(message)
        except Exception as error:
            self._user.take_failure(error)
        return True

    def ended(self, error: errors.WebSocketClosed) -> None:
        """Make the row of the end, and begin to open the connection again, if that is wanted."""
        terms, user = self._terms, self._user
        self._end = error
        is_asked = self._asked is not None
        is_fine = (is_asked and error.graceful) or error.code in terms.normal_codes
        seconds = 0.0 if self._asked is None else perf_counter() - self._asked
        if is_asked or terms.backoff is None:
            user.release(self)
        else:
            if monotonic() - self._ready >= terms.backoff.reset_after:
                self._failures = 0
            outcome = events.Disconnected(error.reason, error.graceful, error.code, error.sent_code)
            self._again = Greenlet.spawn(self._open_again, terms.backoff, outcome)
        try:
            user.report(
                "WSC", terms.name, seconds * 1000, 0, None if is_fine else error, None, terms.url
            )
        except Exception as raised:  # a listener of Locust's event may steer the user
            user.take_failure(raised)

    def _open_again(self, backoff: Backoff, outcome: Outcome) -> None:
        is_open = False
        try:
            while not is_open:
                self._failures += 1
                if backoff.is_exhausted(self._failures):
                    return
                if backoff.retry is not None and not backoff.retry(outcome):
                    return
                sleep(backoff.delay(self._failures, find_retry_after(outcome)))
                try:
                    self.open()
                    is_open = True
                except errors.ConnectFail as error:
                    outcome = _to_outcome(error)
            self._user.on_reconnect(self)
        except Exception as error:
            self._user.take_failure(error)
        finally:
            if self._again is getcurrent():  # the new connection may have ended already
                self._again = None
            if not is_open:
                self._user.release(self)

    # Helpers

    def _give_up(
        self, match: Callable[[Text | Binary], object] | None, key: Hashable | None
    ) -> None:
        """Remember a request whose reply may come later, when it would pass for a push."""
        if match is _take_any:
            return  # any message may be its reply
        if self._given_up is None:
            self._given_up = deque(maxlen=_MOST_GIVEN_UP)
        self._given_up.append((match, key))

    def _is_given_up(self, message: Text | Binary) -> bool:
        assert self._given_up is not None
        reply_key = self._terms.options.get("reply_key")
        for request in self._given_up:
            match, key = request
            try:
                if match is not None:
                    is_reply = bool(match(message))
                else:
                    is_reply = reply_key is not None and reply_key(message) == key
            except Exception:
                # Made for replies, it has met another message. That of a request that waits still
                # tells its error.
                continue
            if is_reply:
                self._given_up.remove(request)
                return True
        return False

    def _use(self) -> Connection:
        """Return the connection for a call, after waiting for a new one if that is on its way.

        :raises WebSocketClosed: there is none.
        """
        if self._end is not None:
            self._await_again()
            if self._end is not None:
                raise self._meet(self._end)
        return self._connection

    def _await_end(self) -> None:
        """Wait until the connection, which is about to end, has ended."""
        if self._end is None and self._asked is None:
            # The server has closed, or does not take any more: this sends nothing.
            self._connection.close()

    def _await_again(self) -> None:
        again = self._again
        if again is not None and again is not getcurrent():
            again.join()

    def _meet(self, error: Exception) -> Exception:
        """Return the error for a call that the end of the connection has refused."""
        self._await_end()
        if isinstance(error, errors.WebSocketClosed):
            if self._is_met:
                return abandon(error)
            self._is_met = True
        return quieten(error)

    def _report(
        self, kind: str, name: str | None, began: float, length: int, error: Exception | None = None
    ) -> None:
        terms = self._terms
        milliseconds = (perf_counter() - began) * 1000
        self._user.report(kind, name or terms.name, milliseconds, length, error, None, terms.url)


def find_latency(since: float | None) -> float:
    """Return the milliseconds since an epoch time; 0.0 for None, and for a time to come, as the
    clocks of two machines differ.
    """
    return 0.0 if since is None else max(0.0, (time() - since) * 1000)


def count_bytes(message: str | bytes | bytearray | memoryview) -> int:
    """Return the number of bytes of a payload."""
    if isinstance(message, str):
        return len(message) if message.isascii() else len(message.encode("utf-8"))
    return message.nbytes if isinstance(message, memoryview) else len(message)


def _build_timeout(what: str, timeout: float | None) -> TimeoutError:
    """Return an error whose text is the same each time: Locust makes a line of each text."""
    return TimeoutError(f"no {what} within {timeout:g} s")


def _measure(event: Text | Binary) -> int:
    return count_bytes(event.text if event.name == "text" else event.data)


def _take_any(message: object) -> bool:
    return True


def _to_outcome(error: errors.ConnectFail) -> Outcome:
    if isinstance(error, errors.Rejected) and error.response is not None:
        return events.Rejected(error.response, str(error))
    return events.ConnectFail(str(error), error)
