"""Tests of the checks that every test has to pass."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import gevent
import pytest

from tests.support import leftovers
from tests.support.leftovers import Holdings, find_leftovers
from tests.support.stale import find_stale
from tests.support.ticker import Ticker

linux_only = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="reads /proc")

SUFFIX = EXTENSION_SUFFIXES[0]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "SETTLE_TIME", 0.05)


def test_nothing_left_is_found_where_nothing_was_opened() -> None:
    before = Holdings()
    assert find_leftovers(before) == []


@linux_only
def test_descriptor_left_is_found() -> None:
    before = Holdings()
    number = os.open(os.devnull, os.O_RDONLY)
    try:
        assert find_leftovers(before) == [f"descriptor {number} -> {os.devnull}"]
    finally:
        os.close(number)
    assert find_leftovers(before) == []


@linux_only
def test_descriptor_left_is_found_under_a_number_used_before() -> None:
    first = os.open(os.devnull, os.O_RDONLY)
    before = Holdings()
    os.close(first)
    reader, writer = os.pipe()
    try:
        assert len(find_leftovers(before)) == 2
    finally:
        os.close(reader)
        os.close(writer)


def test_greenlet_left_is_found() -> None:
    before = Holdings()
    greenlet = gevent.spawn(gevent.sleep, 60)
    (line,) = find_leftovers(before)
    assert line.startswith("greenlet <Greenlet")
    greenlet.kill()
    assert find_leftovers(before) == []


def test_greenlet_about_to_end_is_waited_for() -> None:
    before = Holdings()
    gevent.spawn(gevent.sleep, 0.01)
    assert find_leftovers(before) == []


@pytest.mark.skipif(
    "libuv" in type(gevent.get_hub().loop).__module__, reason="libuv does not count its watchers"
)
def test_timer_left_is_found() -> None:
    before = Holdings()
    timer = gevent.get_hub().loop.timer(60)
    timer.start(lambda: None)
    try:
        assert find_leftovers(before) == ["1 started watchers or timers of the hub"]
    finally:
        timer.stop()
        timer.close()


@linux_only
def test_child_left_is_found() -> None:
    before = Holdings()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lines = find_leftovers(before)
        child.send_signal(signal.SIGKILL)
    assert f"child process {child.pid}: {sys.executable} -c input()" in lines
    assert find_leftovers(before) == []


@pytest.mark.parametrize("wait", ["gevent.sleep(60)", "time.sleep(60)"])
def test_timeout_ends_a_test_wherever_it_waits(tmp_path: Path, wait: str) -> None:
    conftest = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")
    tmp_path.joinpath("conftest.py").write_text(conftest, encoding="utf-8")
    tmp_path.joinpath("test_it.py").write_text(
        f"""
import time, gevent, pytest

def test_fixtures_of_the_session():
    pass

@pytest.mark.timeout(0.5)
def test_it():
    {wait}
""",
        encoding="utf-8",
    )
    root = Path(__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Failed: Timeout (>0.5 s)" in run.stdout
    assert "1 failed, 1 passed in" in run.stdout


def test_ticker_sees_a_blocked_hub(ticking: Ticker) -> None:
    gevent.sleep(0.05)
    assert ticking.ticks
    ticking.reset()
    while ticking.largest_gap < 0.1:
        pass  # busy, and no other greenlet runs
    gevent.sleep(0.01)
    assert ticking.largest_gap >= 0.1


def make_package(folder: Path, cimport: str = "from greenws.two cimport Two") -> Path:
    """Make a package of two modules, of which the first cimports from the second.

    :returns: its folder.
    """
    package = folder / "greenws"
    package.mkdir()
    for name, pxd in (("one", f"{cimport}\n"), ("two", "")):
        package.joinpath(f"{name}.py").write_text("")
        package.joinpath(f"{name}.pxd").write_text(pxd)
        package.joinpath(name + SUFFIX).write_bytes(b"")
    for path in package.iterdir():
        os.utime(path, (1000, 2000 if path.name.endswith(SUFFIX) else 1000))
    return package


def test_fresh_build_is_not_stale(tmp_path: Path) -> None:
    assert find_stale(make_package(tmp_path)) == []


@pytest.mark.parametrize(
    ("touched", "stale"),
    [("one.py", ["one"]), ("one.pxd", ["one"]), ("two.py", ["two"]), ("two.pxd", ["one", "two"])],
)
def test_build_older_than_its_source_is_stale(
    tmp_path: Path, touched: str, stale: list[str]
) -> None:
    package = make_package(tmp_path)
    os.utime(package / touched, (3000, 3000))
    lines = find_stale(package)
    assert [line.split(SUFFIX)[0] for line in lines] == [f"greenws/{name}" for name in stale]


@pytest.mark.parametrize("cimport", ["from greenws cimport two", "cimport greenws.two as two"])
def test_a_module_may_be_cimported_whole(tmp_path: Path, cimport: str) -> None:
    package = make_package(tmp_path, cimport)
    os.utime(package / "two.pxd", (3000, 3000))
    assert len(find_stale(package)) == 2


def test_build_without_declarations_is_stale(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    package.joinpath("two.pxd").unlink()
    assert find_stale(package) == [f"greenws/two{SUFFIX} has no .py with a .pxd beside it any more"]
