"""Counts the turns of the hub's loop."""

from __future__ import annotations

from types import TracebackType

import gevent


class Turns:
    """Counts the turns of the loop within a ``with`` block."""

    def __init__(self) -> None:
        #: Turns so far in which the loop has polled.
        self.count = 0
        self._watcher = gevent.get_hub().loop.check(ref=False)

    def __enter__(self) -> Turns:
        self._watcher.start(self._add)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watcher.stop()
        self._watcher.close()

    def _add(self) -> None:
        self.count += 1
