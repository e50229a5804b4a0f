"""Users of Locust that echo without a pause, with greenws or with websocket-client."""

from __future__ import annotations

import locust  # isort: skip  # first: it patches

import logging
from time import perf_counter, time
from typing import Any

import gevent
from locust.env import Environment

from .meter import MemoryMeter, Meter
from .task import Task, run_client


def locust_echo(task: Task) -> None:
    """Count the round trips of ``task.connections`` users, each of which is a row, too."""
    meter = Meter(task)
    left = 1
    text = task.texts()[0]

    def count() -> None:
        nonlocal left
        left -= 1
        if not left:
            left = meter.lap()

    make = _make_greenws if task.variant == "greenws" else _make_websocket_client
    user: Any = make(task.echo_url, text, count)
    logging.disable()  # the spawn rate is high on purpose
    runner = Environment(user_classes=[user]).create_local_runner()
    runner.start(task.connections, spawn_rate=task.connections)
    runner.greenlet.join()


def locust_idle(task: Task) -> None:
    """Weigh users with an open connection that have echoed once and have nothing more to do."""
    meter = MemoryMeter()
    echoed = 0

    def rest() -> None:
        nonlocal echoed
        echoed += 1
        gevent.sleep(3600)

    make = _make_greenws if task.variant == "greenws" else _make_websocket_client
    user: Any = make(task.echo_url, "x", rest)
    logging.disable()
    runner = Environment(user_classes=[user]).create_local_runner()

    def have(users: int) -> None:
        runner.start(users, spawn_rate=users)
        while echoed < users:
            gevent.sleep(0.01)

    have(meter.WARMUP)
    meter.begin()
    have(meter.WARMUP + task.connections)
    meter.end(task.connections)


def _make_greenws(url: str, text: str, count: Any) -> Any:
    from greenws.locust import WebSocketUser

    class Echo(WebSocketUser):
        def on_start(self) -> None:
            self.connect(url)

        @locust.task
        def echo(self) -> None:
            self.request(text, name="echo")
            count()

    return Echo


def _make_websocket_client(url: str, text: str, count: Any) -> Any:
    import websocket

    class Echo(locust.User):
        def on_start(self) -> None:
            self.socket = websocket.create_connection(url, http_no_proxy=["*"])

        @locust.task
        def echo(self) -> None:
            start, began = time(), perf_counter()
            self.socket.send(text)
            reply = self.socket.recv()
            self.environment.events.request.fire(
                request_type="WSQ",
                name="echo",
                response_time=(perf_counter() - began) * 1000,
                response_length=len(reply),
                exception=None,
                context=self.context(),
                start_time=start,
            )
            count()

    return Echo


if __name__ == "__main__":
    run_client(locust_echo, locust_idle)
