"""The open network: the server at the other end of a slow link.

With TUN devices, client and server have a network namespace each, and a process of Python between
them. This needs Linux and ``/dev/net/tun``, and root or the right to make user namespaces.
Elsewhere a relay on loopback delays the bytes; it cannot lose any. All of it is gone when the
process ends that made it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from .link import Link
from .namespaces import ADDRESSES
from .runner import ROOT, Server, run_server


class Unavailable(Exception):
    """A link cannot be had on this machine. The message says why."""


class Passages:
    """The servers at the other ends of links: each is started when it is first wanted.

    :param folder: the folder for the certificates.
    :param tell: is told, at the end, what each link did to the packets.
    """

    def __init__(self, folder: Path, tell: Callable[[str], object]) -> None:
        self._folder = folder
        self._tell = tell
        self._stack = contextlib.ExitStack()
        self._servers: dict[Link, Server] = {}

    def __enter__(self) -> Passages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def reach(self, link: Link) -> Server:
        """Return the server at the other end of a link.

        :raises Unavailable: the link cannot be had here.
        """
        if link not in self._servers:
            passage = self._stack.enter_context(run_far_server(link, self._folder, self._tell))
            self._servers[link] = passage
        return self._servers[link]


@contextlib.contextmanager
def run_far_server(link: Link, folder: Path, tell: Callable[[str], object]) -> Iterator[Server]:
    """Run the server at the other end of a link.

    :param tell: is told, at the end, what the link did to the packets.
    :raises Unavailable: the link cannot be had here.
    """
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(_run_forwarder(link, folder, tell))
        except Unavailable as error:
            if link.loss:
                raise Unavailable(f"{error}, and a relay cannot lose packets") from None
            tell(f"{link}: a relay on loopback, because {error}")
            server = stack.enter_context(_run_relay(link, folder))
        yield server


@contextlib.contextmanager
def _run_forwarder(link: Link, folder: Path, tell: Callable[[str], object]) -> Iterator[Server]:
    with _run("forwarder", json.dumps(link.to_json())) as process:
        near, far = (
            (sys.executable, "-m", "benchmarks.namespaces", path)
            for path in process.started["namespaces"]
        )
        with run_server(folder, ADDRESSES[1], far) as server:
            yield replace(server, prefix=near, helpers=(process.pid,))
        tell(f"{link}: {process.started['control']}; {describe(json.loads(process.end()))}")


def describe(counts: list[dict[str, float]]) -> str:
    """Describe what a link did to the packets.

    :param counts: the counts of both directions.
    """
    passed, lost, refused = (
        sum(count[name] for count in counts) for name in ("passed", "lost", "refused")
    )
    lateness = max(count["lateness"] for count in counts)
    return (
        f"{passed:,} packets passed, {lost:,} were lost by chance, {refused:,} found a full queue; "
        f"none was more than {lateness * 1000:.0f} ms late"
    )


@contextlib.contextmanager
def _run_relay(link: Link, folder: Path) -> Iterator[Server]:
    with (
        run_server(folder) as server,
        _run("relay", str(link.delay), str(server.ports["ws"])) as process,
    ):
        yield replace(server, ports={"ws": process.started["port"]}, helpers=(process.pid,))


@dataclass(frozen=True)
class Helper:
    """A process that runs until its stdin ends, and what it said at its start."""

    process: subprocess.Popen[str]
    started: dict[str, Any]

    @property
    def pid(self) -> int:
        return self.process.pid

    def end(self) -> str:
        """End the process, and return the rest of its output."""
        _opened(self.process.stdin).close()
        self.process.wait(5)
        return _opened(self.process.stdout).read()


@contextlib.contextmanager
def _run(module: str, *arguments: str) -> Iterator[Helper]:
    """Run a module of this package that says something at its start, as JSON.

    :raises Unavailable: it said why it cannot run, or nothing.
    """
    with subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = _opened(process.stdout).readline()
            started = json.loads(line) if line else {"error": f"the {module} ended at once"}
            if "error" in started:
                raise Unavailable(started["error"])
            yield Helper(process, started)
        finally:
            _opened(process.stdin).close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _opened(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
