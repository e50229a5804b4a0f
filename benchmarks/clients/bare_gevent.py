"""Bare gevent sockets: ``sendall`` and ``recv_into`` without a WebSocket, as a floor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import gevent
from gevent import socket
from gevent.ssl import SSLContext

from .. import wire
from .bare import READ_SIZE, client_frames, close, upgrade
from .greenlets import weigh
from .meter import Meter, RoundTrips
from .task import Task, run_client


def opener(task: Task) -> Callable[[str], tuple[Any, bytes]]:
    """Return a function that opens a connection.

    The function returns the socket, and the bytes after the response.
    """
    context = None
    if task.cafile:
        import ssl  # only for the constant

        context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(task.cafile)

    def open_one(url: str) -> tuple[Any, bytes]:
        sock = socket.create_connection((task.host, task.port))
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=task.host)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock, upgrade(sock, task, url)

    return open_one


def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1
    size = wire.server_frame_size(task.size)
    sock, _ = opener(task)(task.flood_url)
    buffer = bytearray(READ_SIZE)
    got = 0
    while True:
        got += sock.recv_into(buffer)
        while got >= left * size:
            got -= left * size
            left = meter.lap()


def send(task: Task) -> None:
    meter = Meter(task, task.batch)
    sock, _ = opener(task)(task.sink_url)
    frames = client_frames(task)
    while True:
        for frame in frames:
            sock.sendall(frame)
        sock.recv(1024)
        meter.lap()


def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    frame = client_frames(task)[0]
    open_one = opener(task)
    opened = [open_one(task.echo_url)[0] for _ in range(task.connections)]

    def run(sock: Any) -> None:
        nonlocal left
        while True:
            sock.sendall(frame)
            sock.recv(4096)
            left -= 1
            if not left:
                left = meter.lap()

    gevent.joinall([gevent.spawn(run, sock) for sock in opened])


def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1
    open_one = opener(task)

    def visit() -> None:
        nonlocal left
        while True:
            close(open_one(task.echo_url)[0])
            left -= 1
            if not left:
                left = meter.lap()

    gevent.joinall([gevent.spawn(visit) for _ in range(task.connections)])


def idle(task: Task) -> None:
    open_one = opener(task)
    weigh(task, lambda: partial(open_one(task.echo_url)[0].recv, 4096))


def fairness(task: Task) -> None:
    trips = RoundTrips(task)
    frame = wire.client_frame(wire.TEXT, b"x" * task.size)
    open_one = opener(task)

    def ping() -> None:
        sock, _ = open_one(task.echo_url)
        sent = perf_counter()
        while True:
            sock.sendall(frame)
            sock.recv(4096)
            sent = trips.add(sent)

    def flood() -> None:
        sock, _ = open_one(task.flood_url)
        size = wire.server_frame_size(64)
        buffer = bytearray(READ_SIZE)
        got = 0
        while True:
            got += sock.recv_into(buffer)
            trips.flooded += got // size
            got %= size

    pingers = [gevent.spawn(ping) for _ in range(task.connections)]
    gevent.joinall([gevent.spawn(flood), *pingers])


if __name__ == "__main__":
    run_client(receive, send, echo, connect, idle, fairness)
