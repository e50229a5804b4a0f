"""The command ``echo``: an echo server, in this process or in one of its own."""

from __future__ import annotations

import ssl
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from ..testing import EchoServer
from .process import raise_descriptor_limit, read_stdin, signals_handled
from .streams import report, write_output

if TYPE_CHECKING:
    from gevent.subprocess import Popen

# Seconds that the process may take to listen, and to end. Both usually take less than a second;
# the limits are for a busy machine.
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0


@dataclass(frozen=True)
class EchoOptions:
    """The options of the command."""

    host: str
    port: int
    certfile: str | None
    keyfile: str | None
    max_size: int
    until_eof: bool


def run_echo(options: EchoOptions) -> int:
    """Run an echo server until SIGINT, SIGTERM or, with ``until_eof``, the end of stdin.

    The first line on stdout is the URL of the server.

    :returns: the exit status: 1 if the server could not start or stdin could not be read, else 0.
    :raises OutputError: stdout does not take the URL.
    """
    raise_descriptor_limit()
    try:
        context = _load_certificate(options)
    except OSError as error:
        report(f"greenws: cannot load the certificate: {error}")
        return 1
    try:
        server = EchoServer(
            host=options.host,
            port=options.port,
            ssl_context=context,
            max_size=options.max_size or None,
            history=0,
        ).start()
    except (OSError, UnicodeError) as error:  # the latter for a name that cannot be one
        where = f"{options.host}:{options.port}"
        report(f"greenws: cannot listen on {where}: {error}")
        return 1
    stopped = Event()
    waiter = gevent.spawn(_wait_for_eof, stopped) if options.until_eof else None
    try:
        with signals_handled(lambda number: stopped.set()):
            write_output(f"{server.url}\n")
            stopped.wait()
    finally:
        if waiter is not None:
            waiter.kill()
        failure = _stop(server)
    if failure is not None:
        report(f"greenws: a connection failed: {type(failure).__name__}: {failure}")
    return 1 if failure is not None or (waiter is not None and waiter.value is False) else 0


def _stop(server: EchoServer) -> Exception | None:
    """Stop the server; return the first failure of a connection."""
    try:
        server.stop()
    except Exception as error:
        return error
    return None


def _load_certificate(options: EchoOptions) -> ssl.SSLContext | None:
    if options.certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certfile, options.keyfile)
    return context


def _wait_for_eof(stopped: Event) -> bool:
    """Wait for the end of stdin; return whether stdin could be read until then."""
    try:
        while read_stdin():
            gevent.sleep(0)  # a file or /dev/zero keeps nobody waiting
        return True
    except OSError as error:
        report(f"greenws: cannot read stdin: {error.strerror}")
        return False
    finally:
        stopped.set()


class EchoProcess:
    """An echo server in a process of its own, within a ``with`` block.

    The server ends with its parent process, even if the parent is killed: the server's stdin is a
    pipe from the parent.

    :param max_size: the largest message, in bytes.
    :raises RuntimeError: on entering the block, the server did not start.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._process: Popen[bytes] | None = None
        #: The URL of the server; empty before the server runs.
        self.url: str = ""

    def __enter__(self) -> EchoProcess:
        # Where Python cannot start a process, the other commands can be used all the same.
        from gevent.subprocess import PIPE, Popen

        command = [sys.executable, "-m", "greenws", "echo", "--port=0", "--until-eof"]
        process: Popen[bytes] = Popen(
            [*command, f"--max-size={self._max_size}"],
            stdin=PIPE,
            stdout=PIPE,
            # Ctrl-C on the terminal must not reach the server, which has to outlive the run.
            start_new_session=True,
        )
        self._process = process
        assert process.stdout is not None
        try:
            with gevent.Timeout(_START_TIMEOUT, RuntimeError("the echo server did not start")):
                self.url = process.stdout.readline().decode().strip()
            if not self.url:
                raise RuntimeError("the echo server did not start")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        process = self._process
        if process is None:
            return
        self._process = None
        from gevent.subprocess import TimeoutExpired

        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT)
        except TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
