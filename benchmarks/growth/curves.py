"""The curves: the work of each one, the peers that it has, and the points at which it is measured.

Each curve has a floor, a client of bare sockets: where the floor bends as well, the bend is the
kernel's or the processor's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..clients.meter import marks_up_to
from ..rows import Bar, Row
from ..runner import Pace

KIB = 1024
MIB = 1024 * KIB

#: The most connections of a curve.
MOST_CONNECTIONS = 10_000
#: The largest message, in bytes.
LARGEST = 64 * MIB
#: The bytes of a batch of messages that are sent, and the most messages of one.
BATCH_BYTES = 32 * MIB
BATCH = 20_000

Options = dict[str, object]


@dataclass(frozen=True)
class Curve:
    """One cost over one quantity.

    :param unit: of the values: µs or KiB.
    :param of: the quantity on the axis: connections, bytes or connects.
    :param peers: greenws, and where it says something one other client and the floor.
    :param points: computes the quantities to measure, up to a largest one.
    :param options: computes the options of the task for a quantity.
    :param each: seconds to warm up, and to measure, for each connection or connect under way: all
        of them are to have had their turn more than once.
    :param is_drawn: whether the picture has a panel for the curve.
    """

    name: str
    title: str
    work: str
    unit: str
    of: str
    peers: tuple[str, ...]
    points: Callable[[int], list[int]]
    options: Callable[[int], Options]
    largest: int
    each: float = 0.0
    is_drawn: bool = True

    def row(self, quantity: int) -> Row:
        """Return the work at one point, as the runner takes it."""
        return Row(self.name, self.title, self.work, "cpu", (), Bar(), self.options(quantity))

    def pace(self, pace: Pace, quantity: int) -> Pace:
        """Return the pace of one point: a longer one for many connections."""
        least = self.each * quantity
        return replace(pace, seconds=max(pace.seconds, least), warmup=max(pace.warmup, least))


def sizes_up_to(limit: int) -> list[int]:
    """Return the powers of four from 1 to ``limit``, which is the last one."""
    sizes = [4**power for power in range(20)]
    return [size for size in sizes if size < limit] + [limit]


def under_way_up_to(limit: int) -> list[int]:
    """Return 1, 3, 10, 30 and so on, up to ``limit``, which is the last one."""
    return [count for count in (1, 3) if count < limit] + marks_up_to(limit)


def only_last(limit: int) -> list[int]:
    """Return ``limit`` alone."""
    return [limit]


def _connections(count: int) -> Options:
    return {"connections": count, "size": 64}


def _received(size: int) -> Options:
    return {"kind": "binary", "size": size}


def _received_text(size: int) -> Options:
    return {"kind": "text", "size": size}


def _sent(size: int) -> Options:
    return {**_received(size), "batch": min(BATCH, max(1, BATCH_BYTES // size))}


_OWN_AND_FLOOR = ("greenws", "picows+uvloop", "bare socket")

CURVES: tuple[Curve, ...] = (
    Curve(
        "echo",
        "an echo of 64 B, by connections",
        "echo",
        "µs",
        "connections",
        _OWN_AND_FLOOR,
        marks_up_to,
        _connections,
        MOST_CONNECTIONS,
        each=1e-4,
    ),
    Curve(
        "beat",
        "a received message of 64 B, by connections",
        "beat",
        "µs",
        "connections",
        _OWN_AND_FLOOR,
        marks_up_to,
        _connections,
        MOST_CONNECTIONS,
        each=1e-4,
    ),
    Curve(
        "receive",
        "a received binary message, by its size",
        "receive",
        "µs",
        "bytes",
        _OWN_AND_FLOOR,
        sizes_up_to,
        _received,
        LARGEST,
    ),
    Curve(
        "receive-text",
        "a received text, by its size",
        "receive",
        "µs",
        "bytes",
        ("greenws", "picows+uvloop"),
        sizes_up_to,
        _received_text,
        LARGEST,
    ),
    Curve(
        "send",
        "a sent binary message, by its size",
        "send",
        "µs",
        "bytes",
        _OWN_AND_FLOOR,
        sizes_up_to,
        _sent,
        LARGEST,
    ),
    Curve(
        "ramp",
        "an open idle connection, by connections",
        "ramp",
        "KiB",
        "connections",
        ("greenws", "picows+uvloop"),
        only_last,  # the client itself stops and weighs on its way
        _connections,
        MOST_CONNECTIONS,
    ),
    Curve(
        "connect",
        "connect and close, by connects under way",
        "connect",
        "µs",
        "connects",
        ("greenws", "websockets+uvloop", "bare gevent.socket"),
        under_way_up_to,
        _connections,
        1000,
        each=1e-3,
    ),
    Curve(
        "ping",
        "a ping that greenws sends by itself, and its pong",
        "ping",
        "µs",
        "connections",
        ("greenws",),
        only_last,
        _connections,
        MOST_CONNECTIONS,
        is_drawn=False,
    ),
    Curve(
        "locust-idle",
        "a user of Locust with an open connection",
        "locust_idle",
        "KiB",
        "connections",
        ("greenws-locust",),
        only_last,
        _connections,
        1000,
        is_drawn=False,
    ),
    Curve(
        "locust-echo",
        "a request of a user of Locust, and its reply",
        "locust_echo",
        "µs",
        "connections",
        ("greenws-locust",),
        only_last,
        _connections,
        1000,
        is_drawn=False,
    ),
)


def find_curves(wanted: list[str] | None) -> list[Curve]:
    """Find curves by name; None: all curves.

    :raises ValueError: a name is unknown.
    """
    names = [curve.name for curve in CURVES]
    for name in wanted or []:
        if name not in names:
            raise ValueError(f"unknown curve: {name}; there are {', '.join(names)}")
    return [curve for curve in CURVES if not wanted or curve.name in wanted]
