"""On paper: what a million connections cost, out of what a run has measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..report import grid
from .results import CurveResults, Growth

COUNT = 1_000_000
#: The seconds from one message of a connection, or request of a user, to its next one.
MESSAGE_EVERY = 60.0
#: The share of a core that a process may use in the long run; the rest is for bursts.
SHARE = 0.5
#: The connections of one process.
EACH = 10_000

_GIB = 1024**2  # in KiB


@dataclass(frozen=True)
class Measured:
    """One measured figure, by its letter."""

    letter: str
    what: str
    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.value:,.4g} {self.unit}"


@dataclass(frozen=True)
class Cost:
    """One derived figure, and how it is derived."""

    what: str
    formula: str
    value: str


def find_measured(growth: Growth) -> dict[str, Measured]:
    """Take the figures of a run that the paper needs; those that were not measured are missing."""
    found = []
    ramp = growth.find("ramp")
    if ramp is not None:
        found += [
            _last(ramp, "m", "memory of an idle connection in its process"),
            _best(ramp, "o", "CPU time to open a connection", ramp.opening.get("greenws"), "µs"),
            _best(ramp, "b", "memory of a process without connections", _mib(ramp), "MiB"),
            _best(ramp, "k", "kernel memory of one end of a connection", _half(ramp), "KiB"),
        ]
    found += [
        _last(growth.find("echo"), "e", "CPU time of a message and its reply"),
        _last(growth.find("ping"), "p", "CPU time of a ping and its pong"),
        _last(growth.find("locust-idle"), "u", "memory of an idle user of Locust"),
        _last(growth.find("locust-echo"), "r", "CPU time of a user's request and its reply"),
    ]
    return {item.letter: item for item in found if item is not None}


def _last(curve: CurveResults | None, letter: str, what: str) -> Measured | None:
    if curve is None or not curve.values:
        return None
    peer = next(iter(curve.values))
    last = curve.last(peer) if peer.startswith("greenws") else None
    if last is None:
        return None
    return Measured(letter, f"{what}, of {last[0]:,}", last[1], curve.unit)


def _best(
    curve: CurveResults, letter: str, what: str, values: list[float] | None, unit: str
) -> Measured | None:
    return Measured(letter, what, min(values), unit) if values else None


def _mib(ramp: CurveResults) -> list[float]:
    return [base / 1024 for base in ramp.bases.get("greenws", [])]


def _half(ramp: CurveResults) -> list[float]:
    return [both / 2 for both in ramp.kernel]


def find_costs(growth: Growth) -> list[Cost]:
    """Derive what a million connections cost."""
    measured = find_measured(growth)
    value = {letter: item.value for letter, item in measured.items()}
    costs = []

    def add(what: str, formula: str, result: object) -> None:
        costs.append(Cost(what, formula, str(result)))

    processes = math.ceil(COUNT / EACH)
    if "m" in value:
        add("connections, in the processes", "10⁶ · m", gib(COUNT * value["m"]))
    if "b" in value:
        add(
            f"processes of {EACH:,} connections each",
            f"10⁶ / {EACH:,} = {processes}; {processes} · b",
            gib(processes * value["b"] * 1024),
        )
    if "k" in value:
        add("connections, in the kernel", "10⁶ · k", gib(COUNT * value["k"]))
    if "p" in value:
        rate = COUNT / growth.ping_rate
        add(
            f"pings, each {growth.ping_rate:g} s (the default)",
            f"10⁶ / {growth.ping_rate:g} s · p",
            cores(rate * value["p"]),
        )
    if "e" in value:
        add(
            f"a message and its reply, each {MESSAGE_EVERY:g} s",
            f"10⁶ / {MESSAGE_EVERY:g} s · e",
            cores(COUNT / MESSAGE_EVERY * value["e"]),
        )
    if "o" in value:
        seconds = COUNT * value["o"] / 1e6
        add("opening all of them", "10⁶ · o", f"{seconds:,.0f} s of a core")
    if "e" in value and "p" in value and "o" in value:
        busy = (value["p"] / growth.ping_rate + value["e"] / MESSAGE_EVERY) * EACH / 1e4
        add(
            f"a process of {EACH:,}, in the long run",
            f"{EACH:,} · (p / {growth.ping_rate:g} s + e / {MESSAGE_EVERY:g} s)",
            f"{busy:.1f} % of a core",
        )
        most = SHARE * 1e6 / (value["p"] / growth.ping_rate + value["e"] / MESSAGE_EVERY)
        add(
            f"connections that fill {SHARE:.0%} of a core",
            f"{SHARE:g} / (p / {growth.ping_rate:g} s + e / {MESSAGE_EVERY:g} s)",
            f"{float(f'{most:.3g}'):,.0f}",
        )
    if "source ports" in growth.limits:
        ports = growth.limits["source ports"]
        add(
            "source addresses, for one address and port of a server",
            f"10⁶ / {ports:,} source ports",
            math.ceil(COUNT / ports),
        )
    if "fs.nr_open" in growth.limits:
        add(
            "descriptors of a process, as fs.nr_open allows",
            f"{EACH:,} and some of {growth.limits['fs.nr_open']:,}",
            "enough" if growth.limits["fs.nr_open"] > EACH else "too few",
        )
        add(
            "descriptors of the machine, as fs.file-max allows",
            f"10⁶ and some of {growth.limits['fs.file-max']:,}",
            "enough" if growth.limits["fs.file-max"] > COUNT else "too few",
        )
    if "u" in value:
        add("users of Locust, in its workers", "10⁶ · u", gib(COUNT * value["u"]))
    if "r" in value:
        add(
            f"a request of each user, each {MESSAGE_EVERY:g} s",
            f"10⁶ / {MESSAGE_EVERY:g} s · r",
            cores(COUNT / MESSAGE_EVERY * value["r"]),
        )
    return costs


def gib(kibibytes: float) -> str:
    """Format an amount of memory in GiB."""
    return f"{kibibytes / _GIB:.3g} GiB"


def cores(microseconds: float) -> str:
    """Format CPU time a second as a number of cores."""
    return f"{microseconds / 1e6:.2g} cores"


def million_tables(growth: Growth) -> str:
    """Write the figures and what follows from them as two tables."""
    measured = [["", "measured", "figure"]]
    measured += [[item.letter, item.what, str(item)] for item in find_measured(growth).values()]
    costs = [["a million connections", "from", "cost"]]
    costs += [[cost.what, cost.formula, cost.value] for cost in find_costs(growth)]
    title = "A million connections, on paper"
    return "\n".join([title, "~" * len(title), "", grid(measured), "", grid(costs)])
