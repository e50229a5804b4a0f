"""``persist``: connections in a row, with a wait after each failure."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import lomond.persist
import pytest

from greenws import WebSocket, events, persist
from greenws.protocol.response import Response
from greenws.testing import EchoServer, accept, close_with, drop, in_turn, reject
from tests.support.stopwatch import Stopwatch
from tests.support.ticker import Ticker

# The attribute greenws.persist is the function, which hides the module.
MODULE = sys.modules["greenws.persist"]
# Arguments of persist that make its waits short.
QUICK: dict[str, Any] = {"min_wait": 0.001, "max_wait": 0.002}


class Fake:
    """A websocket that yields one given list of events per connection."""

    def __init__(self, *connections: list[Any]) -> None:
        self._connections = iter(connections)
        self.options: list[dict[str, Any]] = []
        self.closed = 0

    def connect(self, **options: Any) -> Iterator[Any]:
        self.options.append(options)
        try:
            yield from next(self._connections, [])
        finally:
            self.closed += 1


def rejected(*headers: str) -> events.Rejected:
    head = "\r\n".join(["HTTP/1.1 503 Busy", *headers, "", ""]).encode()
    return events.Rejected(Response(head), "busy")


def ready() -> events.Ready:
    return events.Ready(Response(b"HTTP/1.1 101 x\r\n\r\n"), None, set())


def take(iteration: Iterator[Any], count: int) -> list[Any]:
    taken = [next(iteration) for _ in range(count)]
    iteration.close()  # type: ignore[attr-defined]
    return taken


def delays(taken: list[Any]) -> list[float]:
    return [event.delay for event in taken if event.name == "back_off"]


def test_signature_extends_that_of_lomond() -> None:
    theirs = list(inspect.signature(lomond.persist.persist).parameters.values())
    ours = list(inspect.signature(persist).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(theirs)]] == [
        (p.name, p.default) for p in theirs
    ]


def test_options_that_were_not_given_are_not_passed_on() -> None:
    fake = Fake()
    take(persist(fake, **QUICK), 1)
    assert fake.options == [{"poll": 5, "ping_rate": 30, "ping_timeout": None}]


def test_options_that_were_given_are_passed_on() -> None:
    given = {"session_class": object, "auto_pong": False, "close_timeout": 3}
    fake = Fake()
    take(persist(fake, 1, 0.001, 0.002, 2, 3, **given), 2)
    assert fake.options == [{"poll": 1, "ping_rate": 2, "ping_timeout": 3, **given}] * 2


@pytest.mark.parametrize(
    "name", ["min_wait", "max_wait", "poll", "ping_rate", "ping_timeout", "close_timeout"]
)
def test_wrong_number_is_named_by_the_call(name: str) -> None:
    for value, error in (("5", TypeError), (True, TypeError), (-1, ValueError)):
        with pytest.raises(error, match=name):
            persist(Fake(), **{name: value})
    if name in ("min_wait", "max_wait"):
        with pytest.raises(TypeError, match=name):
            persist(Fake(), **{name: None})


@pytest.mark.parametrize("name", ["session_class", "auto_pong", "close_timeout"])
def test_single_option_is_passed_on_alone(name: str) -> None:
    fake = Fake()
    take(persist(fake, **QUICK, **{name: None}), 1)
    assert name in fake.options[0]
    assert len(fake.options[0]) == 4


def test_unknown_option_is_a_type_error_at_once() -> None:
    with pytest.raises(TypeError, match="timeout"):
        persist(Fake(), timeout=3)


def test_nothing_happens_before_the_first_next() -> None:
    fake = Fake()
    persist(fake)
    assert fake.options == []


def test_events_are_passed_through_and_a_back_off_follows() -> None:
    poll = events.Poll()
    taken = take(persist(Fake([poll], []), **QUICK), 3)
    assert taken[0] is poll
    assert [event.name for event in taken] == ["poll", "back_off", "back_off"]


def test_waits_grow_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "random", lambda: 1.0)
    monkeypatch.setattr(MODULE, "_wait", lambda event, seconds: False)
    assert delays(take(persist(Fake(), min_wait=5, max_wait=30), 6)) == [7, 9, 13, 21, 30, 30]


def test_waits_are_those_of_lomond(monkeypatch: pytest.MonkeyPatch) -> None:
    class Never:
        def wait(self, timeout: float) -> bool:
            return False

    script = [[], [], [ready()], [], [rejected()], [ready()], []]
    found = []
    for module in (lomond.persist, MODULE):
        monkeypatch.setattr(module, "random", lambda: 0.5)
        found.append(delays(take(module.persist(Fake(*script), exit_event=Never()), 10)))
    assert found[0] == found[1]


def test_failures_are_forgotten_when_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "random", lambda: 1.0)
    monkeypatch.setattr(MODULE, "_wait", lambda event, seconds: False)
    taken = take(persist(Fake([], [], [ready()], [])), 5)
    assert delays(taken) == [7, 9, 6, 7]


def test_long_series_of_failures_does_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_wait", lambda event, seconds: False)
    assert delays(take(persist(Fake(), max_wait=6), 2000))[-1] <= 6


def test_retry_after_is_a_least_wait() -> None:
    fakes = [Fake([rejected("Retry-After: 7")]) for _ in range(20)]
    waits = [delays(take(persist(fake, min_wait=1), 2))[0] for fake in fakes]
    assert all(7 <= wait <= 9 for wait in waits)
    assert len(set(waits)) == 20


@pytest.mark.parametrize(
    "value", ["0", "-1", "0.01", "1e3", "inf", "Wed, 21 Oct 2015 07:28:00 GMT"]
)
def test_retry_after_never_shortens_a_wait(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "random", lambda: 0.5)
    fake = Fake([rejected(f"Retry-After: {value}")], [])
    assert delays(take(persist(fake), 2)) == [6.0]


def test_retry_after_counts_where_the_longest_wait_is_shorter() -> None:
    fake = Fake([rejected("Retry-After: 60")], [])
    assert delays(take(persist(fake, min_wait=50, max_wait=30), 2))[0] >= 60


def test_retry_after_is_not_honoured_if_told_so() -> None:
    fake = Fake([rejected("Retry-After: 100")])
    assert delays(take(persist(fake, **QUICK, respect_retry_after=False), 2))[0] <= 0.002


@pytest.mark.parametrize("value", ["", "soon"])
def test_retry_after_without_a_time_is_ignored(value: str) -> None:
    fake = Fake([rejected(f"Retry-After: {value}")])
    assert delays(take(persist(fake, **QUICK), 2))[0] <= 0.002


def test_retry_after_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "random", lambda: 0.0)
    monkeypatch.setattr(MODULE, "_wait", lambda event, seconds: False)
    fake = Fake([rejected("Retry-After: 9")], [])
    assert delays(take(persist(fake, **QUICK), 3)) == [9.0, 0.001]


EVENTS = [gevent.event.Event, threading.Event]


@pytest.mark.parametrize("kind", EVENTS)
def test_exit_event_ends_the_iteration_when_a_wait_begins(kind: Any) -> None:
    leave = kind()
    leave.set()
    fake = Fake([events.Poll()])
    names = [event.name for event in persist(fake, min_wait=50, exit_event=leave)]
    assert names == ["poll", "back_off"]
    assert len(fake.options) == 1


@pytest.mark.parametrize("kind", EVENTS)
def test_exit_event_ends_the_iteration_during_a_wait(kind: Any, ticking: Ticker) -> None:
    def set_later() -> None:
        ticking.wait(3)  # never returns while the hub is blocked
        leave.set()

    leave = kind()
    gevent.spawn(set_later)
    stopwatch = Stopwatch()
    assert [event.name for event in persist(Fake(), min_wait=50, exit_event=leave)] == ["back_off"]
    assert stopwatch.own < 5


def test_exit_event_may_be_set_by_a_thread() -> None:
    leave = threading.Event()
    timer = threading.Timer(0.02, leave.set)
    timer.start()
    assert len(list(persist(Fake(), min_wait=50, exit_event=leave))) == 1
    timer.join()


@pytest.mark.parametrize("kind", EVENTS)
def test_exit_event_that_is_not_set_changes_nothing(kind: Any) -> None:
    fake = Fake()
    take(persist(fake, **QUICK, exit_event=kind()), 3)
    assert len(fake.options) == 3


def test_wait_is_cooperative(ticking: Ticker) -> None:
    iteration = persist(Fake(), min_wait=0.1, max_wait=0.1)
    next(iteration)
    ticking.reset()
    next(iteration)
    assert ticking.largest_gap < 0.05
    iteration.close()  # type: ignore[attr-defined]


def test_leaving_the_iteration_closes_the_connection() -> None:
    fake = Fake([events.Poll(), events.Poll()])
    for _event in persist(fake):
        break
    assert fake.closed == 1


def test_iteration_can_be_killed_in_a_wait() -> None:
    greenlet = gevent.spawn(list, persist(Fake(), min_wait=50))
    gevent.sleep(0)  # the greenlet runs until its wait
    greenlet.kill()
    assert greenlet.dead


def test_real_connections_are_repeated() -> None:
    opening = in_turn(reject(503, headers=[("Retry-After", "0")]), drop(), accept)
    seen = []
    with EchoServer(close_with(1001), opening=opening) as server:
        leave = gevent.event.Event()
        for event in persist(WebSocket(server.url), **QUICK, exit_event=leave):
            seen.append(event.name)
            if seen.count("ready") == 3:
                leave.set()
        assert server.connection_count == 5
    assert seen.count("back_off") == 5
    assert seen[-2:] == ["disconnected", "back_off"]


def test_websocket_of_lomond_is_persisted_on_our_session() -> None:
    import lomond

    from greenws import GeventSession

    with EchoServer(close_with(1001)) as server:
        websocket = lomond.WebSocket(server.url, proxies={})
        ready_count = 0
        for event in persist(websocket, **QUICK, session_class=GeventSession):
            ready_count += event.name == "ready"
            if ready_count == 2:
                break
