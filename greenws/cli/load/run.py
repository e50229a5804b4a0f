"""One run in one process: open connections, exchange messages on all, close all."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import gevent
from gevent.event import Event

from ...group import ClientGroup
from ...status import Status
from ..process import read_memory
from ..streams import escape_line
from .clients import (
    CLOSE_TIMEOUT,
    KeyClient,
    LoadClient,
    QueueClient,
    Run,
    SilentClient,
    Stage,
    TurnClient,
)
from .options import ANY, ECHO, NONE, LoadOptions
from .pacer import GRAIN
from .tally import Portion

# Seconds between two reports of what has happened. A second has a whole number of them.
_REPORTS_A_SECOND = 10

# The log of the group's end.
drain_log: logging.Logger = logging.getLogger("greenws.drain")


@dataclass(frozen=True)
class Share:
    """The part of a run that one process has."""

    #: The number of the process, and of all processes.
    index: int
    processes: int
    #: The number of its first connection, and of its connections.
    first: int
    connections: int


def share_out(connections: int, processes: int) -> list[Share]:
    """Share connections evenly out to processes."""
    edges = [connections * index // processes for index in range(processes + 1)]
    return [
        Share(index, processes, edges[index], edges[index + 1] - edges[index])
        for index in range(processes)
    ]


class LoadRun(Run):
    """One run of one process.

    :param url: the URL of the server.
    :param tell: called with each portion of what has happened; must not let others run.
    :param share: what this process has of the run; None: all.
    :param meet: called before each step of the run, with its name; returns when all processes may
        begin with it.
    """

    def __init__(
        self,
        options: LoadOptions,
        url: str,
        tell: Callable[[Portion], object],
        share: Share | None = None,
        meet: Callable[[str], object] | None = None,
    ) -> None:
        share = share or Share(0, 1, 0, options.connections)
        super().__init__(options)
        self._url = url
        self._tell = tell
        self._share = share
        self._meet = meet or (lambda name: None)
        self._kind = self._find_kind()
        self._clients: list[LoadClient] = []
        rate = options.rate / share.processes if 0 < options.rate < math.inf else None
        if options.ramp is not None:
            rate = share.connections / options.ramp
        connecting = max(1, options.connecting // share.processes)
        self._group = ClientGroup(max_connecting=connecting, rate=rate)
        # The number of connections that have not finished the current phase.
        self._waited_for = 0
        self._phase_done = Event()
        # Whether each connection begins to talk as soon as it is open.
        self._is_ramped = options.ramp is not None and self.messages_each > 0
        self._began_at = self._message_start = 0.0
        self._last_second = 0
        # The traffic of the group that is reported: messages and bytes, sent and received.
        self._reported = (0, 0, 0, 0)
        # The messages that wait longer than they may, at the last look.
        self._overdue: dict[LoadClient, float] = {}
        self._work: gevent.Greenlet[..., None] | None = None
        self._is_interrupted = False

    def run(self) -> None:
        """Run until all messages are exchanged, or until :meth:`interrupt` is called."""
        memory = read_memory()
        self._began_at = perf_counter()
        helpers = [gevent.spawn(self.pacer.follow), gevent.spawn(self._report)]
        self._work = gevent.spawn(self._run)
        if self._is_interrupted:
            self.interrupt()
        try:
            self._work.get()
        finally:
            gevent.killall(helpers)
            self.portion.memory = max(0, read_memory() - memory)
            if self._message_start:
                last = max(self.last_reply, self._message_start)
                self.portion.message_seconds = last - self._message_start
            for client in self._clients:
                client.stage = Stage.OVER  # from now on, the end of a connection is no failure
            self._flush()
            self._close_all()

    def interrupt(self) -> None:
        """End the run. May be called from everywhere, any number of times."""
        self._is_interrupted = True
        if self._work is not None:
            self._work.kill(block=False)

    # What the clients tell

    def record_ready(self, client: LoadClient, seconds: float, now: float) -> None:
        """Record that a connection is open, and how long its opening took."""
        self.portion.connected += 1
        self.portion.openings.add([seconds])
        if client.stage is not Stage.CONNECTING:
            return  # the run is over
        client.stage = Stage.READY
        if self._is_ramped:
            # The openings are spread over time, and so are the first messages.
            client.begin(now, now)
        else:
            self._count_down()

    def record_done(self, client: LoadClient) -> None:
        """Record that all messages of a connection have come back."""
        if client.stage is Stage.TALKING:
            client.stage = Stage.DONE
            self._count_down()

    def record_wrong(self, client: LoadClient) -> None:
        """Record that a connection has got a message that is not the reply."""
        self.record_failure(client, "the server sent a message that is not the echo")
        client.close()

    def record_failure(self, client: LoadClient, reason: str) -> None:
        """Record the failure of a connection or of its opening; only the first reason counts."""
        before = client.stage
        if before is Stage.OVER:
            return
        client.stage = Stage.OVER
        self.portion.failures[escape_line(reason)] += 1
        if before is Stage.CONNECTING:
            self.portion.unopened += 1
        if before is Stage.CONNECTING or before is Stage.TALKING:
            self._count_down()

    def record_end(self, client: LoadClient, reason: str) -> None:
        """Record the end of a connection that was open."""
        self.portion.closed += 1
        self.record_failure(client, reason)

    # The phases

    def _count_down(self) -> None:
        self._waited_for -= 1
        if self._waited_for == 0:
            self._phase_done.set()

    def _begin_phase(self, waited_for: int) -> None:
        self._waited_for = waited_for
        self._phase_done.clear()
        if not waited_for:
            self._phase_done.set()

    def _run(self) -> None:
        self._meet("open")
        start = self._began_at = perf_counter()
        self._begin_phase(self._share.connections)
        if self._is_ramped:
            self._message_start = start
            self.begin_messages(start)
        self._group.start(map(self._make_client, range(self._share.connections)))
        if self._is_ramped:
            self._wait_for_end(start)
        else:
            self._phase_done.wait()
            self.portion.connect_seconds = perf_counter() - start
            self._meet("talk")
            self._exchange()
        self._meet("close")

    def _make_client(self, number: int) -> LoadClient:
        first = self._share.first
        client = self._kind(self, self._url, self.options.client, first + number)
        self._clients.append(client)
        return client

    def _find_kind(self) -> type[LoadClient]:
        expect = self.options.expect
        if expect == NONE or not self.messages_each:
            return SilentClient
        if expect not in (ECHO, ANY):
            return KeyClient
        return QueueClient if self.options.message_rate else TurnClient

    def _exchange(self) -> None:
        if not self.messages_each and self.options.duration is None:
            return
        ready = [client for client in self._clients if client.stage is Stage.READY]
        self._begin_phase(len(ready))
        start = perf_counter()
        if self.messages_each:
            self._message_start = start
            self.begin_messages(start)
        for index, client in enumerate(ready):
            if self.messages_each:
                # In the open loop, the connections of all processes are spread over the period.
                place = (index + self._share.index / self._share.processes) / len(ready)
                client.begin(start, start + self.period * place)
            else:
                client.stage = Stage.TALKING  # it only listens
        self._wait_for_end(start)

    def _wait_for_end(self, start: float) -> None:
        options = self.options
        end = math.inf if options.duration is None else start + options.duration
        interval = min(1.0, options.timeout / 2)
        while not self._phase_done.wait(max(GRAIN, min(interval, end - perf_counter()))):
            now = perf_counter()
            if now >= end:
                self._finish(end)
                end = math.inf
            self._check_overdue(now)

    def _finish(self, end: float) -> None:
        """The time is over: send no more."""
        for client in self._clients:
            client.finish(end)

    def _check_overdue(self, now: float) -> None:
        """Fail the connections whose replies are late.

        A message has to be late at two looks in a row: at the first, replies may be there that
        nobody has read yet, because this process was held up.
        """
        limit = now - self.options.timeout
        before, self._overdue = self._overdue, {}
        for client in self._clients:
            if client.stage is not Stage.TALKING:
                continue
            since = client.waiting_since()
            if not since or since > limit:
                continue
            if before.get(client) == since:
                what = "echo" if self.is_echo else "reply"
                self.record_failure(client, f"no {what} within {self.options.timeout:g} s")
                client.close()
            else:
                self._overdue[client] = since

    def _close_all(self) -> None:
        # What the server does not answer is no result of the run, and nothing to warn of.
        level = drain_log.level
        drain_log.setLevel(logging.ERROR)
        try:
            self._group.drain(min(CLOSE_TIMEOUT, self.options.timeout), Status.NORMAL)
        finally:
            drain_log.setLevel(level)

    # The reports

    def _report(self) -> None:
        """Report regularly until killed."""
        while True:
            count = int((perf_counter() - self._began_at) * _REPORTS_A_SECOND)
            rest = (count + 1) / _REPORTS_A_SECOND + self._began_at - perf_counter()
            gevent.sleep(max(GRAIN, rest))
            self._flush()

    def _flush(self) -> None:
        """Report what has happened since the last time."""
        portion = self.take_portion()
        stats = self._group.stats()
        traffic = (
            stats["messages_sent"],
            stats["messages_received"],
            stats["bytes_sent"],
            stats["bytes_received"],
        )
        sent, received, bytes_sent, bytes_received = (
            new - old for new, old in zip(traffic, self._reported, strict=True)
        )
        self._reported = traffic
        portion.sent = sent
        portion.others = max(0, received - portion.replies)
        portion.bytes_sent, portion.bytes_received = bytes_sent, bytes_received
        # A report at the very end of a second belongs to that second.
        tenths = round((perf_counter() - self._began_at) * _REPORTS_A_SECOND)
        self._last_second = max(self._last_second, (tenths - 1) // _REPORTS_A_SECOND, 0)
        portion.second = self._last_second
        self._tell(portion)
