"""The curves of growth are measured, drawn and written. No test asks how fast anything is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.clients.meter import marks_up_to
from benchmarks.growth.__main__ import main, to_rst
from benchmarks.growth.curves import CURVES, find_curves, sizes_up_to, under_way_up_to
from benchmarks.growth.million import find_costs, million_tables
from benchmarks.growth.picture import find_span, find_ticks, to_svg
from benchmarks.growth.results import CurveResults, Growth, format_quantity
from benchmarks.kernel import grown
from benchmarks.peers import PEERS
from benchmarks.runner import Pace

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "benchmarks"


def make_growth() -> Growth:
    """A run with round figures: 10 KiB, 4 KiB in the kernel, 30 us a ping, 60 us an echo."""
    ramp = CurveResults("ramp", "memory", "KiB", "connections", True)
    points = [
        {"connections": n, "bytes": n * 10240, "kernel": n * 8192, "cpu": n * 1e-4}
        for n in (10, 10_000)
    ]
    ramp.add("greenws", 10_000, {"points": points, "base": 32 * 1024**2})
    echo = CurveResults("echo", "echo", "µs", "connections", True)
    ping = CurveResults("ping", "ping", "µs", "connections", False)
    receive = CurveResults("receive", "receive", "µs", "bytes", True)
    for cpu in (2.0, 1.0):  # the least counts
        echo.add("greenws", 10, {"messages": 100, "cpu": cpu * 1e-3})
        echo.add("greenws", 10_000, {"messages": 10_000, "cpu": cpu * 0.6})
        echo.add("bare socket", 10, {"messages": 100, "cpu": cpu * 1e-4})
        ping.add("greenws", 10_000, {"messages": 10_000, "cpu": cpu * 0.3})
        receive.add("greenws", 64, {"messages": 1000, "cpu": cpu * 1e-3})
        receive.add("greenws", 65536, {"messages": 1000, "cpu": cpu * 0.065536})
    machine = {"processor": "Test", "cores": "2", "system": "Linux", "python": "CPython"}
    return Growth(
        date="2026-01-01",
        machine=machine,
        versions={"greenws": "1"},
        build="compiled core",
        server="uvloop",
        pace={"rounds": 2, "seconds": 0.1},
        is_pinned=True,
        limits={"source ports": 28_000, "fs.nr_open": 1_048_576, "fs.file-max": 500_000},
        ping_rate=30.0,
        curves=[ramp, echo, ping, receive],
    )


# The command


def test_command_measures_curves_and_writes_picture_tables_and_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.growth", "--rounds", "1", "--seconds", "0.01"]
    command += ["--largest", "10", "--machine", "here", "--output", str(tmp_path)]
    for name in ("beat", "ramp"):
        command += ["--only", name]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert run.returncode == 0, run.stdout + run.stderr
    growth = Growth.from_json((tmp_path / "growth-here.json").read_text(encoding="utf-8"))
    assert [curve.name for curve in growth.curves] == ["beat", "ramp"]
    for curve in growth.curves:
        assert curve.failures == {}
        assert "greenws" in curve.values
        assert all(sorted(points) == [10] for points in curve.values.values())
    assert (tmp_path / "growth-here.svg").read_text(encoding="utf-8") == to_svg(growth)
    tables = (tmp_path / "growth-here.rst").read_text(encoding="utf-8")
    assert tables == to_rst(growth, "growth-here")


def test_unknown_curve_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "nothing"]) == 2
    assert "unknown curve: nothing; there are echo, beat" in capsys.readouterr().err


def test_every_curve_has_peers_that_can_do_its_work() -> None:
    peers = {peer.name: peer for peer in PEERS}
    for curve in CURVES:
        assert all(curve.work in peers[name].can for name in curve.peers), curve.name
        assert curve.row(10).options
    assert find_curves(None) == list(CURVES)


def test_points_end_at_the_largest_one() -> None:
    assert marks_up_to(10_000) == [10, 30, 100, 300, 1000, 3000, 10_000]
    assert under_way_up_to(1000) == [1, 3, 10, 30, 100, 300, 1000]
    assert under_way_up_to(2) == [1, 2]
    assert sizes_up_to(64 * 1024**2)[-3:] == [4 * 1024**2, 16 * 1024**2, 64 * 1024**2]


def test_many_connections_are_measured_for_longer() -> None:
    (curve,) = find_curves(["echo"])
    pace = Pace(rounds=1, seconds=0.2, warmup=0.1)
    assert curve.pace(pace, 10) == pace
    assert curve.pace(pace, 10_000).warmup == 1.0


# The results


def test_results_survive_json() -> None:
    growth = make_growth()
    assert Growth.from_json(growth.to_json()) == growth


def test_cpu_time_is_the_least_of_the_rounds_and_memory_the_median() -> None:
    growth = make_growth()
    echo, ramp = growth.find("echo"), growth.find("ramp")
    assert echo is not None and ramp is not None
    assert echo.line("greenws") == {10: 10.0, 10_000: 60.0}
    assert ramp.line("greenws") == {10: 10.0, 10_000: 10.0}
    assert ramp.last("nobody") is None


def test_large_messages_are_given_by_byte_as_well() -> None:
    growth = make_growth()
    panels = {curve.name: curve for curve in growth.panels()}
    assert list(panels) == ["ramp", "echo", "receive", "receive-byte"]
    assert panels["receive-byte"].line("greenws") == {65536: 1.0}


@pytest.mark.parametrize(
    ("quantity", "of", "text"),
    [(10_000, "connections", "10,000"), (64, "bytes", "64 B"), (4 * 1024**2, "bytes", "4 MiB")],
)
def test_quantity_is_formatted(quantity: int, of: str, text: str) -> None:
    assert format_quantity(quantity, of) == text


def test_only_caches_that_grow_with_the_connections_count() -> None:
    before = {"TCP": (100, 2000), "dentry": (1000, 200)}
    after = {"TCP": (300, 2000), "dentry": (1050, 200), "filp": (200, 256)}
    assert grown(before, after, 100) == 200 * 2000 + 200 * 256
    assert grown({}, {}, 100) is None


# The picture


def test_picture_has_a_line_for_each_peer_of_each_panel() -> None:
    growth = make_growth()
    root = ElementTree.fromstring(to_svg(growth))
    lines = [item for item in root.iter() if item.tag.endswith("polyline")]
    assert len(lines) == sum(len(panel.values) for panel in growth.panels())
    words = [item.text for item in root.iter() if item.tag.endswith("text")]
    assert {"echo, µs", "10,000", "64 KiB", "bare socket"} <= set(words)


def test_axis_spans_the_values_and_never_too_little() -> None:
    low, high = find_span([1.0, 100.0])
    assert low < 1.0 and high > 100.0
    low, high = find_span([5.0])
    assert high / low == pytest.approx(8.0)
    assert find_span([]) == (1.0, 8.0)


def test_ticks_are_round() -> None:
    assert find_ticks(0.9, 60.0) == [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    assert find_ticks(0.005, 6e8) == [0.01, 1.0, 100.0, 10_000.0, 1e6, 1e8]


# A million connections


def test_costs_of_a_million_follow_from_the_figures() -> None:
    costs = {cost.formula: cost.value for cost in find_costs(make_growth())}
    assert costs["10⁶ · m"] == "9.54 GiB"
    assert costs["10⁶ · k"] == "3.81 GiB"
    assert costs["10⁶ / 10,000 = 100; 100 · b"] == "3.12 GiB"
    assert costs["10⁶ / 30 s · p"] == "1 cores"
    assert costs["10⁶ / 60 s · e"] == "1 cores"
    assert costs["10⁶ · o"] == "100 s of a core"
    assert costs["10⁶ / 28,000 source ports"] == "36"
    assert costs["10⁶ and some of 500,000"] == "too few"


def test_what_was_not_measured_is_left_out() -> None:
    growth = make_growth()
    growth.curves.clear()
    growth.limits.clear()
    assert find_costs(growth) == []
    assert "A million" in million_tables(growth)
    assert json.loads(growth.to_json())["curves"] == []


# What is published


@pytest.mark.parametrize("path", sorted(FOLDER.glob("growth-*.json")), ids=lambda path: path.stem)
def test_published_picture_and_tables_are_those_of_the_json(path: Path) -> None:
    growth = Growth.from_json(path.read_text(encoding="utf-8"))
    assert path.with_suffix(".svg").read_text(encoding="utf-8") == to_svg(growth)
    assert path.with_suffix(".rst").read_text(encoding="utf-8") == to_rst(growth, path.stem)


def test_page_shows_the_picture_of_a_machine() -> None:
    page = (FOLDER / "growth.rst").read_text(encoding="utf-8")
    shown = re.findall(r"^\.\. figure:: (growth-\S+\.svg)$", page, re.MULTILINE)
    assert shown and all((FOLDER / name).is_file() for name in shown)
