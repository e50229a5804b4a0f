"""The standard streams of a command: closed, full, slow, narrow of encoding, and a terminal."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import pty
import signal
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.os
import pytest
from gevent import subprocess

from greenws.cli import streams
from greenws.cli.streams import (
    OutputError,
    escape,
    escape_line,
    report,
    write_output,
    write_quietly,
)
from greenws.testing import EchoServer, ServerConnection, close_with, reject
from tests.support.run import run_script
from tests.support.ticker import Ticker

ROOT = Path(__file__).parents[2]
LIMIT = 30

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")

# What a server may send to take over a terminal, or to lie on it.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\rfake\x08\x9b6n\x7f\u202eevil\u2066\u200f\u2028\ufeff\x00"


def run(
    redirects: str, *arguments: str, env: dict[str, str] | None = None
) -> tuple[int, bytes, bytes]:
    """Run a command with redirects of a shell.

    :returns: its exit status, and what came to stdout and stderr.
    """
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirects}', "sh", sys.executable, "-m", "greenws", *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        with gevent.Timeout(LIMIT):
            out, err = process.communicate()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err


@pytest.fixture
def say() -> Iterator[str]:
    """The URL of a server that sends a message and closes with 1000."""

    def serve(connection: ServerConnection) -> None:
        connection.send("zwölf €")

    with EchoServer(serve) as server:
        yield server.url


# Closed, full and unreadable streams


@pytest.mark.parametrize(
    ("redirects", "out", "err"),
    [
        ("<&-", True, True),
        (">&-", False, True),
        ("2>&-", True, False),
        ("<&- 2>&-", True, False),
        (">&- 2>&-", False, False),
        ("<&- >&- 2>&-", False, False),
    ],
)
def test_connect_does_its_work_with_closed_streams(
    redirects: str, out: bool, err: bool, say: str
) -> None:
    status, told, reported = run(redirects, "connect", say, "--wait", "5")
    assert status == 0, reported
    assert told.decode() == ("zwölf €\n" if out else "")
    assert reported == (b"connected\ndisconnected: closed (code 1000)\n" if err else b"")


@pytest.mark.parametrize("redirects", ["<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_load_does_its_work_with_closed_streams(redirects: str) -> None:
    # Its own server inherits them.
    status, out, err = run(redirects, "load", "-c", "2", "-n", "2")
    assert (status, err) == (0, b"")
    assert (b"messages    4 of 4 in " in out) == (">&-" not in redirects)


@pytest.mark.parametrize("redirects", ["<&-", "<&- >&- 2>&-"])
def test_echo_takes_a_closed_stdin_as_its_end(redirects: str) -> None:
    status, out, err = run(redirects, "echo", "--port=0", "--until-eof")
    assert (status, err) == (0, b"")
    assert out.startswith(b"ws://127.0.0.1:") == (">&-" not in redirects)


@needs_full
@pytest.mark.parametrize("command", ["connect", "load", "echo", "--help", "--version"])
@pytest.mark.parametrize("redirects", [">/dev/full", ">/dev/full 2>&1"])
def test_full_stdout_is_an_error_in_one_line(command: str, redirects: str, say: str) -> None:
    arguments = {"connect": [say, "--wait=5"], "load": ["-c2"], "echo": ["--port=0"]}
    status, out, err = run(redirects, command, *arguments.get(command, []))
    assert (status, out) == (1, b"")
    if redirects.endswith("&1"):
        assert err == b""
    else:
        assert err.splitlines()[-1] == b"greenws: cannot write to stdout: No space left on device"
        assert b"Traceback" not in err


@needs_full
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["connect", "", "--wait=5"], 0),
        (["load", "-c1", "-n1"], 0),
        (["load", "-c", "x"], 2),
        ([], 2),
    ],
)
def test_full_stderr_changes_nothing(arguments: list[str], expected: int, say: str) -> None:
    arguments = [say if argument == "" else argument for argument in arguments]
    status, out, err = run("2>/dev/full", *arguments)
    assert (status, err) == (expected, b"")
    assert bool(out) == (expected == 0)


@pytest.mark.parametrize("arguments", [["load", "-c2"], ["echo", "--port=0"], ["load", "--help"]])
def test_reader_that_has_gone_ends_a_command_without_a_word(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-m", "greenws", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    with gevent.Timeout(LIMIT):
        _out, err = process.communicate()
    assert (process.returncode, err) == (1, b"")


def test_reader_of_stderr_that_has_gone_changes_nothing(say: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-m", "greenws", "connect", say, "--wait=5"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=writing,
    )
    os.close(writing)
    with gevent.Timeout(LIMIT):
        out, _err = process.communicate()
    assert (process.returncode, out.decode()) == (0, "zwölf €\n")


def test_unreadable_stdin_is_told(tmp_path: Path) -> None:
    with EchoServer() as server:
        status, _out, err = run(f"0>{tmp_path}/file", "connect", server.url)
    assert status == 1
    assert err.splitlines() == [
        b"connected",
        b"cannot read stdin: Bad file descriptor",
        b"disconnected: closed (code 1000)",
    ]
    status, _out, err = run(f"0>{tmp_path}/file", "echo", "--port=0", "--until-eof")
    assert (status, err) == (1, b"greenws: cannot read stdin: Bad file descriptor\n")


def test_server_is_told_that_the_command_goes_away() -> None:
    def serve(connection: ServerConnection) -> None:
        connection.send("for nobody")
        connection.receive()

    with EchoServer(serve) as server:
        run(">/dev/full", "connect", server.url, "--wait=5")
        server.wait_idle()
        assert server.connections[0].close_code == 1001


# A reader that reads nothing, and a signal


def count_waiting(descriptor: int) -> int:
    """Count the bytes that a pipe holds."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


def wait_full(descriptor: int) -> None:
    """Wait until a pipe holds 60 of its 64 KiB: the next piece may not fit."""
    with gevent.Timeout(LIMIT):
        while count_waiting(descriptor) < 60 * 1024:
            gevent.sleep(0.01)


@contextlib.contextmanager
def unread(*arguments: str, stderr: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command whose stdout nobody reads."""
    process = subprocess.Popen(
        [sys.executable, "-m", "greenws", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stderr", [subprocess.PIPE, subprocess.STDOUT])
def test_first_signal_ends_connect_whose_stdout_nobody_reads(
    number: signal.Signals, stderr: int
) -> None:
    def serve(connection: ServerConnection) -> None:
        for _ in range(4):
            connection.send("x" * 100_000)
        connection.receive()

    with (
        EchoServer(serve) as server,
        unread("connect", server.url, "--wait=60", stderr=stderr) as process,
    ):
        wait_full(process.stdout.fileno())
        process.send_signal(number)
        with gevent.Timeout(LIMIT):
            assert process.wait() == 1
        if stderr == subprocess.PIPE:
            lines = process.stderr.read().splitlines()
            assert lines[-1] == b"greenws: cannot write to stdout: its reader takes nothing"
        server.wait_idle()
        assert server.connections[0].close_code == 1000


def test_first_signal_ends_load_whose_streams_nobody_reads() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b"x" * 4096):
            pass
    while count_waiting(reading) > 32 * 1024:  # room for what is said before the run
        os.read(reading, 4096)
    os.set_blocking(writing, True)
    with EchoServer() as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "greenws", "load", server.url, "-c=1", "-n=1000000000"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
        )
        try:
            with gevent.Timeout(LIMIT):
                while len(server.messages) < 10:
                    gevent.sleep(0.01)
                os.set_blocking(writing, False)
                with contextlib.suppress(BlockingIOError):
                    while os.write(writing, b"x"):
                        pass
                os.set_blocking(writing, True)
                process.send_signal(signal.SIGINT)
                assert process.wait() == 1
        finally:
            process.kill()
            process.wait()
            os.close(reading)
            os.close(writing)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("arguments", [["echo", "--port=0"], ["load", "-c=1", "-n=1"]])
def test_first_signal_ends_a_command_that_cannot_even_begin_to_write(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b"x"):
            pass
    os.set_blocking(writing, True)
    server = EchoServer().start()
    if arguments[0] == "load":
        arguments = ["load", server.url, *arguments[1:]]
    process = subprocess.Popen(
        [sys.executable, "-m", "greenws", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
    )
    try:
        with gevent.Timeout(LIMIT):
            # Linux tells which signals a process catches.
            while not catches(process.pid, signal.SIGTERM):
                gevent.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 1
    finally:
        process.kill()
        process.wait()
        server.stop()
        os.close(reading)
        os.close(writing)


def catches(process: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{process}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


def test_slow_reader_gets_everything_after_a_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    text = "größer\n" * 50_000
    with open(reading, "rb") as source, open(writing, "w", encoding="utf-8") as sink:
        monkeypatch.setattr(sys, "stdout", sink)
        monkeypatch.setattr(streams, "_is_hurried", False)
        streams.hurry()
        writer = gevent.spawn(write_output, text)
        got = b""
        while len(got) < len(text.encode()):
            gevent.sleep(0.01)
            got += gevent.os.tp_read(source.fileno(), 65536)
        writer.get(timeout=LIMIT)
        assert got.decode() == text


@pytest.mark.parametrize("is_waitable", [True, False])
def test_stream_that_takes_nothing_is_given_up_in_a_hurry(
    is_waitable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(reading, "rb"), open(writing, "w", encoding="utf-8") as sink:
        with contextlib.suppress(BlockingIOError):
            while os.write(writing, b"x" * 4096):
                pass
        monkeypatch.setattr(sys, "stdout", sink)
        monkeypatch.setattr(streams, "_PATIENCE", 0.01)
        monkeypatch.setattr(streams, "_is_hurried", False)
        if not is_waitable:
            monkeypatch.setattr(streams, "wait_for", lambda descriptor, event: None)
        writer = gevent.spawn(write_output, "late\n")
        gevent.sleep(0.05)
        assert not writer.dead
        streams.hurry()
        with pytest.raises(OutputError, match="cannot write to stdout: its reader takes nothing"):
            writer.get(timeout=LIMIT)
        write_output("to nowhere\n")


# Encodings


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PYTHONIOENCODING": "ascii"}, rb"zw\xf6lf \u20ac"),
        ({"PYTHONIOENCODING": "latin-1"}, b"zw\xf6lf \\u20ac"),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, rb"zw\xf6lf \u20ac"),
        ({"LC_ALL": "C"}, "zwölf €".encode()),
        ({"PYTHONIOENCODING": "utf-8"}, "zwölf €".encode()),
    ],
)
def test_text_beyond_the_encoding_of_stdout_is_escaped(
    variables: dict[str, str], expected: bytes, say: str
) -> None:
    status, out, err = run("", "connect", say, "--wait=5", env=variables)
    assert status == 0, err
    assert out == expected + b"\n"


def test_body_of_a_rejection_beyond_the_encoding_of_stderr_is_escaped() -> None:
    with EchoServer(opening=reject(403, "No", body="zwölf €".encode())) as server:
        status, _out, err = run("", "connect", server.url, env={"PYTHONIOENCODING": "ascii"})
    assert status == 1
    assert err.splitlines()[-1] == rb"zw\xf6lf \u20ac"


# Terminals


def run_on_a_terminal(*arguments: str) -> str:
    """Run a command whose stdout and stderr are a terminal; return the characters it has got."""
    ours, theirs = pty.openpty()
    shown = b""
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "greenws", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        try:
            with gevent.Timeout(LIMIT):
                while True:
                    try:
                        piece = gevent.os.tp_read(ours, 65536)
                    except OSError as error:  # how Linux tells the end
                        assert error.errno == errno.EIO
                        break
                    if not piece:
                        break
                    shown += piece
                process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def find_hostile(text: str) -> list[str]:
    return [character for character in text if character in HOSTILE and not character.isalnum()]


def test_terminal_gets_messages_escaped() -> None:
    def serve(connection: ServerConnection) -> None:
        connection.send(HOSTILE)
        connection.send("{\n\t'ok': '👩\u200d🚀'\n}")

    with EchoServer(serve) as server:
        shown = run_on_a_terminal("connect", server.url, "--wait=5")
    assert set(find_hostile(shown)) <= set("];[")
    assert "\\x1b]0;owned\\x07\\x1b[2J\\rfake\\x08\\x9b6n\\x7f\\u202eevil" in shown
    assert "\n{\n" in shown
    assert "'ok': '👩\u200d🚀'" in shown


def test_pipe_gets_messages_as_they_are() -> None:
    with EchoServer(lambda connection: connection.send(HOSTILE)) as server:
        status, out, _err = run("", "connect", server.url, "--wait=5")
    assert (status, out.decode()) == (0, HOSTILE + "\n")


@pytest.mark.parametrize(
    "options",
    [
        {"opening": reject(403, "No", body=(HOSTILE + "\r\nsecond line").encode())},
        {"opening": reject(403, "No", headers=[("X-A", "b")], body=b"\x1b]52;c;cm0K\x07\xff")},
        {"opening": lambda connection: connection.send_raw(b"HTTP/1.1 200 \x1b[2J\x07\r\n\r\n")},
        {"opening": lambda connection: connection.send_raw(b"\x1b[2J\x07 not HTTP\r\n\r\n")},
        {"handler": close_with(4000, "\x1b[2J\n\u202eReason")},
        {"handler": lambda c: c.send_raw(b"\x88\x0a\x03\xe7\x1b[2J\x07\r\n.")},
    ],
)
def test_errors_and_reasons_are_escaped_even_in_a_pipe(options: dict[str, Any]) -> None:
    with EchoServer(**options, close_timeout=0.1) as server:
        status, out, err = run("", "connect", server.url, "--wait=5")
        loaded, summary, _progress = run("", "load", server.url, "-c1", "-n1", "--timeout=5")
    assert (status, out) == (1, b"")
    assert loaded == 1
    for text in (err.decode(), summary.decode()):
        assert set(find_hostile(text)) <= set("];[."), text
    assert "Traceback" not in err.decode()


def test_body_of_a_rejection_keeps_its_lines() -> None:
    with EchoServer(opening=reject(403, "No", body=b"one\r\n\ttwo\n\n")) as server:
        _status, _out, err = run("", "connect", server.url)
    assert err.splitlines()[1:] == [b"one", b"\\ttwo"]


def test_escapes_name_the_character() -> None:
    assert escape("\x1b \u202e \U000e0041 \ud800 \t\n") == "\\x1b \\u202e \\U000e0041 \\ud800 \t\n"
    assert escape_line("a\tb\nc") == "a\\tb\\nc"
    assert escape("grün 日本 \u200d \xa0 \\x1b") == "grün 日本 \u200d \xa0 \\x1b"


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F)])
def test_every_control_character_is_escaped(code: int) -> None:
    assert escape_line(chr(code)).isascii()
    assert escape_line(chr(code)).isprintable()


# Writing


class Failing(io.StringIO):
    """A stream that takes nothing, and has no descriptor."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_failing_stream_without_a_descriptor_is_an_error_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing())
    with pytest.raises(OutputError, match="cannot write to stdout: No space left") as caught:
        write_output("text")
    assert not caught.value.is_reader_gone
    write_quietly(Failing(), "text")


def test_text_goes_to_a_stream_without_an_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    report("grün\r€")
    assert stream.getvalue() == "grün\\r€\n"


@pytest.mark.parametrize("is_blocking", [True, False])
def test_slow_reader_is_waited_for_while_the_hub_goes_on(
    is_blocking: bool, monkeypatch: pytest.MonkeyPatch, ticking: Ticker
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, is_blocking)
    text = "größer\n" * 50_000
    with open(reading, "rb") as source, open(writing, "w", encoding="utf-8") as sink:
        monkeypatch.setattr(sys, "stdout", sink)
        writer = gevent.spawn(write_output, text)
        ticking.wait(5)
        assert not writer.dead
        got = b""
        while len(got) < len(text.encode()):
            got += gevent.os.tp_read(source.fileno(), 65536)
        writer.get(timeout=LIMIT)
        assert got.decode() == text


def test_flush_is_tried_again_where_nothing_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(reading, "rb"), open(writing, "w", encoding="utf-8") as sink:
        while True:
            try:
                os.write(writing, b"x" * 4096)
            except BlockingIOError:
                break
        monkeypatch.setattr(sys, "stdout", sink)
        # Another process may take the room between the wait and the write.
        monkeypatch.setattr(streams, "wait_for", lambda descriptor, event: None)
        writer = gevent.spawn(write_output, "late\n")
        gevent.sleep(0)
        assert not writer.dead
        os.read(reading, 65536)
        writer.get(timeout=LIMIT)
        while len(got := os.read(reading, 65536)) == 65536:
            pass
        assert got.endswith(b"late\n")


def test_missing_streams_are_provided() -> None:
    said = run_script(
        """
        import os, sys
        from greenws.cli.streams import provide_streams

        kept = os.dup(1)
        for number in range(3):
            os.close(number)
        sys.stdin = sys.stdout = sys.stderr = None
        provide_streams()
        provide_streams()  # has nothing to do
        assert sys.stdin.read() == ""
        print("to nowhere")
        print("to nowhere", file=sys.stderr)
        for number in range(3):
            assert os.path.samestat(os.fstat(number), os.stat(os.devnull))
            assert os.get_inheritable(number)
        os.write(kept, b"done\\n")
        """
    )
    assert said == "done\n"


def test_one_missing_stream_is_provided_in_its_place() -> None:
    said = run_script(
        """
        import os
        from greenws.cli.streams import provide_streams

        os.close(0)
        os.close(2)
        provide_streams()
        print(*(os.path.samestat(os.fstat(n), os.stat(os.devnull)) for n in range(3)))
        """
    )
    assert said == "True False True\n"
