"""The open network: the server at the other end of a slow link.

With TUN devices, client and server have a network namespace each, and a process of Python between
them. This needs Linux, root and ``/dev/net/tun``. Elsewhere a relay on loopback delays the bytes;
it cannot lose any. All of it is gone when the process ends that made it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from .link import Link
from .namespaces import ADDRESSES
from .runner import ROOT, Server, run_server


class Unavailable(Exception):
    """A link cannot be had on this machine. The message says why."""


class Passage:
    """What is between client and server, while it runs and after.

    :param server: the server, as the client reaches it.
    :param kind: describes what is in between.
    """

    def __init__(self, server: Server, kind: str) -> None:
        self.server = server
        self.kind = kind
        #: What the directions have counted, known at the end.
        self.counts: list[dict[str, float]] = []

    def describe(self) -> str:
        """Describe what was in between, and what it did to the packets."""
        if not self.counts:
            return self.kind
        total = {name: sum(count[name] for count in self.counts) for name in self.counts[0]}
        lateness = max(count["lateness"] for count in self.counts)
        return (
            f"{self.kind}; {total['passed']:,} packets passed, {total['lost']:,} were lost by chance, "
            f"{total['refused']:,} found a full queue; none was more than {lateness * 1000:.0f} ms late"
        )


@contextlib.contextmanager
def run_far_server(link: Link, folder: Path) -> Iterator[Passage]:
    """Run the server at the other end of a link.

    :param folder: the folder for the certificates.
    :raises Unavailable: the link cannot be had here.
    """
    with contextlib.ExitStack() as stack:
        try:
            passage = stack.enter_context(_run_forwarder(link, folder))
        except Unavailable as error:
            if link.loss:
                raise Unavailable(f"{error}, and no relay can lose packets") from None
            passage = stack.enter_context(_run_relay(link, folder))
        yield passage


@contextlib.contextmanager
def _run_forwarder(link: Link, folder: Path) -> Iterator[Passage]:
    with _run("forwarder", json.dumps(link.to_json())) as (process, started):
        if "error" in started:
            raise Unavailable(started["error"])
        near, far = (
            (sys.executable, "-m", "benchmarks.namespaces", path) for path in started["namespaces"]
        )
        with run_server(folder, ADDRESSES[1], far) as server:
            passage = Passage(replace(server, prefix=near), f"TUN devices, {started['control']}")
            yield passage
        passage.counts = json.loads(_end(process))


@contextlib.contextmanager
def _run_relay(link: Link, folder: Path) -> Iterator[Passage]:
    with (
        run_server(folder) as server,
        _run("relay", str(link.delay), str(server.ports["ws"])) as (_, started),
    ):
        yield Passage(replace(server, ports={"ws": started["port"]}), "a relay on loopback")


@contextlib.contextmanager
def _run(module: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a process of this package; give what it says at its start, as JSON."""
    with subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, json.loads(_output(process).readline())
        finally:
            try:
                _end(process)
            except subprocess.TimeoutExpired:
                process.kill()


def _end(process: subprocess.Popen[str]) -> str:
    """End a process that runs until its stdin ends, and return the rest of its output."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait(5)
    return _output(process).read()


def _output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
