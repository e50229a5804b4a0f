"""A connection that waits has no greenlet: the hub reads, and a greenlet comes for all else."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import gevent
import greenlet
import pytest

import greenws
from greenws import errors
from greenws.sessions.reactor import get_reactor
from greenws.sessions.roster import ResidentGreenlet
from greenws.testing import EchoServer, replies
from tests.connection.plain import PlainSession
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer
from tests.support.peer import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    RawServerPeer,
    accept_and_echo,
    build,
    build_close,
    build_text,
)
from tests.support.run import run_script
from tests.support.waiting import PATIENCE, wait_until


def rest(connection: greenws.Connection) -> None:
    """Wait until the connection has no greenlet."""
    wait_until(lambda: connection._reader._greenlet is None)


@pytest.fixture
def resting(server: EchoServer) -> Iterator[greenws.Connection]:
    with greenws.connect(server.url) as connection:
        rest(connection)
        yield connection


def count_switches(function: Any) -> int:
    switches = [0]

    def note(event: str, pair: object) -> None:
        switches[0] += 1

    before = greenlet.settrace(note)
    try:
        function()
    finally:
        greenlet.settrace(before)
    return switches[0]


# Reading


def test_idle_connections_have_no_greenlet(server: EchoServer) -> None:
    def count() -> int:
        found = [thing for thing in gc.get_objects() if isinstance(thing, ResidentGreenlet)]
        return sum(not thing.dead for thing in found)

    before = count()
    connections = [greenws.connect(server.url) for _ in range(10)]
    wait_until(lambda: count() == before)
    for connection in connections:
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"
    assert count() == before
    for connection in connections:
        connection.close()


def test_message_costs_a_switch_there_and_one_back(resting: greenws.Connection) -> None:
    def exchange() -> None:
        for _ in range(100):
            resting.send("x")
            assert resting.receive() == "x"

    exchange()
    ours = gevent.getcurrent()
    switches: list[Any] = []
    before = greenlet.settrace(lambda event, pair: switches.append(ours in pair))
    try:
        exchange()
    finally:
        greenlet.settrace(before)
    assert sum(switches) == 200  # all others are the server's


def test_first_of_several_receivers_is_resumed_by_the_hub_and_all_get_theirs(
    resting: greenws.Connection,
) -> None:
    got: list[Any] = []
    receivers = [gevent.spawn(lambda: got.append(resting.receive(PATIENCE))) for _ in range(5)]
    gevent.sleep(0)
    for number in range(7):
        resting.send(str(number))
    gevent.joinall(receivers, PATIENCE, raise_error=True)
    assert got == ["0", "1", "2", "3", "4"]
    assert [resting.receive(PATIENCE) for _ in range(2)] == ["5", "6"]


STREAM = build_text("häl") + build(PING, b"?") + build(BINARY, bytes(300)) + build_text("x")


@pytest.mark.parametrize("cut", range(1, len(STREAM), 7))
def test_frames_may_be_cut_anywhere(cut: int) -> None:
    received = get_reactor().busy_poll

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT)
        before = received.received
        peer.send(STREAM[:cut])
        wait_until(lambda: received.received == before + cut)
        gevent.sleep(0)
        peer.send(STREAM[cut:])
        peer.expect(PONG, b"?")
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        rest(connection)
        connection.send("go")
        got = [connection.receive(PATIENCE) for _ in range(3)]
        assert got == ["häl", bytes(300), "x"]
        rest(connection)
        connection.send("again")
        assert connection.receive(PATIENCE) == "again"


@pytest.mark.parametrize("size", [100, 257, 70_000, 3_000_000])
def test_message_of_any_size_comes_whole_and_the_connection_rests_again(
    size: int, resting: greenws.Connection
) -> None:
    for message in ("x" * size, b"y" * size):
        resting.send(message)
        assert resting.receive(PATIENCE) == message
        rest(resting)


def test_message_beyond_max_size_is_refused(server: EchoServer) -> None:
    with greenws.connect(server.url, max_size=1000) as connection:
        rest(connection)
        connection.send("x" * 1000)
        assert connection.receive(PATIENCE) == "x" * 1000
        connection.send("x" * 1001)
        waiting = gevent.spawn(connection.receive)
        with pytest.raises(errors.WebSocketClosed) as caught:
            waiting.get(timeout=PATIENCE)
        assert caught.value.sent_code == 1009


def test_stream_takes_a_message_beyond_max_size(server: EchoServer) -> None:
    with greenws.connect(server.url, max_size=1000) as connection:
        rest(connection)
        connection.send("x" * 1500)
        assert "".join(connection.receive_stream(PATIENCE)) == "x" * 1500  # type: ignore[arg-type]
        wait_until(lambda: connection._reader.mailbox.is_alone())
        connection.send("y")
        assert connection.receive(PATIENCE) == "y"
        rest(connection)


def test_messages_by_tls_rest_too(authority: Authority) -> None:
    with EchoServer(ssl_context=authority.server_context("localhost")) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        with greenws.connect(url, ssl_cafile=authority.cafile) as connection:
            rest(connection)
            for size in (1, 1000, 40_000, 500_000):
                connection.send("x" * size)
                assert connection.receive(PATIENCE) == "x" * size
            sent = [f"{number}" * 50 for number in range(2000)]
            for message in sent:
                connection.send(message)
            assert [connection.receive(PATIENCE) for _ in sent] == sent
            rest(connection)


def test_connections_and_clients_of_one_crowd_all_get_theirs(server: EchoServer) -> None:
    class Echoer(greenws.Client):
        count = 0

        def on_text(self, event: greenws.events.Text) -> None:
            self.count += 1
            self.send_text(event.text)

    def converse(connection: greenws.Connection) -> None:
        for number in range(100):
            connection.send(str(number))
            assert connection.receive(PATIENCE) == str(number)

    clients = [Echoer(server.url).start() for _ in range(10)]
    connections = [greenws.connect(server.url) for _ in range(10)]
    assert all(client.wait_ready(PATIENCE) for client in clients)
    for client in clients:
        client.send_text("x")
    talks = [gevent.spawn(converse, connection) for connection in connections]
    gevent.joinall(talks, PATIENCE, raise_error=True)
    wait_until(lambda: all(client.count > 10 for client in clients))
    for connection in connections:
        connection.close()
    for client in clients:
        client.close()
        client.join(PATIENCE)


def test_connection_in_a_thread_of_its_own_rests(server: EchoServer) -> None:
    got: list[Any] = []

    def work() -> None:
        with greenws.connect(url) as connection:
            rest(connection)
            for number in range(10):
                connection.send(str(number))
                got.append(connection.receive(PATIENCE))
        gevent.get_hub().destroy(destroy_loop=True)

    url = server.url
    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: not thread.is_alive())
    assert got == [str(number) for number in range(10)]


def test_flood_that_is_iterated_leaves_the_loop_its_turns(ticking: Any) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        chunk = build_text("x" * 10) * 2000
        while True:
            peer.send(chunk)

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url, close_timeout=0.1)
        for count, message in enumerate(connection):
            assert message == "x" * 10
            if count == 100_000:
                break
        connection.close()
    assert ticking.largest_gap < 0.1


# The functions of users run in a greenlet


def where() -> bool:
    return gevent.getcurrent() is not gevent.get_hub()


def test_match_and_reply_key_are_not_called_by_the_hub(server: EchoServer) -> None:
    calls: list[bool] = []

    def match(event: Any) -> bool:
        calls.append(where())
        return True

    def reply_key(event: Any) -> int:
        calls.append(where())
        return 1

    with greenws.connect(server.url, reply_key=reply_key) as connection:
        rest(connection)
        assert connection.request("a", match, timeout=PATIENCE).text == "a"  # type: ignore[union-attr]
        assert connection.request("b", key=1, timeout=PATIENCE).text == "b"  # type: ignore[union-attr]
        connection.send("c")
        assert connection.receive(PATIENCE) == "c"
    assert calls == [True, True]


def test_trace_is_not_called_by_the_hub_for_messages(server: EchoServer) -> None:
    calls: list[bool] = []

    def trace(record: dict[str, Any]) -> None:
        if record["stage"].startswith("message"):
            calls.append(where())

    with greenws.connect(server.url, trace=trace) as connection:
        for _ in range(3):
            connection.send("x")
            assert connection.receive(PATIENCE) == "x"
        assert connection._reader._greenlet is not None
    assert len(calls) >= 3
    assert all(calls)


@pytest.mark.parametrize("kind", ["deflates", "subclass", "other"])
def test_connections_that_do_not_rest_receive_as_well(kind: str, server: EchoServer) -> None:
    seen: list[Any] = []

    class Session(greenws.GeventSession):
        def run(self, *args: Any, **options: Any) -> Any:
            for event in super().run(*args, **options):
                seen.append(event.name)
                yield event

    options: Any = {
        "deflates": {"compress": True},
        "subclass": {"session_class": Session},
        "other": {"session_class": PlainSession},
    }[kind]
    with greenws.connect(server.url, **options) as connection:
        for _ in range(3):
            connection.send("x" * 100)
            assert connection.receive(PATIENCE) == "x" * 100
        assert connection._reader._greenlet is not None
    assert "event" not in seen


def test_ping_is_answered_and_pong_is_taken(resting: greenws.Connection) -> None:
    for _ in range(3):
        assert resting.ping(PATIENCE) >= 0
        rest(resting)


# Receivers that go


def test_receiver_killed_by_the_one_before_it_loses_no_message(
    resting: greenws.Connection,
) -> None:
    def receive() -> None:
        got.append(resting.receive())
        second.kill(block=False)

    got: list[Any] = []
    first = gevent.spawn(receive)
    second = gevent.spawn(lambda: got.append(resting.receive()))
    gevent.sleep(0)
    resting.send("one")
    resting.send("two")
    gevent.joinall([first, second], PATIENCE, raise_error=True)
    if len(got) < 2:
        got.append(resting.receive(PATIENCE))
    assert got == ["one", "two"]


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("way", ["kill", "timeout"])
def test_receiver_that_goes_at_any_turn_loses_no_message(
    way: str, turns: int, server: EchoServer
) -> None:
    got: list[Any] = []

    def receive() -> None:
        try:
            got.append(connection.receive())
        except gevent.Timeout:
            pass

    with greenws.connect(server.url) as connection:
        rest(connection)
        receivers = [gevent.spawn(receive) for _ in range(3)]
        gevent.sleep(0)
        for number in range(3):
            connection.send(str(number))
        for _ in range(turns):
            gevent.sleep(0)
        for receiver in receivers:
            receiver.kill(gevent.GreenletExit if way == "kill" else gevent.Timeout(None))
        while len(got) < 3:
            got.append(connection.receive(PATIENCE))
    assert sorted(got) == ["0", "1", "2"]


def test_error_of_a_receiver_that_is_a_bare_greenlet_harms_nobody(
    resting: greenws.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    hub: Any = gevent.get_hub()
    monkeypatch.setattr(hub, "handle_error", lambda context, kind, *rest: told.append(kind))

    def receive() -> None:
        resting.receive()
        raise KeyError

    receiver = greenlet.greenlet(receive, hub)
    hub.loop.run_callback(receiver.switch)
    gevent.sleep(0)
    resting.send("x")
    wait_until(lambda: told)
    assert told == [KeyError]
    for _ in range(3):
        resting.send("y")
        assert resting.receive(PATIENCE) == "y"


def test_interrupt_while_the_hub_parses_loses_nothing(
    resting: greenws.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    hub: Any = gevent.get_hub()
    stream = resting.websocket.stream
    accept = stream.text_handler
    assert accept is not None

    def interrupt(event: Any) -> None:
        accept(event)
        if event.text == "two":
            stream.text_handler = accept
            raise KeyboardInterrupt

    stream.text_handler = interrupt
    monkeypatch.setattr(hub, "handle_error", lambda context, kind, *rest: told.append(kind))
    for text in ("one", "two", "three"):
        resting.send(text)
    got = [resting.receive(PATIENCE) for _ in range(3)]
    assert got == ["one", "two", "three"]
    assert told == [KeyboardInterrupt]
    rest(resting)
    resting.send("four")
    assert resting.receive(PATIENCE) == "four"


# Held back


def held(connection: greenws.Connection, count: int) -> None:
    wait_until(lambda: len(connection._reader.mailbox) == count)
    gevent.sleep(0.005)
    assert len(connection._reader.mailbox) == count


def parse_without_pause(connection: greenws.Connection) -> None:
    """Let no turn be over in the midst of a chunk, as it may be on a slow machine: a greenlet would
    go on then.
    """
    connection.websocket.stream.allowance = None


def test_held_connection_has_no_greenlet_and_goes_on_without_one() -> None:
    messages = [str(number) for number in range(1000)]
    with EchoServer(replies(messages)) as server:
        with greenws.connect(server.url) as connection:
            parse_without_pause(connection)
            connection.send("go")
            held(connection, 16)
            assert connection._reader._greenlet is None
            assert count_switches(lambda: connection.receive()) == 0
            assert [connection.receive(PATIENCE) for _ in messages[1:]] == messages[1:]


def test_request_and_stream_begin_while_the_connection_is_held() -> None:
    pushes = [str(number) for number in range(30)]

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT, b"go")
        peer.send(b"".join(map(build_text, pushes)) + build_text("y" * 300_000))
        peer.expect(TEXT)
        peer.send(build_text("reply"))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        rest(connection)
        connection.send("go")
        held(connection, 16)
        options: Any = {"match": lambda event: event.text == "reply", "timeout": PATIENCE}
        asking = gevent.spawn(connection.request, "?", **options)
        gevent.sleep(0)
        got = [connection.receive(PATIENCE) for _ in pushes]
        assert got == pushes
        pieces = list(connection.receive_stream(PATIENCE))
        assert "".join(pieces) == "y" * 300_000  # type: ignore[arg-type]
        assert asking.get(timeout=PATIENCE).text == "reply"  # type: ignore[union-attr]
        connection.send("more")
        assert connection.receive(PATIENCE) == "more"


@pytest.mark.parametrize("way", ["reset", "eof", "close"])
def test_what_was_received_while_held_comes_before_the_end(way: str) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT, b"go")
        peer.send(build_text("x") * 40 + (build_close(4000) if way == "close" else b""))
        peer.expect(TEXT, b"end")
        if way == "reset":
            peer.reset()

    with LoopbackServer(script) as server:
        connection = greenws.connect(server.url)
        rest(connection)
        connection.send("go")
        held(connection, 16)
        connection.send("end")
        gevent.sleep(0.01)
        got = []
        with pytest.raises(errors.WebSocketClosed) as caught:
            while True:
                got.append(connection.receive(PATIENCE))
        assert got == ["x"] * 40
        assert caught.value.code == (4000 if way == "close" else 1006)
        connection.close()


ENDS = {
    "close": lambda connection: connection.close(),
    "force": lambda connection: connection.websocket.force_disconnect(),
    "drop": lambda connection: connection._reader.kill(),
    "session": lambda connection: connection.session.close(),
    "drain": lambda connection: greenws.drain(PATIENCE),
    "server": lambda connection: connection.send("close"),
    "violation": lambda connection: connection.send("violate"),
    "silence": lambda connection: None,
}


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize("way", ENDS)
def test_end_comes_while_the_connection_rests(way: str, is_held: bool) -> None:
    count = 20 if is_held else 0

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT, b"go")
        peer.send(build_text("x") * count)
        if way == "close" or way == "drain":
            peer.send(build(CLOSE, peer.expect(CLOSE).payload))
        elif way == "server" or way == "violation":
            peer.expect(TEXT)
            peer.send(build_close(4001) if way == "server" else b"\xff\xff")
            peer.expect(CLOSE)
        else:
            peer.read_until_end()

    with LoopbackServer(script) as server:
        options: Any = {"ping_rate": 0, "ping_timeout": 0.5} if way == "silence" else {}
        connection = greenws.connect(server.url, **options)
        rest(connection)
        parse_without_pause(connection)
        connection.send("go")
        held(connection, min(count, 16))
        assert connection._reader._greenlet is None
        ENDS[way](connection)  # type: ignore[no-untyped-call]
        got = []
        with pytest.raises(errors.WebSocketClosed):
            while True:
                got.append(connection.receive(PATIENCE))
        if way in ("server", "violation", "silence"):
            assert len(got) == count
        else:
            assert len(got) >= min(count, 16)
        assert not connection.is_open
        assert connection.close_code == {"close": 1000, "drain": 1001, "server": 4001}.get(
            way, 1006
        )


HELD_IN_A_CHILD = """
import os, sys, gevent, greenws
from greenws import errors

connection = greenws.connect(sys.argv[1], proxies={})
gevent.sleep(0.01)
connection.send("go")
while len(connection._reader.mailbox) < 16:
    gevent.sleep(0.001)
reading, writing = os.pipe()
pid = os.fork()
if not pid:
    count = 0
    try:
        while True:
            connection.receive(5)
            count += 1
    except errors.WebSocketClosed as error:
        said = f"{count} {error.code} {'parent' in error.reason}"
    except BaseException as error:
        said = f"{count} {error!r}"
    os.write(writing, said.encode())
    os._exit(0)
os.close(writing)
with os.fdopen(reading, "rb") as pipe:
    print(pipe.read().decode())
os.waitpid(pid, 0)
print(sum(len(connection.receive(5)) for _ in range(40)))
connection.close()
"""


def test_child_takes_what_was_held_and_then_meets_the_end() -> None:
    with EchoServer(replies(["x"] * 40)) as server:
        said = run_script(HELD_IN_A_CHILD, server.url)
    assert said.splitlines() == ["16 1006 True", "40"]


@pytest.mark.parametrize("turns", range(5))
def test_connection_dropped_at_any_turn_ends(turns: int) -> None:
    with LoopbackServer(accept_and_echo) as server:
        connection = greenws.connect(server.url)
        reader = connection._reader
        rest(connection)
        connection.send("x")
        session: Any = connection.session
        session.send(PING, b"?")  # whose answer has a greenlet come
        for _ in range(turns):
            gevent.sleep(0)
        del connection, session
        wait_until(lambda: reader.end is not None)
        assert reader._roster is not None and reader not in reader._roster.present()


def test_connections_that_rest_leave_nothing(server: EchoServer) -> None:
    connections = [greenws.connect(server.url) for _ in range(50)]
    for connection in connections:
        rest(connection)
    del connection
    connections.clear()
    wait_until(lambda: not server.open_connections)
