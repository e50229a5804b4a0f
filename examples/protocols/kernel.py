"""Run code in a kernel of a Jupyter server: ``python kernel.py URL TOKEN CODE``.

The URL is that of ``jupyter server``, such as http://127.0.0.1:8888
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import gevent

import greenws


class KernelError(Exception):
    """The code has raised an exception (its name, text and traceback), or the kernel has died."""


class Kernel:
    """A kernel, which runs one piece of code after the other.

    :param url: of the Jupyter server.
    """

    def __init__(self, url: str, token: str, name: str = "python3") -> None:
        self._headers = {"Authorization": f"token {token}"}
        self._session = uuid4().hex
        self._url = f"{url.rstrip('/')}/api/kernels"
        self._url += "/" + self._ask("POST", {"name": name})["id"]
        channels = self._url.replace("http", "ws", 1) + f"/channels?session_id={self._session}"
        try:
            self._connection = greenws.connect(channels, headers=self._headers, open_timeout=60)
        except BaseException:
            self._ask("DELETE")
            raise

    def _ask(self, method: str, body: object = None) -> Any:
        """Make an HTTP request, in a thread: urllib knows nothing of gevent."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url, data, self._headers, method=method)

        def ask() -> bytes:
            with urlopen(request, timeout=60) as response:
                answer: bytes = response.read()
            return answer

        answer = gevent.get_hub().threadpool.apply(ask)
        return json.loads(answer) if answer else None

    def run(self, code: str, timeout: float | None = None) -> Iterator[str]:
        """Run code, and yield what it prints, shows and returns, as it comes.

        :param timeout: seconds without a message of the kernel.
        :raises KernelError: an exception came out of the code.
        """
        number = uuid4().hex
        header = {"msg_id": number, "msg_type": "execute_request", "version": "5.3"}
        header.update(session=self._session, username="", date="")
        content = {"code": code, "silent": False, "allow_stdin": False, "stop_on_error": False}
        self._connection.send_json(
            channel="shell", header=header, parent_header={}, metadata={}, content=content
        )
        # The reply comes on one channel and the output on another, so in any order.
        awaited = {"execute_reply", "idle"}
        while awaited:
            message = self._connection.receive_json(timeout)
            kind, content = message["header"]["msg_type"], message["content"]
            if content.get("execution_state") in ("restarting", "dead"):
                raise KernelError("the kernel has died")
            if message["parent_header"].get("msg_id") != number:
                continue
            if kind == "stream":
                yield content["text"]
            elif kind in ("execute_result", "display_data"):
                yield content["data"].get("text/plain", "") + "\n"
            elif kind == "error":
                raise KernelError(content["ename"], content["evalue"], content["traceback"])
            awaited -= {kind, content.get("execution_state")}

    def close(self) -> None:
        """Close the connection, and end the kernel."""
        self._connection.close()
        self._ask("DELETE")


if __name__ == "__main__":
    url, token, code = sys.argv[1:]
    kernel = Kernel(url, token)
    try:
        for output in kernel.run(code, timeout=60):
            print(output, end="")
    finally:
        kernel.close()
