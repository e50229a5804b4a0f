"""The summary of the results: medians, paired ratios, and whether the bars hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from .basis import Basis, choose_basis
from .load import Load
from .peers import Peer
from .rows import METRICS, Bar, Row

Result = dict[str, Any] | None
Results = dict[str, list[Result]]


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
    :param low: the lowest value.
    :param high: the highest value.
    :param ratio: the ratio of the subject to this peer; None: this peer is the subject.
    :param rate: the median of the messages a second, by wall time; None: the work counts none.
    :param rate_ratio: the ratio of the subject to this peer, by messages a second.
    :param cpu: the median CPU time of a message, in microseconds; None: the work does not measure
        CPU time.
    :param cpu_ratio: the ratio of the subject to this peer, by CPU time of a message.
    :param busy: the median share of the time in which the client had a core. Well below 1, the
        client waited for the server or for the core.
    """

    peer: str
    family: str
    value: float
    low: float
    high: float
    ratio: Ratio | None
    rate: float | None
    rate_ratio: Ratio | None
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
    """The results of one row.

    :param basis: by what the row is judged, and why.
    :param rounds: the rounds that were run.
    :param still: the last rounds, in which the figures stood still: all figures are of these; 0:
        the figures did not stand still, and are of all rounds.
    :param connections: the connections of each client; None: the work has one.
    :param load: what others took of the machine meanwhile; None: it is not known.
    :param date: the day of the measurement.
    :param commit: the commit that was measured; empty: it is not known.
    """

    name: str
    title: str
    metric: str
    unit: str
    subject: str
    basis: Basis
    rounds: int = 0
    still: int = 0
    connections: int | None = None
    load: Load | None = None
    lines: list[Line] = field(default_factory=list)
    bars: list[Verdict] = field(default_factory=list)
    aim: Verdict | None = None
    failures: dict[str, str] = field(default_factory=dict)
    date: str = ""
    commit: str = ""

    @property
    def own(self) -> Line | None:
        """The line of the subject; None: the subject failed."""
        return next((line for line in self.lines if line.peer == self.subject), None)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "load": None if self.load is None else self.load.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RowSummary:
        """Read a summary that :meth:`to_json` has written."""

        def ratio(item: dict[str, float] | None) -> Ratio | None:
            return None if item is None else Ratio(**item)

        ratios = ("ratio", "rate_ratio", "cpu_ratio")
        lines = [
            Line(**{**line, **{name: ratio(line[name]) for name in ratios}})
            for line in data["lines"]
        ]
        return cls(
            **{
                **data,
                "basis": Basis(**data["basis"]),
                "load": None if data["load"] is None else Load(**data["load"]),
                "lines": lines,
                "bars": [Verdict(**bar) for bar in data["bars"]],
                "aim": None if data["aim"] is None else Verdict(**data["aim"]),
            }
        )


def value_of(metric: str, result: dict[str, Any]) -> float:
    """Compute the value of a metric, in the unit of the metric."""
    if metric == "rate":
        return float(result["messages"] / result["seconds"])
    if metric == "memory":
        return float(result["bytes"] / result["connections"] / 1024)
    if metric == "at-work":
        return float(result["bytes"] / result["idle_bytes"])
    if metric == "time":
        return float(result["seconds"] * 1000)
    if metric == "p99":
        return float(result["p99"] * 1000)
    return float(result["cpu"] / result["messages"] * 1e6)


def summarize(
    row: Row,
    peers: Sequence[Peer],
    results: Results,
    failures: dict[str, str],
    *,
    judge: str = "time",
    load: Load | None = None,
    steady: int = 2,
    connections: int | None = None,
) -> RowSummary:
    """Summarize a row.

    :param judge: ``time``, ``cpu``, or ``auto``: by CPU time if the machine was shared.
    :param load: what others took of the machine while the row was measured.
    :param steady: the rounds whose figures have to be alike to stand still.
    """
    basis = choose_basis(row, judge, load)
    wanted = row.options.get("connections")
    # The title of a row names its connections.
    title = row.title if connections in (None, wanted) else f"{row.title} (here {connections:,})"
    still = count_still(row, basis.metric, peers, results, steady)
    rounds = max(map(len, results.values()), default=0)
    used = {name: theirs[-still:] if still else theirs for name, theirs in results.items()}
    lines = [
        _sum_up(row, peer, used[row.subject], used[peer.name])
        if row.subject in used
        else _sum_up(row, peer, [], used[peer.name])
        for peer in peers
        if any(result is not None for result in used.get(peer.name, []))
    ]
    return RowSummary(
        row.name,
        title,
        row.metric,
        METRICS[row.metric].unit,
        row.subject,
        basis,
        rounds,
        still,
        connections,
        load,
        lines,
        [_judge(bar, row, lines, basis.metric) for bar in row.bars],
        _judge(row.aim, row, lines, basis.metric),
        failures,
    )


def count_still(row: Row, metric: str, peers: Sequence[Peer], results: Results, steady: int) -> int:
    """Count the last rounds in which the figures that count stood still.

    These figures are the values of the subject, and its ratios to the peers that the bars name.
    They stand still as long as they are within the tolerance of the metric around their median.

    :param steady: the least count.
    :returns: 0: fewer rounds than ``steady`` were alike.
    """
    mine = results.get(row.subject, [])
    series: list[list[float]] = []
    for peer in peers:
        theirs = results.get(peer.name, [])
        if peer.name == row.subject:
            series.append([value_of(metric, result) for result in theirs if result is not None])
        elif any(bar.family == peer.family for bar in row.bars):
            series.append(_ratios(metric, mine, theirs))
    # A peer that has failed has fewer figures, and is out of the row.
    rounds = len(mine)
    series = [values for values in series if len(values) == rounds]
    tolerance = METRICS[metric].tolerance
    still = 0
    for count in range(steady, rounds + 1):
        if not all(_is_still(values[-count:], tolerance) for values in series):
            break
        still = count
    return still if series else 0


def _is_still(values: Sequence[float], tolerance: float) -> bool:
    return max(values) - min(values) <= tolerance * median(values)


def _sum_up(row: Row, peer: Peer, mine: Sequence[Result], theirs: Sequence[Result]) -> Line:
    found = [result for result in theirs if result is not None]
    is_subject = peer.name == row.subject

    def median_of(metric: str) -> float:
        return median(value_of(metric, result) for result in found)

    def compare(metric: str) -> Ratio | None:
        return None if is_subject else _compare(metric, mine, theirs)

    cpu = METRICS[row.metric].cpu
    has_cpu = all("cpu" in result for result in found)
    has_rate = all("messages" in result for result in found)
    values = [value_of(row.metric, result) for result in found]
    return Line(
        peer.name,
        peer.family,
        median(values),
        min(values),
        max(values),
        compare(row.metric),
        median_of("rate") if has_rate else None,
        compare("rate") if has_rate else None,
        median_of(cpu) if has_cpu else None,
        compare(cpu) if has_cpu else None,
        median(result["cpu"] / result["seconds"] for result in found) if has_cpu else None,
    )


def _compare(metric: str, mine: Sequence[Result], theirs: Sequence[Result]) -> Ratio | None:
    """Compare the results of each round."""
    ratios = _ratios(metric, mine, theirs)
    return Ratio(median(ratios), min(ratios), max(ratios)) if ratios else None


def _ratios(metric: str, mine: Sequence[Result], theirs: Sequence[Result]) -> list[float]:
    ratios = []
    for own, other in zip(mine, theirs, strict=False):
        if own is None or other is None:
            continue
        values = value_of(metric, own), value_of(metric, other)
        own_value, other_value = values if METRICS[metric].more_is_better else values[::-1]
        ratios.append(own_value / other_value)
    return ratios


def _judge(bar: Bar, row: Row, lines: Sequence[Line], metric: str) -> Verdict:
    if bar.limit is not None:
        own = [line.value for line in lines if line.peer == row.subject]
        return Verdict(str(bar), own[0], own[0] <= bar.limit) if own else _unknown(bar)
    ratios = [
        ratio.median
        for line in lines
        if line.family == bar.family
        and (ratio := line.ratio if metric == row.metric else line.cpu_ratio) is not None
    ]
    if not ratios:
        return _unknown(bar)
    reached = min(ratios)  # the ratio to the best peer of the family
    return Verdict(str(bar), reached, reached >= bar.factor)


def _unknown(bar: Bar) -> Verdict:
    return Verdict(str(bar), None, None)
