"""picows: the methods of a listener, on asyncio or uvloop."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from .loops import run_loops, split
from .meter import MemoryMeter, Meter, RampMeter, RoundTrips
from .task import Task

#: The largest frame that picows takes unless it is told otherwise, in bytes.
LARGEST = 10 * 1024 * 1024


class Listener(WSListener):
    """A listener that lets the sender wait until the connection is writable again."""

    def __init__(self) -> None:
        self.resumed: asyncio.Event | None = None

    def pause_writing(self) -> None:
        self.resumed = asyncio.Event()

    def resume_writing(self) -> None:
        if self.resumed is not None:
            self.resumed.set()
            self.resumed = None


async def open_one(listener: type[WSListener], url: str, context: Any, **more: Any) -> WSTransport:
    transport, _ = await ws_connect(listener, url, ssl_context=context, **more)
    return transport


async def receive(task: Task) -> None:
    meter = Meter(task)
    left = 1

    class Receiver(Listener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal left
            frame.get_payload_as_utf8_text()
            left -= 1
            if not left:
                left = meter.lap()

    class BinaryReceiver(Listener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal left
            frame.get_payload_as_bytes()
            left -= 1
            if not left:
                left = meter.lap()

    listener = BinaryReceiver if task.is_binary else Receiver
    more = {"max_frame_size": task.size + 64} if task.size > LARGEST else {}
    transport = await open_one(listener, task.flood_url, task.ssl_context(), **more)
    await transport.wait_disconnected()


async def send(task: Task) -> None:
    meter = Meter(task, task.batch)
    acknowledged = asyncio.Event()

    class Sender(Listener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            acknowledged.set()

    transport, listener = await ws_connect(Sender, task.sink_url)
    assert isinstance(listener, Sender)
    payloads = task.payloads()
    kind = WSMsgType.BINARY if task.is_binary else WSMsgType.TEXT
    texts = task.texts()
    while True:
        if task.is_binary:
            for payload in payloads:
                transport.send(kind, payload)
                if listener.resumed is not None:
                    await listener.resumed.wait()
        else:
            for text in texts:
                transport.send(kind, text.encode())
                if listener.resumed is not None:
                    await listener.resumed.wait()
        await acknowledged.wait()
        acknowledged.clear()
        meter.lap()


async def echo(task: Task) -> None:
    meter = Meter(task)
    left = 1
    payload = task.payloads()[0]

    class Echoer(Listener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal left
            transport.send(WSMsgType.TEXT, frame.get_payload_as_utf8_text().encode())
            left -= 1
            if not left:
                left = meter.lap()

    transports = await open_all(Echoer, task.connections, task)
    for transport in transports:
        transport.send(WSMsgType.TEXT, payload)
    await transports[0].wait_disconnected()


async def open_all(
    listener: type[WSListener], count: int, task: Task, url: str = ""
) -> list[WSTransport]:
    transports: list[WSTransport] = []
    context = task.ssl_context()
    for piece in split(count):
        coroutines = [open_one(listener, url or task.echo_url, context) for _ in range(piece)]
        transports += await asyncio.gather(*coroutines)
    return transports


async def connect(task: Task) -> None:
    meter = Meter(task)
    left = 1
    context = task.ssl_context()

    class Visitor(Listener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            transport.send_close()

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()

    async def visit() -> None:
        nonlocal left
        while True:
            transport = await open_one(Visitor, task.echo_url, context)
            await transport.wait_disconnected()
            left -= 1
            if not left:
                left = meter.lap()

    await asyncio.gather(*(visit() for _ in range(task.connections)))


async def idle(task: Task) -> None:
    meter = MemoryMeter()
    first = await open_all(Listener, meter.WARMUP, task)
    meter.begin()
    transports = await open_all(Listener, task.connections, task)
    assert not any(transport.is_disconnected for transport in first + transports)
    meter.end(len(transports))


async def beat(task: Task) -> None:
    meter = Meter(task, task.connections)
    left = task.connections

    class Beating(Listener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal left
            frame.get_payload_as_utf8_text()
            left -= 1
            if not left:
                left = meter.lap()
                transports[0].send(WSMsgType.TEXT, b"")

    transports = await open_all(Beating, task.connections, task, task.beat_url)
    transports[0].send(WSMsgType.TEXT, b"")
    await transports[0].wait_disconnected()


async def ramp(task: Task) -> None:
    meter = RampMeter(task)
    transports = await open_all(Listener, meter.WARMUP, task)
    for count in meter.steps():
        transports += await open_all(Listener, count, task)


async def fairness(task: Task) -> None:
    trips = RoundTrips(task)
    payload = b"x" * task.size

    class Flooded(Listener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            frame.get_payload_as_utf8_text()
            trips.flooded += 1

    class Pinger(Listener):
        sent = 0.0

        def on_ws_connected(self, transport: WSTransport) -> None:
            self.sent = perf_counter()
            transport.send(WSMsgType.TEXT, payload)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            frame.get_payload_as_utf8_text()
            self.sent = trips.add(self.sent)
            transport.send(WSMsgType.TEXT, payload)

    await open_all(Pinger, task.connections, task)
    flooded = await open_one(Flooded, task.flood_url, None)
    await flooded.wait_disconnected()


if __name__ == "__main__":
    run_loops(receive, send, echo, connect, idle, fairness, beat, ramp)
