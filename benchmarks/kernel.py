"""The memory that the kernel holds for connections: what its slab caches have grown by."""

from __future__ import annotations

from pathlib import Path

_SLABINFO = Path("/proc/slabinfo")
_MEMINFO = Path("/proc/meminfo")

#: Objects in use and bytes of an object, by cache.
Caches = dict[str, tuple[int, int]]


def read_caches() -> Caches:
    """Read the caches of kernel objects.

    Where only root may read them, there is one cache, of all bytes in all slabs; empty: not Linux.
    """
    try:
        lines = _SLABINFO.read_text(encoding="ascii").splitlines()[2:]
    except OSError:
        return _read_total()
    fields = (line.split() for line in lines)
    return {name: (int(used), int(size)) for name, used, _, size, *_ in fields}


def _read_total() -> Caches:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    values = dict(line.split(":") for line in lines)
    return {"all": (int(values["Slab"].split()[0]), 1024)}


def grown(before: Caches, after: Caches, count: int) -> int | None:
    """Return the bytes by which the caches have grown that ``count`` connections have made grow.

    A cache counts that has grown by an object a connection or nearly so. The others grow and shrink
    by what else the machine does.

    :returns: None: nothing is known.
    """
    if not after:
        return None
    total = 0
    for name, (used, size) in after.items():
        more = used - before.get(name, (0, size))[0]
        if more >= 0.9 * count:
            total += more * size
    return total


def read_limits() -> dict[str, int]:
    """Read the limits that bound connections: source ports, descriptors, and memory of TCP."""
    limits = {}
    try:
        first, last = _read_numbers("net/ipv4/ip_local_port_range")
        limits["source ports"] = last - first + 1
        (limits["fs.nr_open"],) = _read_numbers("fs/nr_open")
        (limits["fs.file-max"],) = _read_numbers("fs/file-max")
    except OSError:
        pass  # not Linux
    return limits


def _read_numbers(name: str) -> list[int]:
    text = Path("/proc/sys", name).read_text(encoding="ascii")
    return [int(number) for number in text.split()]
