"""The machine: its description, and the use of its cores."""

from __future__ import annotations

import os
import platform
import re
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def pin(role: str) -> None:
    """Keep this process on one core: the client on the last core, the server on the first.

    The function does nothing if the machine has one core, or if the system cannot pin processes.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[-1] if role == "client" else cores[0]})


def is_pinnable() -> bool:
    """Tell whether client and server each get a core."""
    return hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe() -> dict[str, str]:
    """Describe the machine: processor, cores, system, Python."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def name() -> str:
    """Return a short name of the kind of machine, for names of files: ``intel-xeon``."""
    return slug(_processor())


def slug(processor: str) -> str:
    """Make a name of files of what a processor calls itself."""
    plain = re.sub(r"\((?:r|tm)\)|\bcpu\b|\bprocessor\b|@.*", " ", processor.lower())
    return "-".join(re.findall(r"[a-z0-9]+", plain))


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or "unknown"


def find_versions(distributions: list[str]) -> dict[str, str]:
    """Return the versions of the installed distributions."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
