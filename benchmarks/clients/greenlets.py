"""The common part of the clients with one blocking connection in each greenlet."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from .meter import MemoryMeter
from .task import Task


def weigh(task: Task, open_one: Callable[[], Callable[[], object]]) -> None:
    """Weigh idle connections, each with a greenlet that waits for a message.

    :param open_one: opens a connection, and returns the function that waits for a message.
    """
    meter = MemoryMeter()
    waiting: list[gevent.Greenlet[..., object]] = []

    def open_more(count: int) -> None:
        waiting.extend(gevent.spawn(open_one()) for _ in range(count))
        gevent.sleep(0.01)

    open_more(meter.WARMUP)
    meter.begin()
    open_more(task.connections)
    assert not any(greenlet.dead for greenlet in waiting)
    meter.end(task.connections)
