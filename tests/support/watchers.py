"""A watcher of the loop that a test fires itself."""

from __future__ import annotations

from typing import Any


class FakeWatcher:
    """A prepare watcher, a check watcher or a timer, which counts its starts."""

    def __init__(self) -> None:
        self.callback: Any = None
        self.starts = 0

    def start(self, callback: Any) -> None:
        self.callback = callback
        self.starts += 1

    def stop(self) -> None:
        self.callback = None

    def fire(self) -> None:
        self.callback()
