"""websockets: the asyncio client, with the C extension, on asyncio or uvloop."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect

from .loops import rest_with, run_loops, split, weigh
from .meter import Meter, RoundTrips
from .task import Task
from .websockets_options import options


async def open_all(count: int, task: Task) -> list[ClientConnection]:
    opened: list[ClientConnection] = []
    found = options(task)
    for piece in split(count):
        coroutines = [_open(task.echo_url, found) for _ in range(piece)]
        opened += await asyncio.gather(*coroutines)
    return opened


async def _open(url: str, found: dict[str, Any]) -> ClientConnection:
    return await ws_connect(url, **found)


async def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1
    async for _ in await ws_connect(task.flood_url, **options(task)):
        left -= 1
        if not left:
            left = meter.lap()


async def send(task: Task) -> None:
    meter = Meter(task, task.batch)
    ws = await ws_connect(task.sink_url, **options(task))
    messages: list[Any] = task.payloads() if task.is_binary else task.texts()
    while True:
        for message in messages:
            await ws.send(message)
        await ws.recv()
        meter.lap()


async def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    text = task.texts()[0]
    opened = await open_all(task.connections, task)

    async def run(ws: ClientConnection) -> None:
        nonlocal left
        await ws.send(text)
        async for message in ws:
            await ws.send(message)
            left -= 1
            if not left:
                left = meter.lap()

    await asyncio.gather(*map(run, opened))


async def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1
    found = options(task)

    async def visit() -> None:
        nonlocal left
        while True:
            ws = await ws_connect(task.echo_url, **found)
            await ws.close()
            left -= 1
            if not left:
                left = meter.lap()

    await asyncio.gather(*(visit() for _ in range(task.connections)))


async def idle(task: Task) -> None:
    async def wait(ws: ClientConnection) -> None:
        async for _ in ws:
            pass

    await weigh(task, lambda count: open_all(count, task), wait)


async def upload(task: Task) -> None:
    meter = Meter(task, task.batch)
    ws = await ws_connect(task.sink_url, **options(task))
    message = task.payloads()[0]

    async def count() -> None:
        async for _ in ws:
            meter.lap()

    counting = asyncio.create_task(count())
    while not counting.done():
        await ws.send(message)


async def rest(task: Task) -> None:
    async def wait(ws: ClientConnection) -> None:
        async for _ in ws:
            pass

    await rest_with(await open_all(task.connections, task), wait, task)


async def fairness(task: Task) -> None:
    trips = RoundTrips(task)
    text = "x" * task.size

    async def ping(ws: ClientConnection) -> None:
        sent = perf_counter()
        await ws.send(text)
        async for _ in ws:
            sent = trips.add(sent)
            await ws.send(text)

    async def flood() -> None:
        async for _ in await ws_connect(task.flood_url, **options(task)):
            trips.flooded += 1

    opened = await open_all(task.connections, task)
    await asyncio.gather(flood(), *map(ping, opened))


if __name__ == "__main__":
    run_loops(receive, send, echo, connect, idle, fairness, upload, rest)
