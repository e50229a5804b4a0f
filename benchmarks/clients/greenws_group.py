"""greenws: the clients of a ClientGroup, which bounds their openings and counts their messages."""

from __future__ import annotations

import greenws

from .greenws import close_all, make_echoer, options
from .meter import MemoryMeter
from .task import Task, run_client

# Openings under way: what the server accepts without a queue.
_CONNECTING = 100


def open_group(kind: type[greenws.Client], count: int, task: Task) -> greenws.ClientGroup:
    group = greenws.ClientGroup(max_connecting=_CONNECTING)
    group.start(kind(task.echo_url, **options(task)) for _ in range(count))
    assert group.wait_ready(30)
    return group


def echo(task: Task) -> None:
    text = task.texts()[0]
    echoer = make_echoer(task)
    group = greenws.ClientGroup(max_connecting=_CONNECTING)
    clients = [echoer(task.echo_url, **options(task)) for _ in range(task.connections)]
    assert group.start(clients).wait_ready(30)
    for client in clients:
        client.send_text(text)
    group.join()


def idle(task: Task) -> None:
    meter = MemoryMeter()

    class Idler(greenws.Client):
        def on_text(self, event: greenws.events.Text) -> None:
            _ = event.text

    first = open_group(Idler, meter.WARMUP, task)
    group = greenws.ClientGroup(max_connecting=_CONNECTING)
    meter.begin()
    while group.stats()["ready"] < task.connections:
        # By fifties, as the clients without a group: the pages are filled in the same way.
        group.start(Idler(task.echo_url, **options(task)) for _ in range(50))
        assert group.wait_ready(30)
    assert first.stats()["ready"] == meter.WARMUP
    meter.end(group.stats()["ready"])


def drain(task: Task) -> None:
    group = open_group(greenws.Client, task.connections, task)
    close_all(group.drain, task)


if __name__ == "__main__":
    run_client(echo, idle, drain)
