"""A short storm, and planted faults that a storm has to find."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.chaos import storm
from tests.chaos.deeds import DEEDS
from tests.chaos.plan import Plan, Tools
from tests.chaos.victims import Victim
from tests.support.authority import Authority


@pytest.fixture(scope="module")
def tools(authority: Authority) -> Tools:
    return Tools(authority.server_context(), authority.cafile)


def test_ends_at_random_instants_leave_nothing_behind(tools: Tools) -> None:
    result = storm.Storm(tools, seed=1).run(range(50), neighbours=4)
    assert result.faults == []
    assert result.ends == 50
    assert len(result.round_trips) > 4


def test_a_seed_gives_the_same_ends(tools: Tools) -> None:
    plans = [[str(storm.make_plan(tools, 1, number)) for number in range(50)] for _ in range(2)]
    assert plans[0] == plans[1]
    assert len(set(plans[0])) == 50


@pytest.fixture
def only_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every end come to an idle client, by the deed "planted"."""
    genuine = storm.make_plan

    def make_plan(tools: Tools, seed: int, number: int) -> Plan:
        plan = genuine(tools, seed, number)
        plan.place, plan.deed, plan.kind = "idle", "planted", "client"
        return plan

    monkeypatch.setattr(storm, "make_plan", make_plan)


@pytest.fixture
def left() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for sock in sockets:
        sock.close()


def test_a_descriptor_that_is_left_is_found(
    tools: Tools, only_idle: None, left: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(victim: Victim) -> None:
        victim.kill()
        if storm_.result.ends >= 0 and len(left) < 6:
            left.append(socket.socket())

    monkeypatch.setitem(DEEDS, "planted", leave)
    monkeypatch.setattr(storm, "_WARM", 1)
    storm_ = storm.Storm(tools, seed=1)
    faults = storm_.run(range(4), neighbours=1).faults
    assert faults
    assert all("descriptor" in fault for fault in faults)


def test_a_neighbour_that_is_disturbed_is_found(
    tools: Tools, only_idle: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disturb(victim: Victim) -> None:
        for session in list(storm.get_reactor().sessions):
            session.force_disconnect()

    monkeypatch.setitem(DEEDS, "planted", disturb)
    monkeypatch.setattr(storm, "_WARM", 0)
    faults = storm.Storm(tools, seed=1).run(range(1), neighbours=2).faults
    assert any("a neighbour has lost its connection" in fault for fault in faults)


def test_an_exception_that_comes_out_is_found(
    tools: Tools, only_idle: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(victim: Victim) -> None:
        victim.kill()
        victim.error = OSError("planted")

    monkeypatch.setitem(DEEDS, "planted", fail)
    monkeypatch.setattr(storm, "_WARM", 0)
    faults = storm.Storm(tools, seed=1).run(range(1), neighbours=0).faults
    assert any("planted" in fault for fault in faults)
