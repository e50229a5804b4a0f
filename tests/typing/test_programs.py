"""What type checkers say of the programs of users.

``right/`` has programs without a fault. In the programs of ``wrong/``, each faulty line ends in a
comment with the codes of mypy's errors: ``# error: arg-type``. A type checker has to find exactly
these lines; mypy may have more to say of a line than its comment does. The code of docs/types.rst
is read in the same way. All other code in the docs, and the examples, have to be without a fault.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenws import Client, WebSocket
from greenws.testing import EchoServer
from tests.support.pages import find_programs, read_programs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: The codes of the errors of each faulty line, by the file and the number of the line.
Findings = dict[tuple[str, int], set[str]]


@pytest.fixture
def programs(tmp_path: Path) -> list[Path]:
    # Each line has the number that it has in the page.
    pages = tmp_path / "pages"
    pages.mkdir()
    for program in find_programs():
        name = f"{program.name.replace('.', '_').replace(':', '_')}.py"
        pages.joinpath(name).write_text(program.typed_source, encoding="utf-8")
    folders = [HERE / "right", HERE / "wrong", ROOT / "examples", pages]
    return [path for folder in folders for path in sorted(folder.rglob("*.py")) if has_all(path)]


def has_all(path: Path) -> bool:
    """Whether all that a program imports is installed: Locust and others need not be."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for item in ast.walk(tree):
        if isinstance(item, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in item.names}
        elif isinstance(item, ast.ImportFrom) and item.module and not item.level:
            names.add(item.module.partition(".")[0])
    return all(importlib.util.find_spec(name) is not None for name in names)


def read_expected(programs: list[Path]) -> Findings:
    found: Findings = {}
    for path in programs:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            _code, mark, names = line.partition("  # error: ")
            if mark:
                found[place(path), number] = set(names.split(", "))
    return found


def imports_untyped(path: Path) -> bool:
    """Whether a program is for a library that has no types of its own."""
    return bool(re.search(r"^(from|import) (lomond|ws4py)", path.read_text("utf-8"), re.MULTILINE))


def place(path: Path) -> str:
    """The folder and the name of a program."""
    return f"{path.parent.name}/{path.name}"


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


def test_the_programs_of_wrong_are_those_with_faults(programs: list[Path]) -> None:
    files = {path for path, _line in read_expected(programs) if not path.startswith("pages/")}
    assert files == {place(path) for path in programs if path.parent.name == "wrong"}


def test_mypy_finds_each_fault_and_no_other(programs: list[Path]) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    options = ["--strict", "--no-pretty", "--no-error-summary"]
    report = run([sys.executable, "-m", "mypy", *options, *map(str, programs)])
    found: Findings = {}
    for line in report.splitlines():
        match = re.fullmatch(r"(.+?):(\d+)(?::\d+)?: (error|note): (.*)", line)
        assert match, line
        path, number, kind, text = match.groups()
        if kind == "error":
            code = text.rpartition("[")[2].rstrip("]")
            found.setdefault((place(ROOT / path), int(number)), set()).add(code)
    expected = read_expected(programs)
    assert found.keys() == expected.keys(), report
    for where, codes in expected.items():
        assert codes <= found[where], where


def test_pyright_finds_each_fault_and_no_other(programs: list[Path]) -> None:
    # Of a library without types, pyright guesses them from its code.
    programs = [path for path in programs if not imports_untyped(path)]
    report = run_pyright(*map(str, programs))
    found = {
        (place(Path(item["file"])), item["range"]["start"]["line"] + 1): item["message"]
        for item in report["generalDiagnostics"]
        if item["severity"] == "error"
    }
    assert found.keys() == read_expected(programs).keys(), found


def test_pyright_knows_the_type_of_every_public_name() -> None:
    report = run_pyright("--verifytypes", "greenws", "--ignoreexternal")["typeCompleteness"]
    unknown = [
        symbol["name"]
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    ]
    assert unknown == []
    assert report["completenessScore"] == 1


def test_the_session_of_the_page_talks_to_a_server() -> None:
    names: dict[str, Any] = {}
    *_others, program = read_programs(ROOT / "docs" / "types.rst")
    exec(compile(program.source, str(program.page), "exec"), names)
    with EchoServer() as server:
        assert names["talk"](server.url) == "hello"
        session = names["PlainSession"]
        client = Client(server.url, session_class=session, compress=True, proxies={}).start()
        assert client.wait_ready(5)
        client.send_text("deflated " * 10)
        server.wait_messages(2)
        assert client.websocket.session.session_time > 0
        server.open_connections[0].close(1001)
        client.join(5)
        assert client.websocket.state.close_code == 1001
        assert server.messages[-1] == "deflated " * 10
    last = list(WebSocket(server.url).connect(session_class=session))[-1]
    assert last.name == "connect_fail"
