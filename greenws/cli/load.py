"""The command ``load``: many connections at once, each exchanging messages with an echo server."""

from __future__ import annotations

import enum
import logging
import random
import string
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

import gevent
from gevent.event import Event

from .. import events
from ..client import Client, ClientOptions
from ..constants import MAX_MESSAGE_SIZE
from ..errors import WebSocketError
from ..group import ClientGroup
from ..redaction import redact_url
from ..status import Status
from ..url import parse_url
from .echo import EchoProcess
from .process import raise_descriptor_limit, read_memory, signals_handled
from .progress import Progress
from .streams import escape_line, report, write_output
from .tally import Tally

# Descriptors beyond those of the connections: the hub, pipes, libraries, name lookups.
_SPARE_DESCRIPTORS = 64

# The log of the group's end.
drain_log: logging.Logger = logging.getLogger("greenws.drain")

# The time limit for the closing handshakes of all connections together, in seconds.
_CLOSE_TIMEOUT = 5.0


@dataclass(frozen=True)
class LoadOptions:
    """The options of the command."""

    #: The URL of the echo server; None: the command starts an echo server.
    url: str | None
    connections: int
    #: The number of messages on each connection.
    messages: int
    #: The bytes of each message.
    size: int
    #: The connections opened a second; 0: no limit.
    rate: float
    #: The largest number of connections being opened at the same time.
    connecting: int
    #: The seconds without an echo after which the run ends.
    timeout: float
    #: The options of the clients.
    client: ClientOptions


class Stage(enum.Enum):
    """The stage of one connection. A connection only moves downwards in this list."""

    CONNECTING = enum.auto()
    #: The connection is open, and waits for the other connections.
    READY = enum.auto()
    #: The connection exchanges messages.
    TALKING = enum.auto()
    #: All messages of the connection have come back.
    DONE = enum.auto()
    #: The connection counts as a failure, or the run is over.
    OVER = enum.auto()


class LoadClient(Client):
    """The client of one connection of a run."""

    close_timeout: float | None = _CLOSE_TIMEOUT

    def __init__(self, run: LoadRun, url: str, options: ClientOptions) -> None:
        super().__init__(url, **options)
        self.stage = Stage.CONNECTING
        self._load = run
        self._left = run.options.messages
        self._sent_at = 0.0

    def send_next(self) -> None:
        """Send a message, and record the time."""
        self._sent_at = perf_counter()
        try:
            self.send_text(self._load.payload)
        except WebSocketError:
            pass  # the connection is ending, and on_close reports the cause

    def on_connecting(self, event: events.Connecting) -> None:
        self._load.record_start()

    def on_ready(self, event: events.Ready) -> None:
        self._load.record_ready(self)

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        self._load.record_failure(self, event.reason)

    def on_rejected(self, event: events.Rejected) -> None:
        self._load.record_failure(self, f"rejected: {event.reason}")

    def on_text(self, event: events.Text) -> None:
        now = perf_counter()
        if self.stage is not Stage.TALKING:
            return
        load = self._load
        if event.text != load.payload:
            load.record_failure(self, "the server sent a message that is not the echo")
            self.close()
            return
        load.record_echo(now - self._sent_at, now)
        self._left -= 1
        if self._left:
            self.send_next()
        else:
            load.record_done(self)

    def on_protocol_error(self, event: events.ProtocolError) -> None:
        self._load.record_failure(self, f"the server violated the protocol: {event.error}")

    def on_close(self, event: events.Disconnected) -> None:
        self._load.record_end(self, f"{event.reason} (code {event.code})")

    def on_error(self, error: Exception) -> None:
        self._load.record_failure(self, f"{type(error).__name__}: {error}")
        self.close()


class LoadRun:
    """One run: open all connections, exchange messages on all, close all.

    :param url: the URL of the echo server.
    """

    def __init__(self, options: LoadOptions, url: str, tally: Tally) -> None:
        self.options = options
        #: The text of every message; random, so that no compressor makes the text vanish.
        self.payload: str = _make_payload(options.size)
        self._url = url
        self._tally = tally
        self._clients: list[LoadClient] = []
        rate = options.rate if 0 < options.rate < float("inf") else None
        self._group = ClientGroup(max_connecting=options.connecting, rate=rate)
        # The number of connections that have not finished the current phase.
        self._waited_for = 0
        self._phase_done = Event()
        self._message_start = self._last_echo = 0.0

    def run(self) -> None:
        """Run until all messages are exchanged, or until a signal arrives."""
        work = gevent.spawn(self._work)

        def interrupt(number: int) -> None:
            self._tally.interrupted_by = number
            work.kill(block=False)

        with signals_handled(interrupt):
            try:
                work.get()
            finally:
                self._tally.memory_with = read_memory()
                self._tally.message_seconds = self._last_echo - self._message_start
                self._close_all()

    def record_start(self) -> None:
        """Record that the opening of a connection begins."""
        self._tally.started += 1

    def record_ready(self, client: LoadClient) -> None:
        """Record that a connection is open."""
        client.stage = Stage.READY
        self._tally.connected += 1
        self._tally.open += 1
        self._count_down()

    def record_echo(self, seconds: float, now: float) -> None:
        """Record the echo of a message."""
        self._tally.messages += 1
        self._tally.latencies.add(seconds)
        self._last_echo = now

    def record_done(self, client: LoadClient) -> None:
        """Record that all messages of a connection have come back."""
        client.stage = Stage.DONE
        self._count_down()

    def record_failure(self, client: LoadClient, reason: str) -> None:
        """Record the failure of a connection or of its opening; only the first reason counts."""
        before = client.stage
        if before is Stage.OVER:
            return
        client.stage = Stage.OVER
        self._tally.failures[escape_line(reason)] += 1
        if before is Stage.CONNECTING or before is Stage.TALKING:
            self._count_down()

    def record_end(self, client: LoadClient, reason: str) -> None:
        """Record the end of a connection that was open."""
        self._tally.open -= 1
        self.record_failure(client, reason)

    def _count_down(self) -> None:
        self._waited_for -= 1
        if self._waited_for == 0:
            self._phase_done.set()

    def _begin_phase(self, waited_for: int) -> None:
        self._waited_for = waited_for
        self._phase_done.clear()
        if not waited_for:
            self._phase_done.set()

    def _work(self) -> None:
        self._tally.memory_before = read_memory()
        self._connect_all()
        ready = [client for client in self._clients if client.stage is Stage.READY]
        if self.options.messages and ready:
            self._exchange(ready)

    def _connect_all(self) -> None:
        connections = self.options.connections
        start = perf_counter()
        self._begin_phase(connections)
        self._group.start(self._make_client() for _ in range(connections))
        self._phase_done.wait()
        self._tally.connect_seconds = perf_counter() - start

    def _make_client(self) -> LoadClient:
        client = LoadClient(self, self._url, self.options.client)
        self._clients.append(client)
        return client

    def _exchange(self, ready: list[LoadClient]) -> None:
        self._begin_phase(len(ready))
        self._message_start = self._last_echo = perf_counter()
        for client in ready:
            client.stage = Stage.TALKING
        for client in ready:
            client.send_next()
        seen = -1
        while not self._phase_done.wait(self.options.timeout):
            if seen == self._tally.messages:
                for client in ready:
                    if client.stage is Stage.TALKING:
                        self.record_failure(client, f"no echo within {self.options.timeout:g} s")
            seen = self._tally.messages

    def _close_all(self) -> None:
        for client in self._clients:
            client.stage = Stage.OVER  # from now on, the end of a connection is not a failure
        # What the server does not answer is no result of the run, and nothing to warn of.
        drain_log.setLevel(logging.ERROR)
        self._group.drain(min(_CLOSE_TIMEOUT, self.options.timeout), Status.NORMAL)


def run_load(options: LoadOptions) -> int:
    """Run the command, and print the summary.

    :returns: the exit status.
    :raises OutputError: stdout takes no more.
    """
    limit = raise_descriptor_limit()
    needed = options.connections + _SPARE_DESCRIPTORS
    if needed > limit:
        report(
            f"greenws: {options.connections:,} connections need {needed:,} descriptors, and this "
            f"process may have {limit:,}: raise the hard limit (ulimit -Hn {needed}), "
            f"or ask for at most -c {max(0, limit - _SPARE_DESCRIPTORS)}"
        )
        return 2
    tally = Tally(options.connections, options.messages)
    with ExitStack() as stack:
        url = options.url
        if url is not None:
            where = redact_url(parse_url(url).redact())
        else:
            try:
                server = stack.enter_context(EchoProcess(max(options.size, MAX_MESSAGE_SIZE)))
            except ImportError as error:
                report(f"greenws: this Python starts no process for an echo server: {error}")
                return 1
            except (OSError, RuntimeError) as error:
                report(f"greenws: {error}")
                return 1
            url = server.url
            where = f"{url} (started by this command)"
        signals: list[int] = []
        with signals_handled(signals.append):
            write_output(
                f"load: {options.connections:,} connections to {where}, "
                f"{options.messages:,} messages of {options.size:,} bytes on each\n"
            )
        if signals:
            return 128 + signals[0]
        progress = gevent.spawn(Progress(tally, sys.stderr).follow)
        try:
            LoadRun(options, url, tally).run()
        finally:
            progress.kill()
            write_output(f"{tally.format_summary()}\n")
    return tally.exit_status


def _make_payload(size: int) -> str:
    return "".join(random.Random(size).choices(string.ascii_letters + string.digits, k=size))
