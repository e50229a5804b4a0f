"""Looking names up: literal addresses, shared look-ups, failures."""

from __future__ import annotations

import _socket
from typing import Any

import gevent
import gevent.event
import pytest

from greenws.errors import ConnectFail
from greenws.sessions import resolver
from greenws.sessions.resolver import Address, parse_numeric, resolve
from tests.support.ticker import Ticker
from tests.support.waiting import wait_until

V4 = (_socket.AF_INET, _socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))
V6 = (_socket.AF_INET6, _socket.SOCK_STREAM, 6, "", ("2001:db8::1", 80, 0, 0))


class FakeResolver:
    """A resolver that keeps the questions, and answers when a test sets the answer."""

    def __init__(self) -> None:
        self.questions: list[tuple[Any, ...]] = []
        self.answer: gevent.event.AsyncResult[Any] = gevent.event.AsyncResult()

    def __call__(self, *question: Any) -> Any:
        self.questions.append(question)
        return self.answer.get()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeResolver:
    fake = FakeResolver()
    monkeypatch.setattr("gevent.socket.getaddrinfo", fake)
    return fake


@pytest.mark.parametrize(
    ("host", "sockaddr"),
    [
        ("127.0.0.1", ("127.0.0.1", 80)),
        ("::1", ("::1", 80, 0, 0)),
        ("2001:DB8::1", ("2001:DB8::1", 80, 0, 0)),
    ],
)
def test_numeric_host_needs_no_resolver(fake: FakeResolver, host: str, sockaddr: object) -> None:
    assert [address.sockaddr for address in resolve(host, 80)] == [sockaddr]
    assert fake.questions == []


def test_zone_becomes_a_number() -> None:
    index = _socket.if_nametoindex("lo")
    address = parse_numeric("fe80::1%lo", 80)
    assert address is not None
    assert address.sockaddr == ("fe80::1", 80, 0, index)


@pytest.mark.parametrize("host", ["example.org", "1.2.3", "1.2.3.4.5", "::g", "a:b", "\0", ""])
def test_name_is_not_numeric(host: str) -> None:
    assert parse_numeric(host, 80) is None


def test_address_is_shown_with_brackets() -> None:
    assert str(Address(V6[0], V6[4])) == "[2001:db8::1]:80"
    assert str(Address(V4[0], V4[4])) == "192.0.2.1:80"


def test_order_of_the_resolver_is_kept_and_doubles_are_dropped(fake: FakeResolver) -> None:
    fake.answer.set([V6, V4, V6, (1, 1, 0, "", "/other/family")])
    assert resolve("h", 80) == [Address(V6[0], V6[4]), Address(V4[0], V4[4])]


def test_localhost_is_found() -> None:
    assert Address(_socket.AF_INET, ("127.0.0.1", 80)) in resolve("localhost", 80)


def test_hub_goes_on_during_a_look_up(fake: FakeResolver, ticking: Ticker) -> None:
    def answer_later() -> None:
        ticking.wait(20)
        fake.answer.set([V4])

    ticking.reset()
    gevent.spawn(answer_later)
    resolve("h", 80)
    assert ticking.ticks >= 20
    assert ticking.largest_gap < 0.05


def test_look_ups_in_flight_are_shared(fake: FakeResolver) -> None:
    greenlets = [gevent.spawn(resolve, "h", 80) for _ in range(50)]
    others = [gevent.spawn(resolve, "h", 81), gevent.spawn(resolve, "i", 80)]
    wait_until(lambda: len(fake.questions) == 3)
    fake.answer.set([V4])
    gevent.joinall(greenlets + others)
    assert {tuple(greenlet.value or ()) for greenlet in greenlets} == {(Address(V4[0], V4[4]),)}
    assert sorted(question[:2] for question in fake.questions) == [("h", 80), ("h", 81), ("i", 80)]


def test_finished_look_up_is_not_remembered(fake: FakeResolver) -> None:
    fake.answer.set([V4])
    resolve("h", 80)
    resolve("h", 80)
    assert len(fake.questions) == 2


def test_answer_survives_the_greenlet_that_asked_first(fake: FakeResolver) -> None:
    first = gevent.spawn(resolve, "h", 80)
    gevent.sleep(0)
    second = gevent.spawn(resolve, "h", 80)
    gevent.sleep(0)
    wait_until(lambda: fake.questions)
    first.kill()
    fake.answer.set([V4])
    assert second.get(timeout=5) == [Address(V4[0], V4[4])]
    assert len(fake.questions) == 1


def test_look_up_ends_with_the_last_greenlet_that_asked(fake: FakeResolver) -> None:
    greenlets = [gevent.spawn(resolve, "h", 80) for _ in range(3)]
    wait_until(lambda: fake.questions)
    gevent.killall(greenlets)
    assert resolver._in_flight == {}
    third = gevent.spawn(resolve, "h", 80)
    wait_until(lambda: len(fake.questions) == 2)
    fake.answer.set([V4])
    assert third.get(timeout=5)
    assert len(fake.questions) == 2


def test_kill_before_the_look_up_has_begun_leaves_nothing(fake: FakeResolver) -> None:
    greenlet = gevent.spawn(resolve, "h", 80)
    gevent.sleep(0)
    greenlet.kill()
    assert resolver._in_flight == {}


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (_socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError(24, "Too many open files"), "Too many open files"),
        (UnicodeError("label too long"), r"not a host name \(label too long\)"),
        (ValueError("embedded null character"), "ValueError: embedded null character"),
    ],
)
def test_failure_says_why(fake: FakeResolver, error: Exception, cause: str) -> None:
    fake.answer.set_exception(error)
    with pytest.raises(ConnectFail, match=f"^unable to resolve 'h.x': {cause}$"):
        resolve("h.x", 80)
    assert resolver._in_flight == {}


def test_each_waiting_greenlet_gets_a_failure_of_its_own(fake: FakeResolver) -> None:
    greenlets = [gevent.spawn(_catch, "h") for _ in range(2)]
    wait_until(lambda: fake.questions)
    fake.answer.set_exception(_socket.gaierror(-2, "no"))
    gevent.joinall(greenlets)
    first, second = (greenlet.value for greenlet in greenlets)
    assert isinstance(first, ConnectFail)
    assert isinstance(second, ConnectFail)
    assert first is not second


def _catch(host: str) -> Exception | None:
    try:
        resolve(host, 80)
    except ConnectFail as error:
        return error
    return None


def test_no_address_is_a_failure(fake: FakeResolver) -> None:
    fake.answer.set([])
    with pytest.raises(ConnectFail, match="the name has no address"):
        resolve("h", 80)


@pytest.mark.parametrize("host", ["nohost.invalid", "a" * 64 + ".invalid", "a..b", "\0"])
def test_failure_of_the_real_resolver_is_a_connect_fail(host: str) -> None:
    with pytest.raises(ConnectFail, match=r"^unable to resolve "):
        resolve(host, 80)


def test_look_up_works_in_another_thread() -> None:
    pool = gevent.get_hub().threadpool
    assert pool.apply(_resolve_in_thread, ("localhost",))


def _resolve_in_thread(host: str) -> int:
    try:
        return len(resolve(host, 80))
    finally:
        gevent.get_hub().destroy(destroy_loop=True)


@pytest.mark.parametrize("host", ["fa\u00df.example", "FA\u1e9e\u3002example"])
def test_international_host_is_asked_for_by_idna_2008(fake: FakeResolver, host: str) -> None:
    fake.answer.set([V4])
    resolve(host, 80)
    assert [question[0] for question in fake.questions] == ["xn--fa-hia.example"]


@pytest.mark.parametrize("host", ["\u2615.example", "a\u3002\u3002b", "a\xa0b"])
def test_international_host_that_is_none_is_a_failure(fake: FakeResolver, host: str) -> None:
    with pytest.raises(ConnectFail, match="invalid host"):
        resolve(host, 80)
    assert fake.questions == []
