"""An echo server in a thread of its own, for clients that block the thread of the test.

The thread has a hub of its own, on which everything of the server runs. A call of another thread is
an *errand*: the hub of the server runs it in a greenlet, while the hub of the caller goes on.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

import gevent
from gevent import get_hub
from gevent._hub_local import get_hub_if_exists
from gevent.hub import Waiter

from ..sessions import forks, threads
from .openings import Opening
from .server import EchoServer
from .server_connection import ConnectionState, ServerConnection
from .wire import Wire

T = TypeVar("T")


class ServerThread:
    """A thread that runs nothing but a hub, until it is stopped."""

    def __init__(self) -> None:
        begun, self._ended = threads.make_lock(), threads.make_lock()
        begun.acquire()
        self._ended.acquire()
        self._loop: Any = None
        self._end: Any = None
        self._failure: BaseException | None = None
        self._number = threads.start(self._run, (begun,))
        begun.acquire()  # for a millisecond: the other thread makes its hub
        if self._failure is not None:
            raise self._failure

    @property
    def is_alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._number in sys._current_frames()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this thread."""
        return threads.get_ident() == self._number

    def call(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Have the hub of this thread call ``function`` in a greenlet, and return the result.

        A kill of the caller, or its timeout, ends that greenlet, too.
        """
        if self.is_current:
            return function(*args, **options)
        result: T = _Errand(lambda: function(*args, **options)).run(self._loop)
        return result

    def stop(self) -> None:
        """End the thread, and with it its hub. What runs on the hub has to have ended."""
        self._end.send()
        self._ended.acquire()  # for a millisecond

    def _run(self, begun: Any) -> None:
        # As threading has it for its threads: breakpoints in behaviours work, and are measured.
        sys.settrace(threading.gettrace())
        self._run_hub(begun)

    def _run_hub(self, begun: Any) -> None:
        try:
            hub = get_hub()
            waiter: Waiter[None] = Waiter(hub)
            self._end = hub.loop.async_()
            # Before the other thread goes on: a signal to a watcher that is not started is lost.
            self._end.start(waiter.switch, None)
            self._loop = hub.loop
        except BaseException as error:  # noqa: BLE001  # no descriptors, say; the caller raises it
            self._failure = error
            return
        finally:
            begun.release()
        try:
            waiter.get()
        finally:
            self._end.close()
            hub.destroy(destroy_loop=True)
            self._ended.release()


class _Errand:
    """A call that another hub makes."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        # Tells the caller that the result is there. The lock is held while that is done: the caller
        # may give up meanwhile.
        self._wake: Callable[[], object] | None = None
        self._lock = threads.make_lock()
        self._greenlet: Any = None
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self, loop: Any) -> Any:
        """Have the hub of ``loop`` make the call, and wait for the result."""
        hub = get_hub_if_exists()
        wait = self._block if hub is None else partial(self._switch, hub)
        try:
            wait(lambda: loop.run_callback_threadsafe(self._begin))
        except BaseException:
            loop.run_callback_threadsafe(self._give_up)
            raise
        if self._error is not None:
            raise self._error
        return self._result

    def _switch(self, hub: Any, begin: Callable[[], object]) -> None:
        """Wait while the other greenlets of the caller's thread go on."""
        waiter: Waiter[None] = Waiter(hub)
        watcher = hub.loop.async_()
        watcher.start(waiter.switch, None)
        self._wake = watcher.send
        begin()
        try:
            waiter.get()
        finally:
            with self._lock:
                self._wake = None
                watcher.close()

    def _block(self, begin: Callable[[], object]) -> None:
        """Wait in a thread without a hub, which has no greenlets: a hub would stay behind there."""
        made = threads.make_lock()
        made.acquire()
        self._wake = made.release
        begin()
        made.acquire()

    def _begin(self) -> None:
        self._greenlet = gevent.spawn(self._make)

    def _give_up(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def _make(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001  # run() raises it
            self._error = error
        finally:
            with self._lock:
                if self._wake is not None:
                    self._wake()


class ThreadedConnection(ServerConnection):
    """A connection whose methods may be called in any thread."""

    def __init__(self, thread: ServerThread, *args: Any) -> None:
        super().__init__(*args)
        self._thread: ServerThread | None = thread

    def leave_thread(self) -> None:
        """The thread ends: calls are made where they come from, from now on."""
        self._thread = None

    def disown(self) -> None:
        """In a forked child, the connection is the parent's, and has ended."""
        self._thread = None
        self._state = ConnectionState.ENDED


def _hand_over(name: str) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(ServerConnection, name)

    @wraps(method)
    def call(self: ThreadedConnection, *args: Any, **options: Any) -> Any:
        thread = self._thread
        if thread is None:
            return method(self, *args, **options)
        return thread.call(method, self, *args, **options)

    return call


# What waits, or touches the socket. All else are facts, which any thread may read.
for _name in (
    *("read_request", "accept", "reject", "receive", "receive_raw", "wait_ended"),
    *("send", "send_text", "send_binary", "send_ping", "send_pong", "send_frame", "send_raw"),
    *("flush", "close", "drop"),
):
    setattr(ThreadedConnection, _name, _hand_over(_name))


class ThreadedEchoServer(EchoServer):
    """An :class:`EchoServer` that runs in a thread of its own.

    The thread of the test may block: in ``time.sleep``, in a client of another library, in an event
    loop of asyncio. All methods and attributes are those of :class:`EchoServer`; they, and those of
    its connections, may be used in any thread. While they wait, the greenlets of the thread that
    called them go on. Behaviours, and the condition of :meth:`wait_for`, run in the thread of the
    server.
    """

    _thread: ServerThread | None = None

    def __enter__(self) -> ThreadedEchoServer:
        return self.start()

    def start(self) -> ThreadedEchoServer:
        """As :meth:`EchoServer.start`."""
        is_first = self._thread is None
        if self._thread is None:
            self._thread = ServerThread()  # before the start: connections may come at once
        _running[self] = self._thread
        try:
            self._thread.call(super().start)
        except BaseException:
            if is_first:
                self._leave_thread()
            raise
        return self

    def serve_forever(self) -> None:
        """As :meth:`EchoServer.serve_forever`."""
        self.start()
        assert self._thread is not None and self._acceptor is not None
        try:
            self._thread.call(self._acceptor.get)
        finally:
            self.stop()

    def wait_for(self, condition: Callable[[], T], timeout: float | None = 5.0) -> T:
        """As :meth:`EchoServer.wait_for`."""
        thread = self._thread
        if thread is None:
            return super().wait_for(condition, timeout)
        result: T = thread.call(super().wait_for, condition, timeout)
        return result

    def _make_connection(self, wire: Wire, opening: Opening) -> ServerConnection:
        thread = self._thread
        assert thread is not None
        return ThreadedConnection(
            thread, wire, self._accepted, self._options, self._journal, opening
        )

    def _stop(self) -> None:
        thread = self._thread
        if thread is None:
            return
        thread.call(super()._stop)
        if thread.is_current:  # a behaviour stops the server; the next call from outside ends it
            return
        self._leave_thread()

    def _leave_thread(self) -> None:
        thread, self._thread = self._thread, None
        assert thread is not None
        for connection in self.connections:
            assert isinstance(connection, ThreadedConnection)
            connection.leave_thread()
        _running.pop(self, None)
        thread.stop()

    def disown(self) -> None:
        """In a forked child, the server is the parent's, and has stopped."""
        self._thread = self._listener = self._acceptor = None
        for connection in self.connections:
            assert isinstance(connection, ThreadedConnection)
            connection.disown()
        self._current.clear()


# The servers that run, with their threads.
_running: dict[ThreadedEchoServer, ServerThread] = {}

# Seconds for the last steps of threads at the end of the program.
_LAST_STEPS = 0.1


@atexit.register
def _stop_all() -> None:
    """Stop the servers that were forgotten: a thread that runs a hub while the interpreter is taken
    apart makes the process crash.
    """
    ended = list(_running.items())
    for server, _thread in ended:
        with contextlib.suppress(Exception):  # the program ends, and nobody is left to be told
            server._stop()
    for _server, thread in ended:
        for _ in range(10):
            if thread.is_alive:
                threads.sleep(_LAST_STEPS / 10)
    if ended:
        threads.sleep(_LAST_STEPS / 10)


def _disown_all() -> None:
    for server in list(_running):
        server.disown()
    _running.clear()


forks.call_in_child(_disown_all)
