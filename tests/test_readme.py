"""README.rst says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT.joinpath("README.rst").read_text(encoding="utf-8")


def read_blocks(language: str) -> list[str]:
    """The code blocks of the README in one language, without their indent."""
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


def test_example_is_valid() -> None:
    (example,) = read_blocks("python")
    compile(example, "README.rst", "exec")
