"""What of a URL may be shown: in logs, traces, errors and every ``repr``."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=:)//[^/?#]*@")
_QUERY_VALUE = re.compile(r"(?<==)[^&#]+")


def redact_url(url: str) -> str:
    """Return the text of any URL without its credentials.

    Those are the user and the password before the host, and the values of the query, as many
    services take their tokens there: ``wss://example.org/feed?token=...``.
    """
    if "@" in url:
        url = _USERINFO.sub("//", url)
    rest, mark, query = url.partition("?")
    return rest + mark + _QUERY_VALUE.sub("...", query) if mark else url
