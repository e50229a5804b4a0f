"""A crowd: when it begins, which members it resumes in which order, and when it ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gevent
import greenlet
import pytest

import greenws
from greenws.sessions import crowd as compiled
from greenws.sessions.reactor import get_reactor
from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer, build_text
from tests.support.pure import load_pure
from tests.support.run import run_script
from tests.support.watchers import FakeWatcher

# The compiled build hides what only sessions call: the twin has the same source.
twin: Any = load_pure("sessions.crowd")

ROOT = Path(__file__).parents[2]
PATIENCE = 16  # turns
CHAIN = 64  # members


def make_member(crowd: Any, work: Any = None) -> Any:
    """A member whose greenlet parks, and does ``work`` each time it is resumed."""

    class Member(twin.Member):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._crowd = crowd
            self._hub = gevent.getcurrent()
            self.resumed = 0
            self.runner = greenlet.greenlet(self.run)
            self.runner.switch()

        def run(self) -> None:
            while True:
                self._park()
                self.resumed += 1
                if work is not None:
                    work(self)

    return Member()


def make_crowd(size: int = 4) -> tuple[Any, FakeWatcher]:
    check = FakeWatcher()
    return twin.Crowd(check, size), check


def gather(crowd: Any, members: list[Any]) -> None:
    """Make a crowd of as many members as it takes."""
    for member in members:
        assert not crowd.wake(member)
    crowd.end_turn()
    assert crowd.is_crowded


# Its size


@pytest.mark.parametrize(
    ("text", "size"), [(None, 4), ("", 4), (" ", 4), ("0", 0), ("4", 4), (" 16\n", 16), ("007", 7)]
)
def test_size_is_a_number_of_sessions(text: str | None, size: int) -> None:
    assert compiled.parse_size(text) == size


@pytest.mark.parametrize("text", ["four", "-1", "1.5", "4 5", "+4", "٤", "0x4", "1_000"])
def test_wrong_size_is_refused_with_the_name_of_the_variable(text: str) -> None:
    with pytest.raises(ValueError, match="GREENWS_CROWD"):
        compiled.parse_size(text)


def test_environment_sets_the_size() -> None:
    code = "from greenws.sessions import crowd; print(crowd.CROWD)"
    for value, printed in ((None, "4"), ("0", "0"), ("9", "9")):
        environment = {key: text for key, text in os.environ.items() if key != "GREENWS_CROWD"}
        if value is not None:
            environment["GREENWS_CROWD"] = value
        command = [sys.executable, "-c", code]
        result = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == printed


def test_wrong_size_in_the_environment_ends_the_import() -> None:
    environment = {**os.environ, "GREENWS_CROWD": "many"}
    result = subprocess.run(
        [sys.executable, "-c", "import greenws"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "ValueError: GREENWS_CROWD has to be a number of sessions, not 'many'" in result.stderr


def test_fewer_members_than_the_size_make_no_crowd() -> None:
    crowd, check = make_crowd(4)
    for _ in range(10):
        for member in [object()] * 3:
            assert not crowd.wake(member)
        crowd.end_turn()
    assert not crowd.is_crowded and check.starts == 0


def test_members_of_one_turn_make_a_crowd() -> None:
    crowd, check = make_crowd(4)
    gather(crowd, [object()] * 4)
    assert check.starts == 1


@pytest.mark.parametrize("size", [0, 1])
def test_crowd_of_one_begins_and_crowd_of_size_zero_never_does(size: int) -> None:
    # A size of 0 switches crowds off. With a size of 1, a single member is a crowd.
    crowd, _ = make_crowd(size)
    crowd.wake(object())
    crowd.end_turn()
    assert crowd.is_crowded == bool(size)


def test_loop_without_the_watcher_has_no_crowds() -> None:
    crowd = twin.Crowd(None, 1)
    for _ in range(100):
        assert not crowd.wake(object())
    crowd.end_turn()
    assert not crowd.is_crowded


def test_crowd_ends_after_its_patience() -> None:
    crowd, check = make_crowd(2)
    gather(crowd, [object()] * 2)
    for _ in range(PATIENCE):
        crowd.end_turn()
        assert crowd.is_crowded
    crowd.end_turn()
    assert not crowd.is_crowded and check.callback is None


def test_turn_with_enough_members_renews_the_patience() -> None:
    crowd, check = make_crowd(2)
    members = [make_member(crowd), make_member(crowd)]
    gather(crowd, members)
    for _ in range(3):
        for _ in range(PATIENCE):
            crowd.end_turn()
        for member in members:
            assert crowd.wake(member)
        check.fire()
        crowd.end_turn()
        assert crowd.is_crowded
    assert check.starts == 1


def test_crowd_that_has_ended_begins_again() -> None:
    crowd, check = make_crowd(2)
    gather(crowd, [object()] * 2)
    crowd.disperse()
    crowd.disperse()
    assert not crowd.is_crowded
    gather(crowd, [object()] * 2)
    assert check.starts == 2


# Whom it resumes


def run_members(count: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Have a crowd resume its members.

    :returns: the members, those that ran, and the greenlets that were switched to.
    """
    crowd, check = make_crowd(4)
    order: list[Any] = []
    members = [make_member(crowd, order.append) for _ in range(count)]
    gather(crowd, members[:4])
    for member in members:
        assert crowd.wake(member)
    switches: list[Any] = []
    before = greenlet.settrace(lambda event, pair: switches.append(pair[1]))  # type: ignore[func-returns-value]
    try:
        check.fire()
    finally:
        greenlet.settrace(before)
    # The turn is over after some milliseconds, for which a busy machine may well stop.
    return (members, order, switches) if len(order) == count else run_members(count)


def test_members_run_in_order_without_the_hub_in_between() -> None:
    members, order, switches = run_members(10)
    assert order == members
    # One switch to each, and one back.
    assert switches == [*(member.runner for member in members), gevent.getcurrent()]


def test_hub_has_a_look_after_a_chain() -> None:
    members, _, switches = run_members(2 * CHAIN + 1)
    assert all(member.resumed == 1 for member in members)
    assert switches.count(gevent.getcurrent()) == 3


def run_slow_members(monkeypatch: pytest.MonkeyPatch, wall: float, work: float) -> int:
    """Have 48 members each take ``wall`` seconds, and ``work`` seconds of the processor.

    :returns: how many of them ran in one turn.
    """
    clocks = {"precise": 100.0, "thread_time": 1.0}
    monkeypatch.setattr(twin.ticks, "precise", lambda: clocks["precise"])
    monkeypatch.setattr(twin, "thread_time", lambda: clocks["thread_time"])

    def take_time(member: Any) -> None:
        clocks["precise"] += wall
        clocks["thread_time"] += work

    crowd, check = make_crowd(4)
    members = [make_member(crowd, take_time) for _ in range(48)]
    gather(crowd, members[:4])
    for member in members:
        crowd.wake(member)
    check.fire()
    return sum(member.resumed for member in members)


def test_members_have_some_milliseconds_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_slow_members(monkeypatch, wall=0.0015, work=0.0015) == 8


def test_time_that_others_had_the_processor_ends_a_turn_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each turn that leaves members has the kernel look at all of them again.
    assert run_slow_members(monkeypatch, wall=0.0015, work=0.0001) == 16
    assert run_slow_members(monkeypatch, wall=0.01, work=0.0) == 8


def test_turn_of_thousands_lasts_up_to_three_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin, "_EACH", 1.0)
    assert run_slow_members(monkeypatch, wall=0.0011, work=0.0011) == 24
    monkeypatch.setattr(twin, "_EACH", 0.0)
    assert run_slow_members(monkeypatch, wall=0.0011, work=0.0011) == 8


def test_members_without_a_greenlet_are_left_to_the_hub() -> None:
    crowd, check = make_crowd(2)
    order: list[Any] = []

    class Resting(twin.Member):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._is_resting = True

        def _resume(self) -> None:
            assert gevent.getcurrent() is hub
            order.append(self)

    hub = gevent.getcurrent()
    members = [make_member(crowd, order.append), Resting(), Resting()]
    members += [make_member(crowd, order.append), Resting(), make_member(crowd, order.append)]
    gather(crowd, members[:2])
    for member in members:
        crowd.wake(member)
    check.fire()
    assert order == members


def test_members_that_were_resumed_meanwhile_are_passed_over() -> None:
    crowd, check = make_crowd(2)
    busy = make_member(crowd)
    others = [make_member(crowd), make_member(crowd)]
    gather(crowd, others)
    for member in (others[0], busy, others[1]):
        crowd.wake(member)
    busy._is_parked = False  # it is in a handler
    check.fire()
    busy._is_parked = True
    assert [member.resumed for member in (*others, busy)] == [1, 1, 0]


def test_member_that_ends_another_does_not_resume_it_twice() -> None:
    crowd, check = make_crowd(2)
    second = make_member(crowd)
    first = make_member(crowd, lambda member: second._resume())
    gather(crowd, [first, second])
    for member in (first, second):
        crowd.wake(member)
    first._hub = second._hub = gevent.getcurrent()
    check.fire()
    assert second.resumed == 1


def test_member_that_raises_ends_no_other_for_good() -> None:
    crowd, check = make_crowd(2)

    def fail(member: Any) -> None:
        raise LookupError("member")

    last = make_member(crowd)
    failing = make_member(crowd, fail)
    gather(crowd, [last, failing])
    for member in (failing, last):
        crowd.wake(member)
    with pytest.raises(LookupError):
        check.fire()
    # The last one was not resumed in this turn. Its watcher fires again: nothing was read.
    assert last.resumed == 0
    assert crowd.wake(last)
    check.fire()
    assert last.resumed == 1


def test_member_that_is_killed_in_its_wait_is_not_parked() -> None:
    crowd, _ = make_crowd(2)
    member = make_member(crowd)
    assert member._is_parked
    with pytest.raises(LookupError):
        member.runner.throw(LookupError)
    assert not member._is_parked
    member._resume()  # nobody waits
    assert member.resumed == 0


def test_ready_members_are_forgotten_with_the_crowd() -> None:
    crowd, _ = make_crowd(2)
    member = make_member(crowd)
    gather(crowd, [member, member])
    crowd.wake(member)
    crowd.disperse()
    assert crowd.pick() is None
    assert member.resumed == 0
    assert not crowd.wake(member)  # its watcher resumes it again


# On the hub


def test_connections_echo_with_crowds_switched_off() -> None:
    output = run_script(
        """
        import os, gevent
        os.environ["GREENWS_CROWD"] = "0"
        import greenws
        from greenws.sessions import crowd
        from greenws.sessions.reactor import get_reactor
        from greenws.testing import EchoServer

        crowded = []

        class Member(greenws.Client):
            def on_text(self, event):
                crowded.append(get_reactor().crowd.is_crowded)
                self.texts.append(event.text)
                if len(self.texts) < 10:
                    self.send_text(str(len(self.texts)))
                else:
                    self.close()

        with EchoServer() as server, gevent.Timeout(20):
            members = [Member(server.url, proxies={}).start() for _ in range(50)]
            for member in members:
                member.texts = []
                assert member.wait_ready(10)
            for member in members:
                member.send_text("0")
            for member in members:
                member.join()
        assert all(member.texts == list("0123456789") for member in members)
        print(crowd.CROWD, len(crowded), any(crowded))
        """
    )
    assert output == "0 500 False\n"


#: Replies of a crowd that wait for each other at most.
BATCH: int = load_pure("sessions.turn")._BATCH


class Audience:
    """Many connections. Their server sends to all of them at once, round after round."""

    SIZE = 100

    def __init__(self, handle: Any) -> None:
        self.peers: list[RawServerPeer] = []
        self.seen: list[list[str]] = [[] for _ in range(self.SIZE)]
        self.clients: list[greenws.Client] = []
        self.handle = handle

    def run(self, rounds: int) -> None:
        def script(peer: RawServerPeer) -> None:
            peer.accept()
            self.peers.append(peer)
            peer.read_until_end()

        audience = self

        class Member(greenws.Client):
            number = 0

            def on_text(self, event: Any) -> None:
                audience.seen[self.number].append(event.text)
                audience.handle(self, event.text)

        with LoopbackServer(script) as server:
            for number in range(self.SIZE):
                client = Member(server.url, proxies={}).start()
                client.number = number
                self.clients.append(client)
            assert all(client.wait_ready(PATIENCE) for client in self.clients)
            for number in range(rounds):
                for peer in self.peers:
                    with contextlib.suppress(OSError):  # the peer's client may be gone
                        peer.send(build_text(str(number)))
                self.wait(number + 1)
            for client in self.clients:
                client.kill()
                assert not client.is_running
        assert not get_reactor().sessions

    def wait(self, count: int) -> None:
        with gevent.Timeout(PATIENCE):
            while any(
                client.is_ready and len(seen) < count
                for client, seen in zip(self.clients, self.seen, strict=True)
            ):
                gevent.sleep(0.001)


def test_crowd_gets_all_its_messages_in_order() -> None:
    audience = Audience(lambda client, text: None)
    audience.run(10)
    assert audience.seen == [[str(number) for number in range(10)]] * Audience.SIZE


def test_handlers_of_a_crowd_may_switch() -> None:
    def handle(client: Any, text: str) -> None:
        if client.number % 7 == 3:
            gevent.sleep(0 if client.number % 2 else 0.002)

    audience = Audience(handle)
    audience.run(8)
    assert audience.seen == [[str(number) for number in range(8)]] * Audience.SIZE


def test_members_of_a_crowd_may_end_each_other() -> None:
    def handle(client: Any, text: str) -> None:
        if text == "5" and client.number % 10 == 0:
            other = audience.clients[(client.number + 35) % Audience.SIZE]
            if client.number % 20:
                other.kill()
            else:
                gevent.spawn(other.kill)
                other.websocket.force_disconnect()

    audience = Audience(handle)
    audience.run(8)
    killed = {(number + 35) % Audience.SIZE for number in range(0, Audience.SIZE, 10)}
    for number, seen in enumerate(audience.seen):
        texts = [str(text) for text in range(8)]
        assert seen == texts[: len(seen)]
        assert len(seen) in (5, 6) if number in killed else len(seen) == 8


def test_failing_handler_of_a_crowd_ends_its_own_connection_only() -> None:
    def handle(client: Any, text: str) -> None:
        if text == "4" and client.number % 9 == 0:
            raise ZeroDivisionError

    audience = Audience(handle)
    audience.run(8)
    for number, seen in enumerate(audience.seen):
        assert len(seen) == (8 if number % 9 else 5)


in_order = pytest.mark.skipif(
    "libev" not in type(gevent.get_hub().loop).__module__, reason="the loop knows no priorities"
)


@in_order
def test_replies_of_a_crowd_leave_in_batches() -> None:
    waiting: list[int] = []

    def handle(client: Any, text: str) -> None:
        client.send_text(text)
        clients = [other for other in audience.clients if other.is_ready]
        waiting.append(sum(other.websocket.session.queued_bytes > 0 for other in clients))

    audience = Audience(handle)
    audience.run(10)
    assert audience.seen == [[str(number) for number in range(10)]] * Audience.SIZE
    assert 1 < max(waiting) <= BATCH


@in_order
def test_crowd_runs_without_the_hub_in_between() -> None:
    switches = []

    def note(event: str, pair: Any) -> None:
        switches.append(pair)

    before = greenlet.gettrace()
    greenlet.settrace(note)
    try:
        Audience(lambda client, text: None).run(10)
    finally:
        greenlet.settrace(before)
    hub = gevent.get_hub()
    direct = sum(hub not in pair for pair in switches)
    assert direct > Audience.SIZE * 10 / 4
