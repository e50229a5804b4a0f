"""The plain Python twin of a compiled module, in the same process.

The twin is loaded from the same source under another package name, together with everything it
imports from greenws. So ``twin.Text`` and ``compiled.Text`` are two classes: compare contents.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

import greenws

PACKAGE = "greenws_pure"


class _Finder:
    """Finds ``greenws_pure.*`` in the folder of greenws, sources only."""

    @staticmethod
    def find_spec(
        name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(PACKAGE + "."):
            return None
        folder = Path(greenws.__path__[0], *name.split(".")[1:-1])
        return FileFinder(str(folder), (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)


def load_pure(name: str) -> ModuleType:
    """Import the plain Python twin of a module of greenws.

    :param name: its name within greenws: ``"protocol.stream"``.
    """
    if PACKAGE not in sys.modules:
        # The package is empty: greenws/__init__.py would import all of greenws a second time.
        package = ModuleType(PACKAGE)
        package.__path__ = []
        sys.modules[PACKAGE] = package
        sys.meta_path.insert(0, _Finder())  # before the finders that prefer compiled modules
    return importlib.import_module(f"{PACKAGE}.{name}")
