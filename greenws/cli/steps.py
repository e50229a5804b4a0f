"""The steps of a connection for people: the records of ``trace``, and the headers of the opening.

A trace has no secret by itself. Headers have many, so their values are hidden: of the request all
but those that tell nothing, of a response those whose names sound like secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from ..redaction import redact_url
from .units import format_duration

# The headers of a request whose values tell nothing of the user.
_HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "host",
        "origin",
        "pragma",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
        "user-agent",
    }
)
_PROTOCOLS = "sec-websocket-protocol"
_URLS = frozenset({"content-location", "link", "location", "origin", "referer"})
_SECRET = re.compile("auth|cookie|credential|csrf|jwt|key|pass|secret|session|signature|token|xsrf")
_NO_SECRET = frozenset({"sec-websocket-accept", "sec-websocket-key", "www-authenticate"})
_HIDDEN = "..."

# The longest subprotocol that is a name. Some services take a token in place of one.
_LONGEST_NAME = 32


class Steps:
    """Tells of the steps of a connection.

    :param tell: takes a line.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._began = monotonic()

    def take(self, record: dict[str, Any]) -> None:
        """Tell of a step, by its record (docs/trace.rst)."""
        facts = dict(record)
        stage = facts.pop("stage")
        del facts["url"]
        duration = facts.pop("duration", None)
        taken = "" if duration is None else format_duration(duration)
        words = " ".join([f"{name}={_format_fact(value)}" for name, value in facts.items()])
        elapsed = monotonic() - self._began
        self._tell(f"{elapsed:9.4f} {stage:<18} {taken:>9}  {words}".rstrip())

    def take_request(self, request: bytes) -> None:
        """Tell of the head of a request."""
        first, *lines = request.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        self._tell(f"    > {method} {redact_url(target)} {version}")
        self._tell_headers(">", (line.partition(":")[::2] for line in lines if line), True)

    def take_response(self, first: str, headers: Iterable[tuple[str, str]]) -> None:
        """Tell of the head of a response."""
        self._tell(f"    < {first}")
        self._tell_headers("<", headers, False)

    def _tell_headers(
        self, mark: str, headers: Iterable[tuple[str, str]], is_request: bool
    ) -> None:
        for name, value in headers:
            self._tell(f"    {mark} {name}: {hide_value(name, value.strip(), is_request)}")


def hide_value(name: str, value: str, is_request: bool) -> str:
    """Return the value of a header without what may be a secret."""
    name = name.lower()
    if name == _PROTOCOLS:
        offered = [protocol.strip() for protocol in value.split(",")]
        return ", ".join([_HIDDEN if len(p) > _LONGEST_NAME else p for p in offered])
    if is_request and name not in _HARMLESS:
        return _HIDDEN
    if name in _URLS:
        return redact_url(value)
    if _SECRET.search(name) and name not in _NO_SECRET:
        return _HIDDEN
    return value


def _format_fact(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    text = str(value)
    return repr(text) if " " in text or not text else text
