"""The version: one number, in one place, that everything else shows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import greenws
from greenws import constants, version

ROOT = Path(__file__).parents[1]


def test_version_is_a_release_number() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", version.__version__)


def test_version_is_shown_everywhere() -> None:
    assert greenws.__version__ is version.__version__
    assert version.__version__ in constants.USER_AGENT
    changes = (ROOT / "CHANGES.rst").read_text()
    assert re.search(rf"^{re.escape(version.__version__)}\b", changes, re.MULTILINE)


def test_version_can_be_read_without_importing_the_package() -> None:
    # setuptools reads a literal; an import would need gevent where the package is built.
    tree = ast.parse(Path(version.__file__).read_text())
    kinds = [type(node) for node in tree.body]
    assert kinds == [ast.Expr, ast.Assign]
