"""What a command asks of its process: descriptors, memory, signals, stdin."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from greenws.cli import process
from greenws.cli.process import raise_descriptor_limit, read_memory, read_stdin
from tests.support.run import run_script
from tests.support.ticker import Ticker


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """The limits of descriptors, soft and hard, with room between them; restored afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = min(before[0], 256), before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield soft, hard
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pipe in place of stdin; the end to write to."""
    reading, writing = os.pipe()
    monkeypatch.setattr(process, "_STDIN", reading)
    yield writing
    os.close(reading)
    os.close(writing)


def test_descriptor_limit_is_raised_to_the_hard_one(limits: tuple[int, int]) -> None:
    assert raise_descriptor_limit() == limits[1]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limits[1], limits[1])


def test_descriptor_limit_that_cannot_be_raised_stays(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr("resource.setrlimit", refuse)
    assert raise_descriptor_limit() == limits[0]


def test_nothing_is_known_where_the_system_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "HAS_RESOURCE", False)
    assert raise_descriptor_limit() == sys.maxsize
    assert read_memory() == 0


def test_memory_grows_with_what_is_in_use() -> None:
    before = read_memory()
    data = b"x" * 64_000_000
    assert read_memory() - before > 50_000_000
    del data


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_first_signal_calls_back_in_a_greenlet(name: str) -> None:
    said = run_script(
        """
        import os, signal, sys, gevent
        from greenws.cli.process import signals_handled

        number = getattr(signal, sys.argv[1])
        got = []

        def callback(number):
            gevent.sleep(0)  # which the hub itself could not
            got.append(number)

        with signals_handled(callback):
            os.kill(os.getpid(), number)
            while not got:
                gevent.sleep(0.001)
        print(got == [number])
        """,
        name,
    )
    assert said == "True\n"


def test_second_signal_ends_the_process() -> None:
    code = """
import os, signal, gevent
from greenws.cli.process import signals_handled
got = []
with signals_handled(got.append):
    os.kill(os.getpid(), signal.SIGTERM)
    while not got:
        gevent.sleep(0.001)
    os.kill(os.getpid(), signal.SIGTERM)
    gevent.sleep(5)
"""
    run = subprocess.run([sys.executable, "-c", code], timeout=30, check=False)
    assert run.returncode == -signal.SIGTERM


def test_stdin_is_waited_for_while_the_hub_goes_on(stdin: int, ticking: Ticker) -> None:
    reader = gevent.spawn(read_stdin)
    ticking.wait(5)
    assert not reader.dead
    os.write(stdin, b"a line\n")
    assert reader.get(timeout=5) == b"a line\n"


def test_stdin_ends_with_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(process, "_STDIN", reading)
    os.close(writing)
    assert read_stdin() == b""
    os.close(reading)


def test_stdin_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"from a file")
    with path.open("rb") as file:
        monkeypatch.setattr(process, "_STDIN", file.fileno())
        assert read_stdin() == b"from a file"
        assert read_stdin() == b""


def test_stdin_may_be_non_blocking(stdin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    os.set_blocking(process._STDIN, False)
    # Another process may take the bytes between the wait and the read.
    monkeypatch.setattr(process, "wait_for", lambda descriptor, event: None)
    reader = gevent.spawn(read_stdin)
    gevent.sleep(0)
    assert not reader.dead
    os.write(stdin, b"a line\n")
    assert reader.get(timeout=5) == b"a line\n"


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_stdin_may_be_a_device(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(path, "rb") as device:
        monkeypatch.setattr(process, "_STDIN", device.fileno())
        assert set(read_stdin()) <= {0}


def test_stdin_that_is_a_directory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open("/", os.O_RDONLY)
    monkeypatch.setattr(process, "_STDIN", descriptor)
    try:
        with pytest.raises(IsADirectoryError):
            read_stdin()
    finally:
        os.close(descriptor)
