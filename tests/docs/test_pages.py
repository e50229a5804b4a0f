"""What pages say of the repository is so: files that they name, and documents that they list."""

from __future__ import annotations

import re

import greenws
from tests.support.pages import ROOT

DOCS = ROOT / "docs"


def test_page_of_promises_names_files_that_exist() -> None:
    page = (DOCS / "promises.rst").read_text(encoding="utf-8")
    names = re.findall(r"``((?:tests/)?[\w/]+\.py)``", page)
    assert len(names) > 30
    folder = ROOT / "tests"
    assert [n for n in names if not folder.joinpath(n.removeprefix("tests/")).is_file()] == []


def test_page_of_promises_has_twelve() -> None:
    page = (DOCS / "promises.rst").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. .*\n---", page, re.MULTILINE)]
    assert numbers == list(range(1, 13))
    assert page.count("**Tested:**") == page.count("In ``tests/``:") == 12


def test_reference_has_every_public_name() -> None:
    pages = DOCS.glob("reference/*.rst")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    shown = set(re.findall(r"^\.\. auto\w+:: (\S+)", text, re.MULTILINE))
    assert {f"greenws.{name}" for name in greenws.__all__} <= shown
    assert {
        f"greenws.locust.{name}" for name in ("Answer", "UserConnection", "WebSocketUser")
    } <= shown
    assert "greenws.testing" in shown
