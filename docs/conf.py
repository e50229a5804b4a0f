"""The settings of Sphinx: ``pip install -e '.[docs]' && sphinx-build -W -n docs docs/_build``."""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
# The sources are read, whether they were compiled or not: they have the signatures and comments.
os.environ["GREENWS_PURE_PYTHON"] = "1"

from annotations import prepare_annotations  # noqa: E402  (beside this file)

from greenws.version import __version__  # noqa: E402  (from the checkout)

project = "greenws"
author = "greenws developers"
copyright = "2026, greenws developers"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [("py:class", r"greenws\..*\.\w*T")]  # type variables
nitpick_ignore = [
    ("py:class", "OnEnd"),
    ("py:exc", "StopTest"),  # Locust's
]

html_theme = "furo"
toc_object_entries_show_parents = "hide"
html_title = f"greenws {release}"
html_static_path = ["_static"]
html_css_files = ["greenws.css"]
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#1a7f4b",
        "color-brand-content": "#146b3e",
        "color-code-panel": "#f3f7f5",
    },
    "dark_css_variables": {
        "color-brand-primary": "#5fd097",
        "color-brand-content": "#6fdca5",
        "color-code-panel": "#1b221e",
    },
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "github-dark"
# Where lines have prompts, these lines alone are copied, without the prompts.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"

#: Where the names of others are documented, by the file in ``inventories`` that lists the names.
SITES = {
    "gevent": "https://www.gevent.org",
    "python": "https://docs.python.org/3",
}


def write_inventories(folder: Path) -> dict[str, tuple[str, str]]:
    """Make the inventories of other sites out of the lists of the names that are used here.

    So a build needs no network, and links to the same pages wherever it runs.

    :returns: the mapping that the extension for such links takes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for name, url in SITES.items():
        source = HERE.joinpath("inventories", f"{name}.txt").read_text(encoding="utf-8")
        lines = [line for line in source.splitlines(keepends=True) if not line.startswith("#")]
        head = f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n"
        head += "# The remainder of this file is compressed using zlib.\n"
        path = folder / f"{name}.inv"
        path.write_bytes(head.encode() + zlib.compress("".join(lines).encode()))
        mapping[name] = (url, str(path))
    return mapping


def resolve_alias(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, inner: Element
) -> Element | None:
    """Find an alias of a type, which annotations refer to as if it was a class."""
    if node["refdomain"] != "py" or node["reftype"] != "class":
        return None
    target = node["reftarget"]
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "data", target, node, inner)


def setup(app: Sphinx) -> None:
    prepare_annotations()
    app.connect("missing-reference", resolve_alias)
    app.config.intersphinx_mapping = write_inventories(Path(app.doctreedir) / "inventories")
