"""The client's side of a test: an iteration over events in a greenlet, a script in a process."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.subprocess

import greenws
from tests.support.waiting import PATIENCE


class Run:
    """An iteration over events in a greenlet of its own.

    :param handle: called with each event, in that greenlet.
    """

    def __init__(
        self, iterator: Iterator[Any], handle: Callable[[Any], object] | None = None
    ) -> None:
        self.events: list[Any] = []
        self.error: BaseException | None = None
        self._handle = handle
        self._changed = gevent.event.Event()
        self.greenlet = gevent.spawn(self._follow, iterator)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def all(self, name: str) -> list[Any]:
        """The events of a name so far."""
        return [event for event in self.events if event.name == name]

    def wait(self, name: str, count: int = 1, seconds: float = PATIENCE) -> Any:
        """Wait for the ``count``-th event of a name, and return it."""
        with gevent.Timeout(seconds, AssertionError(f"no {name}; there was {self.names}")):
            while len(found := self.all(name)) < count:
                assert not self.greenlet.dead, f"no {name}; there was {self.names}, {self.error!r}"
                self._changed.clear()
                self._changed.wait()
        return found[count - 1]

    def join(self, seconds: float = PATIENCE) -> Any:
        """Wait until the iteration has ended.

        :returns: its last event.
        :raises BaseException: the exception that came out of the iteration.
        """
        self.greenlet.join(seconds)
        assert self.greenlet.dead, f"not ended after {seconds} s; there was {self.names}"
        if self.error is not None:
            raise self.error
        return self.events[-1]

    def kill(self) -> None:
        self.greenlet.kill()

    def _follow(self, iterator: Iterator[Any]) -> None:
        try:
            for event in iterator:
                self.events.append(event)
                self._changed.set()
                if self._handle is not None:
                    self._handle(event)
        except BaseException as error:
            self.error = error
        finally:
            self._changed.set()
            close = getattr(iterator, "close", None)
            if close is not None:
                close()


def run_script(source: str, *args: object, seconds: float = 30.0) -> str:
    """Run Python code in a process of its own while the hub goes on.

    The process has to end with status 0.

    :returns: its output.
    """
    command = [sys.executable, "-u", "-W", "error", "-c", textwrap.dedent(source), *map(str, args)]
    root = Path(greenws.__path__[0]).parent  # greenws may not be installed
    process = gevent.subprocess.Popen(
        command, cwd=root, stdout=gevent.subprocess.PIPE, stderr=gevent.subprocess.STDOUT
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except BaseException:
        process.kill()
        process.wait()
        process.stdout.close()
        raise
    text: str = output.decode()
    assert process.returncode == 0, text
    return text
