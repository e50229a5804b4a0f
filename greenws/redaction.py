"""The form of a URL for logs, traces, errors and every ``repr``: without credentials."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=:)//[^/?#]*@")
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_QUERY_VALUE = re.compile(r"(?<==)[^&#]+")


def printable(text: str, limit: int = 200) -> str:
    """Return the text with control characters escaped, cut to ``limit`` characters."""
    text = _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def redact_url(url: str) -> str:
    """Return the text of any URL without its credentials.

    The credentials are the user and the password before the host, and the values of the query,
    because many services take their tokens there: ``wss://example.org/feed?token=...``.
    """
    if "@" in url:
        url = _USERINFO.sub("//", url)
    rest, mark, query = url.partition("?")
    return rest + mark + _QUERY_VALUE.sub("...", query) if mark else url
