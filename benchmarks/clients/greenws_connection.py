"""greenws: sequential code on a Connection."""

from __future__ import annotations

from typing import Any

import gevent

import greenws

from .greenws import options
from .meter import MemoryMeter, Meter
from .task import Task, run_client


def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1
    with greenws.connect(task.flood_url, **options(task)) as connection:
        for _ in connection:
            left -= 1
            if not left:
                left = meter.lap()


def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    message: Any = task.texts()[0]
    with greenws.connect(task.echo_url, **options(task)) as connection:
        while True:
            connection.send(message)
            message = connection.receive()
            left -= 1
            if not left:
                left = meter.lap()


def idle(task: Task) -> None:
    meter = MemoryMeter()
    first = open_all(meter.WARMUP, task)
    meter.begin()
    connections: list[greenws.Connection] = []
    while len(connections) < task.connections:
        connections += open_all(50, task)
    assert all(connection.is_open for connection in first + connections)
    meter.end(len(connections))


def open_all(count: int, task: Task) -> list[greenws.Connection]:
    opening = [gevent.spawn(greenws.connect, task.echo_url, **options(task)) for _ in range(count)]
    return [greenlet.get(timeout=30) for greenlet in opening]


if __name__ == "__main__":
    run_client(receive, echo, idle)
