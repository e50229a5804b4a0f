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

from .peers import Peer
from .rows import Row

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

    :param rounds: the rounds of each row.
    :param seconds: the time of one measurement.
    :param warmup: the seconds to run before the measurement.
    :param connections: the largest number of connections of a row.
    """

    rounds: int
    seconds: float
    warmup: float
    connections: int = 10**6


@dataclass(frozen=True)
class Server:
    """The running server: its ports by scheme, its loop, and the authority of its certificate.

    :param prefix: the beginning of the command of a client that can reach the server.
    """

    ports: dict[str, int]
    loop: str
    cafile: str | None
    host: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()

    def find_url(self, row: Row) -> str:
        """Return scheme, host and port for a row."""
        scheme = "wss" if row.is_tls else "ws"
        return f"{scheme}://{self.host}:{self.ports[scheme]}"

    def suits(self, row: Row) -> bool:
        """Tell whether the server has the TLS that a row may need."""
        return self.cafile is not None or not row.is_tls


@contextlib.contextmanager
def run_server(
    folder: Path, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()
) -> Iterator[Server]:
    """Run the server, with TLS if trustme is installed.

    :param folder: the folder for the certificates.
    :param prefix: the beginning of the server's command.
    """
    certificate, cafile = make_certificate(folder)
    command = [*prefix, sys.executable, "-m", "benchmarks.server", host]
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
            yield Server(started["ports"], started["loop"], cafile, host)
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
    task["connections"] = min(int(str(task.get("connections", 1))), pace.connections)
    try:
        done = subprocess.run(
            [
                *server.prefix,
                sys.executable,
                "-m",
                f"benchmarks.clients.{peer.module}",
                json.dumps(task),
            ],
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


Progress = Callable[[str], None]


def run_row(
    row: Row, peers: list[Peer], server: Server, pace: Pace, place: str, progress: Progress
) -> tuple[dict[str, list[dict[str, Any] | None]], dict[str, str]]:
    """Run a row: every peer once, then every peer again, and so on.

    :param place: the beginning of each line of progress.
    :returns: the results of each peer, round by round (None: the peer failed), and the reasons of
        failures. A peer that has failed does not run again.
    """
    taking_part = [peer for peer in peers if row.suits(peer)]
    results: dict[str, list[dict[str, Any] | None]] = {peer.name: [] for peer in taking_part}
    failures: dict[str, str] = {}
    for number in range(1, pace.rounds + 1):
        for peer in taking_part:
            result = None
            if peer.name not in failures:
                progress(f"{place}: round {number} of {pace.rounds}: {peer.name}")
                try:
                    result = measure(peer, row, server, pace)
                except ClientFailure as error:
                    failures[peer.name] = str(error)
            results[peer.name].append(result)
    return results, failures
