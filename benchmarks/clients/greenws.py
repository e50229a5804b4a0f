"""greenws: subclasses of Client with plain handlers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time
from typing import Any

import gevent
from gevent.event import Event

import greenws

from ..payloads import JSON_SIZE, joined_json, json_texts
from .meter import MemoryMeter, Meter, RampMeter, RestMeter, RoundTrips, report
from .task import Task, run_client


def options(task: Task) -> dict[str, Any]:
    compress = task.is_deflated if task.wishes is None else task.wishes
    return {
        "ssl_cafile": task.cafile,
        "proxies": {},
        "compress": compress,
        "max_size": max(task.size, greenws.constants.MAX_MESSAGE_SIZE),
    }


def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1

    class Receiver(greenws.Client):
        def on_text(self, event: greenws.events.Text) -> None:
            nonlocal left
            _ = event.text
            left -= 1
            if not left:
                left = meter.lap()

    class BinaryReceiver(greenws.Client):
        def on_binary(self, event: greenws.events.Binary) -> None:
            nonlocal left
            _ = event.data
            left -= 1
            if not left:
                left = meter.lap()

    client = BinaryReceiver if task.is_binary else Receiver
    client(task.flood_url, **options(task)).run()


def send(task: Task) -> None:
    meter = Meter(task, task.batch)
    acknowledged = Event()

    class Sender(greenws.Client):
        def on_text(self, event: greenws.events.Text) -> None:
            acknowledged.set()

    client = Sender(task.sink_url, **options(task)).start()
    client.wait_ready()
    messages: list[Any] = task.payloads() if task.is_binary else task.texts()
    send_one: Any = client.send_binary if task.is_binary else client.send_text
    while True:
        for message in messages:
            send_one(message)
        acknowledged.wait()
        acknowledged.clear()
        meter.lap()


def make_echoer(task: Task) -> type[greenws.Client]:
    """Make a client that sends back what it gets; all of them count on one meter."""
    meter = Meter(task)
    left = 1

    class Echoer(greenws.Client):
        def on_text(self, event: greenws.events.Text) -> None:
            nonlocal left
            self.send_text(event.text)
            left -= 1
            if not left:
                left = meter.lap()

    return Echoer


def echo(task: Task) -> None:
    text = task.texts()[0]
    clients = open_all(make_echoer(task), task.connections, task)
    for client in clients:
        client.send_text(text)
    clients[0].join()


def open_all(
    kind: type[greenws.Client], count: int, task: Task, url: str = "", **more: Any
) -> list[greenws.Client]:
    chosen = {**options(task), **more}
    clients = [kind(url or task.echo_url, **chosen).start() for _ in range(count)]
    for client in clients:
        assert client.wait_ready(30)
    return clients


def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1

    class Visitor(greenws.Client):
        def on_ready(self, event: greenws.events.Ready) -> None:
            self.close()

    def visit() -> None:
        nonlocal left
        while True:
            Visitor(task.echo_url, **options(task)).run()
            left -= 1
            if not left:
                left = meter.lap()

    gevent.joinall([gevent.spawn(visit) for _ in range(task.connections)])


def idle(task: Task) -> None:
    meter = MemoryMeter()

    texts = json_texts() if task.size <= JSON_SIZE else [joined_json(task.size)]
    talking = 0
    quiet = Event()
    quiet.set()

    class Idler(greenws.Client):
        exchanged = 0

        def on_ready(self, event: greenws.events.Ready) -> None:
            nonlocal talking
            if task.exchanges:
                talking += 1
                quiet.clear()
                self.send_text(texts[0])

        def on_text(self, event: greenws.events.Text) -> None:
            nonlocal talking
            _ = event.text
            self.exchanged += 1
            if self.exchanged < task.exchanges:
                self.send_text(texts[self.exchanged % len(texts)])
                return
            talking -= 1
            if not talking:
                quiet.set()

    first = open_all(Idler, meter.WARMUP, task)
    quiet.wait()
    meter.begin()
    clients: list[greenws.Client] = []
    while len(clients) < task.connections:
        clients += open_all(Idler, 50, task)
        quiet.wait()
    assert all(client.is_ready for client in first + clients)
    meter.end(len(clients))


def at_work(task: Task) -> None:
    """Weigh connections that are idle, and again after ``task.exchanges`` echoes each."""
    meter = MemoryMeter()
    text = task.texts()[0]
    talking = 0
    quiet = Event()

    class Worker(greenws.Client):
        left = 0

        def on_text(self, event: greenws.events.Text) -> None:
            nonlocal talking
            self.left -= 1
            if self.left:
                self.send_text(event.text)
                return
            talking -= 1
            if not talking:
                quiet.set()

    def work(clients: list[greenws.Client]) -> None:
        nonlocal talking
        talking = len(clients)
        quiet.clear()
        for client in clients:
            client.left = task.exchanges
            client.send_text(text)
        quiet.wait()

    first = open_all(Worker, meter.WARMUP, task)
    work(first)
    meter.begin()
    clients: list[greenws.Client] = []
    while len(clients) < task.connections:
        clients += open_all(Worker, 50, task)
    meter.rest()
    work(clients)
    assert all(client.is_ready for client in first + clients)
    meter.end(len(clients))


def close_all(drain: Callable[[], int], task: Task) -> None:
    """Report how long ``drain`` takes to close all connections in good order."""
    began, cpu = perf_counter(), process_time()
    killed = drain()
    seconds, cpu = perf_counter() - began, process_time() - cpu
    assert not killed
    report(messages=task.connections, seconds=seconds, cpu=cpu)


def drain(task: Task) -> None:
    open_all(greenws.Client, task.connections, task)
    close_all(partial(greenws.drain, 10), task)


def upload(task: Task) -> None:
    meter = Meter(task, task.batch)

    class Sender(greenws.Client):
        def on_text(self, event: greenws.events.Text) -> None:
            meter.lap()

    client = Sender(task.sink_url, **options(task)).start()
    client.wait_ready()
    message = task.payloads()[0]
    while True:
        client.send_binary(message)


def rest(task: Task) -> None:
    clients = open_all(greenws.Client, task.connections, task)
    gevent.sleep(task.warmup)
    meter = RestMeter(task)
    gevent.sleep(task.seconds)
    assert all(client.is_ready for client in clients)
    meter.end()


def beat(task: Task) -> None:
    meter = Meter(task, task.connections)
    left = task.connections

    class Listener(greenws.Client):
        def on_text(self, event: greenws.events.Text) -> None:
            nonlocal left
            _ = event.text
            left -= 1
            if not left:
                left = meter.lap()
                clients[0].send_text("")

    clients: list[greenws.Client] = []
    while len(clients) < task.connections:
        count = min(RampMeter.AT_ONCE, task.connections - len(clients))
        clients += open_all(Listener, count, task, task.beat_url)
    clients[0].send_text("")
    clients[0].join()


def ramp(task: Task) -> None:
    meter = RampMeter(task)
    clients = open_all(greenws.Client, meter.WARMUP, task)
    for count in meter.steps():
        clients += open_all(greenws.Client, count, task)


def ping(task: Task) -> None:
    """Report the CPU time of the pings that idle connections send by themselves."""
    period, periods = 1.0, 3
    clients = open_all(greenws.Client, task.connections, task, ping_rate=period)
    gevent.sleep(period)  # the first ones are behind
    began, cpu = perf_counter(), process_time()
    gevent.sleep(periods * period)
    seconds, cpu = perf_counter() - began, process_time() - cpu
    assert all(client.is_ready for client in clients)
    report(messages=task.connections * periods, seconds=seconds, cpu=cpu)


def fairness(task: Task) -> None:
    trips = RoundTrips(task)
    text = "x" * task.size

    class Flooded(greenws.Client):
        def on_text(self, event: greenws.events.Text) -> None:
            _ = event.text
            trips.flooded += 1

    class Pinger(greenws.Client):
        sent = 0.0

        def on_ready(self, event: greenws.events.Ready) -> None:
            self.sent = perf_counter()
            self.send_text(text)

        def on_text(self, event: greenws.events.Text) -> None:
            self.sent = trips.add(self.sent)
            self.send_text(text)

    pingers = [Pinger(task.echo_url, **options(task)).start() for _ in range(task.connections)]
    Flooded(task.flood_url, **options(task)).start()
    pingers[0].join()


if __name__ == "__main__":
    run_client(
        receive, send, echo, connect, idle, at_work, fairness, drain, upload, rest, beat, ramp, ping
    )
