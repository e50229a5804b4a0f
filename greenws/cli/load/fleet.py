"""A load run in several processes, whose counts are merged as the run goes on.

The processes take the steps of the run together. Each of them reports ten times a second, so what
it has done counts even if it is killed. A process ends with its stdin: it cannot outlive this one.
"""

from __future__ import annotations

import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any

import gevent

from .clients import CLOSE_TIMEOUT
from .options import LoadOptions
from .pipes import GO, STOP, pack, read_objects
from .run import Share, share_out
from .tally import Portion, Tally

if TYPE_CHECKING:
    from gevent.subprocess import Popen

# Seconds that a process may take to end, after it has closed its connections.
_END_TIMEOUT = 5.0


class Fleet:
    """The processes of one run.

    :param url: the URL of the server.
    :param tally: where to count.
    """

    def __init__(self, options: LoadOptions, url: str, tally: Tally) -> None:
        self._options = options
        self._url = url
        self._tally = tally
        self._members: list[Member] = []
        self._is_interrupted = False

    def run(self) -> None:
        """Run until all messages are exchanged, or until :meth:`interrupt` is called.

        :raises OSError: a process could not be started.
        :raises ValueError: the options cannot be handed to another process.
        """
        shares = share_out(self._options.connections, self._options.processes)
        try:
            tasks = [pack((self._options, self._url, share)) for share in shares]
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise ValueError(f"--processes: {error}") from error
        try:
            for share, task in zip(shares, tasks, strict=True):
                self._members.append(Member(share, task))
            if self._is_interrupted:
                self.interrupt()
            followers = [gevent.spawn(self._follow, member) for member in self._members]
            try:
                gevent.joinall(followers, raise_error=True)
            finally:
                gevent.killall(followers)
        finally:
            # All of them are told before one of them is waited for.
            for member in self._members:
                member.let_go()
            for member in self._members:
                member.end()

    def interrupt(self) -> None:
        """End the run. May be called from everywhere, any number of times."""
        self._is_interrupted = True
        for member in self._members:
            gevent.spawn(member.command, STOP)

    def _follow(self, member: Member) -> None:
        """Take what a process tells, until it has ended."""
        tally = self._tally
        index = member.share.index
        assert member.process.stdout is not None
        for thing in read_objects(member.process.stdout):
            if isinstance(thing, Portion):
                member.total.merge(thing)
                tally.add(thing, index)
            else:
                member.step = thing
                self._go_on()
        member.is_over = True
        member.let_go()
        status = member.process.wait()
        if status != 0:
            tally.add(member.describe_loss(status), index)
        tally.end(index)
        self._go_on()

    def _go_on(self) -> None:
        """Have the processes go on, if all of them wait for the same step."""
        running = [member for member in self._members if not member.is_over]
        if not running or (step := running[0].step) is None:
            return
        if any(member.step != step for member in running):
            return
        self._tally.note_step(step, self._options.ramp is not None)
        for member in running:
            member.step = None
            member.command(GO)


class Member:
    """One process of a run.

    :param task: the instructions for the process.
    :raises OSError: the process could not be started.
    """

    def __init__(self, share: Share, task: bytes) -> None:
        # Where Python cannot start a process, everything else can be used all the same.
        from gevent.subprocess import PIPE, Popen

        self.share: Share = share
        #: What the process has told.
        self.total: Portion = Portion()
        #: The step before which the process waits; None: it does not wait.
        self.step: str | None = None
        #: Whether the process tells no more.
        self.is_over: bool = False
        self.process: Popen[Any] = Popen(
            [sys.executable, "-m", "greenws.cli.load.worker"],
            stdin=PIPE,
            stdout=PIPE,
            # Ctrl-C on the terminal is for the main process, which tells the others.
            start_new_session=True,
        )
        self.command(task)

    def command(self, data: bytes) -> None:
        """Give the process a command, if it is still there."""
        stdin = self.process.stdin
        assert stdin is not None
        if stdin.closed:
            return
        try:
            stdin.write(data)
            stdin.flush()
        except OSError:
            pass  # it has ended; whoever reads its output says so

    def describe_loss(self, status: int) -> Portion:
        """Return what is lost with a process that has ended too early.

        :param status: its exit status; negative: the number of the signal.
        """
        how = f"exit status {status}"
        if status < 0:
            how = f"signal {-status}"
            if -status in set(signal.Signals):
                how = signal.Signals(-status).name
        total = self.total
        lost = Portion(total.second)
        lost.closed = total.connected - total.closed
        lost.failures[f"a process of this run ended too early ({how})"] = max(
            1, self.share.connections - total.failed
        )
        return lost

    def let_go(self) -> None:
        """Let the process end: its stdin ends."""
        stdin = self.process.stdin
        assert stdin is not None
        try:
            stdin.close()
        except OSError:
            pass  # the process has ended before it had read everything

    def end(self) -> None:
        """Wait until the process has ended, and free what it had."""
        from gevent.subprocess import TimeoutExpired

        try:
            self.process.wait(CLOSE_TIMEOUT + _END_TIMEOUT)
        except TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
