"""lomond: one connection in the main thread, or a thread for each of many connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

from lomond import WebSocket

from .meter import MemoryMeter, Meter
from .task import Task, run_client


def listen(ws: Any) -> Iterator[Any]:
    """Connect, without pings, and with hardly any polls."""
    events: Iterator[Any] = ws.connect(poll=60, ping_rate=0)
    return events


def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1
    name = "binary" if task.is_binary else "text"
    for event in listen(WebSocket(task.flood_url, compress=task.is_deflated)):
        if event.name == name:
            left -= 1
            if not left:
                left = meter.lap()


def send(task: Task) -> None:
    meter = Meter(task, task.batch)
    ws = WebSocket(task.sink_url, compress=task.is_deflated)
    messages: list[Any] = task.payloads() if task.is_binary else task.texts()
    send_one = ws.send_binary if task.is_binary else ws.send_text
    for event in listen(ws):
        if event.name in ("ready", "text"):
            if event.name == "text":
                meter.lap()
            for message in messages:
                send_one(message)


def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    lock = threading.Lock()
    text = task.texts()[0]

    # If threads waited for a lock at every message, the lock would be measured.
    own_lap = 1 if task.connections == 1 else 10

    ready: SimpleQueue[Any] = SimpleQueue()

    def run() -> None:
        nonlocal left
        ws = WebSocket(task.echo_url)
        own_left = own_lap
        for event in listen(ws):
            if event.name == "ready":
                ready.put(ws)
            elif event.name == "text":
                ws.send_text(event.text)
                own_left -= 1
                if not own_left:
                    own_left = own_lap
                    with lock:
                        left -= own_lap
                        while left <= 0:
                            left += meter.lap()

    threading.stack_size(128 * 1024)
    threads = [threading.Thread(target=run, daemon=True) for _ in range(task.connections)]
    opened = []
    for thread in threads:
        thread.start()
        opened.append(ready.get())
    for ws in opened:
        ws.send_text(text)
    threads[0].join()


def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1
    while True:
        ws = WebSocket(task.echo_url)
        for event in listen(ws):
            if event.name == "ready":
                ws.close()
        left -= 1
        if not left:
            left = meter.lap()


def idle(task: Task) -> None:
    meter = MemoryMeter()
    ready = threading.Semaphore(0)
    threading.stack_size(128 * 1024)

    def run() -> None:
        for event in listen(WebSocket(task.echo_url)):
            if event.name == "ready":
                ready.release()

    def open_more(count: int) -> None:
        for _ in range(count):
            threading.Thread(target=run, daemon=True).start()
            ready.acquire()

    open_more(meter.WARMUP)
    meter.begin()
    open_more(task.connections)
    meter.end(task.connections)


if __name__ == "__main__":
    run_client(receive, send, echo, connect, idle)
