"""The end of a turn: all queued items leave then, whatever happens to one of them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pytest

import greenws
from tests.support.loopback import LoopbackServer
from tests.support.peer import TEXT, RawServerPeer, accept_and_echo, accept_and_wait
from tests.support.pure import load_pure
from tests.support.run import Run, run_script
from tests.support.watchers import FakeWatcher

# The compiled build hides what only sessions call: the twin has the same source.
twin: Any = load_pure("sessions.turn")

ROOT = Path(__file__).parents[2]
POOLED = 16


class Loop:
    """A loop of which the test runs the callbacks."""

    def __init__(self) -> None:
        self.nudge = FakeWatcher()
        self.callbacks: list[Any] = []

    def timer(self, seconds: float) -> FakeWatcher:
        assert seconds == 0
        return self.nudge

    def run_callback(self, function: Any) -> None:
        self.callbacks.append(function)

    def run(self) -> None:
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


class Crowd:
    """A crowd, as a turn sees it."""

    def __init__(self) -> None:
        self.is_crowded = False
        self.told: list[str] = []

    def end_turn(self) -> None:
        self.told.append("end_turn")

    def disperse(self) -> None:
        self.told.append("disperse")

    def clear(self) -> None:
        self.told.append("clear")


class Rota:
    """A rota, as a turn sees it."""

    def __init__(self) -> None:
        self.turns = 0

    def begin_turn(self) -> None:
        self.turns += 1


class Setup:
    """A turn with everything around it; ``has_prepare``: as on libev."""

    def __init__(self, has_prepare: bool = True) -> None:
        self.loop = Loop()
        self.prepare = FakeWatcher() if has_prepare else None
        self.crowd = Crowd()
        self.rota = Rota()
        self.turn = twin.Turn(self.loop, self.prepare, self.crowd, self.rota)
        self.turn.start()
        self.flushed: list[Any] = []

    def end(self) -> None:
        if self.prepare is None:
            self.loop.run()
        elif self.prepare.callback is not None:
            self.prepare.callback()

    def make_item(self, error: BaseException | None = None, work: Any = None) -> Any:
        setup = self

        class Item(twin.Flushable):  # type: ignore[misc]
            def flush(self) -> None:
                self.is_dirty = False
                setup.flushed.append(self)
                if work is not None:
                    work()
                if error is not None:
                    raise error

        return Item()

    def queue(self, *items: Any) -> None:
        for item in items:
            item.is_dirty = True
            self.turn.flush_later(item)


@pytest.fixture(params=[True, False], ids=["libev", "libuv"])
def setup(request: pytest.FixtureRequest) -> Setup:
    return Setup(request.param)


def test_queued_items_leave_once_and_in_order(setup: Setup) -> None:
    items = [setup.make_item() for _ in range(3)]
    setup.queue(*items)
    assert setup.flushed == []
    setup.end()
    assert setup.flushed == items
    setup.end()
    assert setup.flushed == items


def test_each_turn_flushes_its_own_items(setup: Setup) -> None:
    first, second = setup.make_item(), setup.make_item()
    setup.queue(first)
    setup.end()
    setup.queue(second)
    setup.end()
    assert setup.flushed == [first, second]


def test_item_that_was_flushed_meanwhile_is_left_alone(setup: Setup) -> None:
    item = setup.make_item()
    setup.queue(item)
    item.flush()
    setup.end()
    assert setup.flushed == [item]


def test_item_that_is_flushed_is_forgotten_if_it_was_the_last(setup: Setup) -> None:
    first, last = setup.make_item(), setup.make_item()
    setup.queue(first, last)
    last.is_dirty = False
    setup.turn.unqueue(last)
    setup.turn.unqueue(last)  # not the last any more
    last.is_dirty = True
    setup.end()
    assert setup.flushed == [first]


def test_batch_leaves_when_it_is_complete(setup: Setup) -> None:
    items = [setup.make_item() for _ in range(twin._BATCH)]
    for item in items:
        setup.turn.flush_batch()
        assert setup.flushed == []
        setup.queue(item)
    setup.turn.flush_batch()
    assert setup.flushed == items
    setup.turn.flush_batch()
    setup.end()
    assert setup.flushed == items


def test_incomplete_batch_leaves_at_the_end_of_the_turn(setup: Setup) -> None:
    item = setup.make_item()
    setup.queue(item)
    setup.turn.flush_batch()
    setup.end()
    assert setup.flushed == [item]


def test_item_queued_while_flushing_leaves_in_the_next_turn(setup: Setup) -> None:
    late = setup.make_item()
    setup.queue(setup.make_item(work=lambda: setup.queue(late)))
    setup.end()
    assert late not in setup.flushed
    setup.end()
    assert setup.flushed[-1] is late


def test_item_queued_while_flushing_keeps_the_loop_awake(setup: Setup) -> None:
    # On libuv the callback that is queued with it does that.
    setup.queue(setup.make_item(work=lambda: setup.queue(setup.make_item())))
    setup.end()
    assert (setup.loop.nudge.callback is not None) == (setup.prepare is not None)


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, BaseException]]:
    """The errors that the hub is told of, which it would print or raise."""
    found: list[tuple[Any, BaseException]] = []
    monkeypatch.setattr(
        gevent.get_hub(),
        "handle_error",
        lambda context, kind, error, traceback: found.append((context, error)),
    )
    return found


@pytest.mark.parametrize("error", [LookupError("flush"), gevent.Timeout(), KeyboardInterrupt()])
def test_item_that_fails_keeps_no_other_from_leaving(
    setup: Setup, error: BaseException, reported: list[tuple[Any, BaseException]]
) -> None:
    items = [setup.make_item() for _ in range(2)]
    failing = setup.make_item(error)
    setup.queue(items[0], failing, items[1])
    setup.end()
    assert setup.flushed == [items[0], failing, items[1]]
    assert reported == [(failing, error)]
    # Nor in the turns that follow.
    setup.queue(*items)
    setup.end()
    assert setup.flushed[3:] == items


def test_all_items_of_a_turn_may_fail(
    setup: Setup, reported: list[tuple[Any, BaseException]]
) -> None:
    items = [setup.make_item(LookupError(str(number))) for number in range(5)]
    setup.queue(*items)
    setup.end()
    assert [context for context, _ in reported] == items


def test_interrupt_out_of_a_flush_reaches_the_main_greenlet() -> None:
    # On a real loop: the other item has left by the time the program goes on.
    script = textwrap.dedent("""
        import gevent
        from greenws.sessions.reactor import get_reactor
        from greenws.sessions.turn import Flushable

        class Item(Flushable):
            def __init__(self, error=None):
                Flushable.__init__(self)
                self.error = error
                self.is_flushed = False

            def flush(self):
                self.is_flushed = True
                if self.error is not None:
                    raise self.error

        turn = get_reactor().turn
        turn.start()
        first, failing, last = Item(), Item(KeyboardInterrupt("flush")), Item()
        for item in (first, failing, last):
            item.is_dirty = True
            turn.flush_later(item)
        try:
            gevent.sleep(10)
        except KeyboardInterrupt as error:
            print("interrupted by", error)
        gevent.sleep(0.01)
        print(first.is_flushed, failing.is_flushed, last.is_flushed)
    """)
    # Only an outbox can set is_dirty where it is compiled.
    environment = {**os.environ, "GREENWS_PURE_PYTHON": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.stdout.splitlines() == ["interrupted by flush", "True True True"], result.stderr


def test_loop_does_not_sleep_on_a_callback_scheduled_while_flushing(setup: Setup) -> None:
    function = object()
    setup.turn.run_callback(function)
    assert setup.loop.nudge.starts == 0
    setup.loop.callbacks.clear()
    setup.queue(setup.make_item(work=lambda: setup.turn.run_callback(function)))
    setup.end()
    assert setup.loop.callbacks == [function]
    assert setup.loop.nudge.starts == 1
    setup.loop.nudge.callback()  # does nothing
    setup.turn.stay_awake()
    assert setup.loop.nudge.starts == 1


def test_one_watcher_sees_all_turns() -> None:
    setup = Setup()
    setup.turn.start()
    for _ in range(3):
        setup.queue(setup.make_item())
        setup.end()
    assert setup.prepare is not None and setup.prepare.starts == 1
    assert setup.crowd.told == ["end_turn"] * 3
    assert setup.loop.callbacks == []


def test_one_callback_serves_all_items_of_a_turn() -> None:
    setup = Setup(has_prepare=False)
    setup.queue(*(setup.make_item() for _ in range(5)))
    assert len(setup.loop.callbacks) == 1
    setup.end()
    assert len(setup.flushed) == 5


def test_stop_forgets_waiting_items_and_start_begins_anew() -> None:
    setup = Setup()
    setup.queue(setup.make_item())
    setup.turn.stop()
    setup.turn.stop()
    assert setup.crowd.told == ["disperse"]
    setup.end()
    assert setup.flushed == []
    setup.turn.start()
    setup.end()
    assert setup.flushed == []
    item = setup.make_item()
    setup.queue(item)
    setup.end()
    assert setup.flushed == [item]


def test_child_forgets_waiting_items(setup: Setup) -> None:
    setup.queue(setup.make_item())
    setup.turn.clear()
    setup.end()
    assert setup.flushed == []
    assert setup.crowd.told[0] == "clear"


def test_flushable_has_to_define_flush() -> None:
    with pytest.raises(NotImplementedError):
        twin.Flushable().flush()


# Buffers


def test_buffer_comes_back_as_it_is() -> None:
    pool = twin.BufferPool()
    buffer = pool.take(0)
    buffer += b"frame"
    pool.put(buffer)
    again = pool.take(0)
    assert again is buffer and again == b"frame"
    assert pool.take(0) is not buffer


def test_pool_keeps_one_large_buffer() -> None:
    pool = twin.BufferPool()
    large = bytearray(b"x" * twin._LARGE)
    pool.put(large)
    assert pool.take(twin._LARGE - 1) is not large
    assert pool.take(twin._LARGE) is large and len(large) == twin._LARGE
    assert pool.take(twin._LARGE) == b""
    pool.put(bytearray(twin._LARGEST + 1))
    assert pool.take(twin._LARGE) == b""
    small = bytearray(b"x")
    pool.put(large)
    pool.put(small)
    pool.clear()
    assert pool.take(twin._LARGE) is not large and pool.take(0) is not small


def test_pool_keeps_as_many_as_leave_together() -> None:
    pool = twin.BufferPool()
    buffers = [bytearray(b"frame") for _ in range(2 * POOLED)]
    for buffer in buffers:
        pool.put(buffer)
    known = {id(buffer) for buffer in buffers}
    taken = [pool.take(0) for _ in range(2 * POOLED)]
    assert sum(id(buffer) in known for buffer in taken) == POOLED


# On the hub


def make(url: str) -> greenws.WebSocket:
    return greenws.WebSocket(url, proxies={})


def test_first_frames_of_a_process_leave_at_once() -> None:
    # A callback of the loop queues the frames, and has nothing else to do after that.
    got = gevent.event.Event()

    def script(peer: RawServerPeer) -> None:
        peer.accept()
        peer.expect(TEXT, b"first")
        got.set()
        peer.read_until_end()

    with LoopbackServer(script) as server:
        websocket = make(server.url)
        run = Run(websocket.connect(ping_rate=0, poll=0))
        run.wait("ready")
        websocket.send_text("first")
        assert got.wait(1)
        run.kill()


@pytest.mark.parametrize(
    ("name", "module"),
    [("libev-cext", "libev.corecext"), ("libev-cffi", "libev.corecffi"), ("libuv", "libuv.loop")],
)
def test_frame_of_another_greenlet_leaves_at_once_on_every_loop(name: str, module: str) -> None:
    output = run_script(
        """
        import os, sys
        os.environ["GEVENT_LOOP"] = sys.argv[1]
        import gevent
        try:
            gevent.get_hub()
        except ImportError:
            sys.exit(print("missing"))
        import greenws
        from greenws.testing import EchoServer

        class Asker(greenws.Client):
            def on_text(self, event):
                self.close()

        with EchoServer() as server, gevent.Timeout(10):
            client = Asker(server.url, proxies={}).start()
            assert client.wait_ready()
            client.send_text("hello")
            client.join()
        print("answered on", type(gevent.get_hub().loop).__module__)
        """,
        name,
    )
    if output == "missing\n":
        pytest.skip("this gevent comes without this loop")
    assert output == f"answered on gevent.{module}\n"


def test_frames_of_a_session_that_ends_in_the_same_turn_harm_nobody() -> None:
    with LoopbackServer(accept_and_echo) as server:
        first, second = make(server.url), make(server.url)
        runs = [Run(iter(first)), Run(iter(second))]
        for run in runs:
            run.wait("ready")
        first.send_text("into the void")
        second.send_text("hello")
        runs[0].kill()
        runs[1].wait("text")
        runs[1].kill()


def test_loop_watches_no_turns_without_sessions() -> None:
    loop = gevent.get_hub().loop
    with LoopbackServer(accept_and_wait) as server:
        gevent.sleep(0.01)
        before = getattr(loop, "activecnt", 0)
        run = Run(iter(make(server.url)))
        run.wait("ready")
        run.kill()
        server.join()
        gevent.sleep(0.01)
        assert getattr(loop, "activecnt", 0) <= before
