"""The echo server in a process of its own, and the failures of the command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import greenws
from greenws.cli import echo
from greenws.cli.echo import EchoOptions, EchoProcess, run_echo
from greenws.testing import EchoServer


def make_options(**options: Any) -> EchoOptions:
    options = {"host": "127.0.0.1", "port": 0, "max_size": 0, "until_eof": True, **options}
    return EchoOptions(**{"certfile": None, "keyfile": None, **options})


def exchange(url: str, message: str) -> tuple[str, int]:
    """Send a message; return the echo, if there was one, and the close code."""
    got = ""
    websocket = greenws.WebSocket(url, proxies={})
    for event in websocket:
        if event.name == "ready":
            websocket.send_text(message)
        elif event.name == "text":
            got = event.text
            websocket.close()
    return got, event.code


def test_process_echoes_until_the_block_ends() -> None:
    with EchoProcess(1000) as server:
        assert exchange(server.url, "hello") == ("hello", 1000)
        url = server.url
    websocket = greenws.WebSocket(url, proxies={})
    assert [event.name for event in websocket] == ["connecting", "connect_fail"]


def test_process_limits_the_size_of_a_message() -> None:
    with EchoProcess(1000) as server:
        assert exchange(server.url, "x" * 1000) == ("x" * 1000, 1000)
        assert exchange(server.url, "x" * 1001) == ("", 1009)


def test_process_may_be_stopped_twice() -> None:
    with EchoProcess(1000) as server:
        server.stop()
        server.stop()


def test_process_that_does_not_start_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "fails"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(RuntimeError, match="the echo server did not start"):
        with EchoProcess(1000):
            pass


def test_process_that_says_nothing_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "sleeps"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(echo, "_START_TIMEOUT", 0.1)
    monkeypatch.setattr(echo, "_STOP_TIMEOUT", 0.1)
    server = EchoProcess(1000)
    with pytest.raises(RuntimeError, match="the echo server did not start"):
        server.__enter__()  # conftest.py finds the process, if it is left


def test_command_says_why_it_cannot_listen(capsys: pytest.CaptureFixture[str]) -> None:
    with EchoServer() as server:
        assert run_echo(make_options(port=server.port)) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith(f"greenws: cannot listen on 127.0.0.1:{server.port}: ")


def test_command_says_why_it_cannot_load_the_certificate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_echo(make_options(certfile=str(tmp_path / "none.pem"))) == 1
    assert "cannot load the certificate: " in capsys.readouterr().err


def test_command_says_that_a_connection_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(server: EchoServer) -> None:
        stop(server)
        raise ZeroDivisionError("in\x1ba behaviour")

    stop = EchoServer.stop
    monkeypatch.setattr(EchoServer, "stop", fail)
    monkeypatch.setattr(echo, "read_stdin", lambda: b"")
    assert run_echo(make_options()) == 1
    told = "greenws: a connection failed: ZeroDivisionError: in\\x1ba behaviour\n"
    assert capsys.readouterr().err == told


def test_command_says_that_stdin_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> bytes:
        raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr(echo, "read_stdin", fail)
    assert run_echo(make_options()) == 1
    assert capsys.readouterr().err == "greenws: cannot read stdin: Is a directory\n"
