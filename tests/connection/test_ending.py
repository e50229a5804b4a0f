"""The end of a connection: what is received first, what is raised then, and what is left."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import gevent
import pytest

import greenws
from greenws import errors
from greenws.testing import EchoServer, close_with, replies, silent, stop_reading
from tests.connection.plain import PlainSession
from tests.support.loopback import LoopbackServer
from tests.support.peer import (
    CLOSE,
    TEXT,
    RawServerPeer,
    accept_and_stop,
    accept_and_wait,
    build,
    build_close,
    build_text,
)
from tests.support.run import run_script
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE, wait_until


def say_and_close(code: int | None, reason: str = "") -> Any:
    """A server that sends two messages and a close frame at once."""

    def script(peer: RawServerPeer) -> None:
        payload = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
        peer.accept(then=build_text("one") + build_text("two") + build(CLOSE, payload))
        peer.expect(CLOSE)

    return script


def wait_ended(connection: greenws.Connection) -> None:
    wait_until(lambda: connection.close_code is not None)


def collect_error(function: Any, *arguments: Any) -> errors.WebSocketClosed:
    with pytest.raises(errors.WebSocketClosed) as caught:
        function(*arguments)
    return caught.value


@pytest.mark.parametrize(
    ("code", "reason", "received"),
    [(1000, "bye", 1000), (4001, "as you wish", 4001), (None, "", 1005)],
)
def test_what_was_received_is_received_before_the_end(
    code: int | None, reason: str, received: int
) -> None:
    with LoopbackServer(say_and_close(code, reason)) as server:
        connection = greenws.connect(server.url)
        wait_ended(connection)
        assert not connection.is_open
        assert connection.receive() == "one"
        assert connection.receive(0) == "two"
        for _ in range(3):
            error = collect_error(connection.receive)
            assert (error.code, error.reason, error.graceful) == (received, reason, True)
            assert error.sent_code == (code or 1005)
            assert str(error).startswith(f"the connection has ended (code {received})")
        for function, arguments in (
            (connection.send, ("x",)),
            (connection.send, (b"x",)),
            (connection.send_json, (1,)),
            (connection.ping, ()),
            (connection.request, ("x", bool)),
            (connection.receive, (0,)),
            (connection.receive_json, ()),
        ):
            assert collect_error(function, *arguments).code == received
        assert (connection.close_code, connection.close_reason) == (received, reason)
        connection.close()
        connection.close(4000, "again")
        assert connection.sent_code == (code or 1005)


@pytest.mark.parametrize("code", [1000, 1001])
def test_iteration_ends_quietly_on_a_normal_close(code: int) -> None:
    with LoopbackServer(say_and_close(code)) as server:
        with greenws.connect(server.url) as connection:
            assert list(connection) == ["one", "two"]


@pytest.mark.parametrize("code", [1002, 1011, 4001, None])
def test_iteration_raises_on_any_other_close_of_the_server(code: int | None) -> None:
    with LoopbackServer(say_and_close(code)) as server:
        got = []
        with greenws.connect(server.url) as connection:
            with pytest.raises(errors.WebSocketClosed):
                for message in connection:
                    got.append(message)  # it raises
        assert got == ["one", "two"]


@pytest.mark.parametrize("code", [1000, 4000])
def test_iteration_ends_quietly_on_our_own_close(code: int, server: EchoServer) -> None:
    connection = greenws.connect(server.url)
    following = gevent.spawn(list, connection)
    connection.send("x")
    wait_until(lambda: server.message_count)
    connection.close(code)
    assert following.get(timeout=PATIENCE) == ["x"]
    assert collect_error(connection.receive).sent_code == code


@pytest.mark.parametrize("reset", [False, True])
def test_lost_connection_is_no_graceful_end(reset: bool) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.read_frame()
        if reset:
            peer.reset()

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        waiting = [gevent.spawn(connection.receive) for _ in range(2)]
        asking = gevent.spawn(connection.request, "x", lambda event: False)
        gevent.joinall([*waiting, asking], timeout=PATIENCE)
        for error in (waiting[0].exception, waiting[1].exception, asking.exception):
            assert isinstance(error, errors.WebSocketClosed)
            assert (error.code, error.graceful, error.sent_code) == (1006, False, None)
            assert "socket fail" in error.reason
        with pytest.raises(errors.WebSocketClosed):
            list(connection)
        connection.close()


def test_violation_of_the_server_is_the_reason() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("one") + b"\x83\x00")
        peer.expect(CLOSE)

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        assert connection.receive(PATIENCE) == "one"
        error = collect_error(connection.receive, PATIENCE)
        assert (error.code, error.sent_code, error.graceful) == (1006, 1002, False)
        assert "reserved" in error.reason
        with pytest.raises(errors.WebSocketClosed):
            list(connection)


def test_message_beyond_max_size_ends_the_connection() -> None:
    with EchoServer(replies("x" * 101)) as server:
        connection = greenws.connect(server.url, max_size=100)
        connection.send("go")
        error = collect_error(connection.receive, PATIENCE)
        assert error.sent_code == 1009
        assert "max_size" in error.reason


def test_send_after_the_close_frame_of_the_server_is_the_end() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_close(4002, "no more"))
        peer.read_until_end()  # and never ends the TCP connection by itself

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        wait_until(lambda: connection.sent_code)
        error = collect_error(connection.send, "x")
        assert (error.code, error.reason, error.sent_code) == (4002, "no more", 4002)
        assert collect_error(connection.ping).code == 4002


def test_send_that_finds_the_connection_broken_is_the_end() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT)
        peer.reset()

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        connection.send("go")
        gevent.sleep(0.01)
        error = None
        for _ in range(1000):  # never waits for anything else
            try:
                connection.send(bytes(100_000))
            except errors.WebSocketError as raised:
                error = raised
                break
        assert isinstance(error, errors.WebSocketClosed)
        assert (error.code, error.graceful) == (1006, False)
        with pytest.raises(errors.WebSocketClosed):
            connection.receive(PATIENCE)


def test_send_that_is_not_taken_in_send_timeout_is_a_transport_fail() -> None:
    with LoopbackServer(accept_and_stop, buffer=4096) as server:
        options: Any = {"send_timeout": 0.05, "write_limit": 10_000}
        connection = greenws.connect(server.url, **options)
        with pytest.raises(errors.TransportFail, match=r"0\.05 s"):
            for _ in range(1000):
                connection.send(bytes(1_000_000))
        wait_ended(connection)
        collect_error(connection.send, "x")


# close()


def test_close_waits_for_the_end_and_sends_code_and_reason(server: EchoServer) -> None:
    connection = greenws.connect(server.url)
    for number in range(10):
        connection.send(str(number))
    connection.close(4000, "enough")
    assert connection.close_code == 4000
    assert connection.session is not None
    assert not connection.is_open
    served = server.connections[0]
    assert served.wait_ended() == 4000
    assert (served.close_reason, len(served.messages)) == ("enough", 10)


def test_what_was_received_before_close_can_still_be_taken() -> None:
    with EchoServer(replies(["a", "b"])) as server:
        connection = greenws.connect(server.url)
        connection.send("go")
        assert connection.receive(PATIENCE) == "a"
        connection.close()
        assert connection.receive(0) == "b"
        collect_error(connection.receive)


def test_close_behind_a_full_queue_ends_all_the_same() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("x") * 500)
        frame = peer.expect(CLOSE)
        peer.send(build_text("y") * 500 + build(CLOSE, frame.payload))

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url, max_queue=4)
        wait_until(lambda: len(connection._reader.mailbox) == 4)
        connection.close()
        assert (connection.close_code, connection.sent_code) == (1000, 1000)
        got = list(connection)
        assert got[:4] == ["x"] * 4
        assert len(got) < 20


@pytest.mark.parametrize("script", [accept_and_wait, say_and_close(None)])
def test_close_ends_in_close_timeout_whatever_the_server_does(script: Any) -> None:
    with LoopbackServer(accept_and_wait) as server:
        connection = greenws.connect(server.url, close_timeout=0.05)
        stopwatch = Stopwatch()
        connection.close()
        assert stopwatch.own < 2
        assert connection.close_code == 1006
        assert list(connection) == []
        assert "close packet" in str(connection.close_reason)


def test_close_of_a_server_that_chatters_on_ends_in_close_timeout() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        while True:
            peer.send(build_text("chatter") * 100)
            gevent.sleep(0)

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url, close_timeout=0.1, max_queue=3)
        connection.close()
        assert connection.close_code == 1006
        assert len(list(connection)) <= 4


def test_close_of_a_session_of_others_that_never_ends_drops_it() -> None:
    with LoopbackServer(accept_and_wait) as server:
        connection = greenws.connect(server.url, session_class=PlainSession, close_timeout=0.05)
        connection.close()
        assert connection.close_code == 1006
        assert connection.close_reason == "killed"


def test_wrong_arguments_of_close_leave_the_connection_open(server: EchoServer) -> None:
    with greenws.connect(server.url) as connection:
        for arguments in ((1005,), (999,), (1000, "x" * 124), (None, "x")):
            with pytest.raises(ValueError, match="close"):
                connection.close(*arguments)  # type: ignore[arg-type]
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"
    with pytest.raises(ValueError, match="1005"):
        connection.close(1005)


def test_kill_of_a_greenlet_in_close_leaves_the_closing_to_itself() -> None:
    with LoopbackServer(accept_and_wait) as server:
        connection = greenws.connect(server.url, close_timeout=0.1)
        closing = gevent.spawn(connection.close)
        gevent.sleep(0.01)
        closing.kill()
        wait_ended(connection)


def test_close_in_the_hub_does_not_wait(server: EchoServer) -> None:
    connection = greenws.connect(server.url)
    gevent.get_hub().loop.run_callback(connection.close)
    wait_ended(connection)
    assert connection.sent_code == 1000


@pytest.mark.parametrize(
    ("error", "code"), [(None, 1000), (KeyError, 1011), (gevent.GreenletExit, 1001)]
)
def test_context_manager_closes(error: Any, code: int, server: EchoServer) -> None:
    def run() -> None:
        with greenws.connect(server.url) as connection:
            connections.append(connection)
            if error is not None:
                raise error

    connections: list[greenws.Connection] = []
    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    wait_ended(connections[0])
    assert connections[0].sent_code == code


def test_timeout_around_the_block_is_not_kept_waiting_by_the_close() -> None:
    with LoopbackServer(accept_and_wait) as server:
        with pytest.raises(gevent.Timeout):
            with greenws.connect(server.url, close_timeout=1.0) as connection:
                stopwatch = Stopwatch()
                with gevent.Timeout(0.05):
                    connection.receive()
        assert stopwatch.own < 0.7
        connection.websocket.force_disconnect()
        wait_ended(connection)


@pytest.mark.parametrize("is_held", [False, True])
def test_forced_end_is_told(is_held: bool) -> None:
    with EchoServer(replies(["x"] * 50)) as server:
        connection = greenws.connect(server.url, max_queue=2)
        if is_held:
            connection.send("go")
            wait_until(lambda: len(connection._reader.mailbox) == 2)
        connection.websocket.force_disconnect()
        wait_ended(connection)
        with pytest.raises(errors.WebSocketClosed, match="forced"):
            list(connection)


@pytest.mark.parametrize("is_held", [False, True])
def test_close_of_the_websocket_underneath_ends_in_close_timeout(is_held: bool) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("x") * (100 if is_held else 1))
        peer.read_until_end()

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url, max_queue=2, close_timeout=0.05)
        wait_until(lambda: len(connection._reader.mailbox) == (2 if is_held else 1))
        connection.websocket.close()
        wait_ended(connection)
        assert connection.close_code == 1006


def test_exception_of_trace_ends_the_connection_and_is_the_cause() -> None:
    def trace(step: dict[str, Any]) -> None:
        if step["stage"] == "message_text":
            raise KeyError("of the trace")

    with EchoServer(replies("x")) as server:
        connection = greenws.connect(server.url, trace=trace)
        connection.send("go")
        error = collect_error(connection.receive, PATIENCE)
        assert isinstance(error.__cause__, KeyError)
        assert "KeyError" in error.reason
        with pytest.raises(errors.WebSocketClosed):
            list(connection)


# Collected, forked


def test_collected_connection_is_dropped(server: EchoServer) -> None:
    connection = greenws.connect(server.url)
    gone = weakref.ref(connection)
    connection.send("x")
    assert connection.receive(PATIENCE) == "x"
    reader = connection._reader
    del connection
    assert gone() is None
    assert server.connections[0].wait_ended(PATIENCE) is None
    wait_until(lambda: reader.end is not None)


@pytest.mark.parametrize("compress", [False, True])
def test_connection_opened_by_a_greenlet_is_collected_with_it(
    compress: bool, server: EchoServer
) -> None:
    opening = gevent.spawn(greenws.connect, server.url, compress=compress)
    gone = weakref.ref(opening.get(timeout=PATIENCE))
    reader = gone()._reader  # type: ignore[union-attr]
    wait_until(lambda: reader._greenlet is None or compress)
    del opening
    wait_until(lambda: gone() is None)
    wait_until(lambda: reader.end is not None)
    assert server.connections[0].wait_ended(PATIENCE) is None


class Owner:
    """Has a Connection, which its method signs."""

    def __init__(self, url: str, **options: Any) -> None:
        self.connection = greenws.connect(url, headers=self.sign, **options)

    def sign(self) -> dict[str, str]:
        return {"X-Signed": "yes"}


@pytest.mark.parametrize("compress", [False, True])
def test_connection_whose_owner_has_made_its_headers_is_collected(
    compress: bool, server: EchoServer
) -> None:
    owner = Owner(server.url, compress=compress)
    gone, reader = weakref.ref(owner), owner.connection._reader
    wait_until(lambda: reader._greenlet is None or compress)
    assert server.connections[0].request.get("x-signed") == "yes"
    del owner
    gc.collect()
    assert gone() is None
    wait_until(lambda: reader.end is not None)
    assert server.connections[0].wait_ended(PATIENCE) is None


def test_websocket_of_a_connection_asks_nobody_for_headers_again(server: EchoServer) -> None:
    with Owner(server.url).connection as connection:
        websocket = connection.websocket
    events = list(websocket.connect())
    assert [event.name for event in events] == ["connecting", "connect_fail"]
    assert "its own opening" in events[-1].reason
    with greenws.connect(server.url, headers={"X-Signed": "yes"}) as connection:
        websocket = connection.websocket
    for event in websocket.connect():
        if event.name == "ready":
            websocket.close()
    assert server.connections[-1].request.get("x-signed") == "yes"


@pytest.mark.parametrize("rests", [False, True])
def test_what_was_sent_leaves_before_the_connection_is_dropped(
    rests: bool, server: EchoServer
) -> None:
    connection = greenws.connect(server.url)
    reader = connection._reader
    if rests:
        wait_until(lambda: reader._greenlet is None)
    connection.send("last words")
    del connection
    assert server.connections[0].wait_ended(PATIENCE) is None
    assert server.messages == ["last words"]


def test_dropping_ends_the_connection_though_an_exception_interrupts_what_leaves(
    server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyError

    told: list[Any] = []
    hub: Any = gevent.get_hub()
    connection = greenws.connect(server.url)
    reader = connection._reader
    monkeypatch.setattr("greenws.connection.Regulator", interrupt)
    monkeypatch.setattr(hub, "handle_error", lambda context, kind, *rest: told.append(kind))
    del connection
    wait_until(lambda: reader.end is not None)
    assert told == [KeyError]
    assert server.connections[0].wait_ended(PATIENCE) is None


def test_connection_is_not_collected_while_a_call_waits(server: EchoServer) -> None:
    def wait() -> Any:
        connection = greenws.connect(server.url)
        ready.append(weakref.ref(connection))
        return connection.receive(PATIENCE)

    ready: list[Any] = []
    waiting = gevent.spawn(wait)
    wait_until(lambda: ready)
    gc.collect()
    assert ready[0]() is not None
    server.open_connections[0].send("x")
    assert waiting.get(timeout=PATIENCE) == "x"
    wait_until(lambda: ready[0]() is None)
    server.connections[0].wait_ended()


def test_connection_collected_in_another_thread_is_dropped(server: EchoServer) -> None:
    holder = [greenws.connect(server.url)]
    gevent.get_hub().threadpool.apply(holder.clear)
    server.connections[0].wait_ended(PATIENCE)


FORKING = """
import os, sys, gevent, greenws
from greenws import errors

connection = greenws.connect(sys.argv[1], proxies={}, ping_rate=0.05)
def receive():
    try:
        return connection.receive()
    except errors.WebSocketClosed:
        return "closed"

waiting = gevent.spawn(receive)
gevent.sleep(0)
reading, writing = os.pipe()
pid = os.fork()
if not pid:
    said = []
    try:
        for function in (
            connection.receive,
            lambda: connection.send("from the child"),
            connection.ping,
            lambda: connection.request("x", match=bool),
            lambda: list(connection),
        ):
            try:
                function()
            except errors.WebSocketClosed as error:
                said.append((error.code, "parent" in error.reason))
        connection.close()
        gevent.sleep(0.15)
        said.append((waiting.get(timeout=5), connection.is_open))
    except BaseException as error:
        said.append(repr(error))
    os.write(writing, repr(said).encode())
    os._exit(0)
os.close(writing)
gevent.sleep(0.3)
with os.fdopen(reading, "rb") as pipe:
    print(pipe.read().decode())
os.waitpid(pid, 0)
connection.send("from the parent")
print(waiting.get(timeout=5))
connection.close()
print(connection.close_code)
"""


def test_child_of_a_fork_has_no_connection_and_writes_nothing(server: EchoServer) -> None:
    said = run_script(FORKING, server.url)
    lines = said.splitlines()
    assert lines == [
        str([(1006, True)] * 5 + [("closed", False)]),
        "from the parent",
        "1000",
    ]
    assert server.messages == ["from the parent"]
    assert server.connections[0].error is None


def test_script_that_ends_without_close_ends(server: EchoServer) -> None:
    said = run_script(
        """
        import sys, greenws

        connection = greenws.connect(sys.argv[1], proxies={})
        connection.send("x")
        print(connection.receive(5))
        """,
        server.url,
    )
    assert said == "x\n"
    server.connections[0].wait_ended()


@pytest.mark.parametrize("behaviour", [close_with(1011), silent, stop_reading])
def test_many_connections_leave_nothing(behaviour: Any) -> None:
    with EchoServer(behaviour) as server:
        connections = [greenws.connect(server.url, close_timeout=0.05) for _ in range(20)]
        gevent.joinall([gevent.spawn(c.close) for c in connections], PATIENCE, raise_error=True)
        assert all(c.close_code in (1006, 1011) for c in connections)
