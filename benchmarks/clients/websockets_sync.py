"""websockets: the threading client, with one connection in the main thread."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from websockets.sync.client import connect as ws_connect

from .meter import MemoryMeter, Meter
from .task import Task, run_client
from .websockets_options import options


def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1
    with ws_connect(task.flood_url, **options(task)) as ws:
        for _ in ws:
            left -= 1
            if not left:
                left = meter.lap()


def send(task: Task) -> None:
    meter = Meter(task, task.batch)
    messages: list[Any] = task.payloads() if task.is_binary else task.texts()
    with ws_connect(task.sink_url, **options(task)) as ws:
        while True:
            for message in messages:
                ws.send(message)
            ws.recv()
            meter.lap()


def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    message: Any = task.texts()[0]
    with ws_connect(task.echo_url, **options(task)) as ws:
        while True:
            ws.send(message)
            message = ws.recv()
            left -= 1
            if not left:
                left = meter.lap()


def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1
    found = options(task)
    while True:
        with ws_connect(task.echo_url, **found):
            pass
        left -= 1
        if not left:
            left = meter.lap()


def idle(task: Task) -> None:
    meter = MemoryMeter()
    found = options(task)
    with ExitStack() as opened:
        for _ in range(meter.WARMUP):
            opened.enter_context(ws_connect(task.echo_url, **found))
        meter.begin()
        for _ in range(task.connections):
            opened.enter_context(ws_connect(task.echo_url, **found))
        meter.end(task.connections)


if __name__ == "__main__":
    run_client(receive, send, echo, connect, idle)
