"""websocket-client: plain, or in greenlets of a process that gevent has patched."""

from __future__ import annotations

from .task import Task, Works, read_task, run_client

if __name__ == "__main__" and read_task().variant == "gevent":
    from gevent import monkey

    monkey.patch_all()

from collections.abc import Callable
from time import perf_counter
from typing import Any

import websocket

from .meter import MemoryMeter, Meter, RoundTrips


def opener(task: Task) -> Callable[[str], Any]:
    options: dict[str, Any] = {"http_no_proxy": ["*"]}
    if task.cafile:
        options["sslopt"] = {"context": task.ssl_context()}
    return lambda url: websocket.create_connection(url, **options)


def run_all(count: int, function: Callable[[], object]) -> None:
    """Run a function in as many greenlets; one needs none."""
    if count == 1:
        function()
        return
    import gevent  # not in the plain variant

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
    import gevent  # not in the plain variant

    meter = MemoryMeter()
    open_one = opener(task)
    waiting: list[Any] = []

    def open_more(count: int) -> None:
        for _ in range(count):
            waiting.append(gevent.spawn(open_one(task.echo_url).recv))
        gevent.sleep(0.01)

    open_more(meter.WARMUP)
    meter.begin()
    open_more(task.connections)
    assert not any(one.dead for one in waiting)
    meter.end(task.connections)


def fairness(task: Task) -> None:
    import gevent  # not in the plain variant

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


WORKS: Works = {
    "receive": receive,
    "send": send,
    "echo": echo,
    "connect": connect,
    "idle": idle,
    "fairness": fairness,
}

if __name__ == "__main__":
    run_client(WORKS)
