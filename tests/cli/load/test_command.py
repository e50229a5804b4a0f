"""The command ``load`` from its options to its reports, and what it asks of the machine."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import gevent
import pytest

from greenws.cli import streams
from greenws.cli.load import command, run_load
from greenws.testing import EchoServer, reject
from tests.cli.load.reports import make_report
from tests.cli.load.settings import make_options


@pytest.mark.parametrize(
    ("processes", "needed", "most"),
    [
        (1, "2,000 connections need 2,064 descriptors", "at most -c 936"),
        (
            2,
            "1,000 connections in each process need 1,064 descriptors",
            "at most -c 1872",
        ),
    ],
)
def test_too_few_descriptors_are_told_before_anything_is_opened(
    processes: int,
    needed: str,
    most: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "raise_descriptor_limit", lambda: 1000)
    assert run_load(make_options(connections=2000, processes=processes)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert needed in told.err and most in told.err


def test_signal_before_the_run_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def write_output(text: str) -> None:
        written.append(text)
        os.kill(os.getpid(), signal.SIGTERM)
        while not streams._is_hurried:
            gevent.sleep(0.001)
        gevent.sleep(0)

    monkeypatch.setattr(streams, "_is_hurried", False)
    monkeypatch.setattr(command, "write_output", write_output)
    assert run_load(make_options()) == 128 + signal.SIGTERM
    assert len(written) == 1


def test_reports_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: str(tmp_path / f"a.{name}") for name in ("json", "csv", "html")}
    with EchoServer() as server:
        options = make_options(url=server.url, earlier=make_report(), **files)
        assert run_load(options) == 0
    report = json.loads(Path(files["json"]).read_text(encoding="utf-8"))
    assert (report["messages"]["replies"], report["url"]) == (6, server.url)
    assert sum(point["replies"] for point in report["series"]) == 6
    with open(files["csv"], encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sum(int(row["replies"]) for row in rows) == 6
    page = Path(files["html"]).read_text(encoding="utf-8")
    assert "Compared with the run of" in page
    shown = capsys.readouterr().out
    assert "compared with the run of " in shown
    assert shown.index("connected   3 of 3") < shown.index("compared")


def test_report_replaces_the_one_before_only_when_the_run_is_over(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("x" * 100000)
    seen: list[int] = []
    with EchoServer(lambda connection: seen.append(file.stat().st_size)) as server:
        assert run_load(make_options(url=server.url, json=str(file))) == 1
    assert seen == [100000] * 3
    assert json.loads(file.read_text())["connections"]["failed"] == 3


@pytest.mark.parametrize("kind", ["json", "csv", "html"])
def test_file_that_cannot_be_written_is_told_before_the_run(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, reason in ((str(tmp_path), "Is a directory"), ("a\0b", "embedded null byte")):
        assert run_load(make_options(**{kind: name})) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("greenws: cannot write ") and reason in told.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("kind", ["json", "csv", "html"])
@pytest.mark.parametrize("is_refused", [False, True])
def test_full_disk_is_told_after_the_summary(
    kind: str, is_refused: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "csv":  # its first line is written before the run
        assert run_load(make_options(csv="/dev/full")) == 2
        assert "cannot write '/dev/full': No space left on device" in capsys.readouterr().err
        return
    opening = {"opening": reject(503)} if is_refused else {}
    with EchoServer(**opening) as server:
        assert run_load(make_options(url=server.url, **{kind: "/dev/full"})) == 1
    told = capsys.readouterr()
    assert "messages" in told.out
    assert told.err == "greenws: cannot write '/dev/full': No space left on device\n"


def test_disk_that_gets_full_during_the_run_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: object, point: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command.SecondsFile, "add", fail)
    with EchoServer() as server:
        options = make_options(
            url=server.url, csv=str(tmp_path / "a.csv"), duration=1.2, messages=0
        )
        assert run_load(options) == 1
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_file_that_fails_when_it_is_closed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing:
        def close(self) -> None:
            raise OSError(28, "No space left on device")

    reports = command.Reports(make_options(csv=str(tmp_path / "a.csv")))
    reports.open()
    assert reports._stream is not None
    reports._stream.close()
    stream: Any = Failing()
    reports._stream = stream
    reports.close()
    reports.close()
    assert capsys.readouterr().err.count("No space left on device") == 1


@pytest.mark.parametrize("error", [OSError(11, "no more processes"), ValueError("--processes: no")])
def test_processes_that_cannot_be_started_are_told(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr(command.Fleet, "run", fail)
    assert run_load(make_options(processes=2)) == 1
    told = capsys.readouterr()
    assert told.out.startswith("load: 3 connections to ")
    assert told.err == f"greenws: cannot start the processes: {error}\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("no fork"), "starts no process for an echo server: no fork"),
        (OSError(11, "no more"), "no more"),
    ],
)
def test_server_that_cannot_be_started_is_told(
    error: Exception,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr(command.EchoProcess, "__enter__", fail)
    assert run_load(make_options(url=None)) == 1
    assert words in capsys.readouterr().err
