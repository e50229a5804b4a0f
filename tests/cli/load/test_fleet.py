"""A load run in several processes: shared out, in step, merged, and without an orphan."""

from __future__ import annotations

import io
import os
import signal
import subprocess as threads_subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import subprocess

from greenws.cli.load import fleet as fleet_module
from greenws.cli.load import pipes, worker
from greenws.cli.load.fleet import Fleet
from greenws.cli.load.pipes import GO, STOP, pack, read_instructions, read_objects
from greenws.cli.load.run import Share
from greenws.cli.load.tally import Tally
from greenws.testing import EchoServer, echo, in_turn, respond, silent
from tests.cli.load.settings import make_options
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]

# Seconds for what has to start several processes.
LIMIT = 30


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


def is_alive(pid: int) -> bool:
    try:
        # Only the new parent can reap an orphan. A zombie counts as ended.
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


def run(server: EchoServer, **options: Any) -> Tally:
    chosen = make_options(url=server.url, processes=2, **options)
    tally = Tally(chosen.connections, chosen.messages, chosen.processes)
    Fleet(chosen, server.url, tally).run()
    tally.finish()
    server.wait_idle()
    return tally


def test_processes_share_the_run_and_go_through_it_in_step() -> None:
    most = 0

    def reply(message: str | bytes) -> str | bytes:
        nonlocal most
        # No message comes before all connections of both processes are open.
        most = max(most, 5 - len(server.open_connections))
        return message

    with EchoServer(respond(reply)) as server:
        tally = run(server, connections=5, messages=3, template="{connection} {n} {id}")
        messages = [message for one in server.connections for message in one.messages]
    total = tally.total
    assert most == 0
    assert (total.connected, total.sent, total.replies, total.failed) == (5, 15, 15, 0)
    assert (total.latencies.count, total.openings.count) == (15, 5)
    assert {str(message).split()[0] for message in messages} == set("12345")
    assert {str(message).split()[2] for message in messages} == {str(n) for n in range(1, 16)}
    assert sum(point.portion.replies for point in tally.series) == 15
    assert {one.close_code for one in server.connections} == {1000}
    assert tally.talking_since is not None
    assert tally.open == 5  # as they were before the end


@needs_proc
def test_interrupted_fleet_ends_and_keeps_what_it_has() -> None:
    tally = Tally(4, None, 2)
    with EchoServer(history=0) as server:
        options = make_options(connections=4, messages=None, processes=2)
        fleet = Fleet(options, server.url, tally)
        running = gevent.spawn(fleet.run)
        wait_until(lambda: tally.total.replies > 10, LIMIT)
        workers = [member.process.pid for member in fleet._members]
        assert set(workers) <= set(children_of(os.getpid()))
        fleet.interrupt()
        running.get()
        server.wait_idle()
    assert tally.total.failed == 0
    assert not any(map(is_alive, workers))


@needs_proc
def test_killed_process_is_a_failure_and_the_others_go_on() -> None:
    tally = Tally(4, None, 2)
    with EchoServer(history=0) as server:
        options = make_options(connections=4, messages=None, duration=0.3, processes=2)
        fleet = Fleet(options, server.url, tally)
        running = gevent.spawn(fleet.run)
        wait_until(lambda: tally.talking_since is not None, LIMIT)
        fleet._members[0].process.kill()
        running.get()
        server.wait_idle()
    assert tally.total.failures == {"a process of this run ended too early (SIGKILL)": 2}
    assert tally.total.replies > 0
    assert tally.open == 2


@needs_proc
def test_no_process_outlives_a_main_process_that_is_killed() -> None:
    command = [sys.executable, "-m", "greenws", "load"]
    arguments = ["-c", "4", "--processes", "2", "-n", "100000000"]
    with EchoServer(in_turn(silent, echo), history=0) as server:
        with subprocess.Popen(
            [*command, server.url, *arguments], stdout=subprocess.DEVNULL, cwd=ROOT
        ) as process:
            server.wait_connections(4, timeout=LIMIT)
            workers = children_of(process.pid)
            assert len(workers) == 2
            process.kill()
            process.wait()
        wait_until(lambda: not any(map(is_alive, workers)), LIMIT)
        server.wait_idle()


@needs_proc
def test_ctrl_c_of_a_terminal_ends_all_processes_with_a_summary() -> None:
    command = [sys.executable, "-m", "greenws", "load", "-c", "4", "--processes", "2"]
    with EchoServer(history=0) as server:
        with subprocess.Popen(
            [*command, server.url, "-n", "100000000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,
            cwd=ROOT,
        ) as process:
            server.wait_for(lambda: server.message_count > 100, timeout=LIMIT)
            workers = children_of(process.pid)
            os.killpg(process.pid, signal.SIGINT)
            with gevent.Timeout(LIMIT):
                out, err = process.communicate()
        server.wait_idle()
    assert process.returncode == 128 + signal.SIGINT
    assert "then interrupted" in out and "latency" in out
    assert "Traceback" not in err
    assert not any(map(is_alive, workers))


def test_process_that_cannot_be_started_ends_those_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = []
    real = fleet_module.Member

    def start(share: Share, task: bytes) -> Any:
        if started:
            raise OSError(11, "no more processes")
        started.append(real(share, task))
        return started[0]

    monkeypatch.setattr(fleet_module, "Member", start)
    with pytest.raises(OSError, match="no more processes"):
        Fleet(make_options(processes=2), "ws://127.0.0.1:1/", Tally(3, 2, 2)).run()
    assert started[0].process.returncode is not None


def test_options_that_cannot_be_handed_over_are_told() -> None:
    client: Any = {"headers": lambda: None}
    options = make_options(processes=2, client=client)
    with pytest.raises(ValueError, match="--processes: "):
        Fleet(options, "ws://127.0.0.1:1/", Tally(3, 2, 2)).run()


def test_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "CLOSE_TIMEOUT", 0.01)
    monkeypatch.setattr(fleet_module, "_END_TIMEOUT", 0.01)
    member = fleet_module.Member(Share(0, 1, 0, 1), b"")  # it waits for its instructions
    member.end()
    assert member.process.returncode == -signal.SIGKILL
    member.let_go()
    member.command(STOP)  # nobody is there


@pytest.mark.parametrize(
    ("status", "words"), [(3, "exit status 3"), (-15, "SIGTERM"), (-250, "signal 250")]
)
def test_loss_of_a_process_is_described(status: int, words: str) -> None:
    member = fleet_module.Member.__new__(fleet_module.Member)
    member.share, member.total = Share(0, 1, 0, 5), fleet_module.Portion(3, connected=4, closed=1)
    lost = member.describe_loss(status)
    assert (lost.second, lost.closed) == (3, 3)
    assert lost.failures == {f"a process of this run ended too early ({words})": 5}


# The pipes


def test_objects_come_out_of_a_pipe_whole() -> None:
    data = pack("one") + pack([2] * 100000)
    assert list(read_objects(io.BytesIO(data))) == ["one", [2] * 100000]
    for end in (1, 5, len(pack("one")) + 2, len(data) - 1):
        found = list(read_objects(io.BytesIO(data[:end])))
        assert found == ["one"][: end // len(pack("one"))]


@pytest.mark.parametrize("size", [1, 7, 100000])
def test_instructions_are_read_in_pieces_of_any_size(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pack({"a": 1}) + GO + STOP
    pieces: Iterator[bytes] = iter(
        [*(data[place : place + size] for place in range(0, len(data), size)), b""]
    )
    monkeypatch.setattr(pipes, "read_stdin", lambda: next(pieces))
    instructions, commands = read_instructions()
    assert instructions == {"a": 1}
    assert list(commands) == [GO, STOP]


def test_worker_without_instructions_ends() -> None:
    done = threads_subprocess.run(
        [sys.executable, "-m", "greenws.cli.load.worker"],
        stdin=threads_subprocess.DEVNULL,
        capture_output=True,
        cwd=ROOT,
        timeout=LIMIT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


@pytest.mark.parametrize("is_stopped", [False, True])
def test_worker_takes_each_step_when_it_is_told_to(
    is_stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = b""
    steps = ["open", "talk", "close"]

    def write(data: bytes) -> None:
        nonlocal written
        written += data

    def read_told() -> list[Any]:
        return list(read_objects(io.BytesIO(written)))

    def give_commands() -> Iterator[bytes]:
        for step in steps:
            wait_until(lambda step=step: step in read_told())  # type: ignore[misc]
            yield STOP if is_stopped else GO

    ended: list[int] = []
    ignored: list[int] = []
    monkeypatch.setattr(worker.os, "_exit", ended.append)
    monkeypatch.setattr(worker.signal, "signal", lambda number, action: ignored.append(number))
    monkeypatch.setattr(worker, "write_stdout", write)
    if is_stopped:
        del steps[1:]
    with EchoServer() as server:
        instructions = make_options(messages=4), server.url, Share(1, 2, 3, 2)
        monkeypatch.setattr(worker, "read_instructions", lambda: (instructions, give_commands()))
        assert worker.main() == 0
        server.wait_idle()
        assert server.connection_count == (0 if is_stopped else 2)
    told = read_told()
    assert [thing for thing in told if isinstance(thing, str)] == steps
    replies = sum(thing.replies for thing in told if not isinstance(thing, str))
    assert replies == (0 if is_stopped else 8)
    assert ignored == [signal.SIGINT]
    wait_until(lambda: ended == [1])  # as there is no main process any more


def test_worker_ends_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def fail(data: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(worker.os, "_exit", left.append)
    monkeypatch.setattr(worker, "write_stdout", fail)
    speaker = worker.Speaker()
    speaker.tell("open")
    speaker.finish()
    assert left == [1]


def test_worker_tells_things_whole_though_the_pipe_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = b""

    def write_slowly(data: bytes) -> None:
        nonlocal written
        for number in range(len(data)):
            gevent.sleep(0)
            written += data[number : number + 1]

    monkeypatch.setattr(worker, "write_stdout", write_slowly)
    speaker = worker.Speaker()
    tellers = [gevent.spawn(speaker.tell, number) for number in range(20)]
    gevent.sleep(0)
    gevent.killall(tellers)  # they have told it all the same
    speaker.finish()
    assert list(read_objects(io.BytesIO(written))) == list(range(20))
