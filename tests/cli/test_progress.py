"""How a load run shows its progress, on a terminal and elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest

from greenws.cli import progress
from greenws.cli.progress import Progress
from greenws.cli.tally import Tally
from tests.support.waiting import wait_until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LIVE_INTERVAL", 0.002)
    monkeypatch.setattr(progress, "_LINE_INTERVAL", 0.002)


@contextmanager
def following(tally: Tally, stream: io.StringIO) -> Iterator[None]:
    greenlet = gevent.spawn(Progress(tally, stream).follow)
    yield
    greenlet.kill()


def test_terminal_has_one_line_that_vanishes_at_the_end() -> None:
    tally, stream = Tally(10, 5), Terminal()
    with following(tally, stream):
        wait_until(lambda: "0 of 10 open" in stream.getvalue())
        tally.open = 7
        wait_until(lambda: "7 of 10 open" in stream.getvalue())
    shown = stream.getvalue()
    assert "\n" not in shown
    assert shown.count("\r\x1b[K") == 3
    assert shown.endswith("\r\x1b[K")


def test_line_on_a_terminal_is_cut_to_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "9")
    stream = Terminal()
    with following(Tally(10, 5), stream):
        wait_until(stream.getvalue)
    assert stream.getvalue() == "\r\x1b[K0 of 10 \r\x1b[K"


def test_lines_elsewhere_come_only_with_news() -> None:
    tally, stream = Tally(1000, 1), io.StringIO()
    with following(tally, stream):
        wait_until(stream.getvalue)
        gevent.sleep(0.02)  # for a line that should not come
        tally.open = 1000
        wait_until(lambda: stream.getvalue().count("\n") == 2)
    assert stream.getvalue() == "0 of 1,000 open\n1,000 of 1,000 open\n"


def test_failures_and_messages_are_counted() -> None:
    tally, stream = Tally(10, 500, open=8, messages=2000), io.StringIO()
    tally.failures["refused"] = 2
    with following(tally, stream):
        wait_until(stream.getvalue)
    first = stream.getvalue().splitlines()[0]
    assert first.startswith("8 of 10 open, 2 failed, 2,000 of 5,000 messages, ")
    assert first.endswith("/s")
