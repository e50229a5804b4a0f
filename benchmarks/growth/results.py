"""The results: every measurement of every curve, as JSON, and as tables in reST."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from ..report import format_value, grid

#: The bytes from which a message is also given by its cost a byte.
LARGE = 4096


@dataclass
class CurveResults:
    """The measurements of one curve.

    :param values: the values of each round, by peer and by quantity, in ``unit``.
    :param bases: the resident set before the first connection, in KiB, by peer; of curves of
        memory.
    :param kernel: what the kernel holds for both ends of a connection, in KiB, round by round.
    :param opening: the CPU time to open one of the most connections, in µs, by peer.
    """

    name: str
    title: str
    unit: str
    of: str
    is_drawn: bool
    values: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    bases: dict[str, list[float]] = field(default_factory=dict)
    kernel: list[float] = field(default_factory=list)
    opening: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, peer: str, quantity: int, result: dict[str, Any]) -> None:
        """Add what a client has reported."""
        if "points" in result:
            self._add_points(peer, result)
            return
        if self.unit == "KiB":
            value = result["bytes"] / result["connections"] / 1024
        else:
            value = result["cpu"] / result["messages"] * 1e6
        self._add_value(peer, quantity, value)

    def _add_points(self, peer: str, result: dict[str, Any]) -> None:
        for point in result["points"]:
            count = point["connections"]
            self._add_value(peer, count, point["bytes"] / count / 1024)
        last = result["points"][-1]
        count = last["connections"]
        self.bases.setdefault(peer, []).append(round(result["base"] / 1024))
        self.opening.setdefault(peer, []).append(_round(last["cpu"] / count * 1e6))
        if last["kernel"] is not None:
            self.kernel.append(_round(last["kernel"] / count / 1024))

    def _add_value(self, peer: str, quantity: int, value: float) -> None:
        self.values.setdefault(peer, {}).setdefault(quantity, []).append(_round(value))

    def line(self, peer: str) -> dict[int, float]:
        """Return a value for each quantity.

        CPU time is the least of the rounds, as others can only add to it; memory is the median.
        """
        best = median if self.unit == "KiB" else min
        return {quantity: best(values) for quantity, values in self.values.get(peer, {}).items()}

    def last(self, peer: str) -> tuple[int, float] | None:
        """Return the largest quantity and its value; None: the peer was not measured."""
        line = self.line(peer)
        return max(line.items()) if line else None

    def by_byte(self) -> CurveResults | None:
        """Return large messages by nanoseconds a byte; None: the curve is not over bytes."""
        if self.of != "bytes":
            return None
        found = CurveResults(
            f"{self.name}-byte", f"{self.title}: a byte", "ns", self.of, self.is_drawn
        )
        for peer, points in self.values.items():
            large = {
                size: [_round(value * 1000 / size) for value in values]
                for size, values in points.items()
                if size >= LARGE
            }
            if large:
                found.values[peer] = large
        return found if found.values else None


def _round(value: float) -> float:
    """Round to four significant digits."""
    return float(f"{value:.4g}")


@dataclass
class Growth:
    """The circumstances and the results of a run.

    :param limits: the kernel's limits that bound connections.
    :param ping_rate: greenws's default, in seconds.
    """

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    build: str
    server: str
    pace: dict[str, Any]
    is_pinned: bool
    limits: dict[str, int]
    ping_rate: float
    curves: list[CurveResults] = field(default_factory=list)

    def to_json(self) -> str:
        data = {**vars(self), "curves": [asdict(curve) for curve in self.curves]}
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace(
            '{"name"', '\n{"name"'
        )

    @classmethod
    def from_json(cls, text: str) -> Growth:
        """Read what :meth:`to_json` has written."""
        data = json.loads(text)
        data["curves"] = [_read_curve(curve) for curve in data["curves"]]
        return cls(**data)

    def find(self, name: str) -> CurveResults | None:
        """Find the results of a curve; None: it was not measured."""
        return next((curve for curve in self.curves if curve.name == name), None)

    def panels(self) -> list[CurveResults]:
        """Return the curves that are drawn, those by byte beside those by message."""
        found = []
        for curve in self.curves:
            if curve.is_drawn and curve.values:
                found += [curve, curve.by_byte()]
        return [curve for curve in found if curve is not None]

    def describe(self) -> list[str]:
        """Describe the run in a few lines."""
        machine = self.machine
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        pinned = "client and server on a core each" if self.is_pinned else "not pinned to cores"
        return [
            (
                f"{self.date}; {machine['python']}; {machine['system']}; {machine['processor']}, "
                f"{machine['cores']} cores; {pinned}."
            ),
            f"greenws: {self.build}. {versions}. Server on {self.server}.",
            (
                f"{self.pace['rounds']} rounds of {self.pace['seconds']:g} s. CPU time is that of "
                "the client process, system calls included: the least of the rounds. Memory is "
                "the median."
            ),
        ]


def _read_curve(data: dict[str, Any]) -> CurveResults:
    values = {
        peer: {int(quantity): found for quantity, found in points.items()}
        for peer, points in data["values"].items()
    }
    return CurveResults(**{**data, "values": values})


def format_quantity(quantity: int, of: str) -> str:
    """Format a quantity of an axis: 64 KiB, 10,000."""
    if of != "bytes":
        return f"{quantity:,}"
    for size, unit in ((1024**2, "MiB"), (1024, "KiB")):
        if quantity >= size:
            return f"{quantity / size:g} {unit}"
    return f"{quantity} B"


def curve_table(curve: CurveResults) -> str:
    """Write a curve as a table: a line for each quantity, a column for each peer."""
    lines = {peer: curve.line(peer) for peer in curve.values}
    quantities = sorted({quantity for line in lines.values() for quantity in line})
    rows = [[curve.of, *lines]]
    for quantity in quantities:
        cells = [
            format_value(line[quantity], curve.unit) if quantity in line else ""
            for line in lines.values()
        ]
        rows.append([format_quantity(quantity, curve.of), *cells])
    parts = [curve.title, "~" * len(curve.title), "", grid(rows)]
    parts += [f"\n{name} failed: {why}" for name, why in curve.failures.items()]
    return "\n".join(parts)
