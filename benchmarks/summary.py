"""The summary of the results: medians, paired ratios, and whether the bars hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from .peers import Peer
from .rows import METRICS, Bar, Row

Results = dict[str, list[dict[str, Any] | None]]


@dataclass(frozen=True)
class Ratio:
    """The factor by which the subject was better than a peer: the median of the rounds.

    More than 1 is better, whatever the metric.
    """

    median: float
    worst: float
    best: float


@dataclass(frozen=True)
class Line:
    """One peer in one row.

    :param value: the median, in the unit of the row's metric.
    :param ratio: the ratio of the subject to this peer; None: this peer is the subject.
    :param cpu: the median CPU time of a message, or of a megabyte if the metric is the throughput, in
        microseconds; None: the work does not measure
        CPU time.
    :param cpu_ratio: the ratio of the subject to this peer, by CPU time of a message.
    :param busy: the median share of the time in which the client had a core. Well below 1, the
        client waited for the server or for the core.
    """

    peer: str
    family: str
    value: float
    ratio: Ratio | None
    cpu: float | None
    cpu_ratio: Ratio | None
    busy: float | None


@dataclass(frozen=True)
class Verdict:
    """A bar, the reached value, and whether the bar holds; ``holds`` None: no peer to compare."""

    bar: str
    reached: float | None
    holds: bool | None


@dataclass(frozen=True)
class RowSummary:
    """The results of one row."""

    name: str
    title: str
    metric: str
    unit: str
    subject: str
    lines: list[Line] = field(default_factory=list)
    bars: list[Verdict] = field(default_factory=list)
    aim: Verdict | None = None
    failures: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RowSummary:
        """Read a summary that :meth:`to_json` has written."""

        def ratio(item: dict[str, float] | None) -> Ratio | None:
            return None if item is None else Ratio(**item)

        lines = [
            Line(**{**line, "ratio": ratio(line["ratio"]), "cpu_ratio": ratio(line["cpu_ratio"])})
            for line in data["lines"]
        ]
        bars = [Verdict(**bar) for bar in data["bars"]]
        aim = None if data["aim"] is None else Verdict(**data["aim"])
        return cls(**{**data, "lines": lines, "bars": bars, "aim": aim})


def value_of(metric: str, result: dict[str, Any]) -> float:
    """Compute the value of a metric, in the unit of the metric."""
    if metric == "rate":
        return float(result["messages"] / result["seconds"])
    if metric == "throughput":
        return float(result["messages"] * result["size"] / result["seconds"] / 1e6)
    if metric == "cpu-of-megabyte":
        return float(result["cpu"] / (result["messages"] * result["size"]) * 1e12)
    if metric == "memory":
        return float(result["bytes"] / result["connections"] / 1024)
    if metric == "time":
        return float(result["seconds"] * 1000)
    if metric == "p99":
        return float(result["p99"] * 1000)
    return float(result["cpu"] / result["messages"] * 1e6)


def summarize(
    row: Row, peers: Sequence[Peer], results: Results, failures: dict[str, str], by_cpu: bool
) -> RowSummary:
    """Summarize a row.

    :param by_cpu: whether to judge rates by CPU time of a message, for a busy machine.
    """
    _, unit, _ = METRICS[row.metric]
    mine = results.get(row.subject, [])
    cpu = "cpu-of-megabyte" if row.metric == "throughput" else "cpu"
    lines = []
    for peer in peers:
        theirs = results.get(peer.name, [])
        found = [result for result in theirs if result is not None]
        if not found:
            continue
        is_subject = peer.name == row.subject
        has_cpu = all("cpu" in result for result in found)
        lines.append(
            Line(
                peer.name,
                peer.family,
                median(value_of(row.metric, result) for result in found),
                None if is_subject else _compare(row.metric, mine, theirs),
                median(value_of(cpu, result) for result in found) if has_cpu else None,
                _compare(cpu, mine, theirs) if has_cpu and not is_subject else None,
                median(r["cpu"] / r["seconds"] for r in found) if has_cpu else None,
            )
        )
    judged_by_cpu = by_cpu and row.metric == "rate"
    return RowSummary(
        row.name,
        row.title,
        row.metric,
        unit,
        row.subject,
        lines,
        [_judge(bar, row, lines, judged_by_cpu) for bar in row.bars],
        _judge(row.aim, row, lines, judged_by_cpu),
        failures,
    )


def _compare(
    metric: str,
    mine: Sequence[dict[str, Any] | None],
    theirs: Sequence[dict[str, Any] | None],
) -> Ratio | None:
    """Compare the results of each round."""
    more_is_better = METRICS[metric][2]
    ratios = []
    for own, other in zip(mine, theirs, strict=False):
        if own is None or other is None:
            continue
        values = value_of(metric, own), value_of(metric, other)
        own_value, other_value = values if more_is_better else values[::-1]
        ratios.append(own_value / other_value)
    if not ratios:
        return None
    return Ratio(median(ratios), min(ratios), max(ratios))


def _judge(bar: Bar, row: Row, lines: Sequence[Line], by_cpu: bool) -> Verdict:
    if bar.limit is not None:
        own = [line.value for line in lines if line.peer == row.subject]
        return Verdict(str(bar), own[0], own[0] <= bar.limit) if own else _unknown(bar)
    ratios = [
        ratio.median
        for line in lines
        if line.family == bar.family
        and (ratio := line.cpu_ratio if by_cpu else line.ratio) is not None
    ]
    if not ratios:
        return _unknown(bar)
    reached = min(ratios)  # the ratio to the best peer of the family
    return Verdict(str(bar), reached, reached >= bar.factor)


def _unknown(bar: Bar) -> Verdict:
    return Verdict(str(bar), None, None)
