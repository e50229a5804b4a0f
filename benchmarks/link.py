"""A slow link: packets wait 50 ms in it, some are lost, and its router has a queue that ends.

:class:`Pipe` is one direction, and does no I/O: it is told the time. :class:`Forwarder` moves
packets between two descriptors that give and take one packet a call, such as TUN devices.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random
from time import monotonic

#: The largest packet, in bytes, with room for the headers of a device.
PACKET_SIZE = 2048
#: The packets that are taken from one end before the other end gets its turn.
BURST = 64


@dataclass(frozen=True)
class Link:
    """What a link is like, the same in both directions.

    :param delay: the seconds that a packet is on its way.
    :param loss: the share of the packets that are lost by chance.
    :param rate: the bytes a second that the link takes.
    :param queue: the bytes that wait for the link, at most; packets beyond are lost.
    :param seed: chooses the packets that are lost.
    """

    delay: float = 0.05
    loss: float = 0.0
    rate: float = 125e6
    queue: int = 4 * 1024 * 1024
    seed: int = 1

    def __str__(self) -> str:
        return f"{self.delay * 1000:g} ms each way, {self.loss:.0%} of the packets lost"

    def to_json(self) -> dict[str, float]:
        return asdict(self)


class Pipe:
    """One direction of a link.

    :param direction: makes another choice of lost packets of the link's seed.
    """

    def __init__(self, link: Link, direction: int = 0) -> None:
        self._link = link
        self._random = Random(link.seed * 2 + direction)
        # Packets on their way, with the time of their arrival.
        self._packets: deque[tuple[float, bytes]] = deque()
        # When the last packet will have left the router's queue.
        self._free_at = 0.0
        #: Packets that came out.
        self.passed = 0
        #: Packets lost by chance.
        self.lost = 0
        #: Packets that found the queue full.
        self.refused = 0
        #: The most seconds that a packet came out too late.
        self.lateness = 0.0

    @property
    def due(self) -> float | None:
        """When the next packet arrives; None: the pipe is empty."""
        return self._packets[0][0] if self._packets else None

    def push(self, packet: bytes, now: float) -> None:
        """Take a packet that is sent now."""
        link = self._link
        # Every packet takes a number, whatever becomes of it: so the choice is that of the seed.
        if self._random.random() < link.loss:
            self.lost += 1
            return
        begins = max(self._free_at, now)
        if (begins - now) * link.rate + len(packet) > link.queue:
            self.refused += 1
            return
        self._free_at = begins + len(packet) / link.rate
        self._packets.append((self._free_at + link.delay, packet))

    def pop(self, now: float) -> bytes | None:
        """Return the next packet that has arrived by now; None: there is none."""
        packets = self._packets
        if not packets or packets[0][0] > now:
            return None
        due, packet = packets.popleft()
        self.passed += 1
        self.lateness = max(self.lateness, now - due)
        return packet

    def count(self) -> dict[str, float]:
        """Return what the pipe has counted."""
        return {
            "passed": self.passed,
            "lost": self.lost,
            "refused": self.refused,
            "lateness": self.lateness,
        }


class Forwarder:
    """Moves packets between two ends.

    :param ends: two descriptors that do not block: a read gives one packet, a write takes one.
    :param clock: tells the time, in seconds.
    """

    def __init__(
        self, ends: tuple[int, int], link: Link, clock: Callable[[], float] = monotonic
    ) -> None:
        self._clock = clock
        first, second = ends
        #: The two directions, each with the end it reads and the end it writes.
        self.ways = (
            (first, second, Pipe(link)),
            (second, first, Pipe(link, direction=1)),
        )

    def run(self, control: int) -> None:
        """Move packets until ``control``, a descriptor, is readable."""
        ways = {source: pipe for source, _, pipe in self.ways}
        watched = [control, *ways]
        while True:
            readable, _, _ = select.select(watched, [], [], self._wait())
            for source in readable:
                if source == control:
                    return
                self._take(source, ways[source])
            self._deliver()

    def _wait(self) -> float | None:
        """Return the seconds until the next packet arrives; None: no packet is on its way."""
        due = [pipe.due for _, _, pipe in self.ways if pipe.due is not None]
        return max(0.0, min(due) - self._clock()) if due else None

    def _take(self, source: int, pipe: Pipe) -> None:
        now = self._clock()
        for _ in range(BURST):
            try:
                packet = os.read(source, PACKET_SIZE)
            except BlockingIOError:
                return
            pipe.push(packet, now)

    def _deliver(self) -> None:
        for _, target, pipe in self.ways:
            now = self._clock()
            while (packet := pipe.pop(now)) is not None:
                try:
                    os.write(target, packet)
                except OSError:
                    pipe.refused += 1  # the device takes no more, as its queue is full
