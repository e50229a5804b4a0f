"""A load run of one process, against servers in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from greenws.cli.load.clients import LoadClient, Stage, TurnClient
from greenws.cli.load.run import LoadRun, Share, share_out
from greenws.cli.load.tally import Portion, Tally
from greenws.testing import EchoServer, accept, close_with, drop, in_turn, respond, silent
from tests.cli.load.settings import URL, make_options
from tests.support.waiting import wait_until


def run(server: EchoServer, **options: Any) -> Portion:
    """Run to the end; returns the total."""
    chosen = make_options(**options)
    tally = Tally(chosen.connections, chosen.messages)
    LoadRun(chosen, server.url, tally.add).run()
    server.wait_idle()
    return tally.total


# What the clients tell


@pytest.fixture
def told() -> Tally:
    return Tally(3, 2)


@pytest.fixture
def load(told: Tally) -> LoadRun:
    return LoadRun(make_options(), URL, told.add)


@pytest.fixture
def client(load: LoadRun) -> LoadClient:
    return TurnClient(load, URL, {}, 0)


def test_connection_goes_from_ready_to_done(load: LoadRun, client: LoadClient) -> None:
    load.record_ready(client, 0.25, 10.0)
    assert client.stage is Stage.READY
    assert (load.portion.connected, load.portion.openings.longest) == (1, 0.25)
    client.begin(10.0, 10.0)
    client._take("hello")
    assert client.stage is Stage.TALKING
    client._take("hello")
    assert client.stage is Stage.DONE
    assert len(load.latencies) == 2
    assert not load.portion.failures


def test_only_the_first_reason_of_a_connection_counts(load: LoadRun, client: LoadClient) -> None:
    load.record_failure(client, "refused")
    load.record_failure(client, "something later")
    assert load.portion.failures == {"refused": 1}
    assert (load.portion.unopened, client.stage) == (1, Stage.OVER)


def test_connection_that_ends_too_early_is_a_failure(load: LoadRun, client: LoadClient) -> None:
    load.record_ready(client, 0.25, 10.0)
    load.record_end(client, "closed (code 1006)")
    assert (load.portion.connected, load.portion.closed) == (1, 1)
    assert load.portion.failures == {"closed (code 1006)": 1}
    assert load.portion.unopened == 0


def test_connection_that_ends_after_the_run_is_no_failure(
    load: LoadRun, client: LoadClient
) -> None:
    load.record_ready(client, 0.25, 10.0)
    client.stage = Stage.OVER
    load.record_end(client, "closed (code 1000)")
    assert load.portion.closed == 1
    assert not load.portion.failures


def test_connection_that_opens_after_the_run_stays_idle(load: LoadRun, client: LoadClient) -> None:
    client.stage = Stage.OVER
    load.record_ready(client, 0.25, 10.0)
    assert (load.portion.connected, client.stage) == (1, Stage.OVER)


@pytest.mark.parametrize(("connections", "processes"), [(10, 3), (3, 3), (1000, 7)])
def test_connections_are_shared_out_evenly(connections: int, processes: int) -> None:
    shares = share_out(connections, processes)
    sizes = [share.connections for share in shares]
    assert (len(shares), sum(sizes)) == (processes, connections)
    assert max(sizes) - min(sizes) <= 1
    numbers = [share.first + number for share in shares for number in range(share.connections)]
    assert numbers == list(range(connections))


# Which messages are sent, and which are replies


def test_each_connection_sends_its_own_messages() -> None:
    with EchoServer() as server:
        total = run(server, template="{connection}/{n}/{id}", messages=2)
        texts = {message for one in server.connections for message in one.messages}
    assert texts == {"1/1/1", "2/1/2", "3/1/3", "1/2/4", "2/2/5", "3/2/6"}
    assert (total.sent, total.replies, total.others, total.failed) == (6, 6, 0, 0)
    assert total.latencies.count == 6
    assert total.bytes_sent > 0 and total.bytes_received > 0
    assert total.connect_seconds > 0 and total.message_seconds > 0


@pytest.mark.parametrize("rate", [None, 1000.0])
def test_binary_messages_come_back(rate: float | None) -> None:
    with EchoServer() as server:
        total = run(server, binary=True, message_rate=rate, in_flight=2)
        messages = [message for one in server.connections for message in one.messages]
    assert messages == [b"hello"] * 6
    assert (total.replies, total.failed) == (6, 0)


@pytest.mark.parametrize("rate", [None, 1000.0])
@pytest.mark.parametrize("expect", ["echo", "any"])
def test_any_message_is_a_reply_where_any_is_expected(expect: str, rate: float | None) -> None:
    with EchoServer(respond(lambda message: b"something else")) as server:
        total = run(server, expect=expect, message_rate=rate, in_flight=2)
    if expect == "any":
        assert (total.replies, total.failed) == (6, 0)
    else:
        assert total.failures == {"the server sent a message that is not the echo": 3}


def test_second_message_in_place_of_one_reply_is_no_reply() -> None:
    with EchoServer(respond(lambda message: [message, "news"])) as server:
        total = run(server, expect="any", think=(0.03, 0.05))
    assert (total.sent, total.failed) == (6, 0)
    assert (total.replies, total.latencies.count) == (6, 6)
    assert total.others >= 3  # the connections may have closed before the last ones


def test_message_without_a_question_is_not_the_echo() -> None:
    with EchoServer(respond(lambda message: [message, "news"])) as server:
        total = run(server, think=(10.0, 10.0))
    assert total.failures == {"the server sent a message that is not the echo": 3}


def answer_late(waiting: list[str]) -> Callable[[Any], Any]:
    """Answer pairs of questions, the second one first, with news before each."""

    def reply(message: Any) -> list[str]:
        waiting.append(message)
        if len(waiting) % 2:
            return ["no JSON", json.dumps({"id": -1})]
        return [json.dumps({"id": json.loads(text)["id"]}) for text in waiting[:-3:-1]]

    return respond(reply)


def test_field_tells_to_which_message_a_reply_belongs() -> None:
    with EchoServer(answer_late([])) as server:
        total = run(
            server,
            connections=1,
            messages=10,
            template='{"id": {id}, "op": "quote"}',
            expect="id",
            message_rate=500.0,
            in_flight=10,
        )
    assert (total.sent, total.replies, total.failed) == (10, 10, 0)
    assert total.others == 10


def test_field_works_without_a_rate_as_well() -> None:
    with EchoServer(respond(lambda message: ["news", message])) as server:
        total = run(server, template='{"id": {id}}', expect="id")
    assert (total.replies, total.failed) == (6, 0)
    assert 3 <= total.others <= 6


@pytest.mark.parametrize(
    "options", [{"message_rate": 500.0, "in_flight": 9}, {"think": (0.001, 0.002)}]
)
def test_no_reply_is_waited_for_where_none_is_expected(options: dict[str, Any]) -> None:
    with EchoServer(respond(lambda message: None)) as server:
        total = run(server, expect="none", messages=4, **options)
        assert server.message_count == 12
    assert (total.sent, total.replies, total.failed) == (12, 0, 0)
    assert total.message_seconds > 0


def test_connections_that_only_listen_stay_for_the_duration() -> None:
    with EchoServer(on_open_send("news")) as server:
        total = run(server, messages=0, duration=0.1)
    assert (total.sent, total.replies, total.failed) == (0, 0, 0)
    assert total.others == 3


def on_open_send(message: str) -> Callable[[Any], Any]:
    def serve(connection: Any) -> None:
        connection.send_text(message)
        for _ in connection:
            pass

    return serve


def test_run_ends_early_when_all_that_listened_are_gone() -> None:
    with EchoServer(close_with(4000, after=0)) as server:
        total = run(server, messages=0, duration=1000.0)
    assert total.failed == 3


# When messages are sent


def test_duration_ends_the_messages_and_the_last_replies_are_waited_for() -> None:
    with EchoServer(respond(lambda message: message, delay=0.05)) as server:
        total = run(server, messages=None, duration=0.12)
    assert total.sent == total.replies >= 3
    assert (total.failed, total.missed) == (0, 0)


def test_rate_goes_on_though_no_reply_comes() -> None:
    with EchoServer(silent) as server:
        total = run(server, messages=5, message_rate=100.0, in_flight=5, expect="any", timeout=0.3)
        server.wait_idle()
    assert (total.sent, total.replies) == (15, 0)
    assert total.failures == {"no reply within 0.3 s": 3}


def test_latency_counts_from_when_a_message_was_due() -> None:
    # One message of a connection at a time, and each reply takes 0.05 s: the tenth message, due
    # after 0.09 s, is sent after 0.45 s at the earliest.
    with EchoServer(respond(lambda message: message, delay=0.05)) as server:
        total = run(server, connections=1, messages=10, message_rate=100.0, in_flight=1)
    assert total.replies == 10
    assert total.latencies.longest >= 0.4
    assert total.delays.longest >= 0.35


def test_messages_that_were_due_and_had_no_room_are_counted() -> None:
    with EchoServer(respond(lambda message: message, delay=0.3)) as server:
        total = run(
            server, connections=1, messages=None, message_rate=100.0, in_flight=1, duration=0.2
        )
    assert (total.sent, total.replies, total.failed) == (1, 1, 0)
    assert 15 <= total.missed <= 20


def test_connections_are_spread_over_the_period() -> None:
    load = LoadRun(make_options(connections=4, message_rate=10.0), URL, lambda portion: None)
    due = []
    for number in range(4):
        client = TurnClient(load, URL, {}, number)
        client.stage = Stage.READY
        load._clients.append(client)
    load._share = Share(1, 2, 4, 4)
    load._wait_for_end = lambda start: due.extend(  # type: ignore[method-assign]
        client._next_due - start for client in load._clients
    )
    load._exchange()
    assert due == pytest.approx([0.0125, 0.0375, 0.0625, 0.0875])


def test_connections_talk_while_others_open_in_a_ramp() -> None:
    with EchoServer() as server:
        total = run(server, connections=10, messages=3, ramp=0.2)
    assert (total.replies, total.failed) == (30, 0)
    assert total.message_seconds >= 0.15


def test_connection_that_opens_after_the_duration_sends_nothing(
    load: LoadRun, client: LoadClient
) -> None:
    client.finish(10.0)
    client.begin(11.0, 11.0)
    assert client.stage is Stage.DONE
    assert load.take_portion().failures == {}


def test_pauses_are_not_waited_for_at_the_end() -> None:
    with EchoServer() as server:
        total = run(server, messages=None, think=(0.01, 1000.0), duration=0.1)
    assert (total.sent, total.failed) == (total.replies, 0)


def test_error_of_a_handler_is_a_failure(load: LoadRun, client: LoadClient) -> None:
    client.on_error(KeyError("x"))
    assert load.portion.failures == {"KeyError: 'x'": 1}


def test_ramp_of_connections_that_send_nothing() -> None:
    with EchoServer() as server:
        total = run(server, connections=10, messages=0, ramp=0.1)
    assert (total.connected, total.sent) == (10, 0)
    assert total.connect_seconds >= 0.08


def test_pause_lies_between_a_reply_and_the_next_message() -> None:
    with EchoServer() as server:
        total = run(server, messages=3, think=(0.05, 0.06))
    assert total.replies == 9
    assert total.message_seconds >= 0.1


# What goes wrong


def test_connection_whose_reply_is_late_fails_alone() -> None:
    with EchoServer(in_turn(silent, respond(lambda message: message, delay=0.05))) as server:
        total = run(server, connections=2, messages=8, timeout=0.3)
    assert total.failures == {"no echo within 0.3 s": 1}
    assert total.replies == 8


def test_connection_lost_while_others_open_in_a_ramp_is_a_failure() -> None:
    with EchoServer(in_turn(drop(after=1), respond(lambda message: message))) as server:
        total = run(server, connections=2, messages=2, ramp=0.02)
    assert (total.failed, total.replies) == (1, 3)


@pytest.mark.parametrize("opening", [accept, silent])
def test_interrupted_run_ends_and_keeps_what_it_has(opening: Any) -> None:
    tally = Tally(3, None)
    with EchoServer(opening=opening) as server:
        load = LoadRun(make_options(messages=None), server.url, tally.add)
        running = gevent.spawn(load.run)
        if opening is accept:
            wait_until(lambda: tally.total.replies)
        else:
            wait_until(lambda: tally.total.started == 3)
        load.interrupt()
        load.interrupt()
        running.get()
        server.wait_idle()
    assert tally.total.failed == 0


def test_interrupt_before_the_run_is_not_lost() -> None:
    load = LoadRun(make_options(messages=None), URL, lambda portion: None)
    load.interrupt()
    load.run()
