"""The common part of the clients on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import wraps
from typing import Any

from .meter import MemoryMeter, RestMeter
from .task import Task, run_client

#: The largest number of connections that a client opens at the same time.
AT_ONCE = 50


Work = Callable[[Task], Coroutine[Any, Any, None]]


def run_loops(*works: Work) -> None:
    """Do the task of this process, as :func:`~benchmarks.clients.task.run_client` does.

    :param works: the works that the client can do, as coroutine functions.
    """
    run_client(*map(_on_loop, works))


def _on_loop(work: Work) -> Callable[[Task], None]:
    """Return the work as a function that runs on the loop of the task's variant."""

    @wraps(work)
    def run(task: Task) -> None:
        if task.variant == "uvloop":
            import uvloop  # the other variant must not need uvloop

            uvloop.run(work(task))
        else:
            asyncio.run(work(task))

    return run


def split(count: int) -> Iterator[int]:
    """Split a number of connections into parts that a client opens at the same time."""
    while count > 0:
        yield min(count, AT_ONCE)
        count -= AT_ONCE


async def rest_with(
    opened: Sequence[Any], wait: Callable[[Any], Coroutine[Any, Any, None]], task: Task
) -> None:
    """Do nothing, with open connections, and report the CPU time of it."""
    waiting = [asyncio.create_task(wait(connection)) for connection in opened]
    await asyncio.sleep(task.warmup)
    meter = RestMeter(task)
    await asyncio.sleep(task.seconds)
    assert not any(waiter.done() for waiter in waiting)
    meter.end()


async def weigh(
    task: Task,
    open_all: Callable[[int], Coroutine[Any, Any, Sequence[Any]]],
    wait: Callable[[Any], Coroutine[Any, Any, None]],
) -> None:
    """Weigh idle connections, each with an asyncio task that waits for a message.

    :param open_all: opens this number of connections.
    :param wait: waits for the messages of a connection.
    """
    meter = MemoryMeter()
    waiting: set[asyncio.Task[None]] = set()

    async def open_more(count: int) -> None:
        for connection in await open_all(count):
            waiting.add(asyncio.create_task(wait(connection)))
        await asyncio.sleep(0)

    await open_more(meter.WARMUP)
    meter.begin()
    await open_more(task.connections)
    assert not any(waiter.done() for waiter in waiting)
    meter.end(task.connections)
