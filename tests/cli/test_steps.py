"""Steps and headers for people, without secrets."""

from __future__ import annotations

from typing import Any

import pytest

from greenws.cli.steps import Steps, hide_value


@pytest.mark.parametrize(
    ("name", "value", "of_request", "of_response"),
    [
        ("Authorization", "Basic secret", "...", "..."),
        ("Cookie", "a=b", "...", "..."),
        ("Set-Cookie", "a=b", "...", "..."),
        ("X-Api-Key", "abc", "...", "..."),
        ("X-Session", "abc", "...", "..."),
        ("X-CSRF-Token", "abc", "...", "..."),
        ("X-Forwarded-For", "10.0.0.1", "...", "10.0.0.1"),
        ("Host", "example.org", "example.org", "example.org"),
        ("Sec-WebSocket-Key", "abc==", "abc==", "abc=="),
        ("Sec-WebSocket-Accept", "abc=", "...", "abc="),
        ("WWW-Authenticate", "Basic", "...", "Basic"),
        ("Sec-WebSocket-Protocol", "chat, " + "t" * 33, "chat, ...", "chat, ..."),
        ("Sec-WebSocket-Extensions", "permessage-deflate", *["permessage-deflate"] * 2),
        ("Origin", "https://u:p@h/?a=b", *["https://h/?a=..."] * 2),
        ("Location", "wss://u:p@h/?token=b", "...", "wss://h/?token=..."),
        ("Retry-After", "5", "...", "5"),
    ],
)
def test_values_are_hidden(name: str, value: str, of_request: str, of_response: str) -> None:
    assert hide_value(name, value, True) == of_request
    assert hide_value(name, value, False) == of_response


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, "step"),
        ({"duration": 0.0012}, "step                 1.20 ms"),
        ({"a": [], "b": ["x", "y"], "c": None}, "step                          a=- b=x,y c=-"),
        ({"a": True, "b": False, "c": 5}, "step                          a=yes b=no c=5"),
        ({"a": "two words", "b": ""}, "step                          a='two words' b=''"),
    ],
)
def test_step_is_a_line(facts: dict[str, Any], told: str) -> None:
    lines: list[str] = []
    Steps(lines.append).take({"stage": "step", "url": "ws://h/", **facts})
    (line,) = lines
    assert line[10:] == told
    assert float(line[:9]) >= 0
