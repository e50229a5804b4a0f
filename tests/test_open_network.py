"""The slow link of the benchmarks delays, drops and holds back as it says."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import pytest

from benchmarks import __main__ as command
from benchmarks import open_network
from benchmarks.link import Forwarder, Link, Pipe
from benchmarks.open_network import Helper, Unavailable, describe, run_far_server
from benchmarks.peers import find_peers
from benchmarks.relay import READ_SIZE, WINDOW, Delay
from benchmarks.rows import ROWS, Row, find_rows
from benchmarks.runner import Pace, Server, measure

PACKET = b"p" * 1000
#: As short as a run can be: a few round trips.
PACE = Pace(rounds=1, seconds=0.25, warmup=0.0)


def find_lost(pipe: Pipe, count: int) -> list[int]:
    """Push numbered packets, and return the numbers of those that do not come out."""
    for number in range(count):
        pipe.push(number.to_bytes(4, "big"), float(number))
    came = set()
    while (packet := pipe.pop(count + 1.0)) is not None:
        came.add(int.from_bytes(packet, "big"))
    return [number for number in range(count) if number not in came]


def test_packet_arrives_after_the_delay_and_not_before() -> None:
    pipe = Pipe(Link(delay=0.05, rate=1e6))
    assert pipe.due is None
    pipe.push(PACKET, 10.0)
    assert pipe.due == pytest.approx(10.051)  # a millisecond to send it, and the delay
    assert pipe.pop(10.050) is None
    assert pipe.pop(10.052) == PACKET
    assert pipe.pop(11.0) is None
    assert pipe.passed == 1
    assert pipe.lateness == pytest.approx(0.001)


def test_packets_leave_one_after_the_other_at_the_rate() -> None:
    pipe = Pipe(Link(delay=0.05, rate=1e6))
    for _ in range(3):
        pipe.push(PACKET, 10.0)
    for due in (10.051, 10.052, 10.053):
        assert pipe.due == pytest.approx(due)
        assert pipe.pop(due + 1e-6) == PACKET


def test_packets_beyond_the_queue_are_refused_until_it_has_room() -> None:
    pipe = Pipe(Link(rate=1e6, queue=2000))
    for _ in range(5):
        pipe.push(PACKET, 10.0)
    assert pipe.refused == 3
    pipe.push(PACKET, 10.001)  # the first one has left
    assert pipe.refused == 3


def test_same_share_of_packets_is_lost_and_the_same_ones_every_time() -> None:
    link = Link(loss=0.01)
    lost = find_lost(Pipe(link), 10_000)
    assert 60 <= len(lost) <= 140
    assert find_lost(Pipe(link), 10_000) == lost
    assert find_lost(Pipe(link, direction=1), 10_000) != lost
    assert find_lost(Pipe(Link(loss=0.01, seed=2)), 10_000) != lost
    assert find_lost(Pipe(Link()), 1000) == []


@contextmanager
def running_forwarder(link: Link) -> Iterator[tuple[socket.socket, socket.socket, Forwarder]]:
    """Give the two sockets that a running forwarder has between them."""
    with ExitStack() as stack:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
        for end in (*pairs[0], *pairs[1]):
            stack.enter_context(end)
            end.setblocking(False)
        control, stop = os.pipe()
        stack.callback(os.close, control)
        forwarder = Forwarder((pairs[0][1].fileno(), pairs[1][1].fileno()), link)
        thread = threading.Thread(target=forwarder.run, args=(control,))
        thread.start()
        try:
            yield pairs[0][0], pairs[1][0], forwarder
        finally:
            os.close(stop)  # the end of a pipe is readable
            thread.join()


@pytest.mark.parametrize("backwards", [False, True])
def test_forwarder_moves_packets_in_both_directions_after_the_delay(backwards: bool) -> None:
    link = Link(delay=0.02, loss=0.2)
    sent = [bytes((number,)) * 100 for number in range(40)]
    lost = find_lost(Pipe(link, direction=int(backwards)), len(sent))
    expected = [packet for number, packet in enumerate(sent) if number not in lost]
    with running_forwarder(link) as (first, second, forwarder):
        source, target = (second, first) if backwards else (first, second)
        target.settimeout(10)
        began = monotonic()
        for packet in sent:
            source.settimeout(10)
            source.send(packet)
        came = [target.recv(2048)]
        assert monotonic() - began >= link.delay
        came += [target.recv(2048) for _ in expected[1:]]
    assert came == expected
    count = forwarder.ways[int(backwards)][2].count()
    assert (count["passed"], count["lost"], count["refused"]) == (len(came), len(lost), 0)


def test_packets_that_the_other_end_does_not_take_are_lost() -> None:
    with running_forwarder(Link(delay=0.0)) as (first, _, forwarder):
        pipe = forwarder.ways[0][2]
        first.settimeout(10)
        sent = 0
        while not pipe.refused:  # nobody reads at the other end
            first.send(PACKET)
            sent += 1
    assert sent >= pipe.refused > 0


def test_counts_are_described() -> None:
    pipe = Pipe(Link(loss=0.5))
    find_lost(pipe, 100)
    said = describe([pipe.count(), Pipe(Link()).count()])
    assert said.startswith(
        f"{pipe.passed} packets passed, {pipe.lost} were lost by chance, 0 found"
    )


def test_relayed_bytes_arrive_after_the_delay_and_then_the_end() -> None:
    delay, data = 0.02, bytes(range(256)) * 100

    async def pass_on() -> tuple[bytes, float]:
        reader, (near, far) = asyncio.StreamReader(), socket.socketpair()
        with near, far:
            _, writer = await asyncio.open_connection(sock=near)
            far_reader, far_writer = await asyncio.open_connection(sock=far)
            began = monotonic()
            reader.feed_data(data)
            reader.feed_eof()
            running = asyncio.create_task(Delay(reader, writer, delay).run())
            first = await far_reader.read(1)
            took = monotonic() - began
            rest = await far_reader.read()
            await running
            for each in (writer, far_writer):
                each.close()
                await each.wait_closed()
        return first + rest, took

    came, took = asyncio.run(asyncio.wait_for(pass_on(), 20))
    assert came == data
    assert took >= delay


class Endless(asyncio.StreamReader):
    """Has more bytes whenever it is asked, and counts them."""

    given = 0

    async def read(self, n: int = -1) -> bytes:
        await asyncio.sleep(0)
        self.given += n
        return bytes(n)


def test_relay_holds_no_more_than_its_window() -> None:
    async def fill() -> int:
        reader, (near, far) = Endless(), socket.socketpair()
        with near, far:
            _, writer = await asyncio.open_connection(sock=near)
            running = asyncio.create_task(Delay(reader, writer, 1000.0).run())
            for _ in range(4 * WINDOW // READ_SIZE):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            writer.close()
            await writer.wait_closed()
        return reader.given

    assert asyncio.run(fill()) == WINDOW


@contextmanager
def refusing_run(module: str, *arguments: str) -> Iterator[Helper]:
    """Be a system without TUN devices."""
    if module == "forwarder":
        raise Unavailable("no TUN")
    with RUN(module, *arguments) as helper:
        yield helper


RUN = open_network._run


def find_far_row(name: str) -> Row:
    (row,) = find_rows([name])
    assert row.link is not None
    return row


def measure_trip(server: Server) -> float:
    """Return the seconds of a round trip of greenws."""
    row = find_far_row("open-ping-pong")
    short = Row("short", "short", "echo", "cpu", row.bars, row.aim, {"size": 32}, link=row.link)
    result = measure(find_peers(["greenws"])[0], short, server, PACE)
    return float(result["seconds"] / result["messages"])


def test_round_trip_over_the_link_takes_twice_its_delay(tmp_path: Path) -> None:
    told: list[str] = []
    link = Link(delay=0.03)
    with run_far_server(link, tmp_path, told.append) as server:
        if not server.prefix:
            pytest.skip(told[0])
        assert measure_trip(server) >= 2 * link.delay
        (forwarder,) = server.helpers
        assert Path(f"/proc/{forwarder}").exists()
    assert not Path(f"/proc/{forwarder}").exists()  # and with it its namespaces and devices
    assert len(told) == 1
    assert "0 were lost by chance, 0 found a full queue" in told[0]


def test_relay_stands_in_where_there_are_no_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_network, "_run", refusing_run)
    told: list[str] = []
    link = Link(delay=0.03)
    with run_far_server(link, tmp_path, told.append) as server:
        assert measure_trip(server) >= 2 * link.delay
    assert told == ["30 ms each way, 0% of the packets lost: a relay on loopback, because no TUN"]


@pytest.mark.parametrize(
    ("source", "why"),
    [('print(\'{"error": "no TUN"}\')', "no TUN"), ("", "the helper ended at once")],
)
def test_helper_says_why_it_cannot_run(
    source: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "benchmarks"
    package.mkdir()
    for name, text in (("__init__", ""), ("helper", source)):
        package.joinpath(f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(open_network, "ROOT", tmp_path)
    with pytest.raises(Unavailable, match=f"^{why}$"), RUN("helper"):
        pass


def test_rows_with_loss_are_skipped_where_there_are_no_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(open_network, "_run", refusing_run)
    monkeypatch.setattr(command, "find_build", lambda: ("any build", "any loop"))
    options = ["--only", "open-send-loss", "--peers", "greenws", "--output", str(tmp_path)]
    assert command.main(options) == 0
    said = capsys.readouterr().out
    assert "open-send-loss: skipped, because no TUN, and a relay cannot lose packets\n" in said


def test_quick_run_has_no_row_over_a_link_unless_it_is_named() -> None:
    rows = command.choose_rows(command.parse(["--quick"]))
    assert rows == [row for row in ROWS if row.link is None]
    rows = command.choose_rows(command.parse(["--quick", "--only", "open-*"]))
    assert rows == [row for row in ROWS if row.link is not None]
    assert command.choose_rows(command.parse([])) == list(ROWS)
