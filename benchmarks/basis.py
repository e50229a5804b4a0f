"""The basis of a row: by what it is judged, and why.

Wall time is what a user waits for. It includes the server and the waking of two processes, so it
means nothing when others use the cores. The CPU time of the client is its own, and it leaves out
all waiting. Both are measured and reported; one of them counts for the bars.
"""

from __future__ import annotations

from dataclasses import dataclass

from .load import Load
from .rows import METRICS, Row

_WHY = {
    "cpu": "it is the client's own; from other work it gets nothing but colder caches",
    "memory": "it does not depend on what else runs",
    "at-work": "it does not depend on what else runs",
    "p99": "waiting is the point of the row",
}


@dataclass(frozen=True)
class Basis:
    """By what a row is judged.

    :param metric: the key of the metric whose ratios count; limits are always in the row's unit.
    :param why: the reason, as the end of a sentence.
    """

    metric: str
    why: str

    def __str__(self) -> str:
        return f"{METRICS[self.metric].title}: {self.why}"


def choose_basis(row: Row, judge: str, load: Load | None) -> Basis:
    """Choose the basis of a row.

    :param judge: ``auto``, ``time`` or ``cpu``.
    :param load: the load by others while the row was measured; None: it is not known.
    """
    metric = METRICS[row.metric]
    if not metric.is_timed:
        why = _WHY.get(row.metric, "there is no other measure")
        if row.metric == "p99" and load is not None and load.is_shared:
            why += f"; the machine was shared, so it includes the work of others ({load})"
        return Basis(row.metric, why)
    if judge == "time":
        return Basis(row.metric, "as asked")
    if judge == "cpu":
        return Basis(metric.cpu, "as asked")
    waits = (
        f"wall time includes {row.waits}" if row.waits else "wall time includes waits for a core"
    )
    if load is None:
        return Basis(metric.cpu, f"whether the machine was shared is not known, and {waits}")
    if load.is_shared:
        return Basis(metric.cpu, f"the machine was shared, and {waits} ({load})")
    return Basis(row.metric, f"the machine was quiet ({load})")
