"""Makes load.png, the picture of the report of ``load``, from a real run.

Run it from the root of a checkout, with the package websockets, and chromium in the path::

    python docs/pictures/load.py

The server echoes, refuses some openings, holds still for half a second once, and resets some
connections, so that each picture has something to show.
"""

from __future__ import annotations

import asyncio
import http
import logging
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

PICTURE = Path(__file__).with_suffix(".png")

# Seconds after which the server holds still, and for how long.
STALL_AFTER, STALL = 11.0, 0.5

ARGUMENTS = ["-c", "250", "--ramp", "5", "--duration", "20", "--message-rate", "2"]
ARGUMENTS += ["--processes", "2"]


async def talk(connection: ServerConnection) -> None:
    """Echo; one connection of a hundred breaks after a while."""
    is_frail = random.random() < 0.01
    async for message in connection:
        await connection.send(message)
        if is_frail and random.random() < 0.2:
            connection.transport.abort()


def admit(connection: ServerConnection, request: Any) -> Any:
    """Refuse two openings of a hundred."""
    if random.random() < 0.02:
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "busy\n")
    return None


async def run_server(ready: threading.Event, port: list[int]) -> None:
    """Serve for as long as the process."""
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # those that break are no news
    async with serve(talk, "127.0.0.1", 0, process_request=admit) as server:
        port.append(next(iter(server.sockets)).getsockname()[1])
        ready.set()
        await asyncio.sleep(STALL_AFTER)
        time.sleep(STALL)
        await asyncio.Future()


def main() -> None:
    """Make the picture."""
    random.seed(1)
    ready, port = threading.Event(), list[int]()
    threading.Thread(target=lambda: asyncio.run(run_server(ready, port)), daemon=True).start()
    ready.wait()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "load.html")
        command = [sys.executable, "-m", "greenws", "load", f"ws://127.0.0.1:{port[0]}/"]
        subprocess.run([*command, *ARGUMENTS, "--html", str(page)], check=False)
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        flags += ["--disable-background-networking", "--disable-component-update"]
        flags += ["--disable-sync", "--hide-scrollbars", f"--user-data-dir={folder}/profile"]
        flags += ["--window-size=1000,1165", f"--screenshot={PICTURE}"]
        subprocess.run(["chromium", *flags, page.as_uri()], check=True, capture_output=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
