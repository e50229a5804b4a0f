"""setuptools' backend (PEP 517), with two differences.

Cython is asked for only where there is something to compile with: to fetch and unpack Cython takes
a fifth of the time of a pure install. And an sdist of the same sources has the same bytes.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import sysconfig
import tarfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

CYTHON = "Cython>=3.0.11"

# The time of every file of an sdist, if SOURCE_DATE_EPOCH does not name another: 1980, the first
# that a zip archive can hold.
EPOCH = 315532800

Settings = dict[str, "str | list[str] | None"]


def build_sdist(sdist_directory: str, config_settings: Settings | None = None) -> str:
    name = build_meta.build_sdist(sdist_directory, config_settings)
    _normalize(Path(sdist_directory, name))
    return name


def _normalize(path: Path) -> None:
    """Write the archive again, without order, times, owners and masks of this machine."""
    time = int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH)
    content = io.BytesIO()
    with (
        tarfile.open(path) as archive,
        tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as normal,
    ):
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            member.mtime = time
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {}
            is_program = member.isdir() or member.mode & 0o100
            member.mode = 0o755 if is_program else 0o644
            normal.addfile(member, archive.extractfile(member) if member.isfile() else None)
    path.write_bytes(gzip.compress(content.getvalue(), mtime=0))


def get_requires_for_build_wheel(config_settings: Settings | None = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_get_compilers()]


def get_requires_for_build_editable(config_settings: Settings | None = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(config_settings), *_get_compilers()]


def _get_compilers() -> list[str]:
    return [] if is_pure_wanted() or find_obstacle() else [CYTHON]


def is_pure_wanted() -> bool:
    return os.environ.get("GREENWS_PURE_PYTHON", "0") not in ("", "0")


def find_obstacle() -> str:
    """Say why nothing can be compiled here; "" if nothing is known to be in the way."""
    if os.name != "posix":  # setuptools itself looks for the compiler of Windows
        return ""
    words = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    # Words before the compiler may be variables or a wrapper, such as "env" or "ccache".
    if not any(shutil.which(word) for word in words):
        return f"there is no C compiler ({words[0]})"
    header = Path(sysconfig.get_path("include"), "Python.h")
    # Flags may name another place.
    elsewhere = ("CPATH", "C_INCLUDE_PATH", "CFLAGS", "CPPFLAGS")
    if not header.exists() and not any(os.environ.get(name) for name in elsewhere):
        return f"there is no {header} (Debian has it in python3-dev)"
    return ""
