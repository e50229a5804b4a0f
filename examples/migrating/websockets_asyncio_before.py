"""A bot that comes back, with asyncio: ``python websockets_asyncio_before.py URL``."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def run(url: str) -> None:
    count = 0
    async for websocket in connect(url, additional_headers={"X-Bot": "7"}, ping_interval=20):
        count += 1
        try:
            await websocket.send(f"hello {count}")
            async for message in websocket:
                print("received:", message)
                if count == 2:
                    await websocket.close()
        except ConnectionClosed as end:
            print("lost:", end.rcvd.code if end.rcvd else "no close frame")
            continue
        print("closed:", websocket.close_code)
        break


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
