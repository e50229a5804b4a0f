"""Which implementation of greenws is in use: the compiled core, or plain Python.

A compiled module lies beside its source and has the same name, and Python prefers the compiled
module. With ``GREENWS_PURE_PYTHON=1`` in the environment Python imports the source instead.
``greenws/__init__.py`` imports this module first, because the decision must stand before any other
module of greenws is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from types import FunctionType, ModuleType
from typing import Any, Final

_PACKAGE: Final = __name__.rpartition(".")[0]
_HOT_MODULE: Final = f"{_PACKAGE}.protocol.stream"


class SourceFinder:
    """A finder for ``sys.meta_path`` that finds only the ``.py`` files of one package.

    :param package: name of the package. Modules outside the package, and modules without a
        source, are left to the finders that follow.
    """

    def __init__(self, package: str) -> None:
        self.prefix: str = package + "."

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the source of a module; ``importlib`` calls this method."""
        if path is None or not name.startswith(self.prefix):
            return None
        for folder in path:
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None and spec.loader is not None:  # a bare folder has no loader
                return spec
        return None


def is_pure_forced() -> bool:
    """Tell whether the environment asks for plain Python."""
    return os.environ.get("GREENWS_PURE_PYTHON", "0") not in ("", "0")


def select_implementation() -> bool:
    """Make imports of greenws follow the environment.

    :returns: whether the imports will find the compiled core.
    """
    if is_pure_forced():
        if not any(isinstance(finder, SourceFinder) for finder in sys.meta_path):
            sys.meta_path.insert(0, SourceFinder(_PACKAGE))
        return False
    protocol = os.path.join(os.path.dirname(__file__), "protocol")
    spec = PathFinder.find_spec(_HOT_MODULE, [protocol])
    origin = spec.origin if spec is not None else None
    return origin is not None and origin.endswith(tuple(EXTENSION_SUFFIXES))


def is_compiled(function: Callable[..., Any]) -> bool:
    """Tell whether the module that defines ``function`` is compiled.

    The tests load the plain Python of a compiled module beside it, so a hot module asks this about
    one of its own functions rather than for :data:`COMPILED`.
    """
    return not isinstance(function, FunctionType)


#: Whether the compiled core is in use.
COMPILED: Final[bool] = select_implementation()
