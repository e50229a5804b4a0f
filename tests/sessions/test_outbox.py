"""What a session sends: the queue, its high-water mark, and who hears of a failure."""

from __future__ import annotations

import threading
from typing import Any

import gevent
import gevent.event
import lomond.errors
import pytest

import greenws.errors
from greenws.protocol.stream import Stream
from tests.support.pure import load_pure
from tests.support.waiting import wait_until

# The compiled build hides what only sessions call: the twin has the same source. Its errors are
# given to it, and so are greenws' own.
twin: Any = load_pure("sessions.outbox")
lifecycle: Any = load_pure("sessions.lifecycle")
pool: Any = load_pure("sessions.turn").BufferPool

TEXT, CLOSE, PING = 1, 8, 9
PATIENCE = 10.0
MARK = 1000
FRAME = 6  # bytes that a short frame adds to its payload


class Transport:
    """Takes as many bytes as it has room for; ``takes`` may be an error to raise."""

    def __init__(self, room: int, is_buffering: bool) -> None:
        self.room = room
        self.is_buffering = is_buffering
        self.taken = bytearray()
        self.calls = 0
        self.error: BaseException | None = None
        self.wants_write = False
        self.wants_read = False
        self.flushes = 0

    def fileno(self) -> int:
        return 7

    def send(self, data: bytes) -> int | None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        count = min(self.room, len(data))
        if not count:
            return None
        self.taken += data[:count]
        self.room -= count
        return count

    def flush(self) -> bool:
        self.flushes += 1
        return not self.wants_write


class Watcher:
    def __init__(self) -> None:
        self.callback: Any = None
        self.is_closed = False

    def start(self, callback: Any) -> None:
        self.callback = callback

    def stop(self) -> None:
        self.callback = None

    def close(self) -> None:
        self.is_closed = True


class Reactor:
    """What an outbox needs of a reactor, told step by step."""

    def __init__(self) -> None:
        self.pool = pool()
        self.turn = self.clock = self.loop = self.rota = self
        self.turns_over = 0
        self.queued: list[Any] = []
        self.rung: list[Any] = []
        self.awake = 0
        self.watchers: list[Watcher] = []

    def flush_later(self, item: Any) -> None:
        self.queued.append(item)

    def unqueue(self, item: Any) -> None:
        if self.queued[-1:] == [item]:
            self.queued.pop()

    def stay_awake(self) -> None:
        self.awake += 1

    def is_over(self) -> bool:
        return True

    def wait(self) -> None:
        self.turns_over += 1
        gevent.sleep(0)

    def set(self, alarm: Any, due: float) -> None:
        self.rung.append(alarm)

    def io(self, fileno: int, events: int) -> Watcher:
        assert (fileno, events) == (7, 2)
        self.watchers.append(Watcher())
        return self.watchers[-1]


class Setup:
    def __init__(
        self,
        errors: Any = greenws.errors,
        write_limit: int = MARK,
        send_timeout: float | None = PATIENCE,
        is_buffering: bool = False,
        room: int = 1 << 30,
    ) -> None:
        self.life = lifecycle.Lifecycle(errors)
        for state in (lifecycle.DIALING, lifecycle.UPGRADING, lifecycle.READY):
            self.life.step(state)
        self.life.thread = threading.get_ident()
        self.alarm = object()
        self.reactor = Reactor()
        self.transport = Transport(room, is_buffering)
        self.outbox = twin.Outbox(self.life, write_limit, send_timeout)
        self.outbox.open(self.transport, self.reactor, self.alarm)

    def end_turn(self) -> None:
        queued, self.reactor.queued = self.reactor.queued, []
        for item in queued:
            if item.is_dirty:
                item.flush()

    def become_writable(self, room: int) -> None:
        self.transport.room += room
        self.reactor.watchers[-1].callback()

    @property
    def messages(self) -> list[Any]:
        server = Stream(is_client=False)
        taken = bytes(self.transport.taken)
        server.receive(taken, 0, len(taken), 0.0)
        found = []
        while (event := server.next_event()) is not None:
            found.append(event.text if event.name == "text" else event.name)
        return found


# Queueing


def test_frames_of_a_turn_leave_in_one_call() -> None:
    setup = Setup()
    for text in (b"one", b"two", b"three"):
        setup.outbox.put(TEXT, text, False)
    assert setup.transport.calls == 0
    assert len(setup.reactor.queued) == 1
    assert setup.outbox.size == 3 * FRAME + 11
    setup.end_turn()
    assert setup.transport.calls == 1
    assert setup.messages == ["one", "two", "three"]
    assert setup.outbox.is_empty and setup.outbox.size == 0


def test_empty_queue_has_no_buffer_and_takes_one_of_the_pool() -> None:
    setup = Setup()
    buffer = setup.reactor.pool.take(0)
    setup.reactor.pool.put(buffer)
    for text in (b"the first", b"two"):
        setup.outbox.put(TEXT, text, False)
        assert setup.outbox._queue is buffer
        setup.end_turn()
        assert setup.outbox._queue is None
    assert setup.messages == ["the first", "two"]  # nothing is left of the longer one
    assert setup.reactor.pool.take(0) is buffer


def test_bytes_that_are_not_taken_wait_until_there_is_room() -> None:
    setup = Setup(room=5)
    setup.outbox.put(TEXT, b"hello", False)
    setup.end_turn()
    assert setup.outbox.size == FRAME + 5 - 5
    (watcher,) = setup.reactor.watchers
    for _ in range(FRAME):
        assert not watcher.is_closed
        setup.become_writable(1)
    assert watcher.is_closed and watcher.callback is None
    assert setup.messages == ["hello"]
    assert setup.outbox.is_empty


def test_frames_queued_meanwhile_go_behind_the_rest() -> None:
    setup = Setup(room=4)
    setup.outbox.put(TEXT, b"first", False)
    setup.end_turn()
    setup.outbox.put(TEXT, b"second", False)
    setup.end_turn()
    setup.become_writable(1000)
    assert setup.messages == ["first", "second"]
    assert len(setup.reactor.watchers) == 1


def test_raw_bytes_leave_at_once() -> None:
    setup = Setup()
    setup.outbox.put_bytes(b"GET / HTTP/1.1\r\n")
    assert setup.transport.taken == b"GET / HTTP/1.1\r\n"


def test_raw_bytes_go_behind_queued_frames() -> None:
    setup = Setup()
    setup.outbox.put(TEXT, b"first", False)
    setup.outbox.put_bytes(b"")
    assert setup.messages == ["first"]


def test_large_queue_leaves_before_the_turn_is_over() -> None:
    setup = Setup(write_limit=10_000_000)
    setup.outbox.put(TEXT, bytes(twin._FLUSH_SIZE), False)
    assert setup.transport.calls == 1
    setup.end_turn()
    assert setup.transport.calls == 1


def test_sender_that_is_taken_from_at_once_lets_the_loop_look_at_times() -> None:
    # Else a peer that is quick would keep the hub for as long as there is something to send.
    setup = Setup(write_limit=twin._FLUSH_SIZE * 4)
    turns: list[int] = []
    check = gevent.get_hub().loop.check(ref=False)
    check.start(lambda: turns.append(1))
    try:
        for _ in range(16):
            setup.outbox.put(TEXT, bytes(twin._FLUSH_SIZE), False)
    finally:
        check.stop()
        check.close()
    assert len(turns) >= 3


# What a transport keeps


def test_bytes_of_the_transports_own_are_flushed_too() -> None:
    setup = Setup(is_buffering=True)
    setup.transport.wants_write = True
    setup.outbox.put(TEXT, b"hello", False)
    setup.end_turn()
    assert setup.transport.flushes == 1
    assert not setup.outbox.is_empty and setup.outbox.size == 0
    setup.transport.wants_write = False
    setup.become_writable(0)
    assert setup.outbox.is_empty and setup.reactor.watchers[0].is_closed


def test_no_room_is_waited_for_where_a_read_has_to_come_first() -> None:
    # A TLS peer that renegotiates: the descriptor is writable all the time.
    setup = Setup(is_buffering=True, room=0)
    setup.transport.wants_read = True
    setup.outbox.put(TEXT, b"hello", False)
    setup.end_turn()
    assert setup.outbox.is_stalled
    assert setup.reactor.watchers == []
    setup.transport.wants_read, setup.transport.room = False, 100
    setup.outbox.flush()
    assert not setup.outbox.is_stalled
    assert setup.messages == ["hello"]


# The high-water mark


def fill(setup: Setup) -> None:
    """Queue up to below the mark; the next message reaches it."""
    setup.outbox.put(TEXT, bytes(MARK - 100), False)
    assert not setup.outbox.is_full


def test_sender_waits_at_the_mark_until_half_has_left() -> None:
    setup = Setup(room=0)
    fill(setup)
    sender = gevent.spawn(setup.outbox.put, TEXT, bytes(200), False)
    gevent.sleep(0)
    assert not sender.ready() and setup.outbox.is_full
    while setup.outbox.size > MARK // 2 + 100:
        setup.become_writable(100)
        gevent.sleep(0)
        assert not sender.ready()
    awake = setup.reactor.awake
    setup.become_writable(100)
    sender.get(timeout=PATIENCE)
    assert 0 < setup.outbox.size <= MARK // 2
    assert setup.reactor.awake == awake + 1  # the loop may have been about to sleep


def test_all_waiting_senders_go_on_together() -> None:
    setup = Setup(room=0)
    fill(setup)
    senders = [gevent.spawn(setup.outbox.put, TEXT, bytes(200), False) for _ in range(5)]
    gevent.sleep(0)
    assert not any(sender.ready() for sender in senders)
    setup.become_writable(10_000)
    assert len(gevent.joinall(senders, PATIENCE, raise_error=True)) == 5
    setup.outbox.flush()
    assert setup.outbox.is_empty


def test_queue_is_bounded_whoever_sends() -> None:
    setup = Setup(room=0)
    fill(setup)
    senders = [gevent.spawn(setup.outbox.put, TEXT, bytes(200), False) for _ in range(100)]
    gevent.sleep(0)
    assert setup.outbox.size < MARK + 250  # one message beyond the mark
    setup.become_writable(1_000_000)
    gevent.joinall(senders, PATIENCE, raise_error=True)
    assert all(sender.successful() for sender in senders)


def test_senders_go_on_in_the_order_of_asking() -> None:
    setup = Setup(room=0)
    fill(setup)
    senders = [gevent.spawn(setup.outbox.put, TEXT, b"%d" % n * 200, False) for n in range(10)]
    gevent.sleep(0)
    senders[3].kill()
    setup.become_writable(1_000_000)
    gevent.joinall(senders, PATIENCE, raise_error=True)
    setup.outbox.flush()
    received = Stream(is_client=False)
    received.receive(bytes(setup.transport.taken), 0, len(setup.transport.taken), 0.0)
    texts = [event.text[0] for event in iter(received.next_event, None) if event.name == "text"]
    assert texts[-9:] == [str(n) for n in range(10) if n != 3]


def test_sender_that_is_killed_when_its_turn_has_come_passes_it_on() -> None:
    setup = Setup(room=0)
    fill(setup)
    first = gevent.spawn(setup.outbox.put, TEXT, bytes(200), False)
    second = gevent.spawn(setup.outbox.put, TEXT, bytes(200), False)
    gevent.sleep(0)
    setup.become_writable(1_000_000)  # releases the first
    first.kill(block=False)
    second.get(timeout=PATIENCE)


def test_control_frames_and_the_close_frame_pass_the_mark() -> None:
    setup = Setup(room=0)
    fill(setup)
    sender = gevent.spawn(setup.outbox.put, TEXT, bytes(200), False)
    gevent.sleep(0)
    setup.outbox.put(CLOSE, b"\3\xe8", False)
    setup.become_writable(10_000)
    sender.get(timeout=PATIENCE)
    assert setup.messages[-1] == "closing"


@pytest.mark.parametrize("errors", [greenws.errors, lomond.errors], ids=["greenws", "lomond"])
def test_wait_that_is_too_long_fails_the_session(errors: Any) -> None:
    setup = Setup(errors, send_timeout=0.01, room=0)
    fill(setup)
    with pytest.raises(errors.TransportFail, match=r"nothing was taken for 0\.01 s"):
        setup.outbox.put(TEXT, bytes(200), False)
    assert setup.life.state == lifecycle.FAILED
    assert setup.reactor.rung == [setup.alarm]
    assert setup.outbox.size == 0


def test_failure_frees_all_waiting_senders() -> None:
    setup = Setup(room=0)
    fill(setup)
    senders = [gevent.spawn(setup.outbox.put, TEXT, bytes(200), False) for _ in range(3)]
    gevent.sleep(0)
    setup.outbox.fail("{it} broke")
    for sender in senders:
        with pytest.raises(greenws.errors.TransportFail, match=r"\{it\} broke"):
            sender.get(timeout=PATIENCE)
    assert setup.outbox.size == 0


def test_close_frees_all_waiting_senders() -> None:
    setup = Setup(room=0)
    fill(setup)
    sender = gevent.spawn(setup.outbox.put, TEXT, bytes(200), False)
    gevent.sleep(0)
    setup.outbox.close()
    setup.outbox.close()
    with pytest.raises(greenws.errors.TransportFail, match="the connection has ended"):
        sender.get(timeout=PATIENCE)
    assert setup.reactor.watchers[0].is_closed


def test_sender_that_is_killed_at_the_mark_leaves_its_frame_whole() -> None:
    setup = Setup(room=0)
    fill(setup)
    sender = gevent.spawn(setup.outbox.put, TEXT, b"x" * 200, False)
    gevent.sleep(0)
    sender.kill()
    setup.become_writable(10_000)
    assert setup.messages == ["\0" * (MARK - 100), "x" * 200]


def in_hub(function: Any) -> list[BaseException]:
    """Call a function in the greenlet of the hub, which must not wait."""
    raised: list[BaseException] = []
    done = gevent.event.Event()

    def call() -> None:
        try:
            function()
        except Exception as error:
            raised.append(error)
        done.set()

    gevent.get_hub().loop.run_callback(call)
    assert done.wait(PATIENCE)
    return raised


def test_hub_passes_the_mark_once_and_is_refused_then() -> None:
    setup = Setup(room=0)
    fill(setup)
    assert in_hub(lambda: setup.outbox.put(TEXT, bytes(200), False)) == []
    assert setup.outbox.is_full
    for call in (lambda: setup.outbox.put(TEXT, b"x", False), setup.outbox.check):
        (error,) = in_hub(call)
        assert isinstance(error, greenws.errors.WebSocketUnavailable)
    assert in_hub(lambda: setup.outbox.put(PING, b"", False)) == []
    waiting = gevent.spawn(setup.outbox.check)  # a greenlet waits for room
    gevent.sleep(0)
    assert not waiting.ready()
    setup.become_writable(1_000_000)
    waiting.get(timeout=PATIENCE)


# Failures


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionResetError("gone"), "socket fail; gone"),
        (OSError(32, "Broken pipe"), "socket fail; [Errno 32] Broken pipe"),
    ],
)
def test_failure_is_noted_and_the_alarm_rung(error: OSError, reason: str) -> None:
    setup = Setup()
    setup.outbox.put(TEXT, b"hello", False)
    setup.transport.error = error
    setup.end_turn()
    assert setup.life.reason == reason
    assert setup.reactor.rung == [setup.alarm]
    with pytest.raises(greenws.errors.TransportFail, match="socket fail"):
        setup.outbox.put(TEXT, b"more", False)
    assert setup.outbox.is_empty


@pytest.mark.parametrize("error", [KeyboardInterrupt(), gevent.Timeout(), LookupError()])
def test_exception_in_the_midst_of_a_call_fails_the_session_and_goes_on(
    error: BaseException,
) -> None:
    setup = Setup()
    setup.outbox.put(TEXT, b"hello", False)
    setup.transport.error = error
    with pytest.raises(type(error)):
        setup.end_turn()
    assert setup.life.reason == f"socket fail; interrupted by {type(error).__name__}"
    assert setup.reactor.rung == [setup.alarm]


def test_failure_stops_the_wait_for_room() -> None:
    setup = Setup(room=1)
    setup.outbox.put(TEXT, b"hello", False)
    setup.end_turn()
    setup.transport.error = ConnectionResetError("gone")
    (watcher,) = setup.reactor.watchers
    watcher.callback()
    assert watcher.is_closed and watcher.callback is None


def test_bytes_that_cannot_leave_are_refused_at_once() -> None:
    setup = Setup()
    setup.transport.error = ConnectionResetError("gone")
    with pytest.raises(greenws.errors.TransportFail, match="gone"):
        setup.outbox.put_bytes(b"GET")


def test_every_refusal_has_the_first_reason() -> None:
    setup = Setup()
    setup.outbox.fail("first")
    setup.outbox.fail("second")
    assert setup.life.reason == "first"
    for call in (
        setup.outbox.check,
        lambda: setup.outbox.put(TEXT, b"", False),
        lambda: setup.outbox.put_bytes(b""),
    ):
        with pytest.raises(greenws.errors.TransportFail, match="first"):
            call()


def test_nothing_is_taken_from_another_thread() -> None:
    setup = Setup()
    setup.life.thread = threading.get_ident() + 1
    for call in (
        setup.outbox.check,
        lambda: setup.outbox.put(TEXT, b"", False),
        lambda: setup.outbox.put_bytes(b""),
    ):
        with pytest.raises(greenws.errors.WebSocketUnavailable, match="another thread"):
            call()
    assert setup.outbox.size == 0


def test_nothing_is_taken_before_there_is_a_transport() -> None:
    life = lifecycle.Lifecycle(greenws.errors)
    outbox = twin.Outbox(life, MARK, None)
    assert outbox.is_empty and outbox.size == 0
    outbox.flush()
    outbox.close()
    for call in (
        outbox.check,
        lambda: outbox.put(TEXT, b"", False),
        lambda: outbox.put_bytes(b""),
    ):
        with pytest.raises(greenws.errors.WebSocketUnavailable, match="not connected"):
            call()
    outbox.fail("given up")  # there is no clock to ring yet
    assert life.reason == "given up"


# Large messages


def unmask(data: bytes) -> list[tuple[int, bytes]]:
    """Take masked frames apart."""
    frames = []
    while data:
        first, second = data[:2]
        size, start = second & 0x7F, 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        key, payload = data[start : start + 4], data[start + 4 : start + 4 + size]
        frames.append((first, bytes(b ^ key[i & 3] for i, b in enumerate(payload))))
        data = data[start + 4 + size :]
    return frames


BULK = bytes(range(251)) * 1200  # more than 256 KiB


def make_steps(closed: list[bool], *pieces: bytes | Exception) -> Any:
    try:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        closed.append(True)


def test_large_frame_leaves_slice_by_slice_and_in_order() -> None:
    setup = Setup(write_limit=1 << 30)
    setup.outbox.put(TEXT, b"before", False)
    setup.outbox.put(2, BULK, False)
    setup.outbox.put(TEXT, b"behind", False)
    setup.outbox.put(PING, b"", False)
    setup.outbox.put(2, BULK, True)
    setup.outbox.put(CLOSE, b"", False)
    rounds = 0
    setup.end_turn()
    while not setup.outbox.is_empty:
        before = len(setup.transport.taken)
        setup.become_writable(0)
        assert len(setup.transport.taken) - before <= 129 * 1024 + 100  # the turn is over
        rounds += 1
    assert rounds >= 5
    assert setup.outbox.size == 0
    assert unmask(bytes(setup.transport.taken)) == [
        (0x81, b"before"),
        (0x82, BULK),
        (0x81, b"behind"),
        (0x89, b""),
        (0xC2, BULK),
        (0x88, b""),
    ]


def test_sender_of_a_large_frame_waits_until_half_of_the_mark_is_left() -> None:
    setup = Setup(room=1000)
    sender = gevent.spawn(setup.outbox.put, 2, BULK, False)
    gevent.sleep(0)
    assert not sender.dead
    assert setup.outbox.size > len(BULK) - 1000
    while setup.outbox.size > MARK // 2:
        assert not sender.dead
        setup.become_writable(50_000)
    sender.join(PATIENCE)
    assert sender.successful()


def test_large_frame_of_a_killed_sender_leaves_whole() -> None:
    setup = Setup(room=1000)
    sender = gevent.spawn(setup.outbox.put, 2, BULK, False)
    gevent.sleep(0)
    sender.kill()
    while not setup.outbox.is_empty:
        setup.become_writable(1 << 20)
    assert unmask(bytes(setup.transport.taken)) == [(0x82, BULK)]


def test_other_messages_wait_for_one_that_is_made_and_control_frames_do_not() -> None:
    setup = Setup()
    closed: list[bool] = []
    outbox = setup.outbox
    first = gevent.spawn(outbox.put_steps, 2, make_steps(closed, b"a", b"b", b"c"), True)
    gevent.sleep(0)
    second = gevent.spawn(outbox.put, TEXT, b"second", False)
    gevent.sleep(0)
    assert not first.dead and not second.dead
    outbox.put(PING, b"", False)
    gevent.joinall([first, second], timeout=PATIENCE, raise_error=True)
    setup.end_turn()
    assert unmask(bytes(setup.transport.taken)) == [
        (0x89, b""),
        (0xC2, b"abc"),
        (0x81, b"second"),
    ]
    assert closed == [True]
    assert setup.reactor.turns_over == 3


def test_close_frame_goes_behind_the_message_that_is_made() -> None:
    setup = Setup()
    sender = gevent.spawn(setup.outbox.put_steps, 2, make_steps([], b"a", b"b"), True)
    gevent.sleep(0)
    setup.outbox.put(CLOSE, b"\x03\xe8", False)
    setup.life.step(lifecycle.CLOSING)
    assert not setup.outbox.is_empty
    sender.join(PATIENCE)
    assert sender.successful()
    setup.end_turn()
    assert unmask(bytes(setup.transport.taken)) == [(0xC2, b"ab"), (0x88, b"\x03\xe8")]


def test_end_of_the_session_ends_the_making_of_a_message() -> None:
    setup = Setup()
    closed: list[bool] = []
    sender = gevent.spawn(setup.outbox.put_steps, 2, make_steps(closed, b"a", b"b"), True)
    waiting = gevent.spawn(setup.outbox.put, TEXT, b"second", False)
    gevent.sleep(0)
    setup.outbox.fail("over")
    gevent.joinall([sender, waiting], timeout=PATIENCE)
    for greenlet in (sender, waiting):
        assert isinstance(greenlet.exception, greenws.errors.TransportFail)
    assert closed == [True]
    setup.end_turn()
    assert not setup.transport.taken


@pytest.mark.parametrize("how", ["kill", "timeout", "error"])
def test_message_that_is_given_up_leaves_nothing_and_the_next_one_goes(how: str) -> None:
    setup = Setup()
    closed: list[bool] = []
    last = ValueError("surrogates") if how == "error" else b"c"

    def send() -> None:
        with gevent.Timeout(0.0 if how == "timeout" else None, False):
            setup.outbox.put_steps(2, make_steps(closed, b"a", b"b", last), True)

    sender = gevent.spawn(send)
    gevent.sleep(0)
    second = gevent.spawn(setup.outbox.put, TEXT, b"second", False)
    if how == "kill":
        sender.kill()
    if how == "timeout":
        gevent.sleep(0.01)
    gevent.joinall([sender, second], timeout=PATIENCE)
    setup.end_turn()
    frames = unmask(bytes(setup.transport.taken))
    assert frames[-1] == (0x81, b"second")
    assert len(frames) == 1 or how == "timeout"
    assert closed == [True]


def test_hub_makes_a_large_message_at_once() -> None:
    setup = Setup()
    closed: list[bool] = []
    done = gevent.event.Event()

    def send() -> None:
        setup.outbox.put_steps(2, make_steps(closed, b"a", b"b"), True)
        done.set()

    gevent.get_hub().loop.run_callback(send)
    assert done.wait(PATIENCE)
    assert closed == [True] and setup.reactor.turns_over == 0
    setup.end_turn()
    assert unmask(bytes(setup.transport.taken)) == [(0xC2, b"ab")]


def test_hub_is_refused_while_a_message_is_made() -> None:
    setup = Setup()
    caught: list[Exception] = []
    sender = gevent.spawn(setup.outbox.put_steps, 2, make_steps([], b"a", b"b"), True)
    gevent.sleep(0)

    def send() -> None:
        try:
            setup.outbox.put(TEXT, b"x", False)
        except greenws.errors.WebSocketUnavailable as error:
            caught.append(error)

    gevent.get_hub().loop.run_callback(send)
    sender.join(PATIENCE)
    assert "a large message is being made" in str(caught[0])


def test_large_deflated_message_may_be_a_frame_of_many_slices() -> None:
    setup = Setup(write_limit=1 << 30)
    pieces = [b"x" * 1000] * 400
    setup.outbox.put_steps(2, make_steps([], *pieces), True)
    setup.end_turn()
    calls = setup.transport.calls
    while not setup.outbox.is_empty:
        setup.become_writable(0)
    assert setup.transport.calls - calls < 10  # small pieces leave together
    assert unmask(bytes(setup.transport.taken)) == [(0xC2, b"".join(pieces))]


def test_sender_that_was_released_waits_again_if_another_was_quicker() -> None:
    setup = Setup(room=0)
    outbox = setup.outbox
    outbox.put(PING, b"x" * 100, False)
    outbox.put(PING, b"x" * 100, False)
    gevent.spawn(outbox.put, TEXT, b"x" * MARK, False)
    gevent.sleep(0)
    order: list[str] = []

    def send_small() -> None:
        outbox.check()
        order.append("small")
        outbox.put(2, b"small", True)

    def make() -> Any:
        order.append("begins")
        yield b"large"
        order.append("ends")

    small = gevent.spawn(send_small)
    gevent.sleep(0)
    setup.become_writable(1 << 20)  # the first sender, and then the small one, may go on
    for _ in range(3):
        if small.dead:
            break
        large = gevent.spawn(outbox.put_steps, 2, make(), True)
        gevent.sleep(0)
        large.join(PATIENCE)
    small.join(PATIENCE)
    assert small.successful()
    for place, what in enumerate(order):
        if what == "begins":
            assert order[place + 1] == "ends"


# Messages in pieces


def test_other_messages_wait_for_one_in_pieces_and_control_frames_do_not() -> None:
    setup = Setup()
    setup.outbox.begin_pieces()
    setup.outbox.put_piece(TEXT, b"one", False, False)
    other = gevent.spawn(setup.outbox.put, TEXT, b"other", False)
    gevent.sleep(0)
    assert not other.ready()
    setup.outbox.put(PING, b"", False)
    setup.outbox.put_piece(0, b"two", False, False)
    setup.outbox.put_piece(0, b"", False, True)
    gevent.sleep(0)
    assert not other.ready()
    setup.outbox.end_pieces()
    setup.outbox.end_pieces()
    other.get(timeout=PATIENCE)
    setup.end_turn()
    assert setup.messages == ["ping", "onetwo", "other"]


def test_close_frame_does_not_wait_for_a_message_in_pieces() -> None:
    setup = Setup()
    setup.outbox.begin_pieces()
    setup.outbox.put_piece(TEXT, b"one", False, False)
    setup.outbox.put(CLOSE, b"", False)
    setup.life.step(lifecycle.CLOSING)
    with pytest.raises(greenws.errors.WebSocketUnavailable):
        setup.outbox.put_piece(0, b"two", False, False)
    setup.outbox.end_pieces()
    setup.end_turn()
    assert setup.messages == ["closing"]


def test_sender_of_pieces_waits_at_the_mark_and_passes_those_behind() -> None:
    setup = Setup(room=0)

    def send() -> None:
        setup.outbox.begin_pieces()
        for number in range(20):
            setup.outbox.put_piece(0 if number else TEXT, b"x" * 200, False, False)
        setup.outbox.put_piece(0, b"", False, True)
        setup.outbox.end_pieces()

    sender = gevent.spawn(send)
    gevent.sleep(0)
    other = gevent.spawn(setup.outbox.put, TEXT, b"other", False)
    wait_until(lambda: setup.outbox.size >= MARK)
    while not sender.ready():
        assert setup.outbox.size < MARK + 250
        assert not other.ready()
        setup.become_writable(100)
        gevent.sleep(0)
    other.get(timeout=PATIENCE)
    setup.become_writable(10_000)
    setup.outbox.flush()
    assert setup.messages == ["x" * 4000, "other"]


def test_sender_whose_frame_is_queued_does_not_wait_for_a_message_in_pieces() -> None:
    setup = Setup(room=0)
    fill(setup)
    gevent.get_hub().loop.run_callback(setup.outbox.put, TEXT, bytes(200), False)
    gevent.sleep(0)
    begun = gevent.spawn(setup.outbox.begin_pieces)
    gevent.sleep(0)
    ping = gevent.spawn(setup.outbox.put, PING, b"", False)
    other = gevent.spawn(setup.outbox.put, TEXT, b"other", False)
    gevent.sleep(0)
    assert not any(sender.ready() for sender in (begun, ping, other))
    setup.become_writable(900)
    for sender in (begun, ping):
        sender.get(timeout=PATIENCE)
    assert not other.ready()
    setup.outbox.end_pieces()
    other.get(timeout=PATIENCE)


def test_control_frame_at_the_mark_waits_for_room_but_not_for_a_message_in_pieces() -> None:
    setup = Setup(room=0)
    fill(setup)
    setup.outbox.begin_pieces()
    piece = gevent.spawn(setup.outbox.put_piece, TEXT, bytes(200), False, False)
    gevent.sleep(0)
    pings = [gevent.spawn(setup.outbox.put, PING, b"", False) for _ in range(3)]
    gevent.sleep(0)
    killed = pings.pop()
    killed.kill()
    assert not any(sender.ready() for sender in (piece, *pings))
    setup.become_writable(10_000)
    gevent.joinall([piece, *pings], PATIENCE, raise_error=True)
    assert all(sender.successful() for sender in (piece, *pings))
    setup.outbox.end_pieces()


def test_those_that_wait_for_room_are_the_first_behind_a_message_in_pieces() -> None:
    setup = Setup(room=0)
    fill(setup)
    setup.outbox.begin_pieces()
    other = gevent.spawn(setup.outbox.put, TEXT, bytes(200), False)
    piece = gevent.spawn(setup.outbox.put_piece, TEXT, bytes(200), False, False)
    gevent.sleep(0)
    setup.outbox.end_pieces()  # as it is given up
    assert not piece.ready() and not other.ready()
    setup.become_writable(10_000)
    gevent.joinall([piece, other], PATIENCE, raise_error=True)
    assert piece.successful() and other.successful()


def test_wait_of_a_sender_of_pieces_that_is_too_long_fails_the_session() -> None:
    setup = Setup(room=0, send_timeout=0.05)
    fill(setup)
    setup.outbox.begin_pieces()
    other = gevent.spawn(setup.outbox.put, TEXT, b"other", False)
    gevent.sleep(0.1)  # the other one may wait longer: the peer has nothing to take
    assert not other.ready()
    for _ in range(2):
        with pytest.raises(greenws.errors.WebSocketError):
            setup.outbox.put_piece(TEXT, bytes(200), False, False)
    assert "nothing was taken for 0.05 s" in setup.life.reason
    with pytest.raises(greenws.errors.WebSocketError):
        other.get(timeout=PATIENCE)
    setup.outbox.end_pieces()


def test_sender_of_pieces_sends_no_message_between() -> None:
    setup = Setup()
    setup.outbox.begin_pieces()
    with pytest.raises(RuntimeError, match="in pieces"):
        setup.outbox.put(TEXT, b"x", False)
    with pytest.raises(RuntimeError, match="in pieces"):
        setup.outbox.begin_pieces()
    setup.outbox.put(PING, b"", False)
    setup.outbox.end_pieces()
    setup.outbox.put(TEXT, b"x", False)


def test_last_piece_does_not_wait_at_the_mark() -> None:
    setup = Setup(room=0)
    setup.outbox.begin_pieces()
    setup.outbox.put_piece(TEXT, bytes(MARK - 50), False, False)
    piece = gevent.spawn(setup.outbox.put_piece, 0, bytes(200), False, False)
    gevent.sleep(0)
    assert not piece.ready()
    piece.kill()
    setup.outbox.put_piece(0, b"", False, True)
    setup.outbox.end_pieces()
    setup.become_writable(10_000)
    assert len(setup.messages) == 1


def test_hub_is_refused_while_a_message_in_pieces_is_sent() -> None:
    setup = Setup()
    results: list[Any] = []

    def put() -> None:
        try:
            setup.outbox.put(TEXT, b"x", False)
        except greenws.errors.WebSocketUnavailable as error:
            results.append(str(error))
        setup.outbox.put(PING, b"", False)
        results.append("ping")

    setup.outbox.begin_pieces()
    gevent.get_hub().loop.run_callback(put)
    gevent.sleep(0.01)
    setup.outbox.end_pieces()
    assert "a large message is being sent in pieces" in results[0]
    assert results[1:] == ["ping"]


@pytest.mark.parametrize("end", ["close", "fail"])
def test_end_of_the_session_frees_all_that_wait_for_a_message_in_pieces(end: str) -> None:
    setup = Setup(room=0)
    fill(setup)
    setup.outbox.begin_pieces()
    piece = gevent.spawn(setup.outbox.put_piece, TEXT, bytes(200), False, False)
    other = gevent.spawn(setup.outbox.put, TEXT, b"other", False)
    gevent.sleep(0)
    if end == "close":
        setup.outbox.close()
    else:
        setup.outbox.fail("the end")
    for sender in (piece, other):
        with pytest.raises(greenws.errors.WebSocketError):
            sender.get(timeout=PATIENCE)
    setup.outbox.end_pieces()
