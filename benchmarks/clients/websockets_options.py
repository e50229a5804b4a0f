"""The options of websockets that its two clients share."""

from __future__ import annotations

from typing import Any

from .task import Task


def options(task: Task) -> dict[str, Any]:
    """Return the options of a connection."""
    found: dict[str, Any] = {
        "compression": "deflate" if task.is_deflated else None,
        "ping_interval": None,
        "proxy": None,
    }
    if task.cafile:
        found["ssl"] = task.ssl_context()
    return found
