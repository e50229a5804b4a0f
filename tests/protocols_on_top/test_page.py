"""The page of the docs about protocols, and what it shows."""

from __future__ import annotations

import re

from tests.protocols_on_top.programs import EXAMPLES, ROOT, SERVERS

PAGE = (ROOT / "docs" / "protocols.rst").read_text(encoding="utf-8")


def test_every_example_is_short_and_on_the_page_and_run() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    shown = re.findall(r"^\.\. literalinclude:: ../examples/protocols/(\S+)", PAGE, re.MULTILINE)
    assert set(shown) == names
    sources = "".join(path.read_text() for path in (ROOT / "tests/protocols_on_top").glob("*.py"))
    for name in names:
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 100, name
        assert f'run_example("{name.removesuffix(".py")}", server.url' in sources


def test_page_starts_every_server() -> None:
    for path in SERVERS.glob("*_*.*"):
        assert f" examples/protocols/servers/{path.name} 8765" in PAGE
