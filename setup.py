"""The compiled core; everything else about the build is in setup.cfg.

Every ``.py`` under greenws/ with a ``.pxd`` beside it becomes an extension of the same name; but
not the modules of INLINED, whose ``.pxd`` is compiled into those that cimport it.
Without Cython or a C compiler, or with GREENWS_PURE_PYTHON=1, the install is pure.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent

# GREENWS_SANITIZE=address compiles the parser alone, and with that sanitizer: see .ci/sanitize.
SANITIZER = os.environ.get("GREENWS_SANITIZE", "")
PARSER = ("greenws/events.pxd", "greenws/protocol/*.pxd")

INLINED = (
    "greenws/native/*.pxd",
    "greenws/sessions/syscalls.pxd",
    "greenws/sessions/threads.pxd",
    "greenws/sessions/ticks.pxd",
)

DIRECTIVES = {
    "language_level": 3,
    # What is called from Python may get anything: a wrong index, a None where an object is due, a
    # session that does not run yet. Each is an error then, and no crash.
    "allow_none_for_extension_args": False,
    "nonecheck": True,
    "wraparound": False,
    # An annotation is not a C type: ``data: bytes`` would refuse a bytearray.
    "annotation_typing": False,
}


def say_pure(why: str) -> None:
    print(f"greenws: pure Python build, no compiled core: {why}", file=sys.stderr)


def find_extensions() -> list[Extension]:
    if os.environ.get("GREENWS_PURE_PYTHON", "0") not in ("", "0"):
        say_pure("GREENWS_PURE_PYTHON is set")
        return []
    try:
        from Cython.Build import cythonize  # may be missing in a build without isolation
    except ImportError:
        say_pure("Cython is not installed")
        return []
    os.chdir(ROOT)  # sources have to be relative to setup.py
    sources = [
        pxd.with_suffix(".py").relative_to(ROOT)
        for pxd in sorted(ROOT.glob("greenws/**/*.pxd"))
        if not any(pxd.match(pattern) for pattern in INLINED)
        and (not SANITIZER or any(pxd.match(pattern) for pattern in PARSER))
    ]
    extensions = [
        Extension(".".join(source.with_suffix("").parts), [str(source)]) for source in sources
    ]
    if not extensions:
        return []
    compiled: list[Extension] = cythonize(
        extensions,
        build_dir=os.path.join("build", "cython"),
        compiler_directives=DIRECTIVES,
        quiet=True,
    )
    for extension in compiled:
        extension.optional = True  # cythonize() drops it from what it was given
        if SANITIZER:
            extension.extra_compile_args = ["-O1", "-g", f"-fsanitize={SANITIZER}"]
            extension.extra_link_args = [f"-fsanitize={SANITIZER}"]
        elif os.name == "posix":
            extension.extra_compile_args = ["-O3", "-g0"]
    return compiled


class BuildAllOrNone(build_ext):
    """Compiled modules use each other's C level, so a part of them is worse than none."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:  # one compiler for each core: half the time of an install
            self.parallel = os.cpu_count()

    def build_extensions(self) -> None:
        super().build_extensions()
        paths = {
            extension.name: Path(self.get_ext_fullpath(extension.name))
            for extension in self.extensions
        }
        failed = [name for name, path in paths.items() if not path.exists()]
        if failed:
            for path in paths.values():
                path.unlink(missing_ok=True)
            say_pure(f"could not compile {', '.join(failed)} (is there a C compiler?)")


setup(ext_modules=find_extensions(), cmdclass={"build_ext": BuildAllOrNone})
