"""The report as a page: whole, of one piece, with every foreign text escaped; and in a browser."""

from __future__ import annotations

import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from gevent import subprocess

from greenws.cli.load.page import to_html
from tests.cli.load.reports import make_report
from tests.support.programs import CHROMIUM_FLAGS, find

# Seconds that the browser may take.
LIMIT = 50

_VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Reads a page: its texts by tags, and whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_page_has_all_pictures_and_tables() -> None:
    page = to_html(make_report(failures=2), make_report(scale=0.5))
    titles = read(page).texts["h2"]
    assert titles == [
        "Latencies, how many of which length",
        "Latencies, by percentile",
        "Messages a second",
        "Latencies over time",
        "Connections",
        "Failures",
        "Failures by cause",
        titles[7],
        "Percentiles",
        "Options",
    ]
    assert titles[7].startswith("Compared with the run of ")
    assert page.count("<svg") == 6
    assert 'class="line old"' in page
    assert "2.0 times as long" in page or "100 % longer" in page


def test_page_needs_nothing_from_elsewhere() -> None:
    page = to_html(make_report(), None)
    assert "<script" not in page
    names = {name for name, _value in read(page).attributes}
    assert not names & {"src", "href", "srcset", "data", "action"}
    assert not re.search(r"url\(|@import|https?:", page)
    assert "default-src 'none'" in page


def test_page_without_failures_says_so() -> None:
    assert "No connection has failed." in to_html(make_report(), None)


def test_page_escapes_every_text() -> None:
    evil = "</style><script>alert(1)</script>\x1b\u202e"
    report = make_report(where=f"ws://h/{evil}", failures=1)
    report["failures"] = [{"reason": f"{evil}{number}", "count": 1} for number in range(60)]
    report["about"] = report["version"] = report["began"] = evil
    report["options"]["message"] = evil
    earlier = make_report()
    earlier["began"] = earlier["options"]["expect"] = evil
    page = to_html(report, earlier)
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page
    assert page.count("&lt;script&gt;") > 50
    reader = read(page)
    assert "other causes" in reader.texts["td"]
    assert len(reader.texts["style"]) == 1


@pytest.mark.parametrize(
    ("rate", "words"),
    [(None, "--message-rate counts them"), (5.0, "A latency counts from when its message was due")],
)
def test_page_says_from_when_latencies_count(rate: float | None, words: str) -> None:
    report = make_report()
    report["options"]["message_rate"] = rate
    assert words in to_html(report, None)


def strip(report: dict[str, Any], *kinds: str) -> dict[str, Any]:
    """Take the durations of some kinds out of a report."""
    for kind in kinds:
        report[f"{kind}_ms"], report[f"{kind}_histogram_ms"] = None, []
    for point in report["series"]:
        point.pop("latency_ms", None)
    return report


def test_page_of_a_run_without_messages_shows_the_openings() -> None:
    report = strip(make_report(), "latency")
    report["messages"].update(sent=0, replies=0)
    for point in report["series"]:
        point.update(sent=0, replies=0)
    titles = read(to_html(report, make_report())).texts["h2"]
    assert titles[:4] == [
        "Openings, how many of which length",
        "Openings, by percentile",
        "Connections",
        "Failures",
    ]


def test_page_of_messages_that_nobody_answers_shows_what_was_sent() -> None:
    report = strip(make_report(), "latency", "opening")
    report["messages"]["replies"] = 0
    report["options"].update(expect="none", processes=2)
    report["interrupted"] = True
    page = to_html(report, None)
    assert "replies</figcaption>" not in page
    assert "2 processes; interrupted" in page
    assert read(page).texts["h2"][0] == "Messages a second"


def test_page_of_nothing_can_be_made() -> None:
    report = strip(make_report(), "latency", "opening")
    report["series"] = []
    assert read(to_html(report, None)).texts["h2"] == ["Options"]


# In a browser


def read_png(data: bytes) -> tuple[int, int, list[bytes]]:
    """Read a picture of eight bits a colour: its width, its height, and its rows of bytes."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, packed, channels = 8, b"", 0
    width = height = 0
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack_from(">IIBB", body)
            assert depth == 8
            channels = {2: 3, 6: 4}[colours]
        elif kind == b"IDAT":
            packed += body
        place += 12 + size
    raw, rows = zlib.decompress(packed), []
    stride = width * channels
    above = bytes(stride)
    for number in range(height):
        start = number * (stride + 1)
        above = _unfilter(raw[start], raw[start + 1 : start + 1 + stride], above, channels)
        rows.append(above)
    return width, height, [_drop_alpha(row, channels) for row in rows]


def _unfilter(kind: int, row: bytes, above: bytes, channels: int) -> bytes:
    """Undo the filter of a row (clause 9 of the PNG specification)."""
    if kind == 0:
        return row
    if kind == 2:
        return bytes([(one + two) & 255 for one, two in zip(row, above, strict=True)])
    done = bytearray(row)
    for place, value in enumerate(row):
        left = done[place - channels] if place >= channels else 0
        corner = above[place - channels] if place >= channels else 0
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + above[place]) // 2
        else:
            total = left + above[place] - corner
            far = abs(total - left), abs(total - above[place]), abs(total - corner)
            guess = (left, above[place], corner)[far.index(min(far))]
        done[place] = (value + guess) & 255
    return bytes(done)


def _drop_alpha(row: bytes, channels: int) -> bytes:
    if channels == 3:
        return row
    return b"".join(row[place : place + 3] for place in range(0, len(row), 4))


@pytest.mark.system
def test_browser_shows_the_page(tmp_path: Path) -> None:
    program = find("chromium")
    page = tmp_path / "page.html"
    page.write_text(to_html(make_report(seconds=20, failures=3), None), encoding="utf-8")
    flags = [*CHROMIUM_FLAGS]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=800,560"]
    flags += ["--hide-scrollbars", f"--screenshot={tmp_path / 'page.png'}"]
    done = subprocess.run(
        [program, *flags, page.as_uri()], capture_output=True, timeout=LIMIT, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    width, height, rows = read_png((tmp_path / "page.png").read_bytes())
    assert (width, height) == (800, 560)
    seen = {row[place : place + 3] for row in rows for place in range(0, width * 3, 3)}
    for colour in ("ffffff", "f6f8fa", "0969da", "bc4c00"):  # the page, panels, bars and curves
        assert bytes.fromhex(colour) in seen, colour
    # The bars are where the histogram is, in the left half: many columns have some of their colour.
    bar = bytes.fromhex("0969da")
    columns = {
        place
        for row in rows
        for place in range(width // 2)
        if row[place * 3 : place * 3 + 3] == bar
    }
    assert len(columns) > 100
