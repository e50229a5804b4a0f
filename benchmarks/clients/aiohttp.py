"""aiohttp: one ClientSession, on asyncio or uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector

from .loops import rest_with, run_loops, split, weigh
from .meter import Meter, RoundTrips
from .task import Task

Open = Callable[[str], Any]


def opener(task: Task) -> Open:
    """Return a function that opens a connection; all connections share one session."""
    session = ClientSession(connector=TCPConnector(limit=0))
    options: dict[str, Any] = {"compress": 15 if task.is_deflated else 0}
    if task.cafile:
        options["ssl"] = task.ssl_context()
    return lambda url: session.ws_connect(url, **options)


async def open_all(count: int, task: Task, open_one: Open) -> list[ClientWebSocketResponse]:
    opened: list[ClientWebSocketResponse] = []
    for piece in split(count):
        opened += await asyncio.gather(*(open_one(task.echo_url) for _ in range(piece)))
    return opened


async def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1
    ws = await opener(task)(task.flood_url)
    async for message in ws:
        _ = message.data
        left -= 1
        if not left:
            left = meter.lap()


async def send(task: Task) -> None:
    meter = Meter(task, task.batch)
    ws = await opener(task)(task.sink_url)
    messages: list[Any] = task.payloads() if task.is_binary else task.texts()
    send_one = ws.send_bytes if task.is_binary else ws.send_str
    while True:
        for message in messages:
            await send_one(message)
        await ws.receive()
        meter.lap()


async def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    text = task.texts()[0]
    opened = await open_all(task.connections, task, opener(task))

    async def run(ws: ClientWebSocketResponse) -> None:
        nonlocal left
        await ws.send_str(text)
        async for message in ws:
            await ws.send_str(message.data)
            left -= 1
            if not left:
                left = meter.lap()

    await asyncio.gather(*map(run, opened))


async def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1
    open_one = opener(task)

    async def visit() -> None:
        nonlocal left
        while True:
            ws = await open_one(task.echo_url)
            await ws.close()
            left -= 1
            if not left:
                left = meter.lap()

    await asyncio.gather(*(visit() for _ in range(task.connections)))


async def idle(task: Task) -> None:
    open_one = opener(task)

    async def wait(ws: ClientWebSocketResponse) -> None:
        async for message in ws:
            _ = message.data

    await weigh(task, lambda count: open_all(count, task, open_one), wait)


async def upload(task: Task) -> None:
    meter = Meter(task, task.batch)
    ws = await opener(task)(task.sink_url)
    message = task.payloads()[0]

    async def count() -> None:
        async for _ in ws:
            meter.lap()

    counting = asyncio.create_task(count())
    while not counting.done():
        await ws.send_bytes(message)


async def rest(task: Task) -> None:
    async def wait(ws: ClientWebSocketResponse) -> None:
        async for message in ws:
            _ = message.data

    await rest_with(await open_all(task.connections, task, opener(task)), wait, task)


async def fairness(task: Task) -> None:
    trips = RoundTrips(task)
    text = "x" * task.size
    open_one = opener(task)

    async def ping(ws: ClientWebSocketResponse) -> None:
        sent = perf_counter()
        await ws.send_str(text)
        async for _ in ws:
            sent = trips.add(sent)
            await ws.send_str(text)

    async def flood() -> None:
        async for message in await open_one(task.flood_url):
            _ = message.data
            trips.flooded += 1

    opened = await open_all(task.connections, task, open_one)
    await asyncio.gather(flood(), *map(ping, opened))


if __name__ == "__main__":
    run_loops(receive, send, echo, connect, idle, fairness, upload, rest)
