"""The command ``load``: many connections at once, each exchanging messages with an echo server."""

from __future__ import annotations

import enum
import random
import string
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

import gevent
from gevent.event import Event
from gevent.lock import Semaphore

from .. import events
from ..client import Client, ClientOptions
from ..constants import MAX_MESSAGE_SIZE
from ..errors import WebSocketError
from ..status import Status
from ..url import parse_url
from .echo import EchoProcess
from .process import raise_descriptor_limit, read_memory, signals_handled
from .progress import Progress
from .tally import Tally

# Descriptors beside those of the connections: the hub, pipes, libraries, name lookups.
_SPARE_DESCRIPTORS = 64

# Seconds all connections together have for their closing handshakes, at most.
_CLOSE_TIMEOUT = 5.0


@dataclass(frozen=True)
class LoadOptions:
    """Options of the command."""

    #: None: an echo server is started.
    url: str | None
    connections: int
    messages: int
    #: Bytes of each message.
    size: int
    #: Connects a second; 0: no limit.
    rate: float
    #: Connects under way at the same time.
    connecting: int
    #: Seconds without any echo after which the run is over.
    timeout: float
    #: Options of the client.
    client: ClientOptions


class State(enum.Enum):
    """How far one connection has come; it only moves downwards."""

    CONNECTING = enum.auto()
    #: It is open, and waits for the others.
    READY = enum.auto()
    #: It exchanges messages.
    TALKING = enum.auto()
    #: All its messages came back.
    DONE = enum.auto()
    #: It counts as a failure, or the run is over.
    OVER = enum.auto()


class LoadClient(Client):
    """One connection of a run."""

    close_timeout: float | None = _CLOSE_TIMEOUT

    def __init__(self, run: LoadRun, url: str, options: ClientOptions) -> None:
        super().__init__(url, **options)
        self.state = State.CONNECTING
        self._load = run
        self._left = run.options.messages
        self._sent_at = 0.0

    def send_next(self) -> None:
        """Send a message and note the time."""
        self._sent_at = perf_counter()
        try:
            self.send_text(self._load.payload)
        except WebSocketError:
            pass  # the connection is ending, and on_close says why

    def on_ready(self, event: events.Ready) -> None:
        self._load.note_ready(self)

    def on_connect_fail(self, event: events.ConnectFail) -> None:
        self._load.note_failure(self, event.reason)

    def on_rejected(self, event: events.Rejected) -> None:
        self._load.note_failure(self, f"rejected: {event.reason}")

    def on_text(self, event: events.Text) -> None:
        now = perf_counter()
        if self.state is not State.TALKING:
            return
        load = self._load
        if event.text != load.payload:
            load.note_failure(self, "what the server sent is not the echo of the message")
            self.close()
            return
        load.note_echo(now - self._sent_at, now)
        self._left -= 1
        if self._left:
            self.send_next()
        else:
            load.note_done(self)

    def on_protocol_error(self, event: events.ProtocolError) -> None:
        self._load.note_failure(self, f"the server violated the protocol: {event.error}")

    def on_close(self, event: events.Disconnected) -> None:
        self._load.note_end(self, f"{event.reason} (code {event.code})")

    def on_error(self, error: Exception) -> None:
        self._load.note_failure(self, f"{type(error).__name__}: {error}")
        self.close()


class LoadRun:
    """One run: connect all, then exchange messages on all, then close all.

    :param url: of the echo server.
    """

    def __init__(self, options: LoadOptions, url: str, tally: Tally) -> None:
        self.options = options
        #: The text of every message: no compressor makes it vanish.
        self.payload: str = _make_payload(options.size)
        self._url = url
        self._tally = tally
        self._clients: list[LoadClient] = []
        self._slots = Semaphore(options.connecting)
        # Connections that are not through with the phase that is on.
        self._waited_for = 0
        self._phase_done = Event()
        self._message_start = self._last_echo = 0.0

    def run(self) -> None:
        """Do it, until all is done or a signal has come."""
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

    def note_ready(self, client: LoadClient) -> None:
        """A connection is open."""
        client.state = State.READY
        self._tally.connected += 1
        self._tally.open += 1
        self._slots.release()
        self._count_down()

    def note_echo(self, seconds: float, now: float) -> None:
        """A message has come back."""
        self._tally.messages += 1
        self._tally.latencies.add(seconds)
        self._last_echo = now

    def note_done(self, client: LoadClient) -> None:
        """A connection has got all its messages back."""
        client.state = State.DONE
        self._count_down()

    def note_failure(self, client: LoadClient, reason: str) -> None:
        """A connection has failed, or could not be opened: only the first reason counts."""
        before = client.state
        if before is State.OVER:
            return
        client.state = State.OVER
        self._tally.failures[reason] += 1
        if before is State.CONNECTING:
            self._slots.release()
        if before is State.CONNECTING or before is State.TALKING:
            self._count_down()

    def note_end(self, client: LoadClient, reason: str) -> None:
        """A connection that was open has ended."""
        self._tally.open -= 1
        self.note_failure(client, reason)

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
        ready = [client for client in self._clients if client.state is State.READY]
        if self.options.messages and ready:
            self._exchange(ready)

    def _connect_all(self) -> None:
        tally = self._tally
        options = self.options
        start = perf_counter()
        self._begin_phase(options.connections)
        for number in range(options.connections):
            if options.rate:
                gevent.sleep(max(0.0, start + number / options.rate - perf_counter()))
            self._slots.acquire()
            client = LoadClient(self, self._url, options.client)
            self._clients.append(client)
            tally.started += 1
            client.start()
        self._phase_done.wait()
        tally.connect_seconds = perf_counter() - start

    def _exchange(self, ready: list[LoadClient]) -> None:
        self._begin_phase(len(ready))
        self._message_start = self._last_echo = perf_counter()
        for client in ready:
            client.state = State.TALKING
        for client in ready:
            client.send_next()
        seen = -1
        while not self._phase_done.wait(self.options.timeout):
            if seen == self._tally.messages:
                for client in ready:
                    if client.state is State.TALKING:
                        self.note_failure(client, f"no echo within {self.options.timeout:g} s")
            seen = self._tally.messages

    def _close_all(self) -> None:
        clients = self._clients
        connecting = [client for client in clients if client.state is State.CONNECTING]
        for client in clients:
            client.state = State.OVER  # what happens from now on is no failure
        for client in connecting:
            client.kill()
        for client in clients:
            if client.is_ready:
                client.close(Status.NORMAL, "")
        seconds = min(_CLOSE_TIMEOUT, self.options.timeout)
        with gevent.Timeout(seconds, False):  # type: ignore[arg-type]  # not in the stubs
            for client in clients:
                client.join()
        for client in clients:
            if client.is_running:
                client.kill()


def run_load(options: LoadOptions) -> int:
    """Run the command, and print its summary.

    :returns: the exit status.
    """
    limit = raise_descriptor_limit()
    needed = options.connections + _SPARE_DESCRIPTORS
    if needed > limit:
        print(
            f"greenws: {options.connections:,} connections need {needed:,} descriptors, and this "
            f"process may have {limit:,}: raise the hard limit (ulimit -Hn {needed}), "
            f"or ask for at most -c {max(0, limit - _SPARE_DESCRIPTORS)}",
            file=sys.stderr,
        )
        return 2
    tally = Tally(options.connections, options.messages)
    with ExitStack() as stack:
        url = options.url
        if url is not None:
            where = parse_url(url).redact()
        else:
            try:
                server = stack.enter_context(EchoProcess(max(options.size, MAX_MESSAGE_SIZE)))
            except (OSError, RuntimeError) as error:
                print(f"greenws: {error}", file=sys.stderr)
                return 1
            url = server.url
            where = f"{url} (an echo server of its own)"
        print(
            f"load: {options.connections:,} connections to {where}, "
            f"{options.messages:,} messages of {options.size:,} bytes on each",
            flush=True,
        )
        progress = gevent.spawn(Progress(tally, sys.stderr).follow)
        try:
            LoadRun(options, url, tally).run()
        finally:
            progress.kill()
            print(tally.format_summary(), flush=True)
    return tally.exit_status


def _make_payload(size: int) -> str:
    return "".join(random.Random(size).choices(string.ascii_letters + string.digits, k=size))
