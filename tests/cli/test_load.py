"""What a load run counts of each connection, and what it asks of the machine."""

from __future__ import annotations

import os
import signal
import zlib
from typing import Any

import gevent
import pytest

from greenws.cli import load, streams
from greenws.cli.load import LoadClient, LoadOptions, LoadRun, Stage, run_load
from greenws.cli.tally import Tally

URL = "ws://127.0.0.1:1/"


def make_options(**options: Any) -> LoadOptions:
    options = {"connections": 3, "messages": 2, "size": 100, **options}
    return LoadOptions(url=URL, rate=0.0, connecting=3, timeout=1.0, client={}, **options)


@pytest.fixture
def tally() -> Tally:
    return Tally(3, 2)


@pytest.fixture
def run(tally: Tally) -> LoadRun:
    return LoadRun(make_options(), URL, tally)


@pytest.fixture
def client(run: LoadRun) -> LoadClient:
    return LoadClient(run, URL, {})


def test_payload_has_its_size_and_does_not_compress() -> None:
    for size in (0, 1, 5000):
        payload = LoadRun(make_options(size=size), URL, Tally(1, 1)).payload
        assert len(payload) == size
        assert payload == LoadRun(make_options(size=size), URL, Tally(1, 1)).payload
    assert len(zlib.compress(payload.encode())) > 0.7 * size


def test_connection_goes_from_ready_to_done(run: LoadRun, tally: Tally, client: LoadClient) -> None:
    run.record_ready(client)
    assert client.stage is Stage.READY
    assert (tally.connected, tally.open) == (1, 1)
    client.stage = Stage.TALKING
    run.record_echo(0.25, 10.0)
    run.record_echo(0.5, 11.0)
    run.record_done(client)
    assert client.stage is Stage.DONE
    assert (tally.messages, tally.latencies.longest) == (2, 0.5)
    assert not tally.failures


def test_only_the_first_reason_of_a_connection_counts(
    run: LoadRun, tally: Tally, client: LoadClient
) -> None:
    run.record_failure(client, "refused")
    run.record_failure(client, "something later")
    assert tally.failures == {"refused": 1}
    assert client.stage is Stage.OVER


def test_connection_that_ends_too_early_is_a_failure(
    run: LoadRun, tally: Tally, client: LoadClient
) -> None:
    run.record_ready(client)
    run.record_end(client, "closed (code 1006)")
    assert (tally.connected, tally.open) == (1, 0)
    assert tally.failures == {"closed (code 1006)": 1}


def test_connection_that_ends_after_the_run_is_no_failure(
    run: LoadRun, tally: Tally, client: LoadClient
) -> None:
    run.record_ready(client)
    client.stage = Stage.OVER
    run.record_end(client, "closed (code 1000)")
    assert tally.open == 0
    assert not tally.failures


def test_too_few_descriptors_are_told_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load, "raise_descriptor_limit", lambda: 1000)
    assert run_load(make_options(connections=2000)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "2,000 connections need 2,064 descriptors" in told.err
    assert "at most -c 936" in told.err


def test_signal_before_the_run_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def write_output(text: str) -> None:
        written.append(text)
        os.kill(os.getpid(), signal.SIGTERM)
        while not streams._is_hurried:
            gevent.sleep(0.001)
        gevent.sleep(0)

    monkeypatch.setattr(streams, "_is_hurried", False)
    monkeypatch.setattr(load, "write_output", write_output)
    assert run_load(make_options()) == 128 + signal.SIGTERM
    assert len(written) == 1
