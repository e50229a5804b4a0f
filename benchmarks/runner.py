"""The runner: starts the server, and the clients in turn, each client in a fresh process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .load import Load, Watch, add_up
from .peers import Peer
from .rows import Row
from .summary import RowSummary, summarize

#: The checkout, the working directory of ``-m benchmarks``.
ROOT = Path(__file__).resolve().parents[1]

#: The seconds that a client may take beyond the time of the measurement: to import, connect and
#: end.
PATIENCE = 60.0


class ClientFailure(Exception):
    """A client had no result. The message is the last line of the client's stderr."""


@dataclass(frozen=True)
class Pace:
    """The length and the size of a run.

    :param rounds: the rounds of each row, at least.
    :param seconds: the time of one measurement.
    :param warmup: the seconds to run before the measurement.
    :param connections: the largest number of connections of a row.
    :param most_rounds: the rounds of a row whose figures do not stand still, at most.
    :param steady: the rounds whose figures have to be alike to stand still.
    :param extra: the seconds that a run takes, at most, for rows whose figures do not stand still.
    """

    rounds: int
    seconds: float
    warmup: float
    connections: int = 10**6
    most_rounds: int = 1
    steady: int = 2
    extra: float = 0.0


@dataclass(frozen=True)
class Server:
    """The running server: its ports by scheme, its loop, and the authority of its certificate.

    :param pid: the number of its process.
    :param helpers: the numbers of other processes that belong to the measurement, such as a relay.
    """

    ports: dict[str, int]
    loop: str
    cafile: str | None
    pid: int
    helpers: tuple[int, ...] = ()

    def find_url(self, row: Row) -> str:
        """Return scheme, host and port for a row."""
        scheme = "wss" if row.is_tls else "ws"
        return f"{scheme}://127.0.0.1:{self.ports[scheme]}"

    def suits(self, row: Row) -> bool:
        """Tell whether the server has the TLS that a row may need."""
        return self.cafile is not None or not row.is_tls


@contextlib.contextmanager
def run_server(folder: Path) -> Iterator[Server]:
    """Run the server, with TLS if trustme is installed.

    :param folder: the folder for the certificates.
    """
    certificate, cafile = make_certificate(folder)
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(
        command + ([certificate] if certificate else []),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            started = json.loads(process.stdout.readline())
            yield Server(started["ports"], started["loop"], cafile, process.pid)
        finally:
            process.stdin.close()  # ends the server
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def make_certificate(folder: Path) -> tuple[str | None, str | None]:
    """Make the certificates of the server and of its authority; None, None: no trustme."""
    try:
        import trustme  # only the rows with TLS need trustme
    except ImportError:
        return None, None
    authority = trustme.CA()
    certificate, cafile = folder / "server.pem", folder / "authority.pem"
    chain = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    chain.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(cafile))
    return str(certificate), str(cafile)


def measure(peer: Peer, row: Row, server: Server, pace: Pace) -> dict[str, Any]:
    """Run one client once.

    :raises ClientFailure: the client had no result.
    """
    task = {
        "work": row.work,
        "server": server.find_url(row),
        "seconds": pace.seconds,
        "warmup": pace.warmup,
        "variant": peer.variant,
        "cafile": server.cafile if row.is_tls else None,
        **row.options,
    }
    task["connections"] = count_connections(row, pace) or 1
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.clients.{peer.module}", json.dumps(task)],
            cwd=ROOT,
            env={**os.environ, **peer.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE + pace.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClientFailure(f"no result after {PATIENCE + pace.seconds:g} s") from None
    if done.returncode or not done.stdout:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ClientFailure(lines[-1])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def count_connections(row: Row, pace: Pace) -> int | None:
    """Return the connections of a row; None: the row has one."""
    wanted = row.options.get("connections")
    return None if wanted is None else min(int(str(wanted)), pace.connections)


Progress = Callable[[str], None]


class Measurement:
    """The measurement of one row: every peer once, then every peer again, and so on.

    :param place: the beginning of each line of progress.
    """

    def __init__(
        self, row: Row, peers: list[Peer], server: Server, pace: Pace, place: str, judge: str
    ) -> None:
        self.row = row
        self.peers = [peer for peer in peers if row.suits(peer)]
        #: The results of each peer, round by round; None: the peer failed.
        self.results: dict[str, list[dict[str, Any] | None]] = {p.name: [] for p in self.peers}
        #: The reasons of failures. A peer that has failed does not run again.
        self.failures: dict[str, str] = {}
        self.rounds = 0
        self._server = server
        self._pace = pace
        self._place = place
        self._judge = judge
        self._loads: list[Load | None] = []

    def run_round(self, progress: Progress) -> None:
        """Run every peer once."""
        self.rounds += 1
        for peer in self.peers:
            result = None
            if peer.name not in self.failures:
                progress(f"{self._place}: round {self.rounds}: {peer.name}")
                watch = Watch(self._server.pid, *self._server.helpers)
                try:
                    result = measure(peer, self.row, self._server, self._pace)
                except ClientFailure as error:
                    self.failures[peer.name] = str(error)
                self._loads.append(watch.stop(result))
            self.results[peer.name].append(result)

    def summarize(self) -> RowSummary:
        """Summarize the rounds so far."""
        return summarize(
            self.row,
            self.peers,
            self.results,
            self.failures,
            judge=self._judge,
            load=add_up(self._loads),
            steady=self._pace.steady,
            connections=count_connections(self.row, self._pace),
        )

    @property
    def is_restless(self) -> bool:
        """Whether another round could let the figures stand still."""
        return (
            self.rounds < self._pace.most_rounds
            and bool(self.results)
            and self.row.subject not in self.failures
            and not self.summarize().still
        )
