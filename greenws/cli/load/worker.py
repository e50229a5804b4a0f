"""One of the processes of ``load --processes``: ``python -m greenws.cli.load.worker``.

stdin brings the options and what this process has of the run, then commands; stdout takes what has
happened, and the name of each step before which this process waits for the others. When stdin ends,
the main process has gone, and this one ends at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import gevent
from gevent.lock import Semaphore
from gevent.queue import SimpleQueue

from ..process import raise_descriptor_limit
from .pipes import STOP, pack, read_instructions, write_stdout
from .run import LoadRun


def main() -> int:
    """Run this process's part of a run.

    :returns: the exit status.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the main process that ends a run
    raise_descriptor_limit()
    try:
        (options, url, share), commands = read_instructions()
    except EOFError:
        return 1
    goes = Semaphore(0)
    speaker = Speaker()

    def meet(step: str) -> None:
        speaker.tell(step)
        goes.acquire()

    run = LoadRun(options, url, speaker.tell, share, meet)
    gevent.spawn(_obey, commands, run, goes)
    run.run()
    speaker.finish()
    return 0


class Speaker:
    """Tells the main process things, one after the other.

    Nobody who tells something waits until it is written: whoever reports may be killed, and what is
    half told would be worse than lost.
    """

    def __init__(self) -> None:
        # None is the end.
        self._queue: SimpleQueue[object] = SimpleQueue()
        self._greenlet = gevent.spawn(self._speak)

    def tell(self, thing: object) -> None:
        """Tell a thing. Returns at once, and lets nobody else run."""
        self._queue.put(thing)

    def finish(self) -> None:
        """Wait until everything is told."""
        self._queue.put(None)
        self._greenlet.join()

    def _speak(self) -> None:
        while (thing := self._queue.get()) is not None:
            try:
                write_stdout(pack(thing))
            except OSError:  # the main process has gone
                os._exit(1)


def _obey(commands: Iterator[bytes], run: LoadRun, goes: Semaphore) -> None:
    with contextlib.suppress(OSError):
        for command in commands:
            if command == STOP:
                run.interrupt()
            else:
                goes.release()
    # Without the main process there is nobody to report to, and nothing to wait for.
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
