"""Rules for every test: nothing left behind, no stale build, an end in bounded time."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import gevent
import pytest
from hypothesis import settings as hypothesis_settings

import greenws
from greenws.implementation import is_pure_forced
from tests.support.authority import Authority
from tests.support.leftovers import Holdings, find_leftovers, watch_greenlets
from tests.support.stale import find_stale
from tests.support.ticker import Ticker

# Seconds after the timeout of a test that cannot be interrupted until the process is ended.
GRACE = 20

ARMED = pytest.StashKey[bool]()

# No deadline for an example: its time depends on the machine more than on the code.
hypothesis_settings.register_profile("greenws", deadline=None, print_blob=True)
hypothesis_settings.load_profile("greenws")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has started the run in the background. Programs under test would inherit that,
        # and Ctrl-C would not end them.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    package = Path(greenws.__path__[0])
    # What was installed from a wheel was built together; its files have the times of the unpacking.
    if is_pure_forced() or package.parent.name in ("site-packages", "dist-packages"):
        return
    stale = find_stale(package)
    if stale:
        lines = "\n".join(f"  {line}" for line in stale)
        pytest.exit(
            f"stale compiled modules, which would be tested in place of the sources:\n{lines}\n"
            "Build again (pip install -e . or python setup.py build_ext --inplace), "
            "remove them, or set GREENWS_PURE_PYTHON=1.",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def pytest_report_header() -> str:
    build = "compiled core" if greenws.COMPILED else "pure Python"
    return f"greenws {greenws.__version__} ({build}), gevent {gevent.__version__}"


# pytest-timeout raises out of its signal handler. While a test waits, the hub is running: it would
# print the exception and go on. So the exception is thrown into the main greenlet instead.


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    if not hasattr(signal, "SIGALRM") or settings.method != "signal":
        return None

    def interrupt(signum: int, frame: FrameType | None) -> None:
        faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)
        outcome = pytest.fail.Exception(f"Timeout (>{settings.timeout} s)")
        hub = gevent.get_hub()
        if gevent.getcurrent() is hub.parent:
            raise outcome
        hub.handle_system_error(type(outcome), outcome)

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)
    faulthandler.dump_traceback_later(
        settings.timeout + GRACE, exit=True, file=sys.__stderr__ or sys.stderr
    )
    item.stash[ARMED] = True
    return True


def pytest_timeout_cancel_timer(item: pytest.Item) -> bool | None:
    if not item.stash.get(ARMED, False):
        return None
    item.stash[ARMED] = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.cancel_dump_traceback_later()
    return True


@pytest.fixture(scope="session", autouse=True)
def _warm_hub() -> None:
    """Have the hub open everything that it keeps open, so that no test is blamed for it."""
    hub = gevent.get_hub()
    hub.threadpool.apply(int)  # its first thread
    assert hub.resolver is not None
    hub.loop.install_sigchld()
    watch_greenlets()


@pytest.fixture(autouse=True)
def _nothing_left_behind(_warm_hub: None) -> Iterator[None]:
    """Fail a test that leaves a descriptor, greenlet, watcher or child process behind."""
    before = Holdings()
    yield
    leftovers = find_leftovers(before)
    if leftovers:
        pytest.fail("left behind:\n" + "\n".join(leftovers), pytrace=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority, one for the tests of a module."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def ticking() -> Iterator[Ticker]:
    """A greenlet that ticks every 5 ms; ``ticking.largest_gap`` tells if the hub was blocked."""
    ticker = Ticker()
    yield ticker
    ticker.stop()
