"""The rows: the measurements, and the results that greenws must reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .link import Link
from .peers import Peer


@dataclass(frozen=True)
class Metric:
    """What a row measures.

    :param title: the title of the values.
    :param unit: the unit of the values.
    :param more_is_better: whether the greater value is the better one.
    :param tolerance: the spread, relative to the median, within which values stand still.
    :param cpu: the metric of the CPU time that belongs to the values.
    :param is_timed: whether the values depend on wall time, and can be judged by CPU time instead.
    """

    title: str
    unit: str
    more_is_better: bool
    tolerance: float
    cpu: str = "cpu"
    is_timed: bool = False


METRICS = {
    "rate": Metric("messages a second", "1/s", True, 0.05, is_timed=True),
    "throughput": Metric("megabytes a second", "MB/s", True, 0.1, cpu="cpu-of-megabyte"),
    "cpu": Metric("CPU time of a message", "µs", False, 0.05),
    "cpu-of-megabyte": Metric("CPU time of a megabyte", "µs", False, 0.1),
    "cpu-of-waiting": Metric("CPU time of a second", "µs", False, 0.2, cpu="cpu-of-waiting"),
    "memory": Metric("memory a connection", "KiB", False, 0.02),
    "at-work": Metric("memory at work, relative to idle", "x", False, 0.02),
    "time": Metric("time for all", "ms", False, 0.15, is_timed=True),
    "p99": Metric("99th percentile of round trips", "ms", False, 0.25),
}


@dataclass(frozen=True)
class Bar:
    """A result that greenws must reach, relative to a family or absolute.

    :param factor: the factor by which greenws must be better than the best peer of ``family``.
    :param limit: the worst allowed value, in the unit of the metric; None: ``factor`` applies.
    """

    family: str = ""
    factor: float = 1.0
    limit: float | None = None

    def __str__(self) -> str:
        if self.limit is not None:
            return f"≤ {self.limit:g}"
        return f"{self.factor:g} x {self.family}"


@dataclass(frozen=True)
class Row:
    """One work under one load.

    A row is added by one more item of :data:`ROWS`. Its ``work`` is the name of a function in each
    client that can do it, and a name in ``can`` of these peers.

    :param bars: what greenws must reach; a run with a missed bar fails.
    :param aim: the result beyond the bars; a missed aim is only told.
    :param link: the link between client and server; None: loopback.
    :param waits: what else the wall time of the row depends on, besides the client; empty: nothing.
        On a shared machine, a row whose metric is timed is judged by CPU time.
    :param needs: the abilities that a peer must have, besides ``work``.
    :param options: the options of the task.
    :param subject: the peer that the bars are about.
    :param rivals: the families that take part; empty: all families.
    """

    name: str
    title: str
    work: str
    metric: str
    bars: tuple[Bar, ...]
    aim: Bar
    options: dict[str, object] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    subject: str = "greenws"
    rivals: frozenset[str] = frozenset()
    link: Link | None = None
    waits: str = ""

    @property
    def is_tls(self) -> bool:
        return "tls" in self.needs

    def suits(self, peer: Peer) -> bool:
        """Tell whether a peer takes part."""
        if peer.family.startswith("greenws") and peer.name not in self.rivals | {self.subject}:
            return False
        if self.rivals and peer.family not in self.rivals | {self.subject}:
            return False
        return peer.can >= self.needs | {self.work}

    @property
    def judges(self) -> frozenset[str]:
        """The families named in the bars and the aim, and the subject."""
        families = {bar.family for bar in (*self.bars, self.aim) if bar.family}
        return frozenset(families | {self.subject})


_TLS = frozenset({"tls"})
_MANY = frozenset({"many"})
_DEFLATE = frozenset({"deflate"})
_WISHES = frozenset({"deflate", "wishes"})
_SEQUENTIAL = frozenset({"greenws", "websockets", "websockets-sync", "websocket-client"})
#: Who is compared over a slow link.
_FAR = frozenset({"greenws-no-busy-poll", "websockets", "aiohttp"})
#: 50 ms each way, without loss, and with 1 % of the packets lost.
_CLEAN = Link(delay=0.05)
_LOSSY = Link(delay=0.05, loss=0.01)
#: A connection takes a second or two to fill the link, so each measurement is longer than others.
_FILL = {"kind": "binary", "size": 64 * 1024, "is_far": True, "seconds": 4.0, "warmup": 2.5}
#: Level with the peers, as far as runs can tell.
_LEVEL = (Bar("websockets", 0.9), Bar("aiohttp", 0.9))
#: The same with lost packets: which ones are lost makes more difference than which client runs.
_LEVEL_IN_LOSS = (Bar("websockets", 0.75), Bar("aiohttp", 0.75))
_SERVER = "the server, on the other core"
_WAKES = "the wake-ups of two processes on two cores"
_JSON = {"kind": "json", "size": 1024}
_LARGE_JSON = {"kind": "json", "size": 64 * 1024}

#: The smallest windows that zlib has, on both sides.
SMALL_WINDOWS = {"client_max_window_bits": 9, "server_max_window_bits": 9}
#: Each message is compressed for itself, on both sides.
NO_TAKEOVER = {"client_no_context_takeover": True, "server_no_context_takeover": True}

ROWS: tuple[Row, ...] = (
    Row(
        "receive-text",
        "receive 64 B text, one connection",
        "receive",
        "rate",
        (Bar("picows", 1.7), Bar("lomond", 30.0)),
        Bar("picows", 3.0),
    ),
    Row(
        "receive-binary",
        "receive 16 KiB binary",
        "receive",
        "rate",
        (Bar("picows"),),
        Bar("bare-socket"),
        {"kind": "binary", "size": 16 * 1024},
        waits=_SERVER,
    ),
    Row(
        "send-text",
        "send 64 B text in a loop",
        "send",
        "rate",
        (Bar("picows", 4.0),),
        Bar("picows", 8.0),
        {"batch": 20_000},
        waits=_SERVER,
    ),
    Row(
        "send-binary",
        "send 64 KiB binary",
        "send",
        "rate",
        (Bar("picows"),),
        Bar("bare-socket"),
        {"kind": "binary", "size": 64 * 1024, "batch": 400},
        waits=_SERVER,
    ),
    Row(
        "ping-pong",
        "ping-pong 32 B, one connection",
        "echo",
        "rate",
        (Bar("picows"),),
        Bar("bare-gevent"),
        {"size": 32},
        waits=_WAKES,
    ),
    Row(
        "echo-many",
        "2,000 connections echoing 64 B",
        "echo",
        "cpu",
        (Bar("picows", 1.1), Bar("bare-gevent", 1.2), Bar("websocket-client", 3.0)),
        Bar("bare-socket"),
        {"connections": 2000},
        _MANY,
    ),
    Row(
        "memory",
        "an open idle connection, greenlet included",
        "idle",
        "memory",
        # 1.15 before free memory was given back first, which had hidden some of each client.
        (Bar("aiohttp", 1.05),),
        Bar("aiohttp", 1.15),
        {"connections": 1000},
    ),
    Row(
        "memory-at-work",
        "2,000 connections after 100 echoes each",
        "at_work",
        "at-work",
        (Bar(limit=1.05),),
        Bar(limit=1.0),
        {"connections": 2000, "exchanges": 100},
    ),
    Row(
        "connect",
        "connect and close",
        "connect",
        "cpu",
        (Bar("websockets", 1.6),),
        Bar(limit=70.0),
        {"connections": 10},
    ),
    Row(
        "tls-receive-text",
        "receive 64 B text over TLS",
        "receive",
        "rate",
        (Bar("picows", 1.3),),
        Bar("picows", 2.0),
        {},
        _TLS,
        waits=_SERVER,
    ),
    Row(
        "tls-connect",
        "connect and close over TLS, same host",
        "connect",
        "cpu",
        (Bar("aiohttp", 1.35),),
        Bar("aiohttp", 2.0),
        {"connections": 10},
        _TLS,
    ),
    Row(
        "tls-memory",
        "an open idle TLS connection",
        "idle",
        "memory",
        (Bar("aiohttp", 1.4), Bar("picows"), Bar("websocket-client")),
        Bar("aiohttp", 1.7),
        {"connections": 500},
        _TLS,
    ),
    Row(
        "pure-receive-text",
        "receive 64 B text, pure-Python build",
        "receive",
        "rate",
        (Bar("websockets", 4.0),),
        Bar("websockets", 5.0),
        subject="greenws-pure",
        rivals=frozenset({"picows", "aiohttp", "websockets", "lomond"}),
    ),
    Row(
        "deflate-receive",
        "receive 1 KiB JSON, permessage-deflate",
        "receive",
        "cpu",
        (Bar("aiohttp", 1.1),),
        Bar("bare-socket"),
        _JSON,
        _DEFLATE,
    ),
    Row(
        "deflate-send",
        "send 1 KiB JSON, permessage-deflate",
        "send",
        "cpu",
        (Bar("aiohttp", 1.6),),
        Bar("bare-socket"),
        {**_JSON, "batch": 1024},
        _DEFLATE,
    ),
    Row(
        "deflate-memory",
        "a compressing connection, after 3 x 1 KiB",
        "idle",
        "memory",
        (Bar(limit=75.0),),
        Bar(limit=65.0),
        {**_JSON, "connections": 1000, "exchanges": 3},
        _WISHES,
    ),
    Row(
        "deflate-memory-windows",
        "a compressing connection, windows of 9 bits",
        "idle",
        "memory",
        (Bar(limit=45.0),),
        Bar(limit=35.0),
        {**_JSON, "connections": 1000, "exchanges": 3, "wishes": SMALL_WINDOWS},
        _WISHES,
    ),
    Row(
        "deflate-memory-alone",
        "a compressing connection, no context takeover",
        "idle",
        "memory",
        (Bar(limit=20.0),),
        Bar(limit=15.0),
        {**_JSON, "connections": 1000, "exchanges": 3, "wishes": NO_TAKEOVER},
        _WISHES,
    ),
    Row(
        "deflate-memory-large",
        "a compressing connection, after 3 x 64 KiB",
        "idle",
        "memory",
        (Bar(limit=250.0),),
        Bar(limit=200.0),
        {**_LARGE_JSON, "connections": 500, "exchanges": 3},
        _WISHES,
    ),
    Row(
        "deflate-memory-large-alone",
        "after 3 x 64 KiB, no context takeover",
        "idle",
        "memory",
        (Bar(limit=20.0),),
        Bar(limit=15.0),
        {**_LARGE_JSON, "connections": 500, "exchanges": 3, "wishes": NO_TAKEOVER},
        _WISHES,
    ),
    Row(
        "fairness",
        "50 ping-pongs of 64 B beside a flood",
        "fairness",
        "p99",
        (Bar(limit=5.0),),
        Bar(limit=2.0),
        {"connections": 50},
        waits=_SERVER,
    ),
    Row(
        "connection-ping-pong",
        "ping-pong 32 B, send() and receive()",
        "echo",
        "rate",
        (Bar("greenws", 0.8), Bar("websockets-sync", 2.0)),
        Bar("greenws"),
        {"size": 32},
        subject="greenws-connection",
        rivals=_SEQUENTIAL,
        waits=_WAKES,
    ),
    Row(
        "connection-receive-text",
        "receive 64 B text, iterating a Connection",
        "receive",
        "rate",
        (Bar("websockets", 3.0),),
        Bar("websockets", 6.0),
        subject="greenws-connection",
        rivals=_SEQUENTIAL,
    ),
    Row(
        "connection-memory",
        "an open idle Connection",
        "idle",
        "memory",
        (Bar("greenws"),),
        Bar("greenws", 2.0),
        {"connections": 1000},
        subject="greenws-connection",
        rivals=frozenset({"greenws"}),
    ),
    Row(
        "group-memory",
        "an open idle client in a group",
        "idle",
        "memory",
        (Bar("greenws", 0.99),),
        Bar("greenws"),
        {"connections": 2000},
        subject="greenws-group",
        rivals=frozenset({"greenws"}),
    ),
    Row(
        "group-echo",
        "2,000 clients of a group echoing 64 B",
        "echo",
        "cpu",
        (Bar("greenws", 0.99),),
        Bar("greenws"),
        {"connections": 2000},
        _MANY,
        subject="greenws-group",
        rivals=frozenset({"greenws"}),
    ),
    Row(
        "group-drain",
        "closing 2,000 clients of a group",
        "drain",
        "time",
        (Bar(limit=3000.0), Bar("greenws", 0.9)),
        Bar(limit=500.0),
        {"connections": 2000},
        subject="greenws-group",
        rivals=frozenset({"greenws"}),
        waits=_SERVER,
    ),
    Row(
        "locust-echo",
        "200 users of Locust echoing 64 B without a pause",
        "locust_echo",
        "rate",
        (Bar("websocket-client-locust", 1.8),),
        Bar("websocket-client-locust", 2.5),
        {"connections": 200},
        _MANY,
        subject="greenws-locust",
        rivals=frozenset({"websocket-client-locust"}),
        waits=_WAKES,
    ),
    Row(
        "open-receive",
        "receive 64 KiB, 50 ms away",
        "receive",
        "throughput",
        _LEVEL,
        Bar("aiohttp"),
        _FILL,
        rivals=_FAR,
        link=_CLEAN,
    ),
    Row(
        "open-receive-loss",
        "receive 64 KiB, 50 ms away, 1 % of packets lost",
        "receive",
        "throughput",
        _LEVEL_IN_LOSS,
        Bar("aiohttp"),
        _FILL,
        rivals=_FAR,
        link=_LOSSY,
    ),
    Row(
        "open-send",
        "send 64 KiB, 50 ms away",
        "upload",
        "throughput",
        _LEVEL,
        Bar("aiohttp"),
        {**_FILL, "batch": 8},
        rivals=_FAR,
        link=_CLEAN,
    ),
    Row(
        "open-send-loss",
        "send 64 KiB, 50 ms away, 1 % of packets lost",
        "upload",
        "throughput",
        _LEVEL_IN_LOSS,
        Bar("aiohttp"),
        {**_FILL, "batch": 8},
        rivals=_FAR,
        link=_LOSSY,
    ),
    Row(
        "open-ping-pong",
        "ping-pong 32 B, 50 ms away",
        "echo",
        "cpu",
        _LEVEL,
        Bar("aiohttp"),
        {"size": 32, "seconds": 3.0, "warmup": 0.5},
        rivals=_FAR,
        link=_CLEAN,
    ),
    Row(
        "open-echo-many",
        "200 connections echoing 64 B, 50 ms away",
        "echo",
        "cpu",
        _LEVEL,
        Bar("aiohttp"),
        {"connections": 200, "seconds": 3.0, "warmup": 0.5},
        _MANY,
        rivals=_FAR,
        link=_CLEAN,
    ),
    Row(
        "open-idle",
        "waiting for a message, 50 ms away, one connection of 100",
        "rest",
        "cpu-of-waiting",
        (Bar(limit=100.0),),
        Bar(limit=20.0),
        {"connections": 100, "seconds": 3.0, "warmup": 0.5},
        rivals=_FAR,
        link=_CLEAN,
    ),
)


def find_rows(wanted: list[str] | None) -> list[Row]:
    """Find rows by name or pattern, such as ``open-*``; None: all rows.

    :raises ValueError: a name is unknown, or a pattern fits no row.
    """
    if not wanted:
        return list(ROWS)
    for name in wanted:
        if not any(fnmatchcase(row.name, name) for row in ROWS):
            raise ValueError(
                f"unknown row: {name}; there are {', '.join(row.name for row in ROWS)}"
            )
    return [row for row in ROWS if any(fnmatchcase(row.name, name) for name in wanted)]
