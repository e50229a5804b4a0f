"""The command ``load``: from its options to its reports."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any, TextIO

import gevent

from ...redaction import redact_url
from ...url import parse_url
from ..echo import EchoProcess
from ..process import raise_descriptor_limit, signals_handled
from ..streams import report, write_output
from .comparison import format_comparison
from .fleet import Fleet
from .options import NONE, LoadOptions
from .page import to_html
from .progress import Progress
from .report import SecondsFile, build_report, to_json
from .run import LoadRun
from .summary import format_summary
from .tally import Tally

# Descriptors beyond those of the connections: the hub, pipes, libraries, name lookups.
_SPARE_DESCRIPTORS = 64


def run_load(options: LoadOptions) -> int:
    """Run the command, and print the summary.

    :returns: the exit status.
    :raises OutputError: stdout takes no more.
    """
    if not _has_descriptors(options):
        return 2
    reports = Reports(options)
    try:
        reports.open()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        report(f"greenws: cannot write {reports.current!r}: {reason}")
        return 2
    with ExitStack() as stack:
        stack.callback(reports.close)
        url = options.url
        if url is not None:
            where = redact_url(parse_url(url).redact())
        else:
            try:
                server = stack.enter_context(EchoProcess(options.largest))
            except ImportError as error:
                report(f"greenws: this Python starts no process for an echo server: {error}")
                return 1
            except (OSError, RuntimeError) as error:
                report(f"greenws: {error}")
                return 1
            url = server.url
            where = f"{url} (started by this command)"
        signals: list[int] = []
        with signals_handled(signals.append):
            write_output(
                f"load: {options.connections:,} connections to {where}, "
                f"{options.describe_messages()}\n"
            )
        if signals:
            return 128 + signals[0]
        is_one_way = options.expect == NONE
        tally = Tally(options.connections, options.messages, options.processes, is_one_way)
        tally.on_second = reports.add_second
        try:
            _run(options, url, tally)
        except (OSError, ValueError, ImportError) as error:
            report(f"greenws: cannot start the processes: {error}")
            return 1
        finally:
            tally.finish()
            write_output(f"{format_summary(tally)}\n")
        figures = build_report(tally, options, where)
        if options.earlier is not None:
            write_output(f"{format_comparison(options.earlier, figures)}\n")
        is_written = reports.write(figures)
    return tally.exit_status if is_written else tally.exit_status or 1


def _has_descriptors(options: LoadOptions) -> bool:
    """Tell whether each process may have as many descriptors as it needs; if not, say so."""
    limit = raise_descriptor_limit()
    connections = -(-options.connections // options.processes)
    needed = connections + _SPARE_DESCRIPTORS
    if needed <= limit:
        return True
    each = "" if options.processes == 1 else " in each process"
    most = max(0, limit - _SPARE_DESCRIPTORS) * options.processes
    report(
        f"greenws: {connections:,} connections{each} need {needed:,} descriptors, and this "
        f"process may have {limit:,}: raise the hard limit (ulimit -Hn {needed}), "
        f"or ask for at most -c {most}"
    )
    return False


def _run(options: LoadOptions, url: str, tally: Tally) -> None:
    run: Fleet | LoadRun
    if options.processes > 1:
        run = Fleet(options, url, tally)
    else:
        run = LoadRun(
            options,
            url,
            tally.add,
            meet=lambda step: tally.note_step(step, options.ramp is not None),
        )

    def interrupt(number: int) -> None:
        tally.interrupted_by = number
        run.interrupt()

    progress = gevent.spawn(Progress(tally, sys.stderr, options.duration).follow)
    try:
        with signals_handled(interrupt):
            run.run()
    finally:
        progress.kill()


class Reports:
    """The files of a run."""

    def __init__(self, options: LoadOptions) -> None:
        self._options = options
        self._seconds: SecondsFile | None = None
        self._stream: TextIO | None = None
        # Whether each file took everything.
        self._is_whole = True
        #: The name of the file that was opened last.
        self.current: str = ""

    def open(self) -> None:
        """Make sure that all files can be written, before the run: what they have stays so far.

        :raises OSError: one cannot; :attr:`current` says which.
        :raises ValueError: likewise.
        """
        options = self._options
        for name in (options.json, options.html):
            if name is not None:
                self.current = name
                open(name, "a", encoding="utf-8").close()
        if options.csv is not None:
            self.current = options.csv
            # As long as the run.
            self._stream = open(options.csv, "w", encoding="utf-8", newline="")  # noqa: SIM115
            try:
                self._seconds = SecondsFile(self._stream)
            except OSError:
                self.close()
                raise

    def add_second(self, point: Any) -> None:
        """Write the line of a second."""
        if self._seconds is not None:
            try:
                self._seconds.add(point)
            except OSError as error:
                self._fail(self._options.csv, error)
                self._seconds = None

    def write(self, figures: dict[str, Any]) -> bool:
        """Write the reports of the whole run.

        :returns: whether all files took everything.
        """
        options = self._options
        if options.json is not None:
            self._write_file(options.json, to_json(figures))
        if options.html is not None:
            self._write_file(options.html, to_html(figures, options.earlier))
        return self._is_whole

    def close(self) -> None:
        """Close the files. Idempotent."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except OSError as error:
                if self._seconds is not None:  # else it was told before
                    self._fail(self._options.csv, error)

    def _write_file(self, name: str, text: str) -> None:
        try:
            with open(name, "w", encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            self._fail(name, error)

    def _fail(self, name: str | None, error: OSError) -> None:
        self._is_whole = False
        report(f"greenws: cannot write {name!r}: {error.strerror or error}")
