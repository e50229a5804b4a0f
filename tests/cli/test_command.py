"""The commands as a user runs them: each in a process of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import gevent
import gevent.os
import pytest
from gevent import subprocess

from greenws import __version__
from greenws.cli import command, main
from greenws.cli.streams import OutputError
from greenws.testing import (
    EchoServer,
    accept,
    close_with,
    delay,
    drop,
    echo,
    in_turn,
    reject,
    respond,
    send_raw,
    silent,
)
from tests.support.authority import Authority

ROOT = Path(__file__).parents[2]

# Seconds a command may take. A test whose command takes longer has failed.
LIMIT = 30


def start(*arguments: str, **options: Any) -> Any:
    """Start a command.

    :returns: a :class:`gevent.subprocess.Popen`, whose pipes the stubs call optional.
    """
    options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(
        [sys.executable, "-m", "greenws", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        universal_newlines=True,
        **options,
    )


def run(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    with start(*arguments, stdin=subprocess.PIPE) as process:
        try:
            with gevent.Timeout(LIMIT):
                out, err = process.communicate(text)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def summary_of(out: str) -> dict[str, str]:
    """Take a summary apart: its lines by their labels."""
    return dict(re.findall(r"^(\w+) {2,}(.+)$", out, re.MULTILINE))


@contextmanager
def echo_process(*arguments: str) -> Iterator[str]:
    """Run the command ``echo`` for as long as the block; yields its URL."""
    with start("echo", "--port=0", *arguments) as process:
        try:
            with gevent.Timeout(LIMIT):
                url = process.stdout.readline().strip()
            yield url
        finally:
            process.terminate()
            process.communicate()
        assert process.returncode == 0


def test_version_is_printed() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"greenws {__version__} (")


@pytest.mark.parametrize("arguments", [["--version", "--verbose"], ["--verbose", "--version"]])
def test_version_with_details_names_what_greenws_runs_on(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEVENT_RESOLVER", "thread")
    assert main(arguments) == 0
    rows = dict(re.split(" +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["greenws"] == __version__
    assert rows["build"] in ("compiled core", "pure Python")
    assert rows["gevent"] == gevent.__version__
    assert rows["loop"].startswith("gevent.")
    assert rows["OpenSSL"] == ssl.OPENSSL_VERSION
    assert rows["GEVENT_RESOLVER"] == "thread"
    assert {"Python", "compiler", "platform", "resolver", "zlib", "greenlet"} <= set(rows)


def test_version_with_details_says_what_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_none(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", find_none)
    assert main(["--version", "--verbose"]) == 0
    assert re.search("^locust +not installed$", capsys.readouterr().out, re.MULTILINE)


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "load" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["load", "http://example.org"], "url must begin with ws:// or wss://"),
        (["load", "-c", "0"], "must be a whole number, 1 or more"),
        (["load", "-n", "-1"], "must be a whole number, 0 or more"),
        (["load", "-n", "many"], "must be a whole number, 0 or more"),
        (["load", "--rate", "nan"], "must be a number, 0 or more"),
        (["load", "--timeout", "0"], "must be seconds, more than 0"),
        (["load", "--header", "no colon"], "a header must have a colon"),
        (["load", "--header", "bad name: x"], "must be a token"),
        (["load", "--protocol", "a b"], "must be a token"),
        (["load", "--compr"], "unrecognized arguments"),
        (["echo", "--port", "70000"], "must be a port"),
        (["echo", "--host", "a..b"], "must be a name or an address"),
        (["connect"], "required: URL"),
        (["load", "--size", "2000000000"], "must be 1,073,741,824 or less"),
        (["load", "--open-timeout", "1e300"], "more than 0, and less than 2 ** 62"),
        (["load", "--timeout", "inf"], "must be seconds, more than 0: 'inf'"),
    ],
)
def test_wrong_argument_is_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_options_that_a_client_refuses_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(url: str, **options: Any) -> None:
        raise ValueError("cafile must be the other one")

    monkeypatch.setattr(command, "Client", refuse)
    for name in ("load", "connect"):
        assert main([name, "ws://127.0.0.1:1/"]) == 2
        assert capsys.readouterr() == ("", "greenws: cafile must be the other one\n")


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (MemoryError(), 1, "greenws: not enough memory\n"),
        (KeyboardInterrupt(), 130, ""),
        (OutputError(OSError(28, "No space left")), 1, "greenws: cannot write to stdout: No space"),
        (OutputError(BrokenPipeError(32, "Broken pipe")), 1, ""),
    ],
)
def test_what_ends_a_command_early_is_a_status(
    error: BaseException,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*args: Any) -> int:
        raise error

    monkeypatch.setattr(command, "run_connect", fail)
    assert main(["connect", "ws://127.0.0.1:1/"]) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(told) and bool(shown.err) == bool(told)


# load


def test_load_starts_a_server_of_its_own() -> None:
    done = run("load", "-c", "50", "-n", "20", "--size", "1000")
    assert done.returncode == 0, done
    assert "(started by this command)" in done.stdout
    summary = summary_of(done.stdout)
    assert summary["connected"].startswith("50 of 50 in ")
    assert summary["failed"] == "0"
    assert summary["messages"].startswith("1,000 of 1,000 in ")
    assert summary["rate"].endswith(" messages/s")
    for label in ("opening", "latency"):
        names = re.findall(r"(\S+) \S+ ms(?:   |$)", summary[label])
        assert names == ["p50", "p90", "p99", "p99.9", "max"]
    assert " per connection" in summary["memory"]
    # The first line of progress would come after 2 s, and the run is shorter.
    assert done.stderr == ""


def test_load_may_send_more_than_the_default_limit() -> None:
    done = run("load", "-c", "1", "-n", "1", "--size", "17000000")
    assert done.returncode == 0, done
    assert summary_of(done.stdout)["messages"].startswith("1 of 1 in ")


def test_load_takes_a_url_and_options() -> None:
    with EchoServer(subprotocols=["chat"]) as server:
        url = f"{server.url}path?query"
        arguments = ["--compress", "--header", "X-Token: secret", "--protocol", "chat"]
        done = run("load", url, "-c", "5", "-n", "3", *arguments)
        assert done.returncode == 0, done
        assert server.message_count == 15
        server.wait_idle()
        assert {connection.close_code for connection in server.connections} == {1000}
        for connection in server.connections:
            assert connection.request is not None
            assert connection.request.target == "/path?query"
            assert connection.request.get("x-token") == "secret"
            assert connection.subprotocol == "chat"
            assert connection.is_compressed


def test_load_without_messages_only_connects() -> None:
    with EchoServer() as server:
        done = run("load", server.url, "-c", "5", "-n", "0")
    assert done.returncode == 0
    labels = {"connected", "failed", "opening", "traffic", "memory"}
    assert summary_of(done.stdout).keys() == labels
    assert server.message_count == 0


def test_load_keeps_all_connections_open_until_all_are_done() -> None:
    with EchoServer() as server:
        # The first reply on each connection waits until all connections are open.
        server.handler = respond(
            lambda message: message if server.wait_connections(20, timeout=LIMIT) else None
        )
        done = run("load", server.url, "-c", "20", "-n", "2")
    assert done.returncode == 0, done


def test_load_limits_the_rate_of_connects() -> None:
    with EchoServer() as server:
        done = run("load", server.url, "-c", "11", "-n", "0", "--rate", "50")
    seconds = re.search(r"in (\S+) s", summary_of(done.stdout)["connected"])
    assert seconds is not None
    assert float(seconds[1]) >= 0.2


def test_load_limits_the_connects_under_way() -> None:
    most = 0

    def note(connection: object) -> None:
        nonlocal most
        under_way = [other for other in server.connections if not other.is_ended]
        most = max(most, len(under_way) - len(server.open_connections))
        server.wait_for(lambda: most >= 3, timeout=LIMIT)
        gevent.sleep(0.005)  # time for a fourth connection, which must not come
        connection.accept()  # type: ignore[attr-defined]

    with EchoServer(opening=note) as server:
        done = run("load", server.url, "-c", "20", "-n", "0", "--connecting", "3")
    assert done.returncode == 0
    assert most == 3


def test_load_groups_failures_by_reason() -> None:
    opening = in_turn(
        reject(503, "Busy"),
        reject(503, "Busy"),
        drop(reset=False),
        accept,
    )
    with EchoServer(opening=opening) as server:
        done = run("load", server.url, "-c", "5", "-n", "1", "--connecting", "1")
    assert done.returncode == 1
    summary = summary_of(done.stdout)
    assert summary["connected"].startswith("2 of 5")
    assert summary["failed"] == "3"
    assert summary["messages"].startswith("2 of 5")
    assert re.search(r"^ +2 x rejected: .*503", done.stdout, re.MULTILINE)


def test_load_waits_for_the_last_connect_though_others_have_ended() -> None:
    opening = in_turn(accept, accept, delay(0.3, accept))
    handler = in_turn(drop(), drop(), echo)
    with EchoServer(handler, opening=opening) as server:
        done = run("load", server.url, "-c", "3", "-n", "2")
    assert done.returncode == 1
    summary = summary_of(done.stdout)
    assert summary["connected"].startswith("3 of 3 in ")
    assert summary["failed"] == "2"
    assert summary["messages"].startswith("2 of 6")


def test_load_says_that_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = run("load", f"ws://127.0.0.1:{unused.getsockname()[1]}/", "-c", "3")
    assert done.returncode == 1
    assert re.search(r"^ +3 x unable to connect to .*refused", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("handler", "timeout", "reason"),
    [
        (drop(after=1), "10", "code 1006"),
        (close_with(4000, after=1), "10", "code 4000"),
        (respond(lambda message: "something else"), "10", "is not the echo"),
        (send_raw(b"\xff\xff"), "10", "reserved bits"),
        (silent, "0.2", "no echo within 0.2 s"),
    ],
)
def test_load_counts_what_goes_wrong_later(handler: Any, timeout: str, reason: str) -> None:
    with EchoServer(handler, close_timeout=0.1) as server:
        done = run("load", server.url, "-c", "2", "-n", "2", "--timeout", timeout)
    assert done.returncode == 1, done
    summary = summary_of(done.stdout)
    assert summary["failed"] == "2"
    assert reason in done.stdout, done.stdout


def test_load_refuses_more_connections_than_descriptors() -> None:
    done = run("load", "-c", "100000000")
    assert done.returncode == 2
    assert "100,000,000 connections need 100,000,064 descriptors" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["connecting", "messages"])
def test_load_interrupted_ends_with_the_summary(number: signal.Signals, phase: str) -> None:
    opening = in_turn(accept, accept, accept, silent)
    arguments = ["-c", "4"] if phase == "connecting" else ["-c", "3", "-n", "100000000"]
    with EchoServer(opening=opening, history=0) as server:
        with start("load", server.url, *arguments) as process:
            server.wait_connections(3, timeout=LIMIT)
            if phase == "messages":
                server.wait_for(lambda: server.message_count > 10, timeout=LIMIT)
            else:
                server.wait_for(lambda: server.connection_count == 4, timeout=LIMIT)
            process.send_signal(number)
            with gevent.Timeout(LIMIT):
                out, err = process.communicate()
        server.wait_idle()
    assert process.returncode == 128 + number
    summary = summary_of(out)
    assert summary["connected"].startswith("3 of ")
    assert "then interrupted" in summary["connected"]
    assert summary["failed"] == "0"
    assert "Traceback" not in err


def test_load_interrupted_from_the_terminal_keeps_its_server_to_the_end() -> None:
    ours, theirs = pty.openpty()
    try:
        # Like Ctrl-C in a terminal, the signal goes to the whole foreground process group.
        arguments = ["load", "-c", "3", "-n", "100000000"]
        with start(*arguments, stderr=theirs, start_new_session=True) as process:
            with gevent.Timeout(LIMIT):
                while b"messages" not in gevent.os.tp_read(ours, 10000):
                    pass
                os.killpg(process.pid, signal.SIGINT)
                out, _err = process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 128 + signal.SIGINT
    summary = summary_of(out)
    assert summary["connected"].startswith("3 of 3 in ")
    assert summary["failed"] == "0"
    assert " of 300,000,000 in " in summary["messages"]


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_load_ends_its_server_even_when_killed() -> None:
    with start("load", "-c", "2", "-n", "100000000") as process:
        with gevent.Timeout(LIMIT):
            assert "(started by this command)" in process.stdout.readline()
            (server,) = children_of(process.pid)
            process.kill()
            process.communicate()
            while is_alive(server):
                gevent.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        # Only the new parent can reap an orphan. A zombie counts as ended.
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_load_shows_progress_in_place_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        with EchoServer(respond(lambda message: message, delay=0.3)) as server:
            with start("load", server.url, "-c", "3", "-n", "2", stderr=theirs) as process:
                with gevent.Timeout(LIMIT):
                    out, _err = process.communicate()
        shown = os.read(ours, 100000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 0
    assert re.search(r"\r\x1b\[K\[[#.]{12}\]  *\d+ %, .*?3 of 3 open", shown)
    assert "messages, " in shown
    assert shown.endswith("\r\x1b[K")
    assert "\n" not in shown
    assert "connected   3 of 3" in out


def test_load_shows_progress_in_lines_elsewhere() -> None:
    with EchoServer(respond(lambda message: message, delay=2.2)) as server:
        done = run("load", server.url, "-c", "2", "-n", "1")
    assert done.stderr == "2 of 2 open\n"


# echo


def test_echo_and_connect_pass_lines() -> None:
    with echo_process() as url:
        done = run("connect", url, text="one\r\nzwölf\n\nno end of line")
    assert done.returncode == 0, done
    assert done.stdout == "one\nzwölf\n\nno end of line\n"
    assert done.stderr.splitlines()[0] == "connected"
    assert done.stderr.splitlines()[-1].startswith("disconnected: ")


def test_echo_and_connect_speak_tls(authority: Authority) -> None:
    certificate, cafile = authority.issue_file("server.pem", "127.0.0.1"), authority.cafile
    with echo_process("--certfile", certificate) as url:
        assert url.startswith("wss://127.0.0.1:")
        trusting = run("connect", url, "--cafile", cafile, text="hello")
        careless = run("connect", url, "--insecure", "--compress", text="hello")
        wary = run("connect", url, text="hello")
        loaded = run("load", url, "-c", "20", "--cafile", cafile)
    assert (trusting.returncode, trusting.stdout) == (0, "hello\n")
    assert (careless.returncode, careless.stdout) == (0, "hello\n")
    assert careless.stderr.splitlines()[0] == "connected (permessage-deflate)"
    assert (wary.returncode, wary.stdout) == (1, "")
    assert "certificate" in wary.stderr
    assert loaded.returncode == 0, loaded


def test_echo_ends_with_stdin_if_told_to() -> None:
    with start("echo", "--port=0", "--until-eof", stdin=subprocess.PIPE) as process:
        with gevent.Timeout(LIMIT):
            assert process.stdout.readline().startswith("ws://127.0.0.1:")
            process.communicate("")
    assert process.returncode == 0


def test_echo_says_why_it_cannot_listen(tmp_path: Path) -> None:
    with EchoServer() as server:
        done = run("echo", "--port", str(server.port))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{server.port}: " in done.stderr
    done = run("echo", "--port=0", "--keyfile", "key.pem")
    assert (done.returncode, done.stderr) == (2, "greenws: --keyfile needs --certfile\n")
    done = run("echo", "--port=0", "--certfile", str(tmp_path / "missing.pem"))
    assert done.returncode == 1
    assert "cannot load the certificate" in done.stderr


# connect


def test_connect_says_why_it_failed() -> None:
    with EchoServer(opening=reject(403, "Forbidden", body=b"no entry")) as server:
        done = run("connect", server.url, text="hello")
    assert done.returncode == 1
    assert "403" in done.stderr
    assert "no entry" in done.stderr


def test_connect_waits_for_replies_after_the_end_of_stdin() -> None:
    with EchoServer(respond(lambda message: [message, b"\x01\xff"], delay=0.1)) as server:
        done = run("connect", server.url, "--wait", "1", text="late")
    assert done.returncode == 0, done
    assert done.stdout == "late\n01ff\n"


@pytest.mark.parametrize(
    ("handler", "status", "told"),
    [
        (close_with(1001, "restart"), 0, "code 1001"),
        (close_with(1011), 1, "code 1011"),
        (drop(reset=False), 1, "code 1006"),
        (send_raw(b"\xff\xff"), 1, "violated the protocol"),
    ],
)
def test_connect_says_how_it_ended(handler: Any, status: int, told: str) -> None:
    with EchoServer(handler, close_timeout=0.1) as server:
        with start("connect", server.url, stdin=subprocess.PIPE) as process:
            with gevent.Timeout(LIMIT):
                process.wait()
                err = process.stderr.read()
            process.stdin.close()
    assert process.returncode == status, err
    assert told in err


def test_connect_interrupted_says_goodbye() -> None:
    with EchoServer() as server:
        with start("connect", server.url, stdin=subprocess.PIPE) as process:
            connection = server.wait_connections(timeout=LIMIT)[0]
            with gevent.Timeout(LIMIT):
                assert process.stderr.readline() == "connected\n"
                process.send_signal(signal.SIGINT)
                process.wait()
            process.stdin.close()
        assert connection.wait_ended() == 1000
    assert process.returncode == 0


def test_connect_ends_quietly_when_nobody_reads_its_output() -> None:
    with EchoServer(respond(lambda message: ["x" * 1000] * 1000)) as server:
        with start("connect", server.url, "--wait", "9", stdin=subprocess.PIPE) as process:
            with gevent.Timeout(LIMIT):
                process.stdin.write("go\n")
                process.stdin.flush()
                process.stdout.readline()
                process.stdout.close()
                process.wait()
                err = process.stderr.read()
            process.stdin.close()
    assert process.returncode == 1
    assert "Traceback" not in err
