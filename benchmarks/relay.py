"""A relay on loopback that delays the bytes: the slow link where there are no TUN devices.

``python -m benchmarks.relay DELAY PORT`` relays to a port of this machine, prints its own port, as
JSON, and runs until its stdin ends. The kernel answers the opening of a TCP connection, so that one
is not delayed; and what TCP does about lost packets and round trips cannot be seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio import StreamReader, StreamWriter
from collections import deque

#: The bytes that are on their way in one direction, at most: with 50 ms, 21 MB a second, as TCP
#: with the buffers that Linux has by default.
WINDOW = 1024 * 1024
#: The largest number of bytes of one read.
READ_SIZE = 64 * 1024


class Delay:
    """One direction of a relayed connection."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, delay: float) -> None:
        self._reader = reader
        self._writer = writer
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        # Bytes on their way, with the time of their arrival; empty bytes are the end.
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Relay until the end."""
        await asyncio.gather(self._take(), self._give())

    async def _take(self) -> None:
        data = b"first"
        while data:
            while self._held >= WINDOW:
                self._changed.clear()
                await self._changed.wait()
            data = await self._read()
            self._held += len(data)
            self._pieces.append((self._loop.time() + self._delay, data))
            self._changed.set()

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(READ_SIZE)
        except ConnectionError:
            return b""

    async def _give(self) -> None:
        while True:
            while not self._pieces:
                self._changed.clear()
                await self._changed.wait()
            due, data = self._pieces.popleft()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if not data:
                self._writer.close()
                return
            self._held -= len(data)
            self._changed.set()
            self._writer.write(data)
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()


async def relay(delay: float, port: int) -> asyncio.Server:
    """Listen, and relay every connection to ``port``."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            Delay(reader, far_writer, delay).run(), Delay(far_reader, writer, delay).run()
        )

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def main() -> None:
    """Relay until standard input ends."""
    async with await relay(float(sys.argv[1]), int(sys.argv[2])) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
