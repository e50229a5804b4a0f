"""The tutorial, step by step: its programs against its server print what the page says."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import IO

import gevent
from gevent import subprocess

from tests.support.pages import ROOT, read_programs
from tests.support.programs import find_ports
from tests.support.waiting import PATIENCE

#: Seconds for what takes its time by itself: a thousand connections, or waits between connections.
LONG = 40.0

PAGE = ROOT / "docs" / "tutorial.rst"


def read_outputs() -> list[list[str]]:
    """What the page says that programs print: without commands, in the order of the page."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(
        r"^\.\. code-block:: (?:console|text)\n\n((?:    .*\n)+)", text, re.MULTILINE
    )
    outputs = [
        [line[4:] for line in block.splitlines() if "    $ " not in line] for block in blocks
    ]
    return [lines for lines in outputs if lines]


def expect(stream: IO[bytes], lines: list[str], seconds: float = PATIENCE) -> None:
    with gevent.Timeout(seconds, AssertionError(f"not printed: {lines}")):
        for line in lines:
            assert stream.readline().decode().rstrip("\n") == line


class Desk:
    """The reader's folder and terminals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.port,) = find_ports(1)
        self.processes: list[subprocess.Popen[bytes]] = []
        names = ["hello.py", "ticker.py", "crowd.py"]
        text = PAGE.read_text(encoding="utf-8")
        for name, program in zip(names, read_programs(PAGE), strict=True):
            assert f"``{name}``" in text
            assert "8765" in program.blocks[-1].source
            folder.joinpath(name).write_text(self.say(program.blocks[-1].source), encoding="utf-8")

    def say(self, text: str) -> str:
        return text.replace("8765", str(self.port))

    def run(self, *arguments: str) -> IO[bytes]:
        """Start a program, and return what it prints."""
        command = [sys.executable, "-u", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE
        )
        self.processes.append(process)
        return process.stdout

    def interrupt(self, number: int) -> None:
        """Press Ctrl-C, and wait for the end."""
        process = self.processes[number]
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)

    def clear(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_programs_print_what_the_page_says(tmp_path: Path) -> None:
    url, hello, first, lost, again, crowd = read_outputs()
    desk = Desk(tmp_path)
    try:
        expect(desk.run("-m", "greenws", "echo", "--port", str(desk.port)), [desk.say(url[0])])
        expect(desk.run("hello.py"), hello)
        ticker = desk.run("ticker.py")
        expect(ticker, first)
        desk.interrupt(0)
        expect(ticker, lost)
        desk.run("-m", "greenws", "echo", "--port", str(desk.port))
        with gevent.Timeout(LONG, AssertionError("the client does not come back")):
            while (line := ticker.readline().decode().rstrip("\n")) != again[0]:
                assert line == lost[1]
        expect(ticker, again[1:])
        desk.interrupt(2)
        assert ticker.readline().startswith(b"closed: ")
        expect(desk.run("crowd.py"), crowd, LONG)
    finally:
        desk.clear()
