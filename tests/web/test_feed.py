"""The common part of examples/web, without a web server."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from greenws.testing import EchoServer, ServerConnection, close_with
from tests.support.waiting import PATIENCE, wait_until
from tests.support.webs import EXAMPLES


@pytest.fixture
def module() -> Any:
    spec = importlib.util.spec_from_file_location("feed", EXAMPLES / "feed.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer(lambda connection: [*connection]) as server:
        yield server


@pytest.fixture
def feed(module: Any, server: EchoServer) -> Iterator[Any]:
    feed = module.Feed(server.url, proxies={}).start()
    assert feed.wait_ready(PATIENCE)
    yield feed
    feed.kill()


def send_tick(server: EchoServer, feed: Any, tick: object) -> None:
    """Send a tick, and wait until the feed has had it."""
    heard = feed._heard
    server.open_connections[0].send(json.dumps({"tick": tick}))
    wait_until(lambda: feed._heard != heard)


def test_slow_browser_misses_the_oldest_ticks(module: Any, server: EchoServer, feed: Any) -> None:
    module.MAX_WAITING = 3
    slow = feed.stream()
    assert next(slow) == b"retry: 1000\n\n"
    for tick in range(5):
        send_tick(server, feed, tick)
    assert [next(slow) for _ in range(3)] == [b'data: {"tick": %d}\n\n' % n for n in (2, 3, 4)]
    slow.close()
    assert not feed._browsers


def test_stream_shows_signs_of_life_and_ends_when_it_is_told(
    module: Any, server: EchoServer, feed: Any
) -> None:
    module.HEARTBEAT = 0.001
    stream = feed.stream()
    assert [next(stream) for _ in range(3)] == [b"retry: 1000\n\n"] + [b": still here\n\n"] * 2
    module.MAX_WAITING, module.HEARTBEAT = 1, PATIENCE
    full = feed.stream()
    next(full)
    send_tick(server, feed, "last")
    feed.end_streams()
    assert [*stream] == [b": goodbye\n\n"]
    assert [*full] == [b": goodbye\n\n"]
    assert [*feed.stream()] == [b"retry: 1000\n\n", b": goodbye\n\n"]
    assert not feed._browsers


def test_text_of_several_lines_is_one_event(server: EchoServer, feed: Any) -> None:
    stream = feed.stream()
    next(stream)
    server.open_connections[0].send('{"a":\r\n1,\n"b": "\u2028"}')
    assert next(stream).decode() == 'data: {"a":\ndata: 1,\ndata: "b": "\u2028"}\n\n'
    stream.close()


def test_health_needs_a_connection_and_a_recent_message(
    module: Any, server: EchoServer, feed: Any
) -> None:
    assert feed.health()[0] == 503
    assert feed.health()[1]["age"] is None
    send_tick(server, feed, 1)
    status, facts = feed.health()
    assert (status, facts["ready"]) == (200, True)
    assert 0 <= facts["age"] < PATIENCE
    module.MAX_AGE = 0
    assert feed.health()[0] == 503
    module.MAX_AGE = 60
    feed.end_streams()
    assert feed.health()[0] == 503
    feed.kill()
    assert feed.health()[1]["ready"] is False


def test_requests_get_their_own_replies_out_of_order(module: Any) -> None:
    def serve(connection: ServerConnection) -> None:
        questions = [json.loads(message) for message in (connection.receive() for _ in range(4))]
        for question in reversed(questions[1:]):
            connection.send(json.dumps(question))
        connection.wait_ended(None)

    with EchoServer(serve) as server:
        feed = module.Feed(server.url, proxies={}).start()
        asked = [gevent.spawn(feed.quote, symbol) for symbol in ("A", "B", "C")]
        answers = [greenlet.get(timeout=PATIENCE) for greenlet in asked]
        feed.kill()
    assert [status for status, _ in answers] == [200] * 3
    assert [reply["symbol"] for _, reply in answers] == ["A", "B", "C"]


def test_failed_requests_have_a_status(module: Any, server: EchoServer, feed: Any) -> None:
    assert feed.quote("A", timeout=0.01)[0] == 504
    feed.kill()
    assert feed.quote("A", timeout=0.01)[0] == 502
    with EchoServer(close_with(1001, after=0)) as closing:
        feed = module.Feed(closing.url, proxies={}, reconnect=False).start()
        assert feed.quote("A")[0] == 502


def test_service_of_the_example_answers_and_ticks(module: Any) -> None:
    spec = importlib.util.spec_from_file_location("service", EXAMPLES / "service.py")
    assert spec is not None and spec.loader is not None
    service = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(service)
    with EchoServer(service.serve) as server:
        feed = module.Feed(server.url, proxies={}).start()
        status, answer = feed.quote("A")
        assert status == 200 and answer["symbol"] == "A" and 90 <= answer["price"] <= 110
        wait_until(lambda: feed.health()[1]["age"] is not None)
        feed.close()
        feed.join(PATIENCE)
        server.wait_idle()
