"""The table of a session's states: what may follow what, what a call is refused with, and why."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import lomond.errors
import pytest

import greenws.errors
from greenws.sessions.lifecycle import (
    CLOSING,
    DIALING,
    DROPPED,
    ENDED,
    FAILED,
    FORKED,
    LINGERING,
    NEW,
    OF_THE_PARENT,
    READY,
    SESSION_STEPS,
    UPGRADING,
    Lifecycle,
    SessionLife,
)

ROOT = Path(__file__).parents[2]

# A way to each state, by steps of the table.
WAYS: dict[int, list[int]] = {
    NEW: [],
    DIALING: [DIALING],
    UPGRADING: [DIALING, UPGRADING],
    READY: [DIALING, UPGRADING, READY],
    CLOSING: [DIALING, UPGRADING, READY, CLOSING],
    LINGERING: [DIALING, UPGRADING, READY, CLOSING, LINGERING],
    FAILED: [DIALING, UPGRADING, READY, FAILED],
    DROPPED: [DIALING, UPGRADING, READY, DROPPED],
    ENDED: [DIALING, UPGRADING, READY, CLOSING, LINGERING, ENDED],
    FORKED: [DIALING, UPGRADING, READY, FORKED],
}
PAIRS = [(before, after) for before in SessionLife for after in SessionLife]


def reach(state: int, errors: ModuleType = greenws.errors) -> Lifecycle:
    life = Lifecycle(errors)
    for step in WAYS[state]:
        life.step(step)
    return life


def show(value: object) -> str:
    return value.name if isinstance(value, SessionLife) else str(value)


# Steps


@pytest.mark.parametrize("state", SessionLife, ids=show)
def test_each_state_can_be_reached(state: SessionLife) -> None:
    assert reach(state).state == state


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=show)
def test_steps_are_those_of_the_table_and_no_others(
    before: SessionLife, after: SessionLife
) -> None:
    life = reach(before)
    if after in SESSION_STEPS[before]:
        life.step(after)
        assert life.state == after
    else:
        with pytest.raises(RuntimeError, match=f"from {before.name} to {after.name}"):
            life.step(after)
        assert life.state == before


def test_table_is_the_picture() -> None:
    # Drawn a second time, so that a change of one needs a change of the other.
    forward = {
        (NEW, DIALING),
        (DIALING, UPGRADING),
        (UPGRADING, DIALING),
        (UPGRADING, READY),
        (UPGRADING, LINGERING),
        (READY, CLOSING),
        (READY, LINGERING),
        (CLOSING, LINGERING),
    }
    running = {NEW, DIALING, UPGRADING, READY, CLOSING, LINGERING}
    ends = {(state, end) for state in running for end in (FAILED, DROPPED, ENDED, FORKED)}
    late = {
        (FAILED, DROPPED),
        (FAILED, ENDED),
        (FAILED, FORKED),
        (DROPPED, ENDED),
        (DROPPED, FORKED),
    }
    table = {
        (int(before), int(after)) for before in SESSION_STEPS for after in SESSION_STEPS[before]
    }
    assert table == forward | ends | late


def test_illegal_steps_raise_with_assertions_switched_off() -> None:
    code = (
        "from greenws.sessions.lifecycle import *\n"
        "import greenws.errors\n"
        "assert False  # proves -O\n"
        "life = Lifecycle(greenws.errors)\n"
        "try:\n"
        "    life.step(int(SessionLife.READY))\n"
        "except RuntimeError as error:\n"
        "    print(error, life.state)\n"
    )
    command = [sys.executable, "-O", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "a session cannot go from NEW to READY 0"


@pytest.mark.parametrize("state", SessionLife, ids=show)
def test_what_came_in_after_the_upgrade_is_known_to_the_end(state: SessionLife) -> None:
    assert reach(state).is_upgraded == (READY in WAYS[state])


def test_end_without_upgrade_is_no_upgrade() -> None:
    life = reach(UPGRADING)
    life.step(LINGERING)
    life.step(ENDED)
    assert not life.is_upgraded


@pytest.mark.parametrize("state", SessionLife, ids=show)
def test_only_the_last_two_states_have_ended(state: SessionLife) -> None:
    life = reach(state)
    assert life.has_ended() == (state in (ENDED, FORKED))
    assert life.is_forked() == (state == FORKED)


def test_names_of_the_module_are_the_members() -> None:
    named = [NEW, DIALING, UPGRADING, READY, CLOSING, LINGERING, FAILED, DROPPED, ENDED, FORKED]
    assert named == list(SessionLife)


# Why it ends


@pytest.mark.parametrize("state", SessionLife, ids=show)
def test_first_reason_counts(state: SessionLife) -> None:
    life = reach(state)
    life.fail("first")
    life.fail("second")
    assert life.reason == "first"
    # A failure ends what runs; what is over stays as it is.
    assert life.state == max(FAILED, state)


def test_closing_handshake_takes_a_code_of_each_side() -> None:
    life = reach(CLOSING)
    assert not life.is_shaken()
    life.sent_code = 1000
    assert not life.is_shaken()
    life.close_code = 1005
    assert life.is_shaken()


# Refusals


def refusal(life: Lifecycle) -> tuple[str, str]:
    error = life.refusal()
    return type(error).__name__, str(error)


NOT_CONNECTED = ("WebSocketUnavailable", "data not sent; not connected")
HAS_ENDED = ("WebSocketClosed", "data not sent; the connection has ended")

REFUSALS: dict[int, tuple[str, str]] = {
    NEW: NOT_CONNECTED,
    DIALING: NOT_CONNECTED,
    UPGRADING: NOT_CONNECTED,
    READY: HAS_ENDED,  # refused only where the transport is gone
    CLOSING: ("WebSocketClosing", "data not sent; the websocket is closing"),
    LINGERING: ("WebSocketClosing", "data not sent; the websocket is closing"),
    FAILED: ("TransportFail", "it broke"),
    DROPPED: HAS_ENDED,
    ENDED: HAS_ENDED,
    FORKED: ("WebSocketUnavailable", OF_THE_PARENT),
}


@pytest.mark.parametrize("errors", [greenws.errors, lomond.errors], ids=["greenws", "lomond"])
@pytest.mark.parametrize("state", SessionLife, ids=show)
def test_refusals_say_where_the_session_stands(state: SessionLife, errors: ModuleType) -> None:
    life = reach(state, errors)
    if CLOSING in WAYS[state]:
        life.sent_code = 1000
    if state == FAILED:
        life.fail("it broke")
    assert refusal(life) == REFUSALS[state]
    assert isinstance(life.refusal(), errors.WebSocketError)


def test_reason_is_told_after_the_end_as_well() -> None:
    life = reach(READY)
    life.fail("it broke")
    life.step(ENDED)
    assert refusal(life) == ("TransportFail", "it broke")


def test_child_is_told_so_before_anything_else() -> None:
    life = reach(READY)
    life.fail("it broke")
    life.sent_code = 1000
    life.thread = 1
    life.step(FORKED)
    assert refusal(life) == ("WebSocketUnavailable", OF_THE_PARENT)


def test_braces_in_a_reason_are_text() -> None:
    # lomond's errors format their message with str.format, if there are arguments.
    for errors in (greenws.errors, lomond.errors):
        life = reach(READY, errors)
        life.fail("{0} {nothing}")
        assert str(life.refusal()) == "{0} {nothing}"


# Threads


def test_session_that_does_not_run_is_of_no_thread() -> None:
    assert not reach(NEW).is_elsewhere()


def test_only_its_own_thread_is_home() -> None:
    life = reach(READY)
    life.thread = threading.get_ident()
    seen: list[bool] = []
    refusals: list[tuple[str, str]] = []

    def look() -> None:
        seen.append(life.is_elsewhere())
        refusals.append(refusal(life))

    look()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [False, True]
    assert refusals[0] == HAS_ENDED
    assert refusals[1][0] == "WebSocketUnavailable"
    assert "run_callback_threadsafe" in refusals[1][1]
