"""The command ``connect``: sends lines as messages, and shows the received messages."""

from __future__ import annotations

import codecs
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gevent
from gevent.event import Event

from .. import events
from ..client import Client, ClientOptions
from ..errors import WebSocketError
from ..status import Status
from ..websocket import WebSocket
from .orders import WORDS, BadOrder, Close, Help, Message, Ping, parse_hex, parse_order
from .process import read_stdin, signals_handled
from .prompt import MAX_LINE, LineTooLong, Prompt
from .roundtrips import RoundTrips
from .screen import Screen, open_screen
from .steps import Steps
from .streams import OutputError
from .units import format_duration

# The close codes of a normal end: normal closure, going away, and a close frame without a code.
_GOOD_CODES = frozenset({Status.NORMAL, Status.GOING_AWAY, Status.NO_STATUS})

# The longest line of stdin, in characters. Without a limit, a stdin that never ends a line, such as
# /dev/zero, would take all memory.
_MAX_LINE = MAX_LINE


@dataclass(frozen=True)
class Talk:
    """What is said on the connection, and what is shown of it."""

    #: Messages to send whenever the connection is ready, before lines.
    messages: tuple[str, ...] = ()
    #: End after the first message.
    one: bool = False
    #: Whether lines and ``messages`` are binary messages in hexadecimal.
    binary: bool = False
    #: Whether messages that are JSON are made readable.
    json: bool = False
    #: Seconds between pings whose round trips are shown; None: no such pings.
    ping: float | None = None
    #: Whether the steps of the connection are told; and with the headers of its opening.
    trace: bool = False
    trace_headers: bool = False
    #: Whether lines are read.
    has_lines: bool = True
    #: Whether a person types the lines, who may type orders.
    is_typed: bool = False


class StdioClient(Client):
    """The connection of the command.

    :param wait: the seconds to go on receiving after the last line; None: until the first message
        with ``one``, else 0.
    """

    close_timeout: float | None = 5.0  # a person waits for the prompt

    def __init__(
        self,
        url: str,
        wait: float | None,
        options: ClientOptions,
        talk: Talk | None = None,
        screen: Screen | None = None,
    ) -> None:
        self._talk = talk = talk or Talk()
        self._screen = screen or Screen(talk.json)
        self._steps: Steps | None = None
        if talk.trace:
            self._steps = Steps(self._screen.report)
            options = {**options, "trace": self._steps.take}
        super().__init__(url, **options)
        if self._steps is not None and talk.trace_headers:
            self.websocket: WebSocket = _TellingWebSocket(
                self._steps.take_request, url, **self._websocket_options()
            )
        #: The exit status.
        self.status: int = 1
        self._wait = wait
        self._has_failed = False
        self._has_shown = False
        # The close code that was typed, or None.
        self._asked_code: int | None = None
        # The first OutputError of a greenlet that is not the client's own.
        self._lost: OutputError | None = None
        # Set while the present connection is ready for lines.
        self._has_begun = Event()
        self._pings = RoundTrips(self.send_ping)
        self._reader: gevent.Greenlet[..., None] | None = None
        # The greenlets of the present connection.
        self._helpers: list[gevent.Greenlet[..., None]] = []

    def run(self) -> None:
        """Run until the end; see :meth:`greenws.Client.run`.

        :raises OutputError: stdout takes no more.
        """
        try:
            super().run()
        finally:
            self._end_helpers()
            if self._reader is not None:
                self._reader.kill()
            self._screen.finish()
        if self._talk.ping is not None and (summary := self._pings.describe()):
            self._screen.report(summary)
        if self._talk.one and not self._has_shown and self.status == 0:
            self._screen.report("no message has come")
            self.status = 1
        if self._lost is not None:
            raise self._lost

    def interrupt(self) -> None:
        """Close the connection, because a signal asks for that."""
        self.close()
        self._screen.finish()

    # What happens

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        self._screen.report(event.reason)

    def on_rejected(self, event: events.Rejected) -> None:
        if self._steps is not None and self._talk.trace_headers:
            self._steps.take_response(event.response.start_line, event.response.fields)
        self._screen.report(f"rejected: {event.reason}")
        for line in event.response.body.decode("utf-8", "replace").rstrip().splitlines():
            self._screen.report(line)

    def on_ready(self, event: events.Ready) -> None:
        if self._steps is not None and self._talk.trace_headers:
            self._steps.take_response(event.response.start_line, event.response.fields)
        agreed = [*event.extensions, *([event.protocol] if event.protocol else [])]
        names = f" ({', '.join(agreed)})" if agreed else ""
        is_new = self._screen.prompt is not None and self._reader is None
        hint = "; /help shows what can be typed" if is_new else ""
        self._screen.report(f"connected{names}{hint}")
        if self._talk.ping is not None:
            self._helpers.append(gevent.spawn(self._keep_pinging, self._talk.ping))
        if self._reader is None:
            self._reader = gevent.spawn(self._guard, self._send_all)
        else:
            self._helpers.append(gevent.spawn(self._guard, self._send_first))

    def on_text(self, event: events.Text) -> None:
        if self._takes_message():
            self._screen.show_text(event.text)

    def on_binary(self, event: events.Binary) -> None:
        if self._takes_message():
            self._screen.show_binary(event.data)

    def on_pong(self, event: events.Pong) -> None:
        taken = self._pings.take(event.data)
        if taken is not None:
            self._screen.report(f"pong after {format_duration(taken)}")

    def on_protocol_error(self, event: events.ProtocolError) -> None:
        self._screen.report(f"the server violated the protocol: {event.error}")

    def on_close(self, event: events.Disconnected) -> None:
        self._end_helpers()
        self._has_begun.clear()
        if self._reader is not None and self.reconnect is False:
            self._reader.kill()
        is_good = event.code in _GOOD_CODES or event.code == self._asked_code
        self.status = 0 if event.graceful and is_good and not self._has_failed else 1
        self._screen.report(f"disconnected: {event.reason} (code {event.code})")

    def on_back_off(self, event: events.BackOff) -> None:
        self._screen.report(f"connecting again in {event.delay:.1f} s")

    def on_error(self, error: Exception) -> None:
        if isinstance(error, OutputError):
            # The server has done nothing wrong, and the default would tell it of a failure.
            with contextlib.suppress(WebSocketError):
                self.websocket.close(Status.GOING_AWAY, "")
        raise error

    def _takes_message(self) -> bool:
        """Take note of a message, and tell whether to show it."""
        is_shown = not (self._talk.one and self._has_shown)
        self._has_shown = True
        if self._talk.one:
            self.close()
        return is_shown

    # What is sent

    def _guard(self, work: Callable[[], None]) -> None:
        """Do the work of a greenlet, and close after a failure."""
        try:
            work()
            return
        except WebSocketError as error:
            self._screen.report(f"not sent: {error}")
        except OSError as error:
            self._has_failed = True
            self._screen.report(f"cannot read stdin: {error.strerror}")
        except LineTooLong:
            self._has_failed = True
            self._screen.report(f"not sent: a line of stdin has more than {_MAX_LINE:,} characters")
        except BadOrder as error:
            self._has_failed = True
            self._screen.report(f"not sent: {error}")
        except OutputError as error:
            self._lost = error
            with contextlib.suppress(WebSocketError):
                self.websocket.close(Status.GOING_AWAY, "")
        self.close()

    def _send_all(self) -> None:
        self._send_first()
        if self._talk.has_lines:
            prompt = self._screen.prompt
            lines = self._read_lines() if prompt is None else _read_typed(prompt)
            for line in lines:
                if not self._talk.is_typed:
                    self._send_line(line)
                elif not self._obey(line):
                    return
        gevent.sleep(self._wait or 0.0)
        if self._talk.one and self._wait is None:
            return  # the first message closes
        self.close()

    def _send_first(self) -> None:
        """Send the messages that come before lines, on each connection."""
        try:
            for message in self._talk.messages:
                self._send_now(self._encode(message))
        except WebSocketError:
            if self.reconnect is False:
                raise
        else:
            self._has_begun.set()

    def _send_line(self, line: str) -> None:
        """Send a line; between two connections, wait for the next one."""
        message = self._encode(line)
        while True:
            self._has_begun.wait()
            try:
                self._send_now(message)
                return
            except WebSocketError:
                if self.reconnect is False:
                    raise
                self._has_begun.clear()

    def _encode(self, line: str) -> str | bytes:
        return parse_hex(line) if self._talk.binary else line

    def _send_now(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.send_text(message)
        else:
            self.send_binary(message)

    def _obey(self, line: str) -> bool:
        """Do what a line asks for that a person has typed.

        :returns: whether there may be more lines.
        """
        try:
            order = parse_order(line, self._talk.binary)
            if isinstance(order, Message):
                self._send_now(order.payload)
            elif isinstance(order, Ping):
                self._pings.ping()
            elif isinstance(order, Help):
                for text in order.lines:
                    self._screen.report(text)
            elif isinstance(order, Close):
                self._asked_code = order.code
                self.close(order.code, order.reason)
                return False
        except BadOrder as error:
            self._screen.report(str(error))
        except WebSocketError as error:
            self._screen.report(f"not sent: {error}")
        return True

    def _keep_pinging(self, seconds: float) -> None:
        # The connection ends first, and this greenlet with it.
        with contextlib.suppress(WebSocketError):
            while True:
                self._pings.ping()
                gevent.sleep(seconds)

    def _end_helpers(self) -> None:
        gevent.killall(self._helpers)
        self._helpers.clear()

    def _read_lines(self) -> Iterator[str]:
        """Read the lines of stdin without their ends; bytes that are not UTF-8 are replaced."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pieces: list[str] = []  # of a line whose end was not read yet
        length = 0
        while data := read_stdin():
            first, *others = decoder.decode(data).split("\n")
            pieces.append(first)
            length += len(first)
            if others:
                *whole, last = others
                for line in ("".join(pieces), *whole):
                    yield line.removesuffix("\r")
                pieces, length = [last], len(last)
            elif length > _MAX_LINE:
                raise LineTooLong
            gevent.sleep(0)  # a file keeps nobody waiting
        pieces.append(decoder.decode(b"", final=True))
        if rest := "".join(pieces):
            yield rest


class _TellingWebSocket(WebSocket):
    """A WebSocket that tells what it asks for."""

    def __init__(self, tell: Callable[[bytes], object], url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._tell = tell

    def build_request(self) -> bytes:
        request = super().build_request()
        self._tell(request)
        return request


def _read_typed(prompt: Prompt) -> Iterator[str]:
    while (line := prompt.read_line()) is not None:
        yield line


def run_connect(
    url: str, wait: float | None, options: ClientOptions, talk: Talk | None = None
) -> int:
    """Run the command.

    :param talk: None: lines of stdin and messages, and nothing else.
    :returns: the exit status: 0 if the connection was opened and closed normally, and stdin could
        be read, else 1.
    :raises OutputError: stdout takes no more.
    """
    talk = talk or Talk()
    screen = open_screen(WORDS, talk.json, talk.has_lines and talk.is_typed)
    try:
        client = StdioClient(url, wait, options, talk, screen)
        with signals_handled(lambda number: client.interrupt()):
            client.run()
    finally:
        screen.close()
    return client.status


def choose_lines(wait: float | None, talk: Talk) -> Talk:
    """Find out whether there are lines to read, and who has made them."""
    is_typed = sys.stdin.isatty()
    # A person who has given the messages, and said when to end, has nothing to type.
    is_said = talk.one or (bool(talk.messages) and wait is not None)
    return replace(talk, is_typed=is_typed, has_lines=not (is_typed and is_said))
