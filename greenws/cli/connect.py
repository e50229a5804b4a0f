"""The command ``connect``: sends the lines of stdin, and prints the received messages."""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator

import gevent

from .. import events
from ..client import Client, ClientOptions
from ..errors import WebSocketError
from ..status import Status
from .process import read_stdin, signals_handled
from .streams import OutputError, report, write_output

# The close codes of a normal end: normal closure, going away, and a close frame without a code.
_GOOD_CODES = frozenset({Status.NORMAL, Status.GOING_AWAY, Status.NO_STATUS})

# The longest line of stdin, in characters. Without a limit, a stdin that never ends a line, such as
# /dev/zero, would take all memory.
_MAX_LINE = 64 * 1024 * 1024


class StdioClient(Client):
    """The connection of the command.

    :param wait: the seconds to go on receiving after the end of stdin.
    """

    close_timeout: float | None = 5.0  # a person waits for the prompt

    def __init__(self, url: str, wait: float, options: ClientOptions) -> None:
        super().__init__(url, **options)
        #: The exit status.
        self.status: int = 1
        self._wait = wait
        self._has_read_badly = False
        self._reader: gevent.Greenlet[..., None] | None = None

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        report(event.reason)

    def on_rejected(self, event: events.Rejected) -> None:
        report(f"rejected: {event.reason}")
        for line in event.response.body.decode("utf-8", "replace").rstrip().splitlines():
            report(line)

    def on_ready(self, event: events.Ready) -> None:
        agreed = [*event.extensions, *([event.protocol] if event.protocol else [])]
        report("connected" + (f" ({', '.join(agreed)})" if agreed else ""))
        self._reader = gevent.spawn(self._send_lines)

    def on_text(self, event: events.Text) -> None:
        write_output(f"{event.text}\n")

    def on_binary(self, event: events.Binary) -> None:
        write_output(f"{event.data.hex()}\n")

    def on_protocol_error(self, event: events.ProtocolError) -> None:
        report(f"the server violated the protocol: {event.error}")

    def on_close(self, event: events.Disconnected) -> None:
        if self._reader is not None:
            self._reader.kill()
        if event.graceful and event.code in _GOOD_CODES and not self._has_read_badly:
            self.status = 0
        report(f"disconnected: {event.reason} (code {event.code})")

    def on_error(self, error: Exception) -> None:
        if isinstance(error, OutputError):
            # The server has done nothing wrong, and the default would tell it of a failure.
            with contextlib.suppress(WebSocketError):
                self.websocket.close(Status.GOING_AWAY, "")
        raise error

    def _send_lines(self) -> None:
        try:
            for line in self._read_lines():
                self.send_text(line)
            gevent.sleep(self._wait)
        except WebSocketError as error:
            report(f"not sent: {error}")
        except OSError as error:
            self._has_read_badly = True
            report(f"cannot read stdin: {error.strerror}")
        except _LineTooLong:
            self._has_read_badly = True
            report(f"not sent: a line of stdin has more than {_MAX_LINE:,} characters")
        self.close()

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
                raise _LineTooLong
            gevent.sleep(0)  # a file keeps nobody waiting
        pieces.append(decoder.decode(b"", final=True))
        if rest := "".join(pieces):
            yield rest


class _LineTooLong(Exception):
    """A line of stdin has no end within the limit."""


def run_connect(url: str, wait: float, options: ClientOptions) -> int:
    """Run the command.

    :returns: the exit status: 0 if the connection was opened and closed normally, and stdin could
        be read, else 1.
    :raises OutputError: stdout takes no more.
    """
    client = StdioClient(url, wait, options)
    with signals_handled(lambda number: client.close()):
        client.run()
    return client.status
