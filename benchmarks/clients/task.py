"""The task of a client: one work, given as JSON on the command line."""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from ..machine import pin, raise_file_limit
from ..payloads import data_of, json_texts, text_of


@dataclass(frozen=True)
class Task:
    """One measurement.

    :param work: the name of a function of the client: receive, send, echo, connect, idle, at_work,
        fairness, drain or another one.
    :param server: scheme, host and port of the server.
    :param seconds: the seconds to measure.
    :param warmup: the seconds to run before the measurement.
    :param kind: the kind of the messages: text, binary, or json (deflated).
    :param size: the size of a message, in bytes.
    :param batch: the number of messages to send before waiting for the server.
    :param connections: the number of connections at a time; for idle, the number to weigh.
    :param exchanges: the number of messages that each idle connection has sent and got back.
    :param wishes: what is offered of permessage-deflate, for greenws; None: nothing in particular.
    :param cafile: the PEM file to verify the server with; None: no TLS.
    :param variant: the variant of the peer.
    :param is_far: whether the server is far away, and a flood has to fill a long link.
    """

    work: str
    server: str
    seconds: float = 1.0
    warmup: float = 0.2
    kind: str = "text"
    size: int = 64
    batch: int = 1000
    connections: int = 1
    exchanges: int = 0
    wishes: dict[str, int] | None = None
    cafile: str | None = None
    variant: str = ""
    is_far: bool = False

    @property
    def is_deflated(self) -> bool:
        return self.kind == "json"

    @property
    def is_binary(self) -> bool:
        return self.kind == "binary"

    @property
    def echo_url(self) -> str:
        return f"{self.server}/echo"

    @property
    def flood_url(self) -> str:
        far = "&far=1" if self.is_far else ""
        return f"{self.server}/flood?kind={self.kind}&size={self.size}{far}"

    @property
    def sink_url(self) -> str:
        return f"{self.server}/sink?size={self.size}&every={self.batch}"

    @property
    def beat_url(self) -> str:
        return f"{self.server}/beat?size={self.size}"

    @property
    def host(self) -> str:
        return self.server.partition("://")[2].partition(":")[0]

    @property
    def port(self) -> int:
        return int(self.server.rpartition(":")[2])

    def ssl_context(self) -> ssl.SSLContext | None:
        """Get the context that all connections share; None: no TLS."""
        return _context(self.cafile) if self.cafile else None

    def texts(self) -> list[str]:
        """Return a batch of messages to send, as str."""
        if self.is_deflated:
            texts = json_texts()
            return (texts * (self.batch // len(texts) + 1))[: self.batch]
        return [text_of(self.size)] * self.batch

    def payloads(self) -> list[bytes]:
        """Return a batch of messages to send, as bytes."""
        if self.is_binary:
            return [data_of(self.size)] * self.batch
        return [text.encode() for text in self.texts()]


@cache
def _context(cafile: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cafile)


def read_task() -> Task:
    """Read the task of this process."""
    return Task(**json.loads(sys.argv[1]))


def run_client(*works: Callable[[Task], None]) -> None:
    """Do the task of this process. A meter prints the result and ends the process.

    :param works: the works that the client can do; the name of a function is the name of its work.
    """
    pin("client")
    raise_file_limit()
    task = read_task()
    next(work for work in works if work.__name__ == task.work)(task)
    print(f"{task.work} ended without a result", file=sys.stderr, flush=True)
    os._exit(1)
