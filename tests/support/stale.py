"""Compiled modules that are older than their sources."""

from __future__ import annotations

import re
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_CIMPORT = re.compile(r"^\s*from\s+([\w.]+)\s+cimport\s+([\w, ]+)", re.MULTILINE)
_CIMPORT_MODULE = re.compile(r"^\s*cimport\s+([\w.]+)", re.MULTILINE)


def find_stale(package: Path) -> list[str]:
    """Find compiled modules that do not match their sources any more.

    A module depends on its ``.py``, its ``.pxd`` and every ``.pxd`` that one cimports from.

    :param package: the folder of the package.
    :returns: a line for each such module, saying why.
    """
    suffixes = tuple(EXTENSION_SUFFIXES)
    found = []
    for path in sorted(package.rglob("*")):
        suffix = next((suffix for suffix in suffixes if path.name.endswith(suffix)), None)
        if suffix is None:
            continue
        stem = path.name.removesuffix(suffix)
        if "." in stem:  # built for another interpreter
            continue
        source = path.with_name(stem + ".py")
        declarations = source.with_suffix(".pxd")
        name = path.relative_to(package.parent)
        if not source.exists() or not declarations.exists():
            found.append(f"{name} has no .py with a .pxd beside it any more")
            continue
        built = path.stat().st_mtime_ns
        for needed in [source, *_with_cimported(declarations, package)]:
            if needed.stat().st_mtime_ns > built:
                found.append(f"{name} is older than {needed.relative_to(package.parent)}")
                break
    return found


def _with_cimported(declarations: Path, package: Path) -> set[Path]:
    seen: set[Path] = set()
    pending = [declarations]
    while pending:
        pxd = pending.pop()
        if pxd in seen or not pxd.exists():  # part of Cython (libc, cpython)
            continue
        seen.add(pxd)
        text = pxd.read_text(encoding="utf-8")
        pending += [_locate(module, pxd, package) for module in _CIMPORT_MODULE.findall(text)]
        for module, names in _CIMPORT.findall(text):
            pending.append(_locate(module, pxd, package))
            # The name that is cimported may be a module.
            for name in names.replace(" ", "").split(","):
                pending.append(_locate(f"{module}.{name}", pxd, package))
    return seen


def _locate(module: str, pxd: Path, package: Path) -> Path:
    absolute = module.lstrip(".")
    dots = len(module) - len(absolute)
    folder = pxd.parents[dots - 1] if dots else package.parent
    return folder.joinpath(*absolute.split(".")).with_suffix(".pxd")
