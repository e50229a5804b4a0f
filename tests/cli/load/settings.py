"""Options of a load run for tests."""

from __future__ import annotations

from typing import Any

from greenws.cli.load import LoadOptions

#: Nobody is there.
URL = "ws://127.0.0.1:1/"


def make_options(**given: Any) -> LoadOptions:
    """Make options: a few connections, quick to give up, and what is given."""
    options: dict[str, Any] = {
        "url": URL,
        "connections": 3,
        "messages": 2,
        "duration": None,
        "template": "hello",
        "is_own": True,
        "binary": False,
        "expect": "echo",
        "message_rate": None,
        "in_flight": 1,
        "think": None,
        "rate": 0.0,
        "ramp": None,
        "connecting": 3,
        "timeout": 10.0,
        "processes": 1,
        "json": None,
        "csv": None,
        "html": None,
        "earlier": None,
        "compare": None,
        "client": {"proxies": {}},
    }
    return LoadOptions(**{**options, **given})
