"""What type checkers say of the programs of users.

``right/`` has programs without a fault. In the programs of ``wrong/``, each faulty line ends in a
comment with the codes of mypy's errors: ``# error: arg-type``. A type checker has to find exactly
these lines.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROGRAMS = [str(HERE / "right"), str(HERE / "wrong")]

#: The codes of the errors of each faulty line, by the file and the number of the line.
Findings = dict[tuple[str, int], set[str]]


def read_expected() -> Findings:
    found: Findings = {}
    for path in sorted(HERE.glob("*/*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            _code, mark, names = line.partition("  # error: ")
            if mark:
                found[place(path), number] = set(names.split(", "))
    return found


def place(path: Path) -> str:
    return path.resolve().relative_to(ROOT).as_posix()


def run(command: list[str]) -> str:
    """Run a type checker on this checkout, and return its report."""
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=50)
    report = done.stdout.decode()
    assert report, done.stderr.decode()
    return report


def find_pyright() -> str:
    """Find pyright, which is in no extra: it is a program of Node, and downloads that."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("pyright", path=places)
    if found is None:
        pytest.skip("pyright is not installed")
    return found


def run_pyright(*arguments: str) -> Any:
    pyright = find_pyright()
    report = run([pyright, "--pythonpath", sys.executable, "--outputjson", *arguments])
    start = report.find("{")  # its installer may say something before
    if start < 0:
        pytest.skip(f"pyright does not run here: {report[:200]}")
    return json.loads(report[start:])


def test_wrong_programs_are_wrong_and_right_ones_are_not_marked() -> None:
    files = {path for path, _line in read_expected()}
    assert files == {place(path) for path in HERE.glob("wrong/*.py")}


def test_mypy_finds_each_fault_and_no_other() -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    report = run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "--no-error-summary", *PROGRAMS]
    )
    found: Findings = {}
    for line in report.splitlines():
        match = re.fullmatch(r"(.+?):(\d+)(?::\d+)?: (error|note): (.*)", line)
        assert match, line
        path, number, kind, text = match.groups()
        if kind == "error":
            code = text.rpartition("[")[2].rstrip("]")
            found.setdefault((place(ROOT / path), int(number)), set()).add(code)
    assert found == read_expected(), report


def test_pyright_finds_each_fault_and_no_other() -> None:
    report = run_pyright(*PROGRAMS)
    found = {
        (place(Path(item["file"])), item["range"]["start"]["line"] + 1): item["message"]
        for item in report["generalDiagnostics"]
        if item["severity"] == "error"
    }
    assert found.keys() == read_expected().keys(), found


def test_pyright_knows_the_type_of_every_public_name() -> None:
    report = run_pyright("--verifytypes", "greenws", "--ignoreexternal")["typeCompleteness"]
    unknown = [
        symbol["name"]
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    ]
    assert unknown == []
    assert report["completenessScore"] == 1
