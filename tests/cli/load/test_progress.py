"""How a load run shows its progress, on a terminal and elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest

from greenws.cli.load import progress
from greenws.cli.load.progress import Progress
from greenws.cli.load.tally import Portion, Tally
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


def make_tally(connections: int, messages_each: int | None, **counts: int) -> Tally:
    tally = Tally(connections, messages_each)
    tally.add(Portion(**counts))
    return tally


def test_terminal_has_one_line_that_vanishes_at_the_end() -> None:
    tally, stream = Tally(10, 5), Terminal()
    with following(tally, stream):
        wait_until(lambda: "0 of 10 open" in stream.getvalue())
        tally.add(Portion(connected=7))
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
    assert stream.getvalue() == "\r\x1b[K[.......\r\x1b[K"


def test_lines_elsewhere_come_only_with_news() -> None:
    tally, stream = Tally(1000, 1), io.StringIO()
    with following(tally, stream):
        wait_until(stream.getvalue)
        gevent.sleep(0.02)  # for a line that should not come
        tally.add(Portion(connected=1000))
        wait_until(lambda: stream.getvalue().count("\n") == 2)
    assert stream.getvalue() == "0 of 1,000 open\n1,000 of 1,000 open\n"


@pytest.mark.parametrize(
    ("messages_each", "text"), [(500, "2,000 of 5,000 messages, "), (None, "2,000 messages, ")]
)
def test_failures_and_messages_are_counted(messages_each: int | None, text: str) -> None:
    tally, stream = make_tally(10, messages_each, connected=8, replies=2000), io.StringIO()
    portion = Portion(unopened=2)
    portion.failures["refused"] = 2
    tally.add(portion)
    with following(tally, stream):
        wait_until(stream.getvalue)
    first = stream.getvalue().splitlines()[0]
    assert first.startswith(f"8 of 10 open, 2 failed, {text}")
    assert first.endswith("/s")


def test_rate_is_that_of_the_last_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress, "perf_counter", lambda: now)
    shown = Progress(Tally(1, None), io.StringIO())
    rates = []
    for _ in range(8):
        now += 0.5
        rates.append(shown._find_rate(int((now - 100) * 60)))
    assert rates == [60.0] * 8
    now += 1000
    assert shown._find_rate(240) == 0.0


def show_bar(tally: Tally, monkeypatch: pytest.MonkeyPatch, duration: float | None = None) -> str:
    """Show the bar ten seconds after the phase has begun."""
    since = tally.began_at if tally.talking_since is None else tally.talking_since
    monkeypatch.setattr(progress, "perf_counter", lambda: since + 10)
    return Progress(tally, io.StringIO(), duration)._format_bar()


def test_bar_shows_the_openings_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = make_tally(100, 5, connected=20, unopened=5)
    assert show_bar(tally, monkeypatch) == "[###.........]  25 %, 30 s left"
    tally = make_tally(100, 5)
    assert show_bar(tally, monkeypatch) == "[............]   0 %"


@pytest.mark.parametrize(
    ("messages_each", "duration", "bar"),
    [
        (5, None, "[######......]  50 %, 10 s left"),
        (None, 1010.0, "[............]   0 %, 17 min left"),
        (5, 12.5, "[#########...]  80 %, 2 s left"),  # whichever ends first
        (None, 5.0, "[############] 100 %, ending"),
        (None, 36010.0, "[............]   0 %, 10 h left"),
        (0, None, "[############] 100 %, ending"),
    ],
)
def test_bar_shows_the_messages_or_the_time(
    messages_each: int | None, duration: float | None, bar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = make_tally(100, messages_each, connected=100, replies=250)
    tally.note_step("talk", False)
    assert show_bar(tally, monkeypatch, duration) == bar
