"""The commands, links and examples of README.rst are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from greenws.testing import EchoServer, close_with

ROOT = Path(__file__).parents[1]
README = ROOT.joinpath("README.rst").read_text(encoding="utf-8")


def read_blocks(language: str) -> list[str]:
    """Find the code blocks of the README in one language, without their indent."""
    blocks = re.findall(
        rf"^\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", README, re.MULTILINE
    )
    return [re.sub("^    ", "", block, flags=re.MULTILINE).strip() for block in blocks]


@pytest.mark.skipif(not ROOT.joinpath(".ci").exists(), reason="not a checkout")
def test_commands_are_those_of_ci() -> None:
    lines = ROOT.joinpath(".ci", "run").read_text(encoding="utf-8").splitlines()
    commands = read_blocks("console")
    assert len(commands) == 2
    for command in commands:
        assert f"{command} || exit" in lines


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"`[^`<]+<([^>]+)>`_", README)
    files = [target for target in targets if "://" not in target]
    assert files
    assert [target for target in files if not ROOT.joinpath(target).exists()] == []


def test_example_does_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = read_blocks("python")
    definition, call, rest = example.rpartition("\nTicker(")
    assert call
    assert rest == '"wss://example.org/feed").run()'
    names: dict[str, Any] = {}
    exec(compile(definition, "README.rst", "exec"), names)
    with EchoServer() as server:
        assert names["ask"](server.url).json["op"] == "quote"
    assert capsys.readouterr().out == "hello\n"
    with EchoServer(close_with(1001, after=1)) as server:
        names["Ticker"](server.url, reconnect=False).run()
    message, closed = capsys.readouterr().out.splitlines()
    assert message == "{'op': 'subscribe', 'channel': 'trades'}"
    assert closed.startswith("closed: 1001 ")
