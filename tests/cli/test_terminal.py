"""The terminal of a command: which one is taken, its modes, and writes that find no room."""

from __future__ import annotations

import errno
import os
import pty
import termios
from collections.abc import Iterator
from typing import NamedTuple

import gevent
import gevent.os
import pytest

from greenws.cli import streams
from greenws.cli.prompt import LineTooLong, Prompt
from greenws.cli.streams import OutputError
from greenws.cli.terminal import Terminal, open_terminal
from tests.support.ticker import Ticker
from tests.support.waiting import PATIENCE, wait_until


class Pair(NamedTuple):
    """A pseudo-terminal: the end of a person, and that of a program."""

    ours: int
    theirs: int


@pytest.fixture(autouse=True)
def known_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(streams, "_is_hurried", False)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair(*pty.openpty())
    gevent.os.make_nonblocking(pair.ours)
    yield pair
    for descriptor in pair:
        os.close(descriptor)


@pytest.fixture
def terminal(pair: Pair) -> Iterator[Terminal]:
    terminal = open_terminal(pair.theirs, pair.theirs)
    assert terminal is not None
    yield terminal
    terminal.close()


def modes_of(pair: Pair) -> list[object]:
    return termios.tcgetattr(pair.theirs)[:4]


def read(pair: Pair) -> bytes:
    got: bytes = gevent.os.nb_read(pair.ours, 65536)
    return got


# Which one


def test_terminal_has_its_own_description_of_the_file(terminal: Terminal, pair: Pair) -> None:
    terminal.write("text")
    assert os.get_blocking(pair.theirs)


def test_terminal_is_none_without_one(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nowhere:
        assert open_terminal(nowhere.fileno(), pair.theirs) is None
        assert open_terminal(pair.theirs, nowhere.fileno()) is None
    other = Pair(*pty.openpty())
    assert open_terminal(pair.theirs, other.theirs) is None
    for descriptor in other:
        os.close(descriptor)
    monkeypatch.setattr("greenws.cli.terminal.HAS_TERMIOS", False)
    assert open_terminal(pair.theirs, pair.theirs) is None
    monkeypatch.undo()
    monkeypatch.setenv("TERM", "dumb")
    assert open_terminal(pair.theirs, pair.theirs) is None
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
    assert open_terminal(pair.theirs, pair.theirs) is None


@pytest.mark.parametrize("name", ["/dev/null", "/nowhere"])
def test_terminal_without_a_name_is_shared(
    name: str, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "ttyname", lambda descriptor: name)
    terminal = open_terminal(pair.theirs, pair.theirs)
    assert terminal is not None
    try:
        terminal.enter()
        terminal.write("x" * 1000)
        got = b""
        while got.count(b"x") < 1000:
            got += read(pair)
        os.write(pair.ours, b"k")
        assert terminal.read() == b"k"
    finally:
        terminal.close()
    if "libev" in type(gevent.get_hub().loop).__module__:  # libuv makes it non-blocking
        assert os.get_blocking(pair.theirs)


def test_terminal_of_unknown_size_has_no_columns(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert terminal.columns == 0

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr(os, "get_terminal_size", refuse)
    assert terminal.columns == 0


# Modes


def test_modes_are_those_of_before_after_the_end(terminal: Terminal, pair: Pair) -> None:
    before = modes_of(pair)
    terminal.enter()
    assert terminal.is_entered
    assert modes_of(pair) != before
    terminal.enter()
    terminal.retire()
    assert modes_of(pair) == before
    terminal.enter()
    assert not terminal.is_entered
    assert modes_of(pair) == before
    os.write(pair.ours, b"late\n")
    assert terminal.read() == b""


def test_terminal_of_another_process_is_left_alone(
    terminal: Terminal, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = modes_of(pair)
    group = os.getpgrp() + 1
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: group)
    monkeypatch.setattr("greenws.cli.terminal._BACKGROUND_RETRY", 0.001)
    terminal.enter()
    assert not terminal.is_entered
    assert modes_of(pair) == before
    reader = gevent.spawn(terminal.read)
    os.write(pair.ours, b"keys\n")
    gevent.sleep(0.005)
    assert not reader.dead
    group = os.getpgrp()
    assert reader.get(timeout=PATIENCE).startswith(b"keys")
    assert terminal.is_entered
    group += 1
    terminal.retire()  # the shell has set the modes that it wants
    assert modes_of(pair) != before


def test_terminal_that_was_hung_up_has_no_modes() -> None:
    pair = Pair(*pty.openpty())
    terminal = open_terminal(pair.theirs, pair.theirs)
    assert terminal is not None
    terminal.enter()
    os.close(pair.ours)
    terminal.retire()
    terminal.close()
    other = Terminal(os.dup(pair.theirs), os.dup(pair.theirs), 100)
    other.enter()
    assert not other.is_entered
    with pytest.raises(OSError, match="Input/output error"):
        other.write("text")
    other.close()
    os.close(pair.theirs)


# Reads and writes


def test_keys_are_waited_for_while_the_hub_goes_on(
    terminal: Terminal, pair: Pair, ticking: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.enter()
    reader = gevent.spawn(terminal.read)
    ticking.wait(5)
    assert not reader.dead
    os.write(pair.ours, b"k")
    assert reader.get(timeout=PATIENCE) == b"k"
    # Another process may take the key between the wait and the read.
    monkeypatch.setattr("greenws.cli.terminal.wait_for", lambda descriptor, event: None)
    reader = gevent.spawn(terminal.read)
    ticking.wait(3)
    assert not reader.dead
    os.write(pair.ours, b"k")
    assert reader.get(timeout=PATIENCE) == b"k"


@pytest.mark.parametrize("is_waitable", [True, False])
def test_room_is_waited_for_while_the_hub_goes_on(
    is_waitable: bool,
    terminal: Terminal,
    pair: Pair,
    ticking: Ticker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not is_waitable:
        monkeypatch.setattr("greenws.cli.terminal.wait_for", lambda descriptor, event: None)
    text = "größer\n" * 50_000
    writer = gevent.spawn(terminal.write, text)
    ticking.wait(5)
    assert not writer.dead
    got = b""
    expected = text.replace("\n", "\r\n").encode()
    while len(got) < len(expected):
        got += read(pair)
    assert got == expected
    writer.get(timeout=PATIENCE)


@pytest.mark.parametrize("is_waitable", [True, False])
def test_terminal_that_takes_nothing_is_given_up_in_a_hurry(
    is_waitable: bool, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_PATIENCE", 0.01)
    if not is_waitable:
        monkeypatch.setattr("greenws.cli.terminal.wait_for", lambda descriptor, event: None)
    prompt = Prompt(terminal)
    writer = gevent.spawn(prompt.show, "x" * 1_000_000)
    gevent.sleep(0.02)
    assert not writer.dead
    streams.hurry()
    with pytest.raises(OutputError, match="its reader takes nothing"):
        writer.get(timeout=PATIENCE)
    prompt.show("to nowhere")
    prompt.finish()


# Lines


def test_line_that_has_no_end_is_refused(
    terminal: Terminal, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenws.cli.prompt.MAX_LINE", 1000)
    prompt = Prompt(terminal)
    reader = gevent.spawn(prompt.read_line)
    wait_until(lambda: terminal.is_entered)
    os.write(pair.ours, b"x" * 1001)
    with pytest.raises(LineTooLong):
        reader.get(timeout=PATIENCE)


def test_end_of_the_terminal_is_the_end_of_lines(terminal: Terminal, pair: Pair) -> None:
    prompt = Prompt(terminal)
    reader = gevent.spawn(prompt.read_line)
    wait_until(lambda: terminal.is_entered)
    prompt.finish()
    prompt.finish()
    os.write(pair.ours, b"late\n")
    assert reader.get(timeout=PATIENCE) is None


def test_row_is_left_out_while_another_process_has_the_terminal(
    terminal: Terminal, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
    prompt = Prompt(terminal)
    reader = gevent.spawn(prompt.read_line)
    gevent.sleep(0)
    prompt.show("news")
    terminal.changed()
    assert read(pair) == b"news\r\n"
    reader.kill()


def test_long_line_is_cut_once_it_is_complete(terminal: Terminal, pair: Pair) -> None:
    prompt = Prompt(terminal)
    reader = gevent.spawn(prompt.read_line)
    wait_until(lambda: terminal.is_entered)
    os.write(pair.ours, b"x" * 3000)
    os.write(pair.ours, b"\n")
    assert reader.get(timeout=PATIENCE) == "x" * 3000
    got = b""
    while not got.endswith(b"...\r\n"):
        got += read(pair)
    assert b"x" * 2000 + b"...\r\n" in got
