"""What the clients on asyncio have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from .task import Task

#: Connections opened at the same time.
AT_ONCE = 50


def run_loop(work: Callable[[Task], Coroutine[Any, Any, None]]) -> Callable[[Task], None]:
    """Make a work of a coroutine function: it runs on the loop the variant names."""

    def run(task: Task) -> None:
        if task.variant == "uvloop":
            import uvloop  # only where it is asked for

            uvloop.run(work(task))
        else:
            asyncio.run(work(task))

    return run


def split(count: int) -> Iterator[int]:
    """Split a number of connections into as many as are opened at the same time."""
    while count > 0:
        yield min(count, AT_ONCE)
        count -= AT_ONCE
