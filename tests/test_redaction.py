"""URLs as logs and events may show them."""

from __future__ import annotations

import pytest

from greenws.redaction import redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://example.org/path", "ws://example.org/path"),
        ("wss://u:secret@example.org:1/", "wss://example.org:1/"),
        ("http://secret@[::1]:3128", "http://[::1]:3128"),
        ("ws://h/?token=secret", "ws://h/?token=..."),
        ("ws://h/?a=secret&flag&b=secret=&c=", "ws://h/?a=...&flag&b=...&c="),
        ("ws://u:secret@h/?q=secret?secret/@x#part", "ws://h/?q=...#part"),
        ("ws://h/@/a@b", "ws://h/@/a@b"),
        ("ws://h/a=b", "ws://h/a=b"),
        ("no url at all", "no url at all"),
        ("", ""),
    ],
)
def test_redact_url_hides_credentials_and_query_values(url: str, shown: str) -> None:
    assert redact_url(url) == shown
