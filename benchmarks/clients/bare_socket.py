"""Bare sockets of the standard library, with epoll and whole buffers of frames, as the floor.

Only the system calls remain, and zlib for deflated messages: no WebSocket, no greenlets, no events.
"""

from __future__ import annotations

import select
import socket
import zlib
from typing import Any

from .. import wire
from .bare import READ_SIZE, client_frames, close, upgrade
from .meter import Meter, RampMeter
from .task import Task, run_client

#: The bytes of one write of several frames; greenws also sends a queue of this size.
WRITE_SIZE = 64 * 1024


def open_one(task: Task, url: str) -> tuple[Any, bytes]:
    sock: Any = socket.create_connection((task.host, task.port))
    context = task.ssl_context()
    if context is not None:
        sock = context.wrap_socket(sock, server_hostname=task.host)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock, upgrade(sock, task, url)


def receive(task: Task) -> None:
    if task.is_deflated:
        receive_deflated(task)
    meter = Meter(task)
    left = 1
    size = wire.server_frame_size(task.size)
    sock, _ = open_one(task, task.flood_url)
    buffer = bytearray(READ_SIZE)
    got = 0
    while True:
        got += sock.recv_into(buffer)
        while got >= left * size:
            got -= left * size
            left = meter.lap()


def receive_deflated(task: Task) -> None:
    meter = Meter(task)
    left = 1
    sock, data = open_one(task, task.flood_url)
    inflater = zlib.decompressobj(-15)
    while True:
        pos = 0
        end = len(data)
        while end - pos >= 4:
            size = data[pos + 1]
            start = pos + 2
            if size == 126:
                size = data[pos + 2] << 8 | data[pos + 3]
                start = pos + 4
            if start + size > end:
                break
            pos = start + size
            wire.inflate_next(inflater, data[start:pos]).decode()
            left -= 1
            if not left:
                left = meter.lap()
        data = data[pos:] + sock.recv(READ_SIZE)


def send(task: Task) -> None:
    if task.is_deflated:
        send_deflated(task)
    meter = Meter(task, task.batch)
    sock, _ = open_one(task, task.sink_url)
    frames = client_frames(task)
    each = max(1, WRITE_SIZE // len(frames[0]))
    writes = [b"".join(frames[i : i + each]) for i in range(0, len(frames), each)]
    while True:
        for piece in writes:
            sock.sendall(piece)
        sock.recv(1024)
        meter.lap()


def send_deflated(task: Task) -> None:
    meter = Meter(task, task.batch)
    sock, _ = open_one(task, task.sink_url)
    texts = task.texts()
    compressor = zlib.compressobj(wbits=-15)
    while True:
        out = bytearray()
        for text in texts:
            deflated = wire.deflate_next(compressor, text.encode())
            out += wire.client_frame(wire.TEXT, deflated, True)
            if len(out) >= WRITE_SIZE:
                sock.sendall(out)
                out.clear()
        sock.sendall(out)
        sock.recv(1024)
        meter.lap()


def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    frame = client_frames(task)[0]
    opened = {}
    poll = select.epoll()
    for _ in range(task.connections):
        sock, _rest = open_one(task, task.echo_url)
        sock.setblocking(False)
        opened[sock.fileno()] = (sock.recv, sock.send)
        poll.register(sock.fileno(), select.EPOLLIN)
    for _, send_frame in opened.values():
        send_frame(frame)
    while True:
        for fileno, _event in poll.poll():
            receive_frame, send_frame = opened[fileno]
            receive_frame(4096)
            send_frame(frame)
            left -= 1
            if not left:
                left = meter.lap()


def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1
    while True:
        close(open_one(task, task.echo_url)[0])
        left -= 1
        if not left:
            left = meter.lap()


def beat(task: Task) -> None:
    meter = Meter(task, task.connections)
    left = task.connections
    opened = {}
    poll = select.epoll()
    go = wire.client_frame(wire.TEXT, b"")
    for _ in range(task.connections):
        sock, _rest = open_one(task, task.beat_url)
        opened[sock.fileno()] = sock.recv
        poll.register(sock.fileno(), select.EPOLLIN)
    sock.sendall(go)
    while True:
        for fileno, _event in poll.poll():
            opened[fileno](4096)
            left -= 1
            if not left:
                left = meter.lap()
                sock.sendall(go)


def ramp(task: Task) -> None:
    meter = RampMeter(task)
    poll = select.epoll()
    opened = []

    def open_more(count: int) -> None:
        for _ in range(count):
            sock, _rest = open_one(task, task.echo_url)
            opened.append(sock)
            poll.register(sock.fileno(), select.EPOLLIN)

    open_more(meter.WARMUP)
    for count in meter.steps():
        open_more(count)


if __name__ == "__main__":
    run_client(receive, send, echo, connect, beat, ramp)
