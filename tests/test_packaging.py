"""The build backend and the metadata of the package."""

from __future__ import annotations

import configparser
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    pytest.importorskip("setuptools")
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    # The flags of this machine do not count.
    for name in ("CC", "CPATH", "C_INCLUDE_PATH", "CFLAGS", "CPPFLAGS"):
        monkeypatch.delenv(name, raising=False)
    yield importlib.import_module("build_backend")
    sys.modules.pop("build_backend", None)


def make_archive(path: Path, names: list[str], time: int, owner: str, mode: int) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(name), time, mode
            member.uid, member.uname = time % 1000, owner
            archive.addfile(member, io.BytesIO(name.encode()))


def test_sdists_of_the_same_files_are_the_same_bytes(backend: ModuleType, tmp_path: Path) -> None:
    first, second = tmp_path / "1.tar.gz", tmp_path / "2.tar.gz"
    make_archive(first, ["x/a", "x/b"], 1700000000, "ann", 0o644)
    make_archive(second, ["x/b", "x/a"], 1800000001, "bob", 0o600)
    backend._normalize(first)
    backend._normalize(second)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        assert archive.getnames() == ["x/a", "x/b"]
        assert [member.mode for member in archive] == [0o644, 0o644]


def test_sdist_has_the_time_that_is_asked_for(
    backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    make_archive(tmp_path / "1.tar.gz", ["run"], 1, "ann", 0o700)
    backend._normalize(tmp_path / "1.tar.gz")
    with tarfile.open(tmp_path / "1.tar.gz") as archive:
        assert [(member.mtime, member.mode) for member in archive] == [(1234567890, 0o755)]


@pytest.mark.skipif(os.name != "posix", reason="setuptools finds the compiler of Windows")
def test_a_missing_compiler_is_named(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O9")
    monkeypatch.delenv("GREENWS_PURE_PYTHON", raising=False)
    assert backend.find_obstacle() == "there is no C compiler (no-such-compiler)"
    assert backend._get_compilers() == []


@pytest.mark.skipif(os.name != "posix", reason="setuptools finds the headers of Windows")
def test_missing_headers_are_named(
    backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", sys.executable)  # a program that is there
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert backend.find_obstacle().startswith(f"there is no {tmp_path}")
    monkeypatch.setenv("CFLAGS", "-I/elsewhere")
    assert backend.find_obstacle() == ""


def test_cython_is_wanted_where_something_is_compiled(
    backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    (tmp_path / "Python.h").touch()
    monkeypatch.setenv("GREENWS_PURE_PYTHON", "0")
    assert backend._get_compilers() == [backend.CYTHON]
    monkeypatch.setenv("GREENWS_PURE_PYTHON", "1")
    assert backend._get_compilers() == []


def describe(tmp_path: Path, repository: str, contact: str) -> dict[str, object]:
    """Return the metadata that setup.py adds to those of setup.cfg."""
    pytest.importorskip("setuptools")
    config = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    config = config.replace("\nrepository =\n", f"\nrepository = {repository}\n", 1)
    config = config.replace("\ncontact =\n", f"\ncontact = {contact}\n", 1)
    (tmp_path / "greenws").mkdir()
    (tmp_path / "setup.cfg").write_text(config, encoding="utf-8")
    for name in ("setup.py", "build_backend.py", "README.rst", "greenws/version.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    script = """
import setuptools
setuptools.setup = lambda ext_modules, cmdclass, **metadata: print(metadata)
import setup
"""
    said = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
        text=True,
    ).stdout
    found: dict[str, object] = eval(said)
    return found


def test_a_package_has_the_links_of_its_repository(tmp_path: Path) -> None:
    found = describe(tmp_path, "https://forge.invalid/a/greenws/", "a@forge.invalid")
    assert found["author_email"] == "a@forge.invalid"
    links = found["project_urls"]
    assert isinstance(links, dict)
    assert list(links) == ["Source", "Documentation", "Changes", "Issues"]
    assert links["Source"] == "https://forge.invalid/a/greenws"
    assert "<https://forge.invalid/a/greenws/blob/v" in str(found["long_description"])
    assert "<docs/" not in str(found["long_description"])
    assert "image:: docs/" not in str(found["long_description"])


def test_a_package_without_a_repository_has_no_links(tmp_path: Path) -> None:
    assert describe(tmp_path, "", "") == {}


def test_license_is_an_expression() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    metadata = config["metadata"]
    assert metadata["license_expression"] == "BSD-3-Clause"
    assert "License ::" not in metadata["classifiers"]  # the registry refuses both together


#: The C of a ``.pxd``.
OWN_C = re.compile(r'cdef extern from \*:\n    """\n(.*?)    """', re.DOTALL)

#: What Cython says before the C of a ``.pxd``, with a compiler of today and with one of C23.
PREAMBLES = {
    "c11": "#define CYTHON_UNUSED __attribute__((unused))",
    "c2x": "#define CYTHON_UNUSED [[maybe_unused]]",
}


@pytest.mark.parametrize("standard", list(PREAMBLES))
def test_own_c_is_valid_by_each_standard(standard: str, tmp_path: Path) -> None:
    include = sysconfig.get_path("include")
    compiler = shutil.which("gcc")
    if compiler is None or not Path(include, "Python.h").exists():
        pytest.skip("no gcc, or no headers of Python")
    pieces = [
        piece
        for path in sorted(ROOT.glob("greenws/**/*.pxd"))
        for piece in re.findall(
            r'cdef extern from \*:\n    """\n(.*?)    """', path.read_text(), re.S
        )
    ]
    assert len(pieces) == 3
    head = ["#include <Python.h>", PREAMBLES[standard], "#define CYTHON_INLINE inline"]
    source = tmp_path / "own.c"
    source.write_text("\n".join([*head, *pieces]))
    flags = [f"-std={standard}", "-D_GNU_SOURCE", "-fsyntax-only", f"-I{include}"]
    run = subprocess.run([compiler, *flags, str(source)], stderr=subprocess.PIPE, check=False)
    assert run.returncode == 0, run.stderr.decode()
