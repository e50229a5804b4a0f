"""The commands, links and examples of README.rst are right."""

from __future__ import annotations

import re
from pathlib import Path

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


def test_examples_do_what_they_show(capsys: pytest.CaptureFixture[str]) -> None:
    sequential, client = read_blocks("python")
    host = "ws://127.0.0.1:8765/"
    with EchoServer() as server:
        exec(compile(sequential.replace(host, server.url), "README.rst", "exec"), {})
    assert capsys.readouterr().out == "hello\n{'id': 7, 'op': 'quote'}\n"
    once = client.replace("reconnect = True", "reconnect = False")
    assert once != client
    with EchoServer(close_with(1001, after=1)) as server:
        exec(compile(once.replace(host, server.url), "README.rst", "exec"), {})
    message, closed = capsys.readouterr().out.splitlines()
    assert message == "{'op': 'subscribe', 'channel': 'trades'}"
    assert closed.startswith("closed: 1001 ")


def test_readme_is_one_screen() -> None:
    assert len(README.splitlines()) <= 90
