"""The command ``connect``: sends the lines of stdin, and prints the received messages."""

from __future__ import annotations

import codecs
import sys

import gevent

from .. import events
from ..client import Client, ClientOptions
from ..errors import WebSocketError
from ..status import Status
from .process import read_stdin, signals_handled

# The close codes of a normal end: normal closure, going away, and a close frame without a code.
_GOOD_CODES = frozenset({Status.NORMAL, Status.GOING_AWAY, Status.NO_STATUS})


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
        self._reader: gevent.Greenlet[..., None] | None = None

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        _report(event.reason)

    def on_rejected(self, event: events.Rejected) -> None:
        _report(f"rejected: {event.reason}")
        if event.response.body:
            _report(event.response.body.decode("utf-8", "replace").rstrip())

    def on_ready(self, event: events.Ready) -> None:
        agreed = [*event.extensions, *([event.protocol] if event.protocol else [])]
        _report("connected" + (f" ({', '.join(agreed)})" if agreed else ""))
        self._reader = gevent.spawn(self._send_lines)

    def on_text(self, event: events.Text) -> None:
        print(event.text, flush=True)

    def on_binary(self, event: events.Binary) -> None:
        print(event.data.hex(), flush=True)

    def on_protocol_error(self, event: events.ProtocolError) -> None:
        _report(f"the server violated the protocol: {event.error}")

    def on_close(self, event: events.Disconnected) -> None:
        if self._reader is not None:
            self._reader.kill()
        if event.graceful and event.code in _GOOD_CODES:
            self.status = 0
        _report(f"disconnected: {event.reason} (code {event.code})")

    def _send_lines(self) -> None:
        try:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            rest = ""
            while data := read_stdin():
                *lines, rest = (rest + decoder.decode(data)).split("\n")
                for line in lines:
                    self.send_text(line.removesuffix("\r"))
            if rest:
                self.send_text(rest)
            gevent.sleep(self._wait)
            self.close()
        except WebSocketError as error:
            _report(f"not sent: {error}")
            self.close()


def run_connect(url: str, wait: float, options: ClientOptions) -> int:
    """Run the command.

    :returns: the exit status: 0 if the connection was opened and closed normally, else 1.
    """
    client = StdioClient(url, wait, options)
    with signals_handled(lambda number: client.close()):
        client.run()
    return client.status


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
