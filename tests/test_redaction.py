"""Foreign text as logs, errors and events may show it: no credentials, no control characters."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.redaction import MAX_QUOTED, printable, redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://example.org/path", "ws://example.org/path"),
        ("wss://u:secret@example.org:1/", "wss://example.org:1/"),
        ("http://secret@[::1]:3128", "http://[::1]:3128"),
        ("ws://h/?token=secret", "ws://h/?token=..."),
        ("ws://h/?a=secret&flag&b=secret=&c=", "ws://h/?a=...&flag&b=...&c="),
        ("ws://u:secret@h/?q=secret?secret/@x#part", "ws://h/?q=...#part"),
        ("ws://h/?plain&secret&Secr3", "ws://h/?plain&...&..."),
        ("ws://h/@/a@b", "ws://h/@/a@b"),
        ("ws://h/a=b", "ws://h/a=b"),
        ("ws://[fe80::1%eth0]:81/@a", "ws://[fe80::1%eth0]:81/@a"),
        ("ws://::1/", "ws://::1/"),
        ("no url at all", "no url at all"),
        ("/feed?token=secret", "/feed?token=..."),
        ("/@name", "/@name"),
        ("", ""),
    ],
)
def test_redact_url_hides_credentials_and_query_values(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize("mark", ["/", "?", "#", "://", "/?#", " ", "\\", ":", "@", "[", "]", "%"])
@pytest.mark.parametrize(
    "form",
    [
        "ws://user:s3cr{}t@host/feed",
        "ws://user:s3cr{}t@host:81",
        "wss://:s3cr{}t@[::1]:81/feed",
        "ftp://user:s3cr{}t@host/",
        "user:s3cr{}t@host/feed",
        "//user:s3cr{}t@host/feed",
        "ws:user:s3cr{}t@host/feed",
        "ws:/user:s3cr{}t@host/feed",
        "ws://user:s3cr{}t\uff20host/feed",
        "ws://user:s3cr{}t\ufe6bhost/feed",
    ],
)
def test_redact_url_hides_a_password_that_nobody_has_encoded(form: str, mark: str) -> None:
    shown = redact_url(form.format(mark))
    assert "s3cr" not in shown
    assert "user" not in shown


def test_redact_url_hides_what_may_be_half_a_password() -> None:
    # The URL is well-formed, and leads elsewhere than its user thinks.
    assert redact_url("ws://user:12/s3cret@host/") == "ws://user:12/..."
    assert redact_url("ws://user:pass@w/s3cret@host/?a=b") == "ws://w/...?a=..."


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://user:s3cret", "ws://user:..."),
        ("ws://user:s3cret%40host/", "ws://user:.../"),
        ("ws://user:123456/", "ws://user:.../"),
        ("ws://[::1]:s3cret/", "ws://[::1]:.../"),
        ("user:s3cret", "user:..."),
    ],
)
def test_redact_url_hides_a_port_that_is_none(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "wss://h/feed?SECRET",
        "wss://h/feed?v=1&SECRET",
        "wss://h/feed?SECRET&v=1",
        "wss://h/feed?SECRET=",
        "wss://h/feed?SECRET==",
        "wss://h/feed?=SECRET",
        "wss://h/feed?1234",
        "wss://h/feed;token=SECRET",
        "wss://h/a;token=SECRET/b",
        "wss://h/#SECRET",
        "wss://h/#access_token=SECRET",
        "wss://h?SECRET",
    ],
)
def test_redact_url_hides_bare_tokens_and_parameters(url: str) -> None:
    shown = redact_url(url)
    assert "SECRET" not in shown
    assert "1234" not in shown
    assert "..." in shown


def test_redact_url_shows_no_control_character() -> None:
    assert redact_url("ws://h/\x1b[2J\u202e") == "ws://h/\\x1b[2J\\u202e"
    assert len(redact_url("ws://h/" + "a" * 10_000)) <= 2 * MAX_QUOTED


@given(st.text())
def test_redact_url_takes_any_text(text: str) -> None:
    for url in (text, "ws://" + text, "ws://user:s3cret" + text):
        shown = redact_url(url)
        assert shown == printable(shown, 2 * MAX_QUOTED)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        ("grün \u3042 \U0001f600 a\\x1b", "grün \u3042 \U0001f600 a\\x1b"),
        ("\0\x07\x08\t\n\r\x1b\x1f\x7f", "\\x00\\x07\\x08\\t\\n\\r\\x1b\\x1f\\x7f"),
        ("\x80\x85\x9b", "\\x80\\x85\\x9b"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u202a\u202e\u2066\u2069\u200f\u061c", "\\u202a\\u202e\\u2066\\u2069\\u200f\\u061c"),
        ("\u200b\u200d\xad\ufeff\U000e0001", "\\u200b\\u200d\\xad\\ufeff\\U000e0001"),
        ("\ud800\udcff", "\\ud800\\udcff"),
    ],
)
def test_printable_escapes_what_a_terminal_obeys(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_printable_cuts_at_the_limit() -> None:
    assert printable("a" * 10, 10) == "a" * 10
    assert printable("a" * 11, 10) == "a" * 7 + "..."
    assert printable("\x1b" * 3, 12) == "\\x1b" * 3
    assert printable("\x1b" * 4, 12) == "\\x1b\\x1b\\..."
    assert len(printable("\x1b" * 1_000_000)) == MAX_QUOTED


@given(st.text(), st.integers(3, 40))
def test_printable_text_stays_as_it_is(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert printable(shown, limit) == shown
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)
