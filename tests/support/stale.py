"""Compiled modules that are older than what they were made from."""

from __future__ import annotations

import re
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_CIMPORT = re.compile(r"^\s*from\s+([\w.]+)\s+cimport\s+([\w, ]+)", re.MULTILINE)
_CIMPORT_MODULE = re.compile(r"^\s*cimport\s+([\w.]+)", re.MULTILINE)


def find_stale(package: Path) -> list[str]:
    """Find compiled modules that no longer are what their sources say.

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
        if "." in stem:  # another interpreter's
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
        if pxd in seen or not pxd.exists():  # one of Cython's own (libc, cpython)
            continue
        seen.add(pxd)
        text = pxd.read_text(encoding="utf-8")
        pending += [_locate(module, pxd, package) for module in _CIMPORT_MODULE.findall(text)]
        for module, names in _CIMPORT.findall(text):
            pending.append(_locate(module, pxd, package))
            # A name may be a module, too.
            for name in names.replace(" ", "").split(","):
                pending.append(_locate(f"{module}.{name}", pxd, package))
    return seen


def _locate(module: str, pxd: Path, package: Path) -> Path:
    absolute = module.lstrip(".")
    dots = len(module) - len(absolute)
    folder = pxd.parents[dots - 1] if dots else package.parent
    return folder.joinpath(*absolute.split(".")).with_suffix(".pxd")
