"""One end of a connection: where it comes, and all else that is decided by the seed."""

from __future__ import annotations

import random
import ssl
from dataclasses import dataclass, field
from typing import Any

import gevent
import gevent.event
import gevent.pool

from greenws.constants import SHORTEST_WAIT
from tests.support.peer import RawServerPeer


@dataclass
class Tools:
    """What all ends share.

    :param server_context: of the servers' TLS.
    :param cafile: of the authority that the clients trust.
    """

    server_context: ssl.SSLContext
    cafile: str


@dataclass
class Plan:
    """The decisions about one end.

    :param number: tells the ends of a seed apart.
    """

    number: int
    rng: random.Random
    tools: Tools
    place: str = ""
    deed: str = ""
    kind: str = ""
    is_secure: bool = False
    is_compressed: bool = False
    #: Where to connect to, and the options of the connection.
    url: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    #: The server's end of the latest connection, once there is one.
    peer: RawServerPeer | None = None
    #: What the user's handler does as soon as the connection is ready.
    activity: str = ""

    def __post_init__(self) -> None:
        #: Set when the connection has come to its place.
        self.reached = gevent.event.Event()

    def __str__(self) -> str:
        kinds = ["TLS"] * self.is_secure + ["compressed"] * self.is_compressed
        return f"end {self.number}: {self.deed} in {self.place} of {self.kind} {' '.join(kinds)}"

    def pause(self) -> None:
        """Let a random and short time go by: some turns of the loop, or some milliseconds."""
        if self.rng.random() < 0.7:
            for _ in range(self.rng.randrange(4)):
                gevent.sleep(0)
        else:
            gevent.sleep(self.rng.uniform(SHORTEST_WAIT, 0.02))
