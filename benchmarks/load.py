"""The load of the machine by others, while a row is measured.

Linux tells three things: the CPU time that all processes of the machine have used, the CPU time
that the host of a virtual machine has kept from it (*steal*), and, of each process, the time for
which the process was ready to run and had no core.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

#: The cores that others may use on a quiet machine. Each measurement starts a process, and the
#: kernel counts in hundredths of a second, so a smaller share would be noise.
QUIET = 0.05
#: The share of the time for which client or server may wait for its core on a quiet machine.
QUIET_WAIT = 0.03


@dataclass(frozen=True)
class Load:
    """What others took, during one measurement or during many.

    :param seconds: the length of the measurements.
    :param others: the seconds of CPU time of other processes.
    :param stolen: the seconds of CPU time that the host of a virtual machine has kept.
    :param waited: the seconds for which the client was ready and had no core.
    :param kept_waiting: the seconds for which the server was ready and had no core.
    """

    seconds: float
    others: float
    stolen: float
    waited: float
    kept_waiting: float

    @property
    def is_shared(self) -> bool:
        """Whether others have taken so much that wall time depends on them."""
        return self.seconds > 0 and (
            self.others + self.stolen > QUIET * self.seconds
            or max(self.waited, self.kept_waiting) > QUIET_WAIT * self.seconds
        )

    def __str__(self) -> str:
        def share(seconds: float) -> str:
            return f"{seconds / self.seconds if self.seconds else 0:.0%}"

        return (
            f"others used {share(self.others)} of a core, the host kept {share(self.stolen)}, the "
            f"client waited for its core for {share(self.waited)} of the time, and the server for "
            f"{share(self.kept_waiting)}"
        )

    def to_json(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


def add_up(loads: Iterable[Load | None]) -> Load | None:
    """Add up the loads of measurements; None: nothing is known of any of them."""
    known = [load for load in loads if load is not None]
    if not known:
        return None
    return Load(
        sum(load.seconds for load in known),
        sum(load.others for load in known),
        sum(load.stolen for load in known),
        sum(load.waited for load in known),
        sum(load.kept_waiting for load in known),
    )


class Watch:
    """Watches the machine from its creation to :meth:`stop`; everywhere but on Linux, blindly.

    :param server: the process of the server.
    :param helpers: other processes that belong to the measurement.
    """

    def __init__(self, server: int, *helpers: int) -> None:
        self._server = server
        self._running = (server, *helpers)
        self._start = self._look()

    def stop(self, result: dict[str, Any] | None) -> Load | None:
        """Tell the load since the creation. The client has ended; None: nothing is known.

        :param result: the result of the client; None: it had none.
        """
        end = self._look()
        if self._start is None or end is None:
            return None
        seconds, busy, stolen, own, kept = (
            now - then for now, then in zip(end, self._start, strict=True)
        )
        # The client tells how long it waited while it measured, which is a part of its life.
        waited = 0.0
        if result is not None and result.get("seconds"):
            waited = result.get("waited", 0.0) / result["seconds"] * seconds
        return Load(seconds, max(0.0, busy - own), stolen, waited, kept)

    def _look(self) -> tuple[float, ...] | None:
        try:
            busy, stolen = read_machine()
            running = sum(map(read_cpu_time, self._running))
            _, kept = read_process(self._server)
        except (OSError, ValueError, IndexError):
            return None  # not Linux, or a kernel that does not count
        children, this = (
            resource.getrusage(whose) for whose in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)
        )
        own = children.ru_utime + children.ru_stime + this.ru_utime + this.ru_stime + running
        return monotonic(), busy, stolen, own, kept


def read_machine(text: str | None = None) -> tuple[float, float]:
    """Return the seconds of CPU time of all processes, and those that the host has kept.

    Interrupts are left out: most are those of the benchmark's own packets.

    :param text: the content of ``/proc/stat``; None: that of this machine.
    """
    text = Path("/proc/stat").read_text(encoding="ascii") if text is None else text
    fields = [int(field) for field in text.splitlines()[0].split()[1:]]
    user, nice, system = fields[:3]
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system) / tick, fields[7] / tick


def read_cpu_time(pid: int | str) -> float:
    """Return the seconds of CPU time that a process has used, with all its threads."""
    # The name of the process, in brackets, may have spaces.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_process(pid: int | str) -> tuple[float, float]:
    """Return the seconds that the main thread had a core, and those that it was ready without."""
    ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()
    return int(ran) / 1e9, int(waited) / 1e9
