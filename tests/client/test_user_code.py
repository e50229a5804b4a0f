"""Code of the user's within an opening: ``headers``, the cookie jar, ``trace``, ``session_class``.

It may wait, and fail. Each test is about the first connection, and about one that follows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import gevent
import pytest
from gevent.event import Event

import greenws
from greenws import Backoff, Client, GeventSession
from greenws.testing import EchoServer, close_with, reject
from tests.client.recorders import FullRecorder
from tests.support.authority import Authority
from tests.support.proxies import HTTPProxy
from tests.support.waiting import PATIENCE, wait_until

QUICK: dict[str, Any] = {"min_wait": 0.001, "max_wait": 0.001}


class Feed(FullRecorder):
    """Has headers(), which work ``good`` times before they do what ``bad`` says."""

    bad: Callable[[], Any]
    good = 0
    made = 0
    reconnect = Backoff(**QUICK, max_tries=2)

    def headers(self) -> Any:
        self.made += 1
        return {} if self.made <= self.good else self.bad()


def wait_for_ever() -> Any:
    Event().wait(2 * PATIENCE)
    raise AssertionError("nobody has ended the wait")


def fail() -> Any:
    raise LookupError("no token")


@pytest.fixture(params=[0, 1], ids=["first", "reconnect"])
def good(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def closing() -> Iterator[EchoServer]:
    """A server that closes each connection, so that the next one follows."""
    with EchoServer(close_with(1001)) as server:
        yield server


def make(url: str, good: int, bad: Callable[[], Any], **options: Any) -> Feed:
    feed = Feed(url, **options)
    feed.good, feed.bad = good, bad
    return feed


# headers() that waits


def test_open_timeout_ends_headers_that_wait(good: int, closing: EchoServer) -> None:
    feed = make(closing.url, good, wait_for_ever, open_timeout=0.2)
    feed.run()
    reason = feed.last("connect_fail").reason
    assert reason == "timed out after 0.2 s while waiting for headers()"
    assert feed.made == 2


@pytest.mark.parametrize("way", ["close", "kill"])
def test_end_ends_headers_that_wait(way: str, good: int, closing: EchoServer) -> None:
    feed = make(closing.url, good, wait_for_ever).start()
    wait_until(lambda: feed.made > good)
    gevent.sleep(0)
    getattr(feed, way)()
    feed.join(PATIENCE)
    assert not feed.is_running
    assert feed.made == good + 1
    closing.wait_idle()


def test_headers_that_wait_for_a_moment_are_sent() -> None:
    def fetch() -> dict[str, str]:
        gevent.sleep(0.01)
        return {"X-Token": "t"}

    with EchoServer(close_with(1000)) as server:
        make(server.url, 0, fetch, reconnect=False).run()
        assert server.connections[0].request is not None
        assert server.connections[0].request.get("x-token") == "t"


def test_headers_that_clean_up_may_do_so(closing: EchoServer) -> None:
    cleaned: list[bool] = []

    def fetch() -> Any:
        try:
            wait_for_ever()
        finally:
            cleaned.append(True)

    make(closing.url, 0, fetch, open_timeout=0.05, reconnect=False).run()
    assert cleaned == [True]


def test_open_timeout_ends_headers_behind_a_redirect() -> None:
    with (
        EchoServer() as home,
        EchoServer(opening=reject(302, headers=[("Location", home.url)])) as server,
    ):
        feed = make(server.url, 1, wait_for_ever, open_timeout=0.2, reconnect=False)
        feed.run()
        assert "waiting for headers()" in feed.last("connect_fail").reason


@pytest.mark.parametrize("kind", ["tls", "proxy"])
@pytest.mark.parametrize("bad", [wait_for_ever, fail])
def test_headers_leave_nothing_open_behind(kind: str, bad: Any, authority: Authority) -> None:
    # The check for leftovers of each test sees the rest.
    options: dict[str, Any] = {"open_timeout": 0.3, "reconnect": False}
    if kind == "tls":
        options["ssl_cafile"] = authority.cafile
        with EchoServer(ssl_context=authority.server_context("localhost")) as server:
            url = server.url.replace("127.0.0.1", "localhost")
            feed = make(url, 0, bad, **options)
            feed.run()
    else:
        with EchoServer() as server, HTTPProxy() as proxy:
            feed = make(server.url, 0, bad, proxies={"http": proxy.url}, **options)
            feed.run()
    assert feed.calls == ["connecting", "connect_fail"]
    reason = feed.last("connect_fail").reason
    assert reason.endswith("headers()" if bad is wait_for_ever else "LookupError: no token")


# headers() that fails


def test_exception_of_headers_is_a_failed_opening(good: int, closing: EchoServer) -> None:
    feed = make(closing.url, good, fail)
    feed.run()
    failed = feed.last("connect_fail")
    assert failed.reason == "unable to make the request; LookupError: no token"
    assert isinstance(failed.error, greenws.errors.ConnectFail)
    assert isinstance(failed.error.__cause__, LookupError)
    assert feed.made == 2  # it was tried again
    assert feed.calls.count("ready") == good
    assert feed.calls.count("close") == good


@pytest.mark.parametrize(
    "value", [5, "text", ["A: b"], {"A": 5}, [("A",)], {"A b": "c"}, {"A": "b\r\nC: d"}]
)
def test_wrong_headers_are_a_failed_opening(value: Any, good: int, closing: EchoServer) -> None:
    feed = make(closing.url, good, lambda: value)
    feed.run()
    assert feed.last("connect_fail").reason.startswith("unable to make the request; ")
    assert feed.made == 2


def test_failed_headers_are_told_once_in_the_log(
    good: int, closing: EchoServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Quiet(Client):
        made = 0
        reconnect = Backoff(**QUICK, max_tries=3)

        def headers(self) -> Any:
            self.made += 1
            return {} if self.made <= good else fail()

    caplog.set_level(logging.WARNING)
    Quiet(closing.url).run()
    (record,) = (record for record in caplog.records if record.name == "greenws.client")
    assert record.getMessage().endswith("unable to make the request; LookupError: no token")


def test_failed_headers_are_a_failed_step_of_the_trace(closing: EchoServer) -> None:
    records: list[dict[str, Any]] = []
    make(closing.url, 0, fail, trace=records.append, reconnect=False).run()
    (failed,) = (record for record in records if record["stage"] == "upgrade")
    assert failed["error"] == "unable to make the request; LookupError: no token"


def test_iteration_ends_with_the_failure_of_headers(closing: EchoServer) -> None:
    names = [event.name for event in greenws.WebSocket(closing.url, headers=fail)]
    assert names == ["connecting", "connect_fail"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), gevent.Timeout()])
def test_what_is_no_exception_comes_out_of_run(error: BaseException, closing: EchoServer) -> None:
    def leave() -> Any:
        raise error

    with pytest.raises(type(error)):
        make(closing.url, 0, leave).run()


# The cookie jar


class Policy(DefaultCookiePolicy):
    """Fails when it is asked for the cookies of a request."""

    def domain_return_ok(self, domain: str, request: Any) -> bool:
        raise LookupError("no cookie")


def test_cookie_jar_that_fails_is_a_failed_opening(closing: EchoServer) -> None:
    jar = CookieJar(Policy())
    jar._cookies["127.0.0.1"] = {}  # type: ignore[attr-defined]
    feed = FullRecorder(closing.url, cookies=jar, reconnect=Backoff(**QUICK, max_tries=2))
    feed.run()
    assert feed.last("connect_fail").reason == "unable to make the request; LookupError: no cookie"
    assert feed.calls.count("connecting") == 2


# trace, and session_class: their exceptions are asked about


class Asked(FullRecorder):
    """Goes on after any error."""

    reconnect = Backoff(**QUICK, max_tries=4, reset_after=0)

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.errors: list[Exception] = []

    def on_error(self, error: Exception) -> None:
        self.errors.append(error)


class Tracing:
    """A trace that fails at the n-th record of a stage."""

    def __init__(self, stage: str, number: int) -> None:
        self.stage, self.left = stage, number

    def __call__(self, record: dict[str, Any]) -> None:
        if record["stage"] == self.stage:
            self.left -= 1
            if not self.left:
                raise LookupError(self.stage)


@pytest.mark.parametrize("stage", ["connect_start", "connect", "upgrade", "disconnected"])
@pytest.mark.parametrize("number", [1, 2])
def test_on_error_decides_about_a_trace_that_fails(
    stage: str, number: int, closing: EchoServer
) -> None:
    feed = Asked(closing.url, trace=Tracing(stage, number))
    feed.react_ready = (  # type: ignore[attr-defined]
        lambda event: feed.close() if feed.calls.count("ready") == number + 1 else None
    )
    feed.start()
    feed.join(PATIENCE)
    assert not feed.is_running
    assert [str(error) for error in feed.errors] == [stage]
    assert feed.calls.count("ready") == feed.calls.count("close")
    assert feed.calls.count("ready") >= number


@pytest.mark.parametrize("number", [1, 2])
def test_trace_that_fails_comes_out_of_run_by_default(number: int, closing: EchoServer) -> None:
    trace = Tracing("connect", number)
    feed = FullRecorder(closing.url, trace=trace, reconnect=Backoff(**QUICK, reset_after=0))
    with pytest.raises(LookupError, match="connect"):
        feed.run()
    assert not feed.is_running


def test_on_error_decides_about_a_session_class_that_fails(closing: EchoServer) -> None:
    made: list[Any] = []

    def make_session(websocket: Any) -> Any:
        made.append(websocket)
        if len(made) == 2:
            raise LookupError("session")
        return GeventSession(websocket)

    feed = Asked(closing.url, session_class=make_session)
    feed.react_ready = (  # type: ignore[attr-defined]
        lambda event: feed.close() if len(made) > 2 else None
    )
    feed.start()
    feed.join(PATIENCE)
    assert not feed.is_running
    assert [str(error) for error in feed.errors] == ["session"]
    assert len(made) == 3
