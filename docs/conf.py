"""The settings of Sphinx: ``pip install -e '.[docs]' && sphinx-build -W docs docs/_build``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["GREENWS_PURE_PYTHON"] = "1"  # annotations are in the sources only

from greenws.version import __version__  # noqa: E402  (from the checkout)

project = "greenws"
author = "greenws developers"
copyright = "2026, greenws developers"
version = release = __version__

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
html_theme = "alabaster"
