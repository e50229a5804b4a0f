"""The compiled core; everything else about the build is in setup.cfg.

Every ``.py`` under greenws/ with a ``.pxd`` beside it becomes an extension of the same name; but
not the modules of INLINED, whose ``.pxd`` is compiled into those that cimport it.
Without Cython or a C compiler, or with GREENWS_PURE_PYTHON=1, the install is pure.
"""

from __future__ import annotations

import configparser
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from build_backend import find_obstacle, is_pure_wanted  # noqa: E402  (beside this file)

# GREENWS_SANITIZE=address compiles the parser alone, and with that sanitizer: see .ci/sanitize.
SANITIZER = os.environ.get("GREENWS_SANITIZE", "")
PARSER = ("greenws/events.pxd", "greenws/protocol/*.pxd")

INLINED = (
    "greenws/native/*.pxd",
    "greenws/sessions/syscalls.pxd",
    "greenws/sessions/threads.pxd",
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
    # Methods and functions are the interpreter's own kinds, as those of modules in C. Cython's kind
    # costs an eighth of the time of gcc, and more at each import; nothing here binds or annotates
    # them. inspect.signature() reads what "clinic" writes.
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
}

# Events are plain data, and may be pickled and copied. Cython's code for that is an eighth of all
# the C, and nothing else has a use for it.
PICKLED = ("greenws.events",)

# Passes of gcc's -O2 that take a fifth of its time here, and win no instruction of any row.
IDLE_PASSES = [
    "-fno-gcse",
    "-fno-ipa-cp",
    "-fno-ipa-icf",
    "-fno-ipa-ra",
    "-fno-ivopts",
    "-fno-schedule-insns2",
    "-fno-tree-pre",
    "-fno-tree-slp-vectorize",
]

# Loops over bytes: masking, and the parser. The rows of the other modules have as many instructions
# with -O2, which compiles in four fifths of the time.
HOT = ("greenws.protocol.mask", "greenws.protocol.stream")


def say(what: str) -> None:
    print(f"greenws: {what}", file=sys.stderr)


def say_pure(why: str) -> None:
    say(f"pure Python build, no compiled core: {why}")


def count_cores() -> int:
    if sys.platform in ("win32", "darwin"):
        return os.cpu_count() or 1
    return len(os.sched_getaffinity(0))


def find_extensions() -> list[Extension]:
    if is_pure_wanted():
        say_pure("GREENWS_PURE_PYTHON is set")
        return []
    os.chdir(ROOT)  # sources have to be relative to setup.py
    sources = [
        pxd.with_suffix(".py").relative_to(ROOT)
        for pxd in sorted(ROOT.glob("greenws/**/*.pxd"))
        if not any(pxd.match(pattern) for pattern in INLINED)
        and (not SANITIZER or any(pxd.match(pattern) for pattern in PARSER))
    ]
    extensions = [
        Extension(".".join(source.with_suffix("").parts), [str(source)], optional=True)
        for source in sources
    ]
    for extension in extensions:
        if SANITIZER:
            extension.extra_compile_args = ["-O1", "-g", f"-fsanitize={SANITIZER}"]
            extension.extra_link_args = [f"-fsanitize={SANITIZER}"]
        elif os.name == "posix":
            level = "-O3" if extension.name in HOT else "-O2"
            extension.extra_compile_args = [level, "-g0"]
    return extensions


def translate(extensions: Iterable[Extension], cores: int) -> None:
    """Replace the sources of the extensions by C.

    :raises ImportError: Cython is not installed.
    """
    from Cython.Build import cythonize

    # Where processes are not forked, a child would begin with this file.
    workers = cores if multiprocessing.get_start_method() == "fork" else 0
    for pickled in (True, False):
        given = [extension for extension in extensions if (extension.name in PICKLED) is pickled]
        if not given:
            continue
        translated: list[Any] = cythonize(
            given,
            build_dir=os.path.join("build", "cython"),
            compiler_directives={**DIRECTIVES, "auto_pickle": None if pickled else False},
            nthreads=workers,
            quiet=True,
        )
        found = {made.name: made for made in translated}
        for extension in given:
            extension.sources = found[extension.name].sources
            extension.depends = found[extension.name].depends


def is_gcc(command: list[str]) -> bool:
    """Tell whether a compiler is gcc, whatever its name: others refuse some of its flags."""
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return False  # then the build fails, and says so
    return b"Free Software Foundation" in said


class BuildAllOrNone(build_ext):
    """Compiled modules use each other's C level, so a part of them is worse than none."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:  # one compiler for each core: half the time of an install
            self.parallel = count_cores()

    def build_extensions(self) -> None:
        obstacle = find_obstacle()
        if obstacle:
            say_pure(obstacle)
            return
        cores = int(self.parallel or 1)
        say(
            f"compiling {len(self.extensions)} modules, {cores} at a time: half a minute on two "
            "cores (GREENWS_PURE_PYTHON=1 leaves this out)"
        )
        try:
            translate(self.extensions, cores)
        except ImportError:  # a build without isolation
            say_pure("Cython is not installed")
            return
        # The longest first: otherwise one core would end with it, and the others be idle.
        self.extensions.sort(key=lambda extension: -os.path.getsize(extension.sources[0]))
        if os.name == "posix" and not SANITIZER and is_gcc(self.compiler.compiler):
            for extension in self.extensions:
                if extension.name not in HOT:
                    extension.extra_compile_args += IDLE_PASSES
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


def describe_home() -> dict[str, Any]:
    """Return the metadata that depend on where the project is: section "greenws" of setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    found: dict[str, Any] = {}
    contact = config.get("greenws", "contact", fallback="")
    if contact:
        found["author_email"] = contact
    repository = config.get("greenws", "repository", fallback="").rstrip("/")
    if repository:
        version = re.findall(r'= "(.+)"', (ROOT / "greenws" / "version.py").read_text("utf-8"))[0]
        found["project_urls"] = {
            "Source": repository,
            "Documentation": f"{repository}/blob/v{version}/docs/index.rst",
            "Changes": f"{repository}/blob/v{version}/CHANGES.rst",
            "Issues": f"{repository}/issues",
        }
        # The page of a package has no files beside it.
        readme = (ROOT / "README.rst").read_text("utf-8")
        readme = re.sub(r"<(?=[\w/.-]+>`_)", f"<{repository}/blob/v{version}/", readme)
        readme = re.sub(r"(?<=image:: )(?=docs/)", f"{repository}/raw/v{version}/", readme)
        found["long_description"] = readme
    return found


setup(ext_modules=find_extensions(), cmdclass={"build_ext": BuildAllOrNone}, **describe_home())
