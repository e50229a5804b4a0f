"""Receiving by calls: in order, each message to one, and none lost."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

import greenws
from greenws import errors
from greenws.testing import EchoServer, replies
from tests.support.loopback import LoopbackServer
from tests.support.peer import PING, PONG, RawServerPeer, build
from tests.support.waiting import PATIENCE, wait_until


def test_text_is_str_and_binary_is_bytes(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        for message in ("text", "", "ä€𝄞", b"bytes", b""):
            connection.send(message)
            received = connection.receive(PATIENCE)
            assert received == message
            assert type(received) is type(message)


@pytest.mark.parametrize("message", [bytearray(b"abc"), memoryview(b"abc")])
def test_anything_like_bytes_is_binary(message: Any, server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        connection.send(message)
        assert connection.receive(PATIENCE) == b"abc"


@pytest.mark.parametrize("message", [5, None, ["x"], {"x": 1}, object()])
def test_what_is_no_message_is_a_type_error(message: Any, server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        with pytest.raises(TypeError, match=f"not {type(message).__name__}; send_json"):
            connection.send(message)
        with pytest.raises(ValueError, match="surrogates"):
            connection.send("\ud800")
        connection.send("fine")
        assert connection.receive(PATIENCE) == "fine"


def test_each_kind_has_its_own_method(server: EchoServer) -> None:
    with greenws.connect(server.url, compress=True) as connection:
        connection.send_text("text", compress=False)
        connection.send_binary(b"bytes")
        connection.send_json({"a": [1]})
        connection.send_json(b=2)
        connection.send_binary(b'{"c": 3}')
        assert connection.receive(PATIENCE) == "text"
        assert connection.receive(PATIENCE) == b"bytes"
        assert connection.receive_json(PATIENCE) == {"a": [1]}
        assert connection.receive_json(PATIENCE) == {"b": 2}
        assert connection.receive_json(PATIENCE) == {"c": 3}
        connection.send("no JSON")
        with pytest.raises(ValueError, match="Expecting"):
            connection.receive_json(PATIENCE)
        with pytest.raises(ValueError, match="arguments"):
            connection.send_json(1, a=1)


def test_timeout_leaves_the_connection_as_it_was(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError):
                connection.receive(timeout)
            with pytest.raises(TimeoutError):
                connection.receive_json(timeout)
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


def test_polling_by_a_timeout_of_zero_lets_the_loop_run(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        connection.send("x")
        for _ in range(10_000):
            try:
                assert connection.receive(timeout=0) == "x"
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("the message never came")


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (True, TypeError)],
)
def test_wrong_timeout_is_an_error_of_the_call(
    timeout: Any, error: type[Exception], server: EchoServer
) -> None:
    with greenws.connect(server.url, reply_key=lambda event: None) as connection:
        for function in (connection.receive, connection.receive_json, connection.ping):
            with pytest.raises(error, match="timeout"):
                function(timeout=timeout)
        with pytest.raises(error, match="timeout"):
            connection.request("x", key=1, timeout=timeout)
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


def test_receivers_are_served_in_the_order_of_asking(server: EchoServer) -> None:
    got: list[tuple[int, Any]] = []

    def receive(number: int) -> None:
        got.append((number, connection.receive(PATIENCE)))

    with greenws.connect(server.url) as connection:
        receivers = [gevent.spawn(receive, number) for number in range(10)]
        gevent.sleep(0)
        for number in range(10):
            connection.send(str(number))
        gevent.joinall(receivers, timeout=PATIENCE, raise_error=True)
    assert got == [(number, str(number)) for number in range(10)]


def test_receiver_that_comes_late_takes_nothing_from_one_that_waits() -> None:
    with EchoServer() as server, greenws.connect(server.url) as connection:
        first = gevent.spawn(connection.receive)
        gevent.sleep(0)
        # Handed over, but the first receiver has not run yet.
        connection._reader.mailbox.put(greenws.events.Text("one"), 3)
        with pytest.raises(TimeoutError):
            connection.receive(timeout=0)
        assert first.get(timeout=PATIENCE) == "one"


@pytest.mark.parametrize("way", ["kill", "timeout"])
@pytest.mark.parametrize("others", [0, 1])
def test_message_of_a_receiver_that_goes_in_the_same_turn_is_the_next_ones(
    way: str, others: int, server: EchoServer
) -> None:
    class Gone(BaseException):
        pass

    def receive() -> Any:
        try:
            return connection.receive()
        except Gone:
            return "gone"

    with greenws.connect(server.url) as connection:
        first = gevent.spawn(receive)
        more = [gevent.spawn(connection.receive) for _ in range(others)]
        gevent.sleep(0)
        first.kill(Gone if way == "timeout" else gevent.GreenletExit, block=False)
        # Handed to the first, whose exception is on its way already.
        connection._reader.mailbox.put(greenws.events.Text("one"), 3)
        first.join(PATIENCE)
        assert first.dead
        assert first.value == "gone" or isinstance(first.value, gevent.GreenletExit)
        if others:
            assert more[0].get(timeout=PATIENCE) == "one"
        else:
            connection._reader.mailbox.put(greenws.events.Text("two"), 3)
            assert connection.receive(PATIENCE) == "one"
            assert connection.receive(PATIENCE) == "two"


def test_killed_and_timed_out_receivers_lose_nothing_of_a_stream(server: EchoServer) -> None:
    got: list[str] = []

    def receive() -> None:
        while True:
            got.append(str(connection.receive()))

    with greenws.connect(server.url) as connection:
        receivers = [gevent.spawn(receive) for _ in range(4)]
        for number in range(400):
            connection.send(str(number))
            if number % 7 == 0:
                receivers.pop(0).kill(block=number % 2 == 0)
                receivers.append(gevent.spawn(receive))
            if number % 11 == 0:
                with pytest.raises(gevent.Timeout), gevent.Timeout(0.001):
                    while True:
                        got.append(str(connection.receive()))
            gevent.sleep(0)
        wait_until(lambda: len(got) == 400)
        gevent.killall(receivers)
    assert sorted(got, key=int) == [str(number) for number in range(400)]


def test_gevent_timeout_around_a_call_leaves_the_connection_usable(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        for call in (connection.receive, connection.receive_json):
            with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
                call()
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"


def test_sends_of_many_greenlets_all_arrive(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        senders = [gevent.spawn(connection.send, str(number)) for number in range(100)]
        gevent.joinall(senders, raise_error=True)
        got = {connection.receive(PATIENCE) for _ in range(100)}
    assert got == {str(number) for number in range(100)}


def test_call_from_another_thread_is_a_clear_error(server: EchoServer) -> None:
    refused: list[str] = []

    def call() -> None:
        for function in (
            connection.receive,
            connection.receive_json,
            connection.ping,
            connection.close,
            lambda: connection.send("x"),
            lambda: connection.send(b"x"),
            lambda: connection.send_json(1),
            lambda: next(iter(connection)),
            lambda: connection.request("x", match=bool),
        ):
            try:
                function()
            except errors.WebSocketUnavailable as error:
                assert not isinstance(error, errors.WebSocketClosed)
                refused.append(str(error))

    with greenws.connect(server.url) as connection:
        gevent.get_hub().threadpool.apply(call)
        assert len(refused) == 9
        assert all("another thread" in text for text in refused)
        connection.send("fine")
        assert connection.receive(PATIENCE) == "fine"


def test_hub_itself_cannot_wait_and_says_so(server: EchoServer) -> None:
    said: list[Any] = []

    def call() -> None:
        for function in (connection.receive, lambda: connection.request("x", match=bool)):
            try:
                function()
            except RuntimeError as error:
                said.append(str(error))

    with greenws.connect(server.url) as connection:
        gevent.get_hub().loop.run_callback(call)
        wait_until(lambda: len(said) == 2)
        assert connection.receive(PATIENCE) == "x"  # the echo of the request
    assert "hub" in said[0]


# Iterating


def test_iteration_yields_until_a_normal_close() -> None:
    with EchoServer(replies(["a", b"b", "c"])) as server:
        with greenws.connect(server.url) as connection:
            connection.send("go")
            assert [next(iter(connection)) for _ in range(2)] == ["a", b"b"]
            iteration = iter(connection)
            assert next(iteration) == "c"
            server.open_connections[0].close(1001)
            assert list(iteration) == []
            assert list(connection) == []


# Pings


def test_ping_returns_the_seconds_there_and_back(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        latency = connection.ping(PATIENCE)
        assert 0 < latency < PATIENCE
        assert connection.latency == latency


def test_pings_of_many_greenlets_each_get_their_pong(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        pings = [gevent.spawn(connection.ping, PATIENCE) for _ in range(20)]
        gevent.joinall(pings, raise_error=True)
        assert all(ping.value > 0 for ping in pings)


def test_ping_without_a_pong_is_a_timeout_error() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(PING)
        second = peer.expect(PING)
        third = peer.expect(PING)
        peer.send(build(PONG, b"another") + build(PONG, third.payload))
        peer.echo()
        assert second.payload != third.payload

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        with pytest.raises(TimeoutError):
            connection.ping(timeout=0.01)
        assert connection.latency is None
        # The pong of the third answers the second as well.
        second = gevent.spawn(connection.ping, PATIENCE)
        gevent.sleep(0)
        assert connection.ping(PATIENCE) <= second.get(timeout=PATIENCE)
