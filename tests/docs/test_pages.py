"""What pages say of the repository is so: files that they name, and documents that they list."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import greenws
from greenws.sessions.lifecycle import SessionLife
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


def load_drawing() -> Any:
    spec = spec_from_file_location("draw", DOCS / "pictures" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_are_as_they_are_drawn() -> None:
    pictures = load_drawing().draw_all()
    assert {picture.path.name for picture in pictures} == {
        path.name for path in DOCS.glob("pictures/*.svg")
    }
    for picture in pictures:
        assert picture.path.read_text(encoding="utf-8") == picture.render(), (
            "python docs/pictures/draw.py draws them anew"
        )


def test_picture_of_a_life_has_every_state() -> None:
    text = load_drawing().draw_life().render()
    states = {life.name for life in SessionLife} - {"NEW"}
    assert states == set(re.findall(r'class="name"[^>]*>(\w+)<', text))
