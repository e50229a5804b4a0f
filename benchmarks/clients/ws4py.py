"""ws4py: the gevent client, in a process that gevent has patched."""

from __future__ import annotations

from .task import Task, run_client

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

from time import perf_counter
from typing import Any

import gevent
from gevent.event import Event
from ws4py.client.geventclient import WebSocketClient

from .meter import MemoryMeter, Meter, RoundTrips


class Connection(WebSocketClient):  # type: ignore[misc]
    """A connection without ws4py's queue, which copies each message."""

    def received_message(self, message: Any) -> None:
        """Take a message."""

    def closed(self, code: int, reason: str | None = None) -> None:
        """Take the end."""


def open_one(kind: type[Connection], url: str, task: Task) -> Any:
    options = {"ca_certs": task.cafile} if task.cafile else None
    client = kind(url, ssl_options=options)
    client.connect()
    return client


def wait(client: Any) -> None:
    client._th.join()


def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1

    class Receiver(Connection):
        def received_message(self, message: Any) -> None:
            nonlocal left
            if not task.is_binary:
                str(message)
            left -= 1
            if not left:
                left = meter.lap()

    wait(open_one(Receiver, task.flood_url, task))


def send(task: Task) -> None:
    meter = Meter(task, task.batch)
    acknowledged = Event()

    class Sender(Connection):
        def received_message(self, message: Any) -> None:
            acknowledged.set()

    client = open_one(Sender, task.sink_url, task)
    messages: list[Any] = task.payloads() if task.is_binary else task.texts()
    while True:
        for message in messages:
            client.send(message, binary=task.is_binary)
        acknowledged.wait()
        acknowledged.clear()
        meter.lap()


def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    text = task.texts()[0]

    class Echoer(Connection):
        def received_message(self, message: Any) -> None:
            nonlocal left
            self.send(str(message))
            left -= 1
            if not left:
                left = meter.lap()

    clients = [open_one(Echoer, task.echo_url, task) for _ in range(task.connections)]
    for client in clients:
        client.send(text)
    wait(clients[0])


def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1

    def visit() -> None:
        nonlocal left
        while True:
            client = open_one(Connection, task.echo_url, task)
            client.close()
            wait(client)
            left -= 1
            if not left:
                left = meter.lap()

    gevent.joinall([gevent.spawn(visit) for _ in range(task.connections)])


def idle(task: Task) -> None:
    meter = MemoryMeter()
    first = [open_one(Connection, task.echo_url, task) for _ in range(meter.WARMUP)]
    gevent.sleep(0.05)
    meter.begin()
    clients = [open_one(Connection, task.echo_url, task) for _ in range(task.connections)]
    gevent.sleep(0.05)
    assert not any(client.terminated for client in first + clients)
    meter.end(len(clients))


def fairness(task: Task) -> None:
    trips = RoundTrips(task)
    text = "x" * task.size

    class Flooded(Connection):
        def received_message(self, message: Any) -> None:
            str(message)
            trips.flooded += 1

    class Pinger(Connection):
        sent = 0.0

        def received_message(self, message: Any) -> None:
            str(message)
            self.sent = trips.add(self.sent)
            self.send(text)

    clients = [open_one(Pinger, task.echo_url, task) for _ in range(task.connections)]
    flooded = open_one(Flooded, task.flood_url, task)
    for client in clients:
        client.sent = perf_counter()
        client.send(text)
    wait(flooded)


if __name__ == "__main__":
    run_client(receive, send, echo, connect, idle, fairness)
