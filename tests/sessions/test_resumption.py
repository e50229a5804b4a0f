"""The memory of TLS sessions. test_tls.py has the tests of resuming them."""

from __future__ import annotations

import ssl
import time
from types import SimpleNamespace
from typing import Any

import pytest

from greenws.sessions import resumption
from greenws.sessions.context import client_context
from greenws.sessions.resumption import (
    MAX_SESSIONS,
    MAX_VAIN,
    RENEWAL_PERIOD,
    REST,
    SessionKeeper,
    allow_resumption,
    keeper_for,
)


def make_session(age: float = 0.0, lifetime: int = 1000) -> Any:
    return SimpleNamespace(time=int(time.time() - age), timeout=lifetime)


@pytest.fixture
def context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    allow_resumption(context)
    return context


def test_empty_memory_wants_a_session() -> None:
    assert SessionKeeper().wants_renewal


def test_young_session_stays() -> None:
    memory = SessionKeeper()
    memory.keep(make_session())
    assert not memory.wants_renewal


def test_session_is_renewed_after_half_its_lifetime() -> None:
    memory = SessionKeeper()
    memory.keep(make_session(age=600, lifetime=1000))
    assert memory.wants_renewal


def test_refusal_asks_for_fresh_sessions_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SessionKeeper()
    memory.record_refusal()
    memory.keep(make_session(lifetime=10**6))
    assert memory.wants_renewal
    now = time.time()
    monkeypatch.setattr(resumption, "time", SimpleNamespace(time=lambda: now + RENEWAL_PERIOD + 1))
    assert not memory.wants_renewal


def test_server_that_never_resumes_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = SessionKeeper()
    for _ in range(MAX_VAIN):
        assert memory.wants_renewal
        memory.keep(make_session())
        memory.record_refusal()
    assert memory.session is None and not memory.wants_renewal
    now = time.time()
    monkeypatch.setattr(resumption, "time", SimpleNamespace(time=lambda: now + REST + 1))
    assert memory.wants_renewal


def test_server_that_gives_no_sessions_is_left_alone_for_a_while() -> None:
    memory = SessionKeeper()
    for _ in range(MAX_VAIN):
        assert memory.wants_renewal
        memory.record_vain()
    assert not memory.wants_renewal


def test_resumption_now_and_then_keeps_the_memory_at_work() -> None:
    memory = SessionKeeper()
    for _ in range(3 * MAX_VAIN):
        memory.keep(make_session())
        memory.record_refusal()
        memory.record_resumption()
    assert memory.session is not None and memory.wants_renewal


def test_same_server_has_the_same_memory(context: ssl.SSLContext) -> None:
    assert keeper_for(context, ("h", 1)) is keeper_for(context, ("h", 1))
    assert keeper_for(context, ("h", 1)) is not keeper_for(context, ("h", 2))


def test_memories_are_bounded_and_the_oldest_goes_first(context: ssl.SSLContext) -> None:
    first = keeper_for(context, ("first", 0))
    second = keeper_for(context, ("second", 0))
    for index in range(MAX_SESSIONS - 2):
        keeper_for(context, ("h", index))
    assert keeper_for(context, ("first", 0)) is first
    keeper_for(context, ("one more", 0))
    assert keeper_for(context, ("first", 0)) is first
    assert keeper_for(context, ("second", 0)) is not second


def test_context_of_the_users_has_no_memory() -> None:
    assert keeper_for(ssl.create_default_context(), ("h", 1)) is None


def test_context_of_ours_has_a_memory() -> None:
    assert keeper_for(client_context(), ("h", 1)) is not None
