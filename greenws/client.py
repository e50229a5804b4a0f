"""The client: a WebSocket in a greenlet of its own, whose events are methods of a subclass."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Generator, Hashable, Mapping
from functools import partial
from itertools import compress, product
from operator import attrgetter, is_not
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gevent import Greenlet, GreenletExit, getcurrent
from gevent.event import Event

from . import events
from .backoff import Backoff, Outcome, find_retry_after, read_reconnect
from .constants import EXIT_TIMEOUT, LONGEST_WAIT, SHORTEST_WAIT
from .drain import drain_at_exit
from .errors import ProxyFail, WebSocketClosing, WebSocketError, WebSocketUnavailable
from .handlers import HANDLER_NAMES, Handlers, find_handler
from .herd import Herd, Membership
from .options import (
    RUN_OPTIONS,
    WEBSOCKET_OPTIONS,
    RunDefaults,
    RunOptions,
    WebSocketDefaults,
    WebSocketOptions,
    check_attribute,
    refuse_option,
)
from .protocol.frame import Payload
from .protocol.opcode import Opcode
from .protocol.stream import Stream
from .redaction import MAX_MESSAGE, printable
from .replies import Replies, build_closed, check_request, check_timeout, encode_request
from .sessions import forks
from .sessions.contract import SessionClass
from .sessions.lomond import is_gone
from .sessions.mailboxes import wait_for_ticket
from .sessions.roster import ResidentGreenlet, Roster, get_roster, is_in_hub
from .sessions.session import GeventSession
from .status import Status
from .websocket import WebSocket, build_user_close, check_run_options, check_session_class

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .events import AnyEvent

log: logging.Logger = logging.getLogger("greenws.client")

ClientT = TypeVar("ClientT", bound="Client")

# A plain number, not a member of Opcode, for speed: it is passed on with every message.
_BINARY = int(Opcode.BINARY)

# Bound once, as each event of each connection asks.
_get_handler_name = HANDLER_NAMES.get


class ClientOptions(WebSocketOptions, RunOptions, total=False):
    """The options of a :class:`Client`, as keyword arguments."""

    session_class: SessionClass
    reconnect: bool | Backoff


class ClientLife(enum.IntEnum):
    """Where a client stands."""

    IDLE = 0  #: not started yet
    CONNECTING = 1  #: a connection is being opened
    READY = 2  #: a connection became ready
    WAITING = 3  #: the wait before the next connection
    STOPPING = 4  #: close() was called, or a handler has failed: this connection is the last
    KILLED = 5  #: kill() was called, and the greenlet has not ended yet
    ENDED = 6  #: nothing runs any more; start() and run() may begin anew


# The members by names of the module. To look one up in the class takes ten times as long before
# Python 3.12.
_IDLE, _CONNECTING, _READY, _WAITING, _STOPPING, _KILLED, _ENDED = ClientLife

_FROM_RUNNING = frozenset({_STOPPING, _KILLED, _ENDED})

#: The states that may follow each state.
CLIENT_STEPS: dict[ClientLife, frozenset[ClientLife]] = {
    _IDLE: frozenset({_CONNECTING}),
    _CONNECTING: _FROM_RUNNING | {_READY, _WAITING},
    _READY: _FROM_RUNNING | {_WAITING},
    _WAITING: _FROM_RUNNING | {_CONNECTING},
    _STOPPING: frozenset({_KILLED, _ENDED}),
    _KILLED: frozenset({_ENDED}),
    _ENDED: frozenset({_CONNECTING}),
}


class Client(Handlers, WebSocketDefaults, RunDefaults):
    """A WebSocket client, to be subclassed.

    Options are class attributes of the subclass, or keywords of the constructor, which win. The
    options are those of :class:`~greenws.WebSocket` and of :meth:`~greenws.WebSocket.connect`, with
    the same defaults, and ``reconnect``. ``headers`` and ``trace`` may be methods of the subclass.

    Handlers are methods ``on_<name>(event)``, called one after the other in the greenlet that
    runs the client. They may switch; only this connection waits meanwhile. Only those that a
    subclass overrides cost anything.

    .. code-block:: python

        import greenws

        class Ticker(greenws.Client):
            compress = True

            def on_ready(self, event):
                self.send_json(op="subscribe", channel="trades")

            def on_text(self, event):
                print(event.json)

        Ticker("wss://example.org/feed").run()

    :param url: the URL; None: the class attribute ``url``.
    :param options: as above.
    :raises TypeError: for an unknown option, or one of a wrong type.
    :raises ValueError: for an impossible value.
    """

    #: The URL, for a subclass that knows its own.
    url: str | None = None

    #: Called with the WebSocket; returns the session that moves the bytes.
    session_class: SessionClass = GeventSession
    #: Connect again after a connection has ended, or could not be opened: False, True (with the
    #: defaults of :class:`~greenws.Backoff`), or a :class:`~greenws.Backoff`.
    reconnect: bool | Backoff = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Refuse a handler or an option whose name is a slip of the pen, or of another library.

        :raises TypeError: there is one; the message has the right name.
        """
        super().__init_subclass__(**keywords)
        for base in cls.__mro__:
            if base not in Client.__mro__:
                _check_names(cls.__name__, vars(base), is_own=base is cls)

    def __init__(self, url: str | None = None, **options: Unpack[ClientOptions]) -> None:
        for name, value in options.items():
            if name not in _OPTIONS:
                raise refuse_option(f"{type(self).__name__}()", name, _OPTIONS)
            setattr(self, name, value)
        if url is not None:
            self.url = url
        if self.url is None:
            raise TypeError(f"{type(self).__name__}() needs a url")
        self._backoff = read_reconnect(self.reconnect)
        check_run_options(
            self.poll, self.ping_rate, self.ping_timeout, self.auto_pong, self.close_timeout
        )
        check_session_class(self.session_class)
        #: The WebSocket underneath: one object, whatever the number of connections.
        self.websocket: WebSocket = WebSocket(self.url, **self._websocket_options())
        # The state of the client; only _step() changes it.
        self._life = _IDLE
        # The process in which it was started; what runs in a parent has ended in the child.
        self._generation = forks.generation
        # The names of those events of _COMBINATIONS that have a handler.
        self._handled: frozenset[str] = frozenset()
        self._greenlet: ResidentGreenlet | None = None
        # The greenlet that calls the handlers, while they are called.
        self._runner: Any = None
        # Those that run on the same hub, while this client runs.
        self._roster: Roster | None = None
        # What it has of its group, while it runs in one; or None.
        self._member: Membership | None = None
        # The session, if messages go straight to it, as nothing is deflated or traced; or None.
        self._direct: GeventSession | None = None
        # When the present connection became ready, in seconds of the monotonic clock, or None.
        self._ready_time: float | None = None
        # The requests that wait for a reply on the present connection; None: there was none yet.
        self._replies: Replies | None = None
        # The exception that came out of a handler. It comes out of run() and join() too.
        self._error: BaseException | None = None
        # Ends a closing that takes too long, while the program ends; or None.
        self._limit: Greenlet[..., Any] | None = None
        # The causes of failed openings that were logged since the client was ready; None: none.
        self._warned: set[object] | None = None
        # Signals: the client is ready or has ended; it has ended. Each is made only when somebody
        # waits for it.
        self._settled: Event | None = None
        self._ended: Event | None = None
        # Has the greenlet go on that waits to connect; or None.
        self._wake: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.websocket!r}>"

    # Running

    def start(self: ClientT) -> ClientT:
        """Run in a greenlet of its own, and return at once.

        :raises RuntimeError: if it runs already.
        """
        self._begin()
        greenlet = self._greenlet = ResidentGreenlet(None, self)
        member = self._member
        if member is None or member.ask():
            greenlet.start()
        else:
            # Thousands that wait for their first turn take neither a stack nor a switch.
            self._wake = greenlet.start
            member.queue(greenlet.start)
        return self

    def run(self) -> None:
        """Run in this greenlet until the connection, or the reconnecting, has ended.

        A connection that could not be opened is an event, not an error.

        :raises RuntimeError: if it runs already.
        :raises Exception: what came out of a handler, unless ``on_error`` has dealt with it.
        :raises WebSocketUnavailable: this process was forked off meanwhile, and the client is its
            parent's.
        """
        self._begin()
        self._greenlet = None
        self._run()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the client has ended, or for ``timeout`` seconds.

        :raises Exception: what came out of a handler, as from :meth:`run`.
        :raises TypeError: ``timeout`` is no number; a ValueError if it is negative.
        :raises RuntimeError: if a handler calls it without a timeout: it would wait for itself; or
            if a callback of the hub does, which cannot wait.
        """
        check_timeout(timeout)
        if self.is_running and self._may_wait(timeout):
            if self._ended is None:
                self._ended = Event()
            if not _wait(self._ended, timeout):
                return
        if self._error is not None:
            raise self._error

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until messages may be sent.

        :returns: True if the client is ready, or was ready meanwhile: a server can close at once.
            False if ``timeout`` seconds have passed, or the opening has failed for good.
        :raises RuntimeError: as :meth:`join`.
        """
        check_timeout(timeout)
        before = self._ready_time
        if not self.is_ready and self.is_running and self._may_wait(timeout):
            if self._settled is None:
                self._settled = Event()
            _wait(self._settled, timeout)
        return self.is_ready or self._ready_time not in (None, before)

    @property
    def is_ready(self) -> bool:
        """Whether messages may be sent."""
        return self.websocket.is_ready

    @property
    def is_running(self) -> bool:
        """Whether the client is connected, connecting, or waiting to connect again."""
        return self._life not in (_IDLE, _ENDED) and self._generation == forks.generation

    @property
    def is_caller(self) -> bool:
        """Whether the caller is a handler of this client."""
        return self._runner is getcurrent()

    def close(self, code: int | None = Status.NORMAL, reason: str | bytes = b"goodbye") -> None:
        """Begin the closing handshake, and stop reconnecting. Returns at once.

        May be called from anywhere: from a handler, a callback of the hub, a signal handler. A call
        from another thread is handed to the hub of the client.

        :raises ValueError: if the code must not be sent, or the reason is too long.
        """
        if self._is_of_parent:
            return
        roster = self._roster
        if roster is not None and roster.is_elsewhere:
            build_user_close(code, reason)  # a mistake is told to the caller
            roster.hand_over(self.close, code, reason)
            return
        self.websocket.close(code, reason)
        self._stop()

    def kill(self) -> None:
        """End at once, whatever is going on, without a closing handshake; stop reconnecting.

        Waits until the greenlet of the client has ended, and ``on_close`` with it; called from
        that greenlet, or for a client run by :meth:`run`, returns at once. So does a call from a
        callback of the hub or a signal handler that runs in the hub, which cannot wait, and from
        another thread, which is handed to the hub of the client.
        """
        roster = self._roster
        if roster is None or self._is_of_parent:  # it does not run
            return
        if roster.is_elsewhere:
            roster.hand_over(self.kill)
            return
        is_first = self._life is not _KILLED
        self._stop(_KILLED)
        greenlet = self._greenlet
        if greenlet is None or greenlet is getcurrent():
            self.websocket.force_disconnect()
            return
        if self._is_stranded:
            self.websocket.force_disconnect()
            self._finish()
            return
        if is_first:  # a second exception would interrupt on_close
            greenlet.kill(block=False)
            # Should a handler catch GreenletExit, the connection ends all the same.
            self.websocket.force_disconnect()
        if not is_in_hub():
            greenlet.join()
        if self.is_running and greenlet.ready():  # killed before it ever ran
            self._finish()

    # Sending

    def send_text(self, text: str, compress: bool = True) -> None:
        """Send a text message; see :meth:`greenws.WebSocket.send_text`."""
        session = self._direct
        if session is not None:
            session.send_text(text)
        else:
            self.websocket.send_text(text, compress)

    def send_binary(self, data: Payload, compress: bool = True) -> None:
        """Send a binary message; see :meth:`greenws.WebSocket.send_binary`."""
        session = self._direct
        if session is not None and type(data) is bytes:
            session.send(_BINARY, data)
        else:
            self.websocket.send_binary(data, compress)

    def send_json(self, _obj: object = ..., **kwargs: object) -> None:
        """Send an object as JSON; see :meth:`greenws.WebSocket.send_json`."""
        self.websocket.send_json(_obj, **kwargs)

    def send_ping(self, data: bytes = b"") -> None:
        """Send a ping; see :meth:`greenws.WebSocket.send_ping`."""
        self.websocket.send_ping(data)

    def send_pong(self, data: bytes = b"") -> None:
        """Send a pong; see :meth:`greenws.WebSocket.send_pong`."""
        self.websocket.send_pong(data)

    # Asking

    def reply_key(self, event: events.Text | events.Binary) -> Hashable | None:
        """Return the key of a message, by which :meth:`request` finds its reply; None: it is no
        reply. To be overridden; called only while a request waits by key.
        """
        return None

    def request(
        self,
        message: object,
        match: Callable[[events.Text | events.Binary], object] | None = None,
        *,
        key: Hashable | None = None,
        timeout: float | None = None,
    ) -> events.Text | events.Binary:
        """Send a message, and wait for its reply, which no handler gets.

        See :meth:`greenws.Connection.request`. A request belongs to the present connection: with
        ``reconnect`` it fails when that ends, and a new one has to wait for ready
        (:meth:`wait_ready`).

        :raises WebSocketUnavailable: the client is not ready.
        :raises RuntimeError: a handler calls it: its greenlet has to receive the reply.
        """
        reply_key = self.reply_key if _HAS_REPLY_KEY(self) else None
        check_request(match, key, reply_key)
        check_timeout(timeout)
        payload = encode_request(message)
        if self._runner is getcurrent():
            raise RuntimeError(f"{self!r} cannot wait for itself: spawn a greenlet for it")
        self.websocket.state.check_open()
        send = self.send_text if isinstance(payload, str) else self.send_binary
        return self._get_replies().ask(
            partial(send, payload),  # type: ignore[arg-type]  # of the kind that it is
            wait_for_ticket,
            match,
            key,
            reply_key,
            timeout,
            None,
        )

    def _get_replies(self) -> Replies:
        """Have messages offered to requests first, from now on until this connection ends."""
        replies = self._replies
        if replies is None:
            replies = self._replies = Replies()
            stream = self.websocket.stream
            stream.text_handler, stream.skip_text = self._offer_text, False
            stream.binary_handler, stream.skip_binary = self._offer_binary, False
        return replies

    def _offer_text(self, event: events.Text) -> None:
        if self._replies is None or not self._replies.take(event):
            self.on_text(event)

    def _offer_binary(self, event: events.Binary) -> None:
        if self._replies is None or not self._replies.take(event):
            self.on_binary(event)

    def _fail_replies(self, last: events.Disconnected | None) -> None:
        """Have the requests fail that wait on the connection that has ended."""
        replies, self._replies = self._replies, None
        if replies is not None:
            state = self.websocket.state
            reason = "killed" if last is None else last.reason
            error = partial(
                build_closed,
                state.close_code or Status.ABNORMAL,
                reason if state.close_code is None else state.close_reason,
                state.sent_code,
                last is not None and last.graceful,
            )
            replies.fail(error)

    # How it works

    def _step(self, life: ClientLife) -> None:
        if life not in CLIENT_STEPS[self._life]:
            raise RuntimeError(f"a client cannot go from {self._life.name} to {life.name}")
        self._life = life

    def _begin(self) -> None:
        try:
            life = self._life
        except AttributeError:
            kind = type(self).__name__
            raise TypeError(f"{kind}.__init__() has to call super().__init__(url)") from None
        if life not in (_IDLE, _ENDED):
            if self.is_running:
                raise RuntimeError(f"{self!r} is running already")
            # This process is a forked child, and what runs is its parent's.
            self._step(_ENDED)
            self._direct = None
            if self._member is not None and self._member.herd.is_of_parent:
                self._member = None
        self._generation = forks.generation
        self._step(_CONNECTING)
        self._ready_time = None
        self._error = None
        self._warned = None
        self._settled = self._ended = self._wake = None
        self._roster = get_roster()
        self._roster.add(self)
        drain_at_exit()

    @property
    def _is_of_parent(self) -> bool:
        """Whether this process is a forked child, in which the client has not begun anew."""
        return self._life not in (_IDLE, _ENDED) and self._generation != forks.generation

    @property
    def _is_stopping(self) -> bool:
        return self._life >= _STOPPING

    def _stop(self, life: ClientLife = _STOPPING) -> None:
        """Make the present connection the last one. A client that does not run stays as it is."""
        if self._life < life and self.is_running:
            self._step(life)
        if self._wake is not None and not self._is_stranded:
            self._wake()

    @property
    def _is_stranded(self) -> bool:
        """Whether the hub was destroyed, and nothing will ever run in the greenlet again."""
        return self._greenlet is not None and self._greenlet.loop is None

    def _may_wait(self, timeout: float | None) -> bool:
        """Tell whether the caller has to wait for the client; raise an error if it cannot."""
        if is_in_hub():
            if timeout is None or timeout > 0:
                raise RuntimeError(f"the hub cannot wait for {self!r}; spawn a greenlet for that")
            return False
        if timeout is None and self._runner is getcurrent():
            raise RuntimeError(f"{self!r} cannot wait for itself: spawn a greenlet for it")
        return True

    def _finish(self) -> None:
        was_asked = self._is_stopping
        self._step(_ENDED)
        self._runner = None
        if self._limit is not None:
            self._limit.kill(block=False)
            self._limit = None
        if self._roster is not None:
            self._roster.remove(self)
            self._roster = None
        self._handled = frozenset()
        for event in (self._settled, self._ended):
            if event is not None:
                event.set()
        member = self._member
        if member is not None:
            self._member = None
            member.end(self, self._error, was_asked)  # last: the client may begin anew there

    def _run_apart(self) -> None:
        """Run in a greenlet of its own: in a forked child, the greenlet just ends."""
        if self._is_of_parent:
            # Nothing else would tell why there is no connection.
            log.warning(
                "%r was started before the fork, and has ended here: start it again",
                self,
                extra=self._describe(),
            )
            return
        if self._greenlet is not getcurrent():
            return  # likewise, but the client has begun anew
        generation = self._generation
        member = self._member
        try:
            self._run()
        except GreenletExit:
            pass  # kept by the greenlet, its traceback would be a cycle, through all that was alive
        except WebSocketUnavailable:
            if generation == forks.generation:
                raise
        except Exception:
            if member is None:  # a group has logged it
                raise

    def _run(self) -> None:
        generation = self._generation
        self._runner = getcurrent()
        try:
            self._handled = self._find_handled()
            self._run_connections()
        except GreenletExit:
            raise
        except BaseException as error:
            # Not only Exception: a gevent.Timeout of the user's derives from BaseException.
            if generation == forks.generation:
                self._error = error
            raise
        finally:
            # In a child, the client may have begun anew.
            if generation == forks.generation:
                self._finish()

    def _find_handled(self) -> frozenset[str]:
        """Find which of the costly events have a handler, of a subclass or of this instance."""
        # Thousands of clients share one set.
        return _COMBINATIONS[
            getattr(self.on_text, "__func__", None) is not _ON_TEXT,
            getattr(self.on_binary, "__func__", None) is not _ON_BINARY,
            getattr(self.on_poll, "__func__", None) is not _ON_POLL,
        ]

    def _run_connections(self) -> None:
        backoff = self._backoff
        generation = self._generation
        failures = 0
        while not self._is_stopping:
            outcome = self._run_connection(generation)
            if self._error is not None:
                raise self._error
            if backoff is None or self._is_stopping:
                return
            # The time since ready counts, and not since connecting: an opening that took long to
            # fail is a failure like any other.
            ready_time = self._ready_time
            if ready_time is not None and monotonic() - ready_time >= backoff.reset_after:
                failures = 0
            failures += 1
            if backoff.is_exhausted(failures) or not self._may_retry(backoff, outcome):
                return
            delay = backoff.delay(failures, find_retry_after(outcome))
            del outcome  # an idle connection does not keep how the one before has ended
            forks.check(generation)
            self._step(_WAITING)
            if self._member is not None:
                self._member.note_back_off()
            self._dispatch(events.BackOff(delay), "back_off")
            if self._error is not None:
                raise self._error
            if not self._is_stopping:
                self._sleep(max(SHORTEST_WAIT, delay))
            forks.check(generation)
            if not self._is_stopping:
                self._step(_CONNECTING)

    def _take_turn(self, member: Membership, generation: int) -> bool:
        """Wait until the group lets the client connect; False: it is to stop instead."""
        if not member.is_admitted and not member.ask():
            turn = Event()
            self._wake = turn.set
            member.queue(turn.set)
            _wait(turn, None)
            forks.check(generation)
        self._wake = None
        return not self._is_stopping

    def _sleep(self, seconds: float) -> None:
        """Wait before the next connection, or until the client is to stop."""
        stopped = Event()
        self._wake = stopped.set
        _wait(stopped, seconds)
        self._wake = None

    def _may_retry(self, backoff: Backoff, outcome: Outcome) -> bool:
        """Ask ``retry``, whose exceptions are those of a handler."""
        if backoff.retry is not None:
            try:
                if not backoff.retry(outcome):
                    return False
            except Exception as error:
                self._handler_failed(error)
                if self._error is not None:
                    raise self._error from None
        return not self._is_stopping

    def _run_connection(self, generation: int) -> Outcome:
        """Run one connection; return the event that says what it has come to."""
        failure: events.ConnectFail | events.Rejected | None = None
        last: events.Disconnected | None = None
        self._ready_time = None
        member = self._member
        if member is not None and not self._take_turn(member, generation):
            return events.Disconnected("ended before its turn to connect")
        try:
            connection = self._connect()
        except Exception as error:  # of session_class, or of trace
            if member is not None:
                member.note_missed()
            self._handler_failed(error)
            return events.Disconnected("the connection was not begun")
        if member is not None:
            self.websocket._count(member.traffic)
        self._attach(self.websocket.stream)
        try:
            for event in connection:
                name = event.name
                if name == "ready":
                    self._take_ready()
                    if member is not None:
                        member.note_ready()
                elif name in _TAKES_FAILURE:
                    failure = cast(events.ConnectFail | events.Rejected, event)
                    if member is not None:
                        member.note_missed()
                    self._warn(failure)
                elif name == "disconnected":
                    last = cast(events.Disconnected, event)
                self._dispatch(event, name)
                del event  # an idle connection keeps none of its last events
        except WebSocketError:  # in a forked child, whose connection this is not
            raise
        except Exception as error:  # of trace, as those of handlers do not get here
            self._handler_failed(error)
        finally:
            if generation == forks.generation:
                self._direct = None
            # Close what is open first: on_close finds the connection ended, also after a kill.
            connection.close()
            self._fail_replies(last)
            if self._ready_time is not None and generation == forks.generation:
                self._dispatch(last or self._describe_kill(), "close")
        # A session of others may end without a word.
        return failure or last or events.Disconnected("the session has ended")

    def _describe_kill(self) -> events.Disconnected:
        state = self.websocket.state
        code = Status.ABNORMAL if state.close_code is None else state.close_code
        reason = printable(state.close_reason, MAX_MESSAGE) or "killed"
        return events.Disconnected(reason, False, code, state.sent_code)

    def _warn(self, event: events.ConnectFail | events.Rejected) -> None:
        """Log an opening that has failed, if no handler takes it and nobody has asked for it."""
        if self._is_stopping or _TAKES_FAILURE[event.name](self):
            return
        cause = event.reason if event.name == "connect_fail" else event.response.status_code
        warned = self._warned
        if warned is None or len(warned) >= _MOST_CAUSES:
            warned = self._warned = set()
        if cause in warned:
            return
        warned.add(cause)
        again = "" if self._backoff is None else ", and goes on trying"
        # A session of others may have made the event, of any text.
        log.warning(
            "%r could not connect%s: %s",
            self,
            again,
            printable(event.reason, MAX_MESSAGE),
            extra=self.websocket.tracer.describe(_find_status(event)),
        )

    def _take_ready(self) -> None:
        self._ready_time = monotonic()
        self._warned = None
        if self._life is _CONNECTING:
            self._step(_READY)
        self._direct = self.websocket._find_direct()
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    def _websocket_options(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        values = _get_websocket_options(self)
        # By identity: 1 equals True, and is no flag.
        if not any(map(is_not, values, _WEBSOCKET_DEFAULTS)):
            return {}
        differ = map(is_not, values, _WEBSOCKET_DEFAULTS)
        return dict(compress(zip(WEBSOCKET_OPTIONS, values, strict=True), differ))

    def _connect(self) -> Generator[AnyEvent, None, None]:
        """Begin a connection; the options are checked again, as they may have been changed."""
        poll, ping_rate, ping_timeout = self.poll, self.ping_rate, self.ping_timeout
        auto_pong, close_timeout = self.auto_pong, self.close_timeout
        check_run_options(poll, ping_rate, ping_timeout, auto_pong, close_timeout)
        session_class = self.session_class
        if not (isinstance(session_class, type) and issubclass(session_class, GeventSession)):
            check_session_class(session_class)
        elif "poll" not in self._handled:
            poll = 0  # no handler, so no reason to wake up
        return self.websocket._start(
            session_class, poll, ping_rate, ping_timeout, auto_pong, close_timeout
        )

    def _attach(self, stream: Stream) -> None:
        """Have the parser of a connection call the handlers of messages itself."""
        text = self.on_text if "text" in self._handled else None
        binary = self.on_binary if "binary" in self._handled else None
        stream.skip_text = text is None
        stream.skip_binary = binary is None
        stream.text_handler = text
        stream.binary_handler = binary
        stream.handler_failed = self._handler_failed

    def _dispatch(self, event: AnyEvent, name: str) -> None:
        attribute = _get_handler_name(name)
        if attribute is None:  # another session class may have events of its own
            return
        # A handler that is not overridden does nothing. To call it is cheaper than to find out.
        handler: Callable[[Any], object] = getattr(self, attribute)
        try:
            handler(event)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            self._handler_failed(error)

    def _is_asked_for(self, error: Exception) -> bool:
        """Tell whether a handler's send was refused only because the user has ended the connection.

        A handler cannot know that another greenlet has called close() or kill(), or that a signal
        handler has. Such an end is no error of the handler's.
        """
        if not (isinstance(error, WebSocketClosing) or is_gone(error)):
            return False
        return self._is_stopping or self.websocket.is_forced

    def _handler_failed(self, error: BaseException) -> None:
        """Let on_error decide what an exception of a handler means."""
        if not isinstance(error, Exception):
            self._leave(error)
            return
        if self._error is not None:
            # Another exception ends the client already, and only one can come out of run().
            log.error(
                "%r: a handler failed while closing",
                self,
                exc_info=error,
                extra=self._describe(),
            )
            return
        if self._is_asked_for(error):
            log.debug(
                "%r: a handler sent after the end", self, exc_info=error, extra=self._describe()
            )
            return
        try:
            self.on_error(error)
        except Exception as final:
            self._end_with(final, Status.UNEXPECTED_CONDITION, "handler failed")

    def _end_with(self, error: BaseException, code: int, reason: str) -> None:
        """Close the connection, and have ``error`` come out of run() when that has ended."""
        self._error = error
        self._stop()
        stream = self.websocket.stream
        stream.skip_text = stream.skip_binary = True
        try:
            self.websocket.close(code, reason)
        except WebSocketError:
            log.debug(
                "%r: the server could not be told", self, exc_info=True, extra=self._describe()
            )

    def _describe(self) -> dict[str, object]:
        """Return the fields of a log record about the present connection."""
        return self.websocket.tracer.describe(self.websocket.state.close_code)

    def _leave(self, error: BaseException) -> None:
        """Close in good order, but quickly: a handler asks for the end of the program, or Ctrl-C
        has come while the client ran.
        """
        if self._is_stopping:
            raise error  # for the second time, say
        self._end_with(error, Status.GOING_AWAY, "")
        self._limit = Greenlet.spawn_later(EXIT_TIMEOUT, self.websocket.force_disconnect)


def _find_status(event: events.ConnectFail | events.Rejected) -> int | None:
    """Find the HTTP status with which the server, or a proxy, has refused; None: it is none."""
    if event.name == "rejected":
        return event.response.status_code
    return event.error.status_code if isinstance(event.error, ProxyFail) else None


# For groups


def start_member(client: Client, herd: Herd) -> None:
    """Start a client as a member of a group.

    :raises RuntimeError: if it runs already.
    """
    if client.is_running:
        raise RuntimeError(f"{client!r} is running already")
    member = herd.enter()
    client._member = member
    try:
        client.start()
    finally:
        # A start() of the user's own may raise, or do nothing.
        if client._life is not _CONNECTING and client._member is member and not client.is_running:
            client._member = None
            herd.leave(member)


def find_members(herd: Herd) -> list[Client]:
    """Find the clients of a group among those that run on its hub."""
    return [
        resident
        for resident in herd.roster.present()
        if isinstance(resident, Client)
        and resident._member is not None
        and resident._member.herd is herd
    ]


def _overrides(name: str) -> Callable[[Client], bool]:
    """Make a function that tells whether a client, or its class, has this handler of its own."""
    default, get = getattr(Client, name), attrgetter(name)
    return lambda client: getattr(get(client), "__func__", None) is not default


# The handlers of the events that are not even made without a handler, and the sets of their names
# by which of them a client has.
_ON_TEXT, _ON_BINARY, _ON_POLL = Client.on_text, Client.on_binary, Client.on_poll
_COMBINATIONS: dict[tuple[bool, bool, bool], frozenset[str]] = {
    (text, binary, poll): frozenset(compress(("text", "binary", "poll"), (text, binary, poll)))
    for text, binary, poll in product((False, True), repeat=3)
}
# Functions that tell whether a client has a handler for a kind of failed openings.
_TAKES_FAILURE = {name: _overrides(HANDLER_NAMES[name]) for name in ("connect_fail", "rejected")}
# Tells whether a client, or its class, has a reply_key() of its own.
_HAS_REPLY_KEY = _overrides("reply_key")
# The causes of failed openings that a client remembers to have logged. A few dozen are plenty, but
# where each one has another text, a number that grows, say.
_MOST_CAUSES = 64

_get_websocket_options = attrgetter(*WEBSOCKET_OPTIONS)
_WEBSOCKET_DEFAULTS = _get_websocket_options(WebSocketDefaults)
_OPTIONS = frozenset({*WEBSOCKET_OPTIONS, *RUN_OPTIONS, "session_class", "reconnect", "url"})
# Attributes that a subclass may override.
_MEMBERS = frozenset(dir(Client))


# What works inside of a client. A subclass that takes such a name for something of its own would
# break it in silence.
_PRIVATE = frozenset(name for name in _MEMBERS if name[0] == "_" and name[:2] != "__")

# Options that may be methods of a subclass.
_CALLABLE_OPTIONS = frozenset({"headers", "trace", "ssl_password", "session_class"})


def _check_names(owner: str, attributes: Mapping[str, object], is_own: bool) -> None:
    """Check the names in a class.

    :param is_own: whether it is a client's. A class that is mixed in may have attributes of any
        name, but has no handlers of another one.
    """
    for name, value in attributes.items():
        if name.startswith("_"):
            if name in _PRIVATE:
                raise TypeError(f"{owner}.{name} would replace a part of greenws; rename it")
            continue
        handler = find_handler(name)
        if handler is not None:
            raise TypeError(f"{owner}.{name} is no handler of a client; {handler} is meant")
        if not is_own or name.startswith("on_") or name in _OPTIONS or name in _MEMBERS:
            continue
        check_attribute(owner, name, value, _OPTIONS, _CALLABLE_OPTIONS)


def _wait(event: Event, seconds: float | None) -> bool:
    """Wait for an event of a client; in a forked child, in which the client has ended, no more.

    :returns: whether it was set.
    """
    with forks.set_in_child(event):
        return bool(event.wait(None if seconds is None else min(seconds, LONGEST_WAIT)))
