"""The table of a client's states, and the states that its methods lead to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pytest

import greenws
from greenws.client import CLIENT_STEPS, ClientLife
from greenws.testing import EchoServer, close_with, echo, reject, silent

ROOT = Path(__file__).parents[1]
PATIENCE = 10.0

# A way to each state, by steps of the table.
WAYS: dict[ClientLife, list[ClientLife]] = {
    ClientLife.IDLE: [],
    ClientLife.CONNECTING: [ClientLife.CONNECTING],
    ClientLife.READY: [ClientLife.CONNECTING, ClientLife.READY],
    ClientLife.WAITING: [ClientLife.CONNECTING, ClientLife.READY, ClientLife.WAITING],
    ClientLife.STOPPING: [ClientLife.CONNECTING, ClientLife.STOPPING],
    ClientLife.KILLED: [ClientLife.CONNECTING, ClientLife.STOPPING, ClientLife.KILLED],
    ClientLife.ENDED: [ClientLife.CONNECTING, ClientLife.ENDED],
}
PAIRS = [(before, after) for before in ClientLife for after in ClientLife]


def show(value: ClientLife) -> str:
    return value.name


def reach(life: ClientLife) -> greenws.Client:
    client = greenws.Client("ws://127.0.0.1:1/")
    for step in WAYS[life]:
        client._step(step)
    return client


@pytest.mark.parametrize("life", ClientLife, ids=show)
def test_each_state_can_be_reached(life: ClientLife) -> None:
    client = reach(life)
    assert client._life is life
    assert client.is_running == (life not in (ClientLife.IDLE, ClientLife.ENDED))


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=show)
def test_steps_are_those_of_the_table_and_no_others(before: ClientLife, after: ClientLife) -> None:
    client = reach(before)
    if after in CLIENT_STEPS[before]:
        client._step(after)
        assert client._life is after
    else:
        with pytest.raises(RuntimeError, match=f"from {before.name} to {after.name}"):
            client._step(after)
        assert client._life is before


def test_an_end_can_be_reached_from_every_state_that_runs() -> None:
    for life, following in CLIENT_STEPS.items():
        assert (ClientLife.ENDED in following) == (
            life not in (ClientLife.IDLE, ClientLife.ENDED)
        ), life


def test_illegal_steps_raise_with_assertions_switched_off() -> None:
    code = (
        "import greenws\n"
        "from greenws.client import ClientLife\n"
        "assert False  # proves -O\n"
        "try:\n"
        "    greenws.Client('ws://h/')._step(ClientLife.READY)\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-O", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "a client cannot go from IDLE to READY"


class Recorder(greenws.Client):
    """Notes the state that each handler finds."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, proxies={}, **options)
        self.found: list[tuple[str, str]] = []

    def _note(self, name: str) -> None:
        self.found.append((name, self._life.name))

    def on_connecting(self, event: Any) -> None:
        self._note("connecting")

    def on_ready(self, event: Any) -> None:
        self._note("ready")

    def on_close(self, event: Any) -> None:
        self._note("close")

    def on_back_off(self, event: Any) -> None:
        self._note("back_off")

    def on_connect_fail(self, event: Any) -> None:
        self._note("connect_fail")

    def on_rejected(self, event: Any) -> None:
        self._note("rejected")


def run(client: greenws.Client) -> None:
    with gevent.Timeout(PATIENCE):
        client.run()
    assert client._life is ClientLife.ENDED


def test_a_connection_goes_through_its_states() -> None:
    with EchoServer(close_with(1000)) as server:
        client = Recorder(server.url)
        assert client._life is ClientLife.IDLE
        run(client)
    assert client.found == [("connecting", "CONNECTING"), ("ready", "READY"), ("close", "READY")]


def test_a_reconnect_waits_in_between() -> None:
    with EchoServer(close_with(1001)) as server:
        client = Recorder(server.url, reconnect=greenws.Backoff(min_wait=0, max_tries=2))
        run(client)
    one = [("connecting", "CONNECTING"), ("ready", "READY"), ("close", "READY")]
    assert client.found == [*one, ("back_off", "WAITING"), *one]


def test_a_rejection_leaves_it_connecting() -> None:
    with EchoServer(opening=reject()) as server:
        client = Recorder(server.url)
        run(client)
    assert client.found == [("connecting", "CONNECTING"), ("rejected", "CONNECTING")]


def test_a_client_that_has_ended_begins_anew() -> None:
    with EchoServer(close_with(1000)) as server:
        client = Recorder(server.url)
        run(client)
        run(client)
    assert [life for _, life in client.found] == ["CONNECTING", "READY", "READY"] * 2


@pytest.mark.parametrize("verb", ["start", "run"])
def test_a_second_start_is_refused_and_changes_nothing(verb: str) -> None:
    with EchoServer() as server:
        client = Recorder(server.url).start()
        assert client.wait_ready(PATIENCE)
        with pytest.raises(RuntimeError, match="is running already"):
            getattr(client, verb)()
        assert client._life is ClientLife.READY
        client.close()
        client.join(PATIENCE)
    assert client._life is ClientLife.ENDED


@pytest.mark.parametrize("verb", ["close", "kill"])
@pytest.mark.parametrize("life", [ClientLife.IDLE, ClientLife.ENDED], ids=show)
def test_ending_what_does_not_run_changes_nothing(verb: str, life: ClientLife) -> None:
    client = reach(life)
    getattr(client, verb)()
    assert client._life is life


def test_a_close_ends_what_waits_to_connect_again() -> None:
    with EchoServer(close_with(1001)) as server:
        client = Recorder(server.url, reconnect=greenws.Backoff(min_wait=60)).start()
        server.wait_for(lambda: ("back_off", "WAITING") in client.found)
        assert client._life is ClientLife.WAITING
        client.close()
        assert client._life is ClientLife.STOPPING
        client.join(PATIENCE)
        assert client._life is ClientLife.ENDED
        assert server.connection_count == 1


def test_a_kill_comes_after_a_close() -> None:
    with EchoServer(silent) as server:
        client = Recorder(server.url, reconnect=True).start()
        assert client.wait_ready(PATIENCE)
        client.close()
        assert client._life is ClientLife.STOPPING
        client.kill()
        assert client._life is ClientLife.ENDED
    assert client.found[-1] == ("close", "KILLED")


def test_a_close_after_a_kill_changes_nothing() -> None:
    class Stubborn(Recorder):
        def on_close(self, event: Any) -> None:
            self.close()
            super().on_close(event)

    with EchoServer() as server:
        client = Stubborn(server.url).start()
        assert client.wait_ready(PATIENCE)
        client.kill()
    assert client.found[-1] == ("close", "KILLED")


def test_a_client_killed_before_its_greenlet_ran_has_ended() -> None:
    client = Recorder("ws://127.0.0.1:1/").start()
    assert client._life is ClientLife.CONNECTING
    client.kill()
    assert client._life is ClientLife.ENDED
    assert client.found == []


def test_two_greenlets_may_kill_it_at_once() -> None:
    with EchoServer() as server:
        client = Recorder(server.url).start()
        assert client.wait_ready(PATIENCE)
        killers = [gevent.spawn(client.kill) for _ in range(2)]
        assert len(gevent.joinall(killers, PATIENCE, raise_error=True)) == 2
    assert [name for name, _ in client.found].count("close") == 1
    assert client._life is ClientLife.ENDED


def test_a_handler_that_fails_stops_it() -> None:
    class Failing(Recorder):
        def on_ready(self, event: Any) -> None:
            super().on_ready(event)
            raise LookupError("handler")

    with EchoServer(echo) as server:
        client = Failing(server.url, reconnect=True)
        with pytest.raises(LookupError), gevent.Timeout(PATIENCE):
            client.run()
        assert server.connection_count == 1
    assert client.found[-1] == ("close", "STOPPING")
    assert client._life is ClientLife.ENDED


def test_a_back_off_handler_that_fails_stops_it() -> None:
    class Failing(Recorder):
        def on_back_off(self, event: Any) -> None:
            raise LookupError("handler")

    with EchoServer(close_with(1001)) as server:
        client = Failing(server.url, reconnect=greenws.Backoff(min_wait=60))
        with pytest.raises(LookupError), gevent.Timeout(PATIENCE):
            client.run()
    assert client._life is ClientLife.ENDED


def test_a_client_may_be_run_again_by_its_last_handler() -> None:
    # The state says that it runs until the last handler has returned.
    class Eager(Recorder):
        def on_close(self, event: Any) -> None:
            super().on_close(event)
            with pytest.raises(RuntimeError, match="is running already"):
                self.start()

    with EchoServer(close_with(1000)) as server:
        client = Eager(server.url)
        run(client)
    assert client.found[-1] == ("close", "READY")


def test_joining_oneself_is_refused_and_waiting_so_is_bounded() -> None:
    errors: list[BaseException] = []

    class Joiner(Recorder):
        def on_ready(self, event: Any) -> None:
            try:
                self.join()
            except RuntimeError as error:
                errors.append(error)
            self.join(0.001)
            self.close()

    with EchoServer() as server:
        run(Joiner(server.url))
    assert "cannot wait for itself" in str(errors[0])
