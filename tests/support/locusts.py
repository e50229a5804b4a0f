"""Locust's command, headless, in processes of its own, and the CSV files that it has written."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gevent import subprocess

import greenws
from tests.support.waiting import PATIENCE, wait_until

needs_locust = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="Locust is not installed"
)

# Locust writes its CSV files once a second, so the last second of a run is not in them. These are
# written at the end, by Locust's own writer.
_WRITER = """

import csv as _csv, pathlib as _pathlib
from locust import events as _events
from locust.runners import WorkerRunner as _WorkerRunner
from locust.stats import StatsCSV as _StatsCSV


@_events.init.add_listener
def _watch(environment, **more):
    @environment.events.quit.add_listener
    def write(**more):
        if isinstance(environment.runner, _WorkerRunner):
            return
        stats = _StatsCSV(environment, [0.5])
        for name in ("requests", "failures", "exceptions"):
            with _pathlib.Path(__file__).with_name(name + ".csv").open("w", newline="") as file:
                getattr(stats, name + "_csv")(_csv.writer(file))
"""


@dataclass
class Result:
    """How a run of Locust has ended."""

    status: int
    log: str
    #: The rows of the CSV files, by column.
    requests: list[dict[str, str]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    exceptions: list[dict[str, str]] = field(default_factory=list)

    def count(self, kind: str, name: str, column: str = "Request Count") -> int:
        """A number of the row of this type and name; 0 without such a row."""
        return sum(
            int(row[column]) for row in self.requests if (row["Type"], row["Name"]) == (kind, name)
        )

    def check_quiet(self) -> None:
        """Check that nothing was told twice: no traceback, no exception of a task."""
        assert "Traceback" not in self.log, self.log
        assert self.exceptions == [], self.log


class Locusts:
    """Processes of Locust that run one file.

    :param folder: where the file, the CSV files and the logs are.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self._folder = folder
        self._file = folder / "locustfile.py"
        self._file.write_text(textwrap.dedent(source) + _WRITER)
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: object) -> None:
        """Start a process, in a group of its own: its children belong to it."""
        names = ("http_proxy", "https_proxy", "all_proxy", "pythonpath")
        environment = {k: v for k, v in os.environ.items() if k.lower() not in names}
        environment["PYTHONPATH"] = str(Path(greenws.__path__[0]).parent)
        command = [sys.executable, "-m", "locust", "-f", str(self._file), *map(str, arguments)]
        with self._log_path(len(self._processes)).open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)

    def stop(self) -> Result:
        """End the first process as Ctrl-C or a service manager does, and wait for all of them."""
        self._processes[0].send_signal(signal.SIGTERM)
        return self.join()

    def join(self) -> Result:
        """Wait for the end of all processes, and read what they have written."""
        statuses = [process.wait(3 * PATIENCE) for process in self._processes]
        for process in self._processes:
            wait_until(lambda process=process: not _has_members(process.pid))
        log = self.read_log()
        result = Result(max(statuses), log)
        for name in ("requests", "failures", "exceptions"):
            path = self._folder / f"{name}.csv"
            assert path.exists(), log
            with path.open(newline="") as file:
                rows: list[dict[str, str]] = getattr(result, name)
                rows += csv.DictReader(file)
        return result

    def wait_log(self, text: str, count: int = 1) -> None:
        """Wait until the processes have printed a text so many times."""
        wait_until(lambda: self.read_log().count(text) >= count, 3 * PATIENCE)

    def read_log(self) -> str:
        """What the processes have printed so far."""
        paths = [self._log_path(number) for number in range(len(self._processes))]
        return "\n".join(path.read_text(errors="replace") for path in paths)

    def kill(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _log_path(self, number: int) -> Path:
        return self._folder / f"log-{number}"


@contextlib.contextmanager
def locusts(folder: Path, source: str, *arguments: object) -> Iterator[Locusts]:
    """Have Locust run a file, headless, as long as a ``with`` block at most."""
    found = Locusts(folder, source)
    try:
        if arguments:
            found.run("--headless", "--only-summary", *arguments)
        yield found
    finally:
        found.kill()


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
