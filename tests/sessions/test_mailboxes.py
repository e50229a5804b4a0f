"""Tickets, and the two queues of a mailbox, of which one is empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from greenws.events import Binary, Text
from greenws.sessions.mailboxes import Gate, Mailbox, Ticket, wait_for_ticket
from greenws.sessions.reactor import get_reactor
from tests.support.waiting import PATIENCE


class Valve:
    """A valve that counts, and never waits."""

    def __init__(self, goes_on: bool = True) -> None:
        self.held = self.released = 0
        self._goes_on = goes_on

    def hold(self) -> bool:
        self.held += 1
        return self._goes_on

    def release(self) -> None:
        self.released += 1


def make(max_messages: int = 4, max_bytes: int = 10_000) -> tuple[Mailbox, Valve]:
    mailbox, valve = Mailbox(max_messages, max_bytes), Valve()
    mailbox.regulate(valve)
    return mailbox, valve


def put(mailbox: Mailbox, text: str) -> None:
    mailbox.put(Text(text), len(text))


def take(mailbox: Mailbox) -> Any:
    message: Any = mailbox.take(PATIENCE)
    return message.text


def fail(message: str = "the end") -> Callable[[], Exception]:
    return lambda: KeyError(message)


# Tickets


def test_ticket_that_is_settled_needs_no_wait() -> None:
    ticket = Ticket()
    ticket.settle("value")
    assert wait_for_ticket(ticket, None) == "value"
    failed = Ticket()
    failed.fail(KeyError("x"))
    with pytest.raises(KeyError):
        wait_for_ticket(failed, 0)


def test_ticket_is_waited_for_until_it_is_settled() -> None:
    ticket = Ticket()
    waiting = gevent.spawn(wait_for_ticket, ticket, PATIENCE)
    gevent.sleep(0)
    assert not waiting.dead
    ticket.settle(5)
    assert waiting.get(timeout=PATIENCE) == 5


def test_ticket_can_be_waited_for_again_after_a_timeout() -> None:
    ticket = Ticket()
    for timeout in (0, 0.001):
        with pytest.raises(TimeoutError):
            wait_for_ticket(ticket, timeout)
    ticket.settle(5)
    assert wait_for_ticket(ticket, 0) == 5


def test_switch_by_somebody_else_is_not_the_end_of_the_wait() -> None:
    ticket = Ticket()
    waiting = gevent.spawn(wait_for_ticket, ticket, PATIENCE)
    gevent.sleep(0)
    gevent.get_hub().loop.run_callback(waiting.switch)
    gevent.sleep(0)
    assert not waiting.dead
    ticket.settle(5)
    assert waiting.get(timeout=PATIENCE) == 5


def test_ticket_settled_for_a_greenlet_that_was_killed_wakes_nobody() -> None:
    ticket = Ticket()
    waiting = gevent.spawn(wait_for_ticket, ticket, None)
    gevent.sleep(0)
    waiting.kill(block=False)
    ticket.settle(5)
    waiting.join(PATIENCE)
    assert isinstance(waiting.value, gevent.GreenletExit)


def test_gate_holds_until_it_is_released() -> None:
    gate = Gate(get_reactor())
    gate.release()
    held = gevent.spawn(gate.hold)
    gevent.sleep(0)
    assert not held.dead
    gate.release()
    gate.release()
    held.get(timeout=PATIENCE)


# The mailbox


def test_messages_are_taken_in_order_and_reading_stops_and_goes_on() -> None:
    mailbox, valve = make(max_messages=4)
    for number in range(4):
        assert valve.held == 0
        put(mailbox, str(number))
    assert (valve.held, len(mailbox)) == (1, 4)
    assert take(mailbox) == "0"
    assert valve.released == 0
    assert take(mailbox) == "1"
    assert valve.released == 1
    assert [take(mailbox), take(mailbox)] == ["2", "3"]
    with pytest.raises(TimeoutError):
        mailbox.take(0)


def test_large_messages_stop_the_reading_by_their_bytes() -> None:
    mailbox, valve = make(max_messages=100, max_bytes=10_000)
    mailbox.put(Binary(bytes(6000)), 6000)
    assert valve.held == 0
    mailbox.put(Binary(bytes(6000)), 6000)
    assert valve.held == 1
    mailbox.take(0)
    assert valve.released == 1
    put(mailbox, "small")
    assert valve.held == 1
    mailbox.take(0)
    assert take(mailbox) == "small"


def test_message_that_is_given_back_is_the_first() -> None:
    mailbox, _valve = make(max_bytes=5000)
    put(mailbox, "two")
    mailbox.give_back(Text("one"))
    mailbox.give_back(Binary(bytes(3000)))
    assert mailbox.take(0).name == "binary"
    assert [take(mailbox), take(mailbox)] == ["one", "two"]
    mailbox.give_back(Text("alone"))
    assert take(mailbox) == "alone"


def test_message_that_is_given_back_goes_to_who_waits() -> None:
    mailbox, _valve = make()
    waiting = gevent.spawn(take, mailbox)
    gevent.sleep(0)
    assert mailbox.is_awaited
    mailbox.give_back(Text("one"))
    assert waiting.get(timeout=PATIENCE) == "one"
    assert not mailbox.is_awaited


def test_open_mailbox_drops_what_finds_no_room() -> None:
    mailbox, valve = make(max_messages=2, max_bytes=5000)
    mailbox.open()
    assert valve.released == 1
    for number in range(5):
        put(mailbox, str(number))
    mailbox.put(Binary(bytes(6000)), 6000)
    assert len(mailbox) == 2
    mailbox.hold()
    assert valve.held == 0
    mailbox.take(0)
    mailbox.put(Binary(bytes(6000)), 6000)
    put(mailbox, "too many")
    assert len(mailbox) == 2


def test_mailbox_without_a_valve_stops_nothing() -> None:
    mailbox = Mailbox(4, 1000)
    mailbox.hold()
    mailbox.resume()


def test_end_comes_after_the_messages_each_time() -> None:
    mailbox, _valve = make()
    put(mailbox, "one")
    mailbox.end(fail())
    mailbox.end(fail("another"))
    assert mailbox.has_ended
    assert take(mailbox) == "one"
    for _ in range(2):
        with pytest.raises(KeyError, match="the end"):
            mailbox.take(None)


def test_end_is_told_to_all_that_wait() -> None:
    mailbox, _valve = make()
    waiting = [gevent.spawn(mailbox.take, None) for _ in range(3)]
    gevent.sleep(0)
    mailbox.end(fail())
    gevent.joinall(waiting, timeout=PATIENCE)
    assert all(isinstance(greenlet.exception, KeyError) for greenlet in waiting)


def test_greenlet_that_reads_cannot_wait() -> None:
    mailbox = Mailbox(4, 1000)
    mailbox.regulate(Valve())
    mailbox.own(gevent.getcurrent())
    assert not mailbox.may_wait
    with pytest.raises(RuntimeError, match="receives"):
        mailbox.take(None)
    assert gevent.spawn(lambda: mailbox.may_wait).get() is True


# What the hub brings


def test_first_receiver_is_left_to_the_hub_and_the_others_are_called() -> None:
    mailbox, _valve = make()
    got: list[Any] = []
    receivers = [gevent.spawn(lambda: got.append(take(mailbox))) for _ in range(3)]
    gevent.sleep(0)
    mailbox.begin_calls()
    for text in ("one", "two", "three", "four"):
        mailbox.accept(Text(text))
    ticket = mailbox.end_calls()
    assert ticket is not None
    gevent.sleep(0)
    assert got == ["two", "three"]
    gevent.get_hub().loop.run_callback(ticket.wake)
    gevent.joinall(receivers, PATIENCE, raise_error=True)
    assert got == ["two", "three", "one"]
    assert take(mailbox) == "four"
    mailbox.begin_calls()
    assert mailbox.end_calls() is None


def test_receiver_that_is_killed_before_the_hub_calls_it_loses_no_message() -> None:
    mailbox, _valve = make()
    receiver = gevent.spawn(take, mailbox)
    gevent.sleep(0)
    mailbox.begin_calls()
    mailbox.accept(Text("one"))
    ticket = mailbox.end_calls()
    receiver.kill()
    assert ticket is not None
    ticket.wake()  # nobody waits
    assert take(mailbox) == "one"


def test_ticket_is_used_again_and_a_late_wake_is_no_message() -> None:
    mailbox, _valve = make()
    reactor = get_reactor()
    receiver = gevent.spawn(take, mailbox)
    gevent.sleep(0)
    others: list[Any] = []
    loop = gevent.get_hub().loop
    loop.run_callback(receiver.switch)
    put(mailbox, "one")  # whose callback comes after that one, and finds the next wait
    loop.run_callback(lambda: others.append(reactor.spare_ticket))
    gevent.sleep(0)
    assert receiver.get(timeout=PATIENCE) == "one"
    [spare] = others
    assert spare is not None
    other = gevent.spawn(take, mailbox)
    gevent.sleep(0)
    assert reactor.spare_ticket is None
    spare.wake_later()
    gevent.sleep(0)
    gevent.sleep(0)
    assert not other.dead
    put(mailbox, "two")
    assert other.get(timeout=PATIENCE) == "two"
    assert reactor.spare_ticket is spare


def test_mailbox_is_alone_until_it_shares() -> None:
    class Piecemeal:
        is_over = False

        def wake(self) -> None: ...

    mailbox, _valve = make()
    assert mailbox.is_alone()
    mailbox.piecemeal = Piecemeal()
    assert not mailbox.is_alone()
    mailbox.piecemeal.is_over = True
    assert mailbox.is_alone()
    mailbox.share()
    assert not mailbox.is_alone()
