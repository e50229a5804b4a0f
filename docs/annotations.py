"""Annotations that autodoc can read.

greenws' modules import much for type checkers only, and autodoc evaluates annotations where those
names are missing. So here the names are put into the modules. An alias of a long union is replaced
by a stand-in of its name, so that a page shows the name, and not the union.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

#: What greenws takes of Locust, by module.
LOCUST = {
    "locust": ["User"],
    "locust.exception": [
        "CatchResponseError",
        "InterruptTaskSet",
        "RescheduleTask",
        "RescheduleTaskImmediately",
        "StopTest",
        "StopUser",
    ],
}

#: The aliases that a page shows by their names.
ALIASES = {
    "greenws.events": ["AnyEvent", "AnyMessage"],
    "greenws.options": ["HeaderSource", "Password", "SocketOption", "TraceCallback"],
    "greenws.protocol.frame": ["Payload"],
    "greenws.replies": ["ReplyKey"],
    "greenws.sessions.contract": ["SessionClass"],
    "greenws.testing.behaviour": ["Behaviour"],
}


def prepare_annotations() -> None:
    """Import greenws, and complete the names of its modules."""
    replace_locust()
    modules = import_all()
    for module in modules:
        run_imports_for_checkers(module)
    for home, names in ALIASES.items():
        for name in names:
            alias = getattr(sys.modules[home], name)
            place = "greenws.testing" if name == "Behaviour" else home
            stand_in = type(name, (), {"__module__": place})
            for module in modules:
                if vars(module).get(name) is alias:
                    setattr(module, name, stand_in)


def replace_locust() -> None:
    """Put a stand-in in the place of Locust, which patches the process that imports it."""
    for name, classes in LOCUST.items():
        module = ModuleType(name)
        bases = () if name == "locust" else (Exception,)
        for item in classes:
            setattr(module, item, type(item, bases, {"__module__": name}))
        sys.modules[name] = module


def import_all() -> list[ModuleType]:
    package = importlib.import_module("greenws")
    found = pkgutil.walk_packages(package.__path__, "greenws.")
    names = [info.name for info in found if not info.name.endswith("__main__")]
    return [package, *map(importlib.import_module, names)]


def run_imports_for_checkers(module: ModuleType) -> None:
    """Run the imports below ``if TYPE_CHECKING``: all that they name is imported by now."""
    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for block in tree.body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for item in block.body:
                if isinstance(item, ast.Import | ast.ImportFrom):
                    program = ast.Module([item], [])
                    # The stubs of the standard library have names that it has not.
                    with suppress(ImportError):
                        exec(compile(program, module.__file__, "exec"), vars(module))
