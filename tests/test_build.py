"""Which build is in use, and what ``import greenws`` gives."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import greenws
from greenws.implementation import SourceFinder
from tests.support.pure import load_pure

ROOT = Path(__file__).parents[1]

REPORT = """
import json, sys
import greenws, greenws.events, greenws.protocol.stream
print(json.dumps({
    "compiled": greenws.COMPILED,
    "files": [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "greenws"],
}))
"""


def import_afresh(pure: str | None) -> tuple[bool, list[str]]:
    """Import greenws in a process of its own.

    :returns: ``greenws.COMPILED``, and the files of the modules of greenws.
    """
    env = {**os.environ, "GREENWS_PURE_PYTHON": pure or ""}
    if pure is None:
        del env["GREENWS_PURE_PYTHON"]
    run = subprocess.run(
        [sys.executable, "-c", REPORT],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        check=True,
        timeout=30,
    )
    facts = json.loads(run.stdout)
    return facts["compiled"], facts["files"]


def test_pure_build_is_forced_by_the_environment() -> None:
    compiled, files = import_afresh("1")
    assert compiled is False
    assert [file for file in files if not file.endswith(".py")] == []


@pytest.mark.parametrize("pure", [None, "", "0"])
def test_compiled_tells_which_build_is_in_use(pure: str | None) -> None:
    compiled, files = import_afresh(pure)
    streams = [file for file in files if Path(file).name.partition(".")[0] == "stream"]
    assert len(streams) == 1
    assert compiled is streams[0].endswith(tuple(EXTENSION_SUFFIXES))


def test_source_finder_prefers_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "twofold"
    package.mkdir()
    package.joinpath("__init__.py").write_text("")
    package.joinpath("hot.py").write_text("answer = 42\n")
    package.joinpath("hot" + EXTENSION_SUFFIXES[0]).write_bytes(b"no library")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError):
        importlib.import_module("twofold.hot")
    monkeypatch.setattr(sys, "meta_path", [SourceFinder("twofold"), *sys.meta_path])
    try:
        assert importlib.import_module("twofold.hot").answer == 42
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "twofold"]:
            del sys.modules[name]


def test_source_finder_leaves_the_rest_alone() -> None:
    finder = SourceFinder("greenws")
    assert finder.find_spec("json", None) is None
    assert finder.find_spec("greenws_more.events", greenws.__path__) is None
    assert finder.find_spec("greenws.nowhere", greenws.__path__) is None


def test_pure_twin_is_another_module_from_source() -> None:
    twin = load_pure("protocol.stream")
    assert Path(str(twin.__file__)).name == "stream.py"
    assert twin.Text is load_pure("events").Text
    assert twin.Text is not greenws.events.Text


def test_no_compiled_module_has_the_name_of_one_of_the_interpreter() -> None:
    """Up to Python 3.12, a traceback through the compiled module shows lines of the other one."""
    compiled = {path.stem for path in Path(greenws.__path__[0]).rglob("*.pxd")}
    assert "mailboxes" in compiled
    assert not compiled & sys.stdlib_module_names


def test_public_names_are_those_of_the_design() -> None:
    assert set(greenws.__all__) == {
        "COMPILED",
        "Backoff",
        "Client",
        "ClientGroup",
        "Connection",
        "GeventSession",
        "Status",
        "WebSocket",
        "__version__",
        "connect",
        "constants",
        "drain",
        "errors",
        "events",
        "persist",
    }
    for name in greenws.__all__:
        assert hasattr(greenws, name)


def test_persist_is_the_function() -> None:
    assert greenws.persist is importlib.import_module("greenws.persist").persist


def test_drain_is_the_function() -> None:
    assert greenws.drain is importlib.import_module("greenws.drain").drain


def test_extensions_are_optional_and_found_by_their_declarations() -> None:
    pytest.importorskip("setuptools")
    # A stand-in for Cython, which returns other extensions than it was given.
    script = """
import json, sys, types
import setuptools
build = types.ModuleType("Cython.Build")
build.cythonize = lambda given, **k: [setuptools.Extension(e.name, e.sources) for e in given]
sys.modules.update({"Cython": types.ModuleType("Cython"), "Cython.Build": build})
setuptools.setup = lambda ext_modules, **k: print(
    json.dumps([[e.name, e.optional] for e in ext_modules])
)
import setup
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "GREENWS_PURE_PYTHON": "0"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=30,
    )
    found = dict(json.loads(run.stdout))
    assert "greenws.protocol.stream" in found
    assert set(found) == {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in ROOT.glob("greenws/**/*.pxd")
        if path.parent.name != "native" and path.stem not in ("syscalls", "threads")
    }
    assert all(found.values())
