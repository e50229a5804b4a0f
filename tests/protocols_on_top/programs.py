"""The examples of protocols, and the real servers that they talk to."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import gevent.subprocess
import pytest

from tests.support.programs import find
from tests.support.waiting import PATIENCE, wait_until

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "protocols"
SERVERS = EXAMPLES / "servers"

# Seconds for the start of a server or of an example, on a slow machine.
START = 4 * PATIENCE


_URL = re.compile(r"(ws|http)://\S+$")

# Where Jupyter and Chromium look for settings of the user's, and leave files.
_OWN_FOLDERS = (
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_RUNTIME_DIR",
    "IPYTHONDIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
)


def clean_environment() -> dict[str, str]:
    """The environment without proxies, which would take connections to 127.0.0.1, too."""
    names = ("http_proxy", "https_proxy", "all_proxy")
    environment = {k: v for k, v in os.environ.items() if k.lower() not in names}
    return {**environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def need(*modules: str) -> None:
    """Skip the tests where a package of PyPI's is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (PyPI)")


def need_node(*modules: str) -> None:
    """Skip the tests where Node.js, or a module of npm's, is not installed."""
    find("node")
    folders = [SERVERS / "node_modules"]
    folders += map(Path, filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)))
    for module in modules:
        if not any((folder / module).is_dir() for folder in folders):
            pytest.skip(f"{module} is not installed (npm)")


def load_example(name: str) -> ModuleType:
    """Import an example as a module."""
    path = EXAMPLES / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_example(name: str, *arguments: object) -> list[str]:
    """Run an example, which must neither fail nor complain.

    :returns: the lines that it has printed.
    """
    done = gevent.subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *map(str, arguments)],
        capture_output=True,
        timeout=START,
        env=clean_environment(),
        cwd="/",
    )
    assert done.stderr.decode() == ""
    assert done.returncode == 0
    return str(done.stdout.decode()).splitlines()


class Server:
    """A server that runs, and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        #: Where it listens.
        self.url = ""

    def read_lines(self) -> list[str]:
        """The lines that it has printed so far."""
        return self._log.read_text(errors="replace").split("\n")[:-1]

    def wait_line(self, text: str) -> None:
        """Wait until it has printed a line with a text."""
        wait_until(lambda: any(text in line for line in self.read_lines()))

    def wait_start(self, read: Callable[[], T | None]) -> T:
        """Wait until something can be read that tells that the server runs."""
        deadline = time.monotonic() + START
        while not (result := read()):
            log = self._log.read_text(errors="replace")
            assert self.process.poll() is None, log
            assert time.monotonic() < deadline, f"the server does not start\n{log}"
            time.sleep(0.02)
        return result


@contextlib.contextmanager
def run_server(folder: Path, *command: object) -> Iterator[Server]:
    """Run a server as long as a ``with`` block."""
    log = folder / "log"
    environment = {**clean_environment(), **dict.fromkeys(_OWN_FOLDERS, str(folder))}
    with log.open("wb") as file:
        # By the standard library: the hub is that of one test, and the server outlives it.
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    server = Server(process, log)
    try:
        yield server
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def run_example_server(folder: Path, name: str) -> Iterator[Server]:
    """Run one of the servers beside the examples, and wait until it listens."""
    runner = "node" if name.endswith(".js") else sys.executable
    with run_server(folder, runner, SERVERS / name) as server:
        server.url = server.wait_start(
            lambda: next((line for line in server.read_lines() if _URL.match(line)), None)
        )
        yield server
