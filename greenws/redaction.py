"""The form of a URL for logs, traces, errors and every ``repr``: without credentials."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=:)//[^/?#]*@")
_QUERY_VALUE = re.compile(r"(?<==)[^&#]+")


def redact_url(url: str) -> str:
    """Return the text of any URL without its credentials.

    The credentials are the user and the password before the host, and the values of the query,
    because many services take their tokens there: ``wss://example.org/feed?token=...``.
    """
    if "@" in url:
        url = _USERINFO.sub("//", url)
    rest, mark, query = url.partition("?")
    return rest + mark + _QUERY_VALUE.sub("...", query) if mark else url
