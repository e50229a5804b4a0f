"""WebSocket servers of other libraries, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.authority import Authority

KINDS = ("websockets", "aiohttp", "tornado")
#: websockets with the smallest windows, and without context takeover.
SPARING = "websockets-sparing"

_PROGRAM = Path(__file__).with_name("serving.py")


class ForeignServer:
    """A server in a process, and the URLs to reach it by. Use as a context manager."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        authority = Authority(folder, kind)
        self.cafile = authority.cafile
        certificate = authority.issue_file("server.pem", "localhost")
        # By the standard library, as nothing here needs the hub.
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), kind, certificate],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        ports = self._process.stdout.readline().split()
        assert len(ports) == 2, f"the server {kind} did not start"
        self.url = f"ws://127.0.0.1:{int(ports[0])}/"
        self.secure_url = f"wss://localhost:{int(ports[1])}/"
        self.port = int(ports[0])

    def __enter__(self) -> ForeignServer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
