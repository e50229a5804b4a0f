"""Requests and their replies, on a Connection and on a Client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

import greenws
from greenws import errors
from greenws.testing import EchoServer, close_with, silent
from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer, accept_and_stop, build_text
from tests.support.waiting import PATIENCE, wait_until

Asking = greenws.Connection | greenws.Client


def read_id(event: Any) -> Any:
    """The reply_key of the tests."""
    if event.name == "binary":
        return None
    try:
        value = event.json
    except ValueError:
        return None
    return value.get("id") if isinstance(value, dict) else None


class Asker(greenws.Client):
    """A client that keeps what its handlers get."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.got: list[Any] = []

    def on_text(self, event: greenws.events.Text) -> None:
        self.got.append(event.text)

    def on_binary(self, event: greenws.events.Binary) -> None:
        self.got.append(event.data)

    def reply_key(self, event: Any) -> Any:
        return read_id(event)


@pytest.fixture(params=["connection", "client"])
def ask(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Opens a Connection or a Client, and closes it at the end."""
    opened: list[Any] = []

    def connect(url: str, **options: Any) -> Asking:
        if request.param == "connection":
            # The pushes are received only in the end, and must not stop the reading.
            opened.append(greenws.connect(url, reply_key=read_id, max_queue=100, **options))
        else:
            opened.append(Asker(url, **options).start())
            assert opened[-1].wait_ready(PATIENCE)
        return opened[-1]  # type: ignore[no-any-return]

    yield connect
    for asking in opened:
        asking.close()
        if isinstance(asking, greenws.Client):
            asking.join(PATIENCE)


def collect(asking: Any, count: int) -> list[Any]:
    """The messages that went to receive(), or to handlers."""
    if isinstance(asking, greenws.Connection):
        return [asking.receive(PATIENCE) for _ in range(count)]
    wait_until(lambda: len(asking.got) >= count)
    got: list[Any] = asking.got[:count]
    return got


def test_reply_by_match_and_by_key(ask: Any, server: EchoServer) -> None:
    asking = ask(server.url)
    reply = asking.request({"id": 7}, match=lambda event: event.json["id"] == 7, timeout=PATIENCE)
    assert reply.name == "text"
    assert reply.json == {"id": 7}
    assert asking.request({"id": 8}, key=8, timeout=float("inf")).json["id"] == 8
    assert asking.request([1], match=lambda event: event.json == [1]).text == "[1]"
    assert asking.request("text", lambda event: event.text == "text").text == "text"
    reply = asking.request(b"bytes", lambda event: event.name == "binary", timeout=PATIENCE)
    assert reply.data == b"bytes"
    assert asking.request(bytearray(b"more"), lambda event: True).data == b"more"


def answer_in(order: Callable[[list[Any]], Any], count: int) -> Any:
    """A server that collects requests, and answers in another order, with pushes between."""

    def serve(connection: Any) -> None:
        requests = [json.loads(connection.receive()) for _ in range(count)]
        for request in order(requests):
            connection.send('"push"')
            connection.send(json.dumps({"id": request["id"], "answer": request["id"] * 2}))
        for _ in connection:
            pass

    return serve


@pytest.mark.parametrize("way", ["key", "match"])
@pytest.mark.parametrize("order", [list, lambda found: found[::-1], lambda found: found[1::2]])
def test_requests_in_flight_are_answered_in_any_order(way: str, order: Any, ask: Any) -> None:
    def request(number: int) -> Any:
        if way == "key":
            return asking.request({"id": number}, key=number).json["answer"]
        match = lambda event: isinstance(event.json, dict) and event.json["id"] == number  # noqa: E731
        return asking.request({"id": number}, match).json["answer"]

    with EchoServer(answer_in(order, 20)) as server:
        asking = ask(server.url)
        requests = {number: gevent.spawn(request, number) for number in range(20)}
        answered = [number["id"] for number in order([{"id": number} for number in range(20)])]
        for number in answered:
            assert requests[number].get(timeout=PATIENCE) == number * 2
        assert collect(asking, len(answered)) == ['"push"'] * len(answered)
        left = [greenlet for number, greenlet in requests.items() if number not in answered]
        assert not any(greenlet.dead for greenlet in left)
        gevent.killall(left)


def test_thousands_in_flight_by_key_cost_one_look_up_each() -> None:
    looked = [0]

    def count(event: Any) -> Any:
        looked[0] += 1
        return read_id(event)

    with EchoServer(answer_in(lambda found: found[::-1], 3000)) as server:
        with greenws.connect(server.url, reply_key=count, max_queue=100_000) as connection:
            requests = [
                gevent.spawn(connection.request, {"id": number}, key=number)
                for number in range(3000)
            ]
            gevent.joinall(requests, timeout=60, raise_error=True)
            assert [r.value.json["answer"] for r in requests] == [2 * n for n in range(3000)]
    assert looked[0] == 6000


def test_no_answer_is_given_twice(ask: Any) -> None:
    def serve(connection: Any) -> None:
        for message in connection:
            connection.send(message)
            connection.send(message)

    with EchoServer(serve) as server:
        asking = ask(server.url)
        first = gevent.spawn(asking.request, "x", lambda event: True)
        second = gevent.spawn(asking.request, {"id": 1}, key=1)
        assert first.get(timeout=PATIENCE).text == "x"
        assert second.get(timeout=PATIENCE).json == {"id": 1}
        assert collect(asking, 2) == ["x", '{"id": 1}']


def test_match_is_asked_in_the_order_of_asking(ask: Any, server: EchoServer) -> None:
    asking = ask(server.url)
    requests = [gevent.spawn(asking.request, str(n), lambda event: True) for n in range(10)]
    gevent.joinall(requests, timeout=PATIENCE, raise_error=True)
    assert [request.value.text for request in requests] == [str(n) for n in range(10)]


def test_match_that_raises_comes_out_of_its_own_request_alone(ask: Any, server: EchoServer) -> None:
    asking = ask(server.url)
    bad = gevent.spawn(asking.request, "one", lambda event: 1 // 0)
    good = gevent.spawn(asking.request, "two", lambda event: event.text == "two")
    gevent.joinall([bad, good], timeout=PATIENCE)
    assert isinstance(bad.exception, ZeroDivisionError)
    assert good.value.text == "two"
    assert collect(asking, 1) == ["one"]


def test_wrong_requests_are_errors_of_the_call(ask: Any, server: EchoServer) -> None:
    asking = ask(server.url)
    for arguments, options, error, text in (
        (("x",), {}, TypeError, "match or a key"),
        (("x", bool), {"key": 1}, TypeError, "not both"),
        (("x", "id"), {}, TypeError, "callable"),
        (("x",), {"key": []}, TypeError, "hash"),
        ((5, bool), {}, TypeError, "int"),
        ((None, bool), {}, TypeError, "NoneType"),
        (({"x": object()}, bool), {}, TypeError, "JSON"),
        (("\ud800", bool), {}, ValueError, "surrogates"),
    ):
        with pytest.raises(error, match=text):
            asking.request(*arguments, **options)
    waiting = gevent.spawn(asking.request, "x", key="k")
    gevent.sleep(0)
    with pytest.raises(ValueError, match="'k'"):
        asking.request("y", key="k")
    waiting.kill()
    assert asking.request({"id": "k"}, key="k", timeout=PATIENCE).json == {"id": "k"}


def test_key_needs_reply_key(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        with pytest.raises(TypeError, match="reply_key"):
            connection.request("x", key=1)
    client = greenws.Client(server.url).start()
    assert client.wait_ready(PATIENCE)
    with pytest.raises(TypeError, match="reply_key"):
        client.request("x", key=1)
    assert client.request("x", match=lambda event: True).text == "x"
    client.close()
    client.join(PATIENCE)


@pytest.mark.parametrize("way", ["timeout", "gevent.Timeout", "kill"])
def test_late_reply_is_a_message_like_any_other(way: str, ask: Any) -> None:
    def serve(connection: Any) -> None:
        for message in connection:
            if message == "now":
                connection.send('{"id": 1}')
            connection.send('"pushed"')

    with EchoServer(serve) as server:
        asking = ask(server.url)
        if way == "timeout":
            with pytest.raises(TimeoutError):
                asking.request("later", key=1, timeout=0.01)
            with pytest.raises(TimeoutError):
                asking.request("later", match=lambda event: False, timeout=0)
        elif way == "gevent.Timeout":
            for _ in range(2):
                with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
                    asking.request("later", key=1)
        else:
            for _ in range(2):
                greenlet = gevent.spawn(asking.request, "later", key=1)
                gevent.sleep(0.01)
                greenlet.kill()
        asking.send_text("now")
        assert collect(asking, 4) == ['"pushed"', '"pushed"', '{"id": 1}', '"pushed"']


def test_reply_of_a_request_that_goes_in_the_same_turn_is_received(server: EchoServer) -> None:
    with greenws.connect(server.url, reply_key=read_id) as connection:
        asking = gevent.spawn(connection.request, '"silence"', key=1)
        assert connection.receive(PATIENCE) == '"silence"'
        asking.kill(block=False)
        connection._reader._take(greenws.events.Text('{"id": 1}'))
        assert connection.receive(PATIENCE) == '{"id": 1}'


def test_request_to_a_server_that_reads_nothing_ends_in_its_timeout() -> None:
    with LoopbackServer(accept_and_stop, buffer=4096) as server:
        options: Any = {"write_limit": 10_000, "close_timeout": 0.05}
        with greenws.connect(server.url, **options) as connection:
            with pytest.raises(TimeoutError, match="taken"):
                connection.request(bytes(10_000_000), match=bool, timeout=0.05)
            with pytest.raises(TimeoutError, match="taken"):
                connection.request("x", match=bool, timeout=0.05)
            with pytest.raises(TimeoutError, match=r"taken|came"):
                connection.ping(timeout=0.05)
            with pytest.raises(gevent.Timeout, match="mine"), gevent.Timeout(0.05, "mine"):
                connection.request("x", match=bool, timeout=PATIENCE)
            assert connection.is_open


def test_waiting_requests_fail_at_once_when_the_connection_ends(ask: Any) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        for _ in range(30):
            peer.read_frame()
        peer.close(4003)

    with LoopbackServer(script) as server:
        asking = ask(server.url)
        by_key = [gevent.spawn(asking.request, "x", key=n) for n in range(20)]
        by_match = [gevent.spawn(asking.request, "x", lambda event: False) for _ in range(10)]
        gevent.joinall(by_key + by_match, timeout=PATIENCE)
        for greenlet in by_key + by_match:
            assert isinstance(greenlet.exception, errors.WebSocketClosed)
            assert greenlet.exception.code == 4003
        # The error says so whenever it is asked for.
        with pytest.raises(errors.WebSocketUnavailable):
            asking.request("x", key=1)


def test_request_without_a_connection_is_refused() -> None:
    with EchoServer(opening=silent) as server:
        client = Asker(server.url).start()
        server.wait_for(lambda: server.connection_count)
        with pytest.raises(errors.WebSocketUnavailable):
            client.request("x", key=1)
        client.kill()
    with pytest.raises(errors.WebSocketUnavailable):
        Asker("ws://127.0.0.1:1/").request("x", key=1)


@pytest.mark.parametrize("way", ["kill", "close"])
def test_requests_of_a_client_that_is_ended_fail(way: str, server: EchoServer) -> None:
    closed: list[Any] = []

    class Closing(Asker):
        def on_close(self, event: Any) -> None:
            closed.append([request.ready() for request in requests])

    client = Closing(server.url).start()
    assert client.wait_ready(PATIENCE)
    requests = [gevent.spawn(client.request, "x", key=n) for n in range(3)]
    gevent.sleep(0)
    getattr(client, way)()
    gevent.joinall(requests, timeout=PATIENCE)
    client.join(PATIENCE)
    for request in requests:
        assert isinstance(request.exception, errors.WebSocketClosed)
        assert request.exception.sent_code == (None if way == "kill" else 1000)


def test_requests_do_not_outlive_a_reconnect() -> None:
    with EchoServer(close_with(1012, after=1)) as server:
        client = Asker(server.url, reconnect=greenws.Backoff(min_wait=0.001)).start()
        assert client.wait_ready(PATIENCE)
        old = gevent.spawn(client.request, "first", match=lambda event: event.text == "other")
        with pytest.raises(errors.WebSocketClosed, match="1012"):
            old.get(timeout=PATIENCE)
        server.handler = None  # type: ignore[assignment]
        server.handler = lambda connection: [connection.send(m) for m in connection]
        server.wait_for(lambda: server.connection_count >= 2)
        wait_until(lambda: client.is_ready)
        for connection in server.open_connections:
            assert connection.is_open
        try:
            reply = client.request({"id": 2}, key=2, timeout=PATIENCE)
        except errors.WebSocketClosed:  # that connection still had the behaviour of the first one
            wait_until(lambda: client.is_ready)
            reply = client.request({"id": 2}, key=2, timeout=PATIENCE)
        assert reply.json == {"id": 2}
        client.close()
        client.join(PATIENCE)


def test_handler_cannot_wait_for_a_reply(server: EchoServer) -> None:
    class Waiting(Asker):
        def on_ready(self, event: Any) -> None:
            with pytest.raises(RuntimeError, match="itself"):
                self.request("x", key=1)
            self.close()

    Waiting(server.url).run()


def test_match_cannot_wait_for_the_connection(server: EchoServer) -> None:
    def match(event: Any) -> bool:
        with pytest.raises(RuntimeError, match="receives"):
            connection.receive()
        with pytest.raises(RuntimeError, match="receives"):
            connection.ping()
        connection.send("from the match")
        return True

    with greenws.connect(server.url) as connection:
        assert connection.request("x", match, timeout=PATIENCE).text == "x"
        assert connection.receive(PATIENCE) == "from the match"


def test_close_in_a_match_does_not_wait(server: EchoServer) -> None:
    connection = greenws.connect(server.url)
    with pytest.raises(errors.WebSocketClosed):
        connection.request("x", lambda event: connection.close())
    assert connection.sent_code == 1000


def test_exception_of_reply_key_ends_a_connection_and_is_the_cause(server: EchoServer) -> None:
    with greenws.connect(server.url, reply_key=lambda event: event.json["id"]) as connection:
        waiting = gevent.spawn(connection.request, "[]", key=1)
        with pytest.raises(errors.WebSocketClosed) as caught:
            connection.receive(PATIENCE)
        assert isinstance(caught.value.__cause__, TypeError)
        assert caught.value.sent_code == 1011
        waiting.join(PATIENCE)
        assert isinstance(waiting.exception, errors.WebSocketClosed)
        with pytest.raises(errors.WebSocketClosed):
            list(connection)


def test_exception_of_reply_key_goes_to_on_error_of_a_client(server: EchoServer) -> None:
    class Failing(Asker):
        def reply_key(self, event: Any) -> Any:
            return event.json["id"]

        def on_error(self, error: Exception) -> None:
            found.append(error)

    found: list[Exception] = []
    client = Failing(server.url).start()
    assert client.wait_ready(PATIENCE)
    with pytest.raises(TimeoutError):
        client.request("[]", key=1, timeout=0.1)
    assert [type(error) for error in found] == [TypeError]
    client.close()
    client.join(PATIENCE)


def test_json_of_a_message_is_decoded_once(
    server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = [0]

    def loads(text: Any) -> Any:
        decoded[0] += 1
        return json.JSONDecoder().decode(text)

    def serve(peer: RawServerPeer) -> None:
        peer.accept()
        for _ in range(5):
            peer.read_frame()
        peer.send(build_text('{"id": "pushed"}'))
        peer.echo()

    with LoopbackServer(serve) as loopback, greenws.connect(loopback.url) as connection:
        requests = [
            gevent.spawn(connection.request, "x", lambda event: event.json["id"] == 0)
            for _ in range(5)
        ]
        gevent.sleep(0)
        monkeypatch.setattr("greenws.events.json.loads", loads)
        assert connection.receive_json(PATIENCE) == {"id": "pushed"}
        monkeypatch.undo()
        assert decoded == [1]
        gevent.killall(requests)
