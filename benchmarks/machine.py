"""The machine: its description, and the use of its cores."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
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
    """Describe the machine: processor, cores, caches, system, whether it is virtual, Python."""
    fields = _read_processor()
    kind = " ".join(
        f"{label} {fields[name]}"
        for label, name in (("family", "cpu family"), ("model", "model"), ("stepping", "stepping"))
        if name in fields
    )
    return {
        "processor": fields.get("model name") or platform.processor() or "unknown processor",
        "kind": kind or "of an unknown kind",
        "cores": str(os.cpu_count()),
        "caches": ", ".join(_find_caches()) or "unknown",
        "virtual": _find_virtual(fields),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def name_of(described: dict[str, str]) -> str:
    """Make the name of a machine's file from the kind of its processor and its number of cores."""
    processor = described["processor"].lower()
    processor = re.sub(r"\((r|tm|c)\)|@.*|\bcpu\b|\bprocessor\b|\b\d+-core\b", " ", processor)
    words = re.findall(r"[a-z0-9]+", processor)
    if not any(character.isdigit() for character in processor):
        # A host may hide the name of its processor; the model still tells kinds apart.
        words += re.findall(r"model \d+", described["kind"])[:1]
    words = " ".join(words).split()
    return "-".join([*words, described["cores"], "core" if described["cores"] == "1" else "cores"])


def _read_processor() -> dict[str, str]:
    """Read what Linux says of the first core; elsewhere: nothing."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _find_caches() -> list[str]:
    """List the caches of the first core, such as ``L1d 48 KiB``; everywhere but on Linux: none."""
    caches = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                folder.joinpath(name).read_text(encoding="ascii").strip()
                for name in ("level", "type", "size")
            )
        except OSError:
            continue  # a machine that tells no more
        letter = {"Data": "d", "Instruction": "i"}.get(kind, "")
        kibibytes = int(size.removesuffix("K"))
        amount = f"{kibibytes // 1024} MiB" if kibibytes >= 1024 else f"{kibibytes} KiB"
        caches.append(f"L{level}{letter} {amount}")
    return caches


def _find_virtual(fields: dict[str, str]) -> str:
    if "flags" not in fields:
        return "unknown whether virtual"
    return "virtual" if "hypervisor" in fields["flags"].split() else "not virtual"


def find_versions(distributions: list[str]) -> dict[str, str]:
    """Return the versions of the installed distributions."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def find_commit(folder: Path) -> str:
    """Return the commit of a checkout, and whether files have changed since; "": no checkout."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        # The figures depend on the code alone, not on the pages about it.
        is_changed = git("status", "--porcelain", "--", "greenws", "benchmarks", "setup.py")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit} with changes" if is_changed else commit
