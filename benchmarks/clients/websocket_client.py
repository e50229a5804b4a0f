"""websocket-client: plain, or in greenlets of a process that gevent has patched."""

from __future__ import annotations

from .task import Task, read_task, run_client

if __name__ == "__main__" and read_task().variant == "gevent":
    from gevent import monkey

    monkey.patch_all()

from collections.abc import Callable
from time import perf_counter
from typing import Any

import websocket

from .meter import Meter, RoundTrips


def opener(task: Task) -> Callable[[str], Any]:
    options: dict[str, Any] = {"http_no_proxy": ["*"]}
    if task.cafile:
        options["sslopt"] = {"context": task.ssl_context()}
    return lambda url: websocket.create_connection(url, **options)


def run_all(count: int, function: Callable[[], object]) -> None:
    """Run a function in ``count`` greenlets; if ``count`` is 1, in the caller's."""
    if count == 1:
        function()
        return
    import gevent  # the plain variant must not import gevent

    gevent.joinall([gevent.spawn(function) for _ in range(count)])


def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1
    ws = opener(task)(task.flood_url)
    while True:
        ws.recv()
        left -= 1
        if not left:
            left = meter.lap()


def send(task: Task) -> None:
    meter = Meter(task, task.batch)
    ws = opener(task)(task.sink_url)
    messages: list[Any] = task.payloads() if task.is_binary else task.texts()
    send_one = ws.send_binary if task.is_binary else ws.send
    while True:
        for message in messages:
            send_one(message)
        ws.recv()
        meter.lap()


def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    text = task.texts()[0]
    open_one = opener(task)
    waiting = [open_one(task.echo_url) for _ in range(task.connections)]

    def run() -> None:
        nonlocal left
        ws = waiting.pop()
        message = text
        while True:
            ws.send(message)
            message = ws.recv()
            left -= 1
            if not left:
                left = meter.lap()

    run_all(task.connections, run)


def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1
    open_one = opener(task)

    def visit() -> None:
        nonlocal left
        while True:
            open_one(task.echo_url).close()
            left -= 1
            if not left:
                left = meter.lap()

    run_all(task.connections if task.variant == "gevent" else 1, visit)


def idle(task: Task) -> None:
    from .greenlets import weigh  # the plain variant must not import gevent

    open_one = opener(task)
    weigh(task, lambda: open_one(task.echo_url).recv)


def fairness(task: Task) -> None:
    import gevent  # the plain variant must not import gevent

    trips = RoundTrips(task)
    text = "x" * task.size
    open_one = opener(task)

    def ping() -> None:
        ws = open_one(task.echo_url)
        sent = perf_counter()
        while True:
            ws.send(text)
            ws.recv()
            sent = trips.add(sent)

    def flood() -> None:
        ws = open_one(task.flood_url)
        while True:
            ws.recv()
            trips.flooded += 1

    pingers = [gevent.spawn(ping) for _ in range(task.connections)]
    gevent.joinall([gevent.spawn(flood), *pingers])


if __name__ == "__main__":
    run_client(receive, send, echo, connect, idle, fairness)
