"""Durations and sizes in a form for people."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """Return a duration with three digits or so, and its unit."""
    milliseconds = seconds * 1000
    if milliseconds < 10:
        return f"{milliseconds:.2f} ms"
    if milliseconds < 10000:
        return f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:.1f} ms"
    return f"{seconds:,.1f} s"


def format_size(size: float) -> str:
    """Return a number of bytes, with three digits or so, and its unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"
