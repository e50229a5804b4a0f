"""JSON for people."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenws.cli.readable import COLOURS, format_json


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("{}", "{}"),
        ("[ ]", "[]"),
        ("1.50", "1.50"),
        ('"a"', '"a"'),
        ('{"a":1}', '{\n  "a": 1\n}'),
        ('[1,[2,{}],"x,:]"]', '[\n  1,\n  [\n    2,\n    {}\n  ],\n  "x,:]"\n]'),
        ('{"a": 1e400, "a": 12345678901234567890.0}', None),
        (r'["\u4e2d\u00fc\/\"\n"]', '[\n  "中ü/\\"\\n"\n]'),
        (r'["\u001b[2J\u009b\u202e\ud83d\ude00\udb40\udc41\ud800"]', None),
        ("[NaN, -Infinity, true, null]", "[\n  NaN,\n  -Infinity,\n  true,\n  null\n]"),
    ],
)
def test_json_is_indented(text: str, readable: str | None) -> None:
    shown = format_json(text)
    assert shown is not None
    if readable is not None:
        assert shown == readable
    assert repr(json.loads(shown)) == repr(json.loads(text))


def test_numbers_and_keys_stay_as_they_are() -> None:
    digits = "1" * 5000
    assert format_json(f'{{"a":{digits},"a":1.10}}') == f'{{\n  "a": {digits},\n  "a": 1.10\n}}'


def test_what_a_terminal_acts_on_is_escaped_as_json() -> None:
    shown = format_json('["\x9b\u202e\U000e0041\\u001b\\u202e\\ud800"]')
    assert shown == '[\n  "\\u009b\\u202e\\udb40\\udc41\\u001b\\u202e\\ud800"\n]'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        '{"a":1} x',
        "[1,]",
        "[" * 52 + "]" * 52,
        "[" * 90_000,
        f"[{'1,' * 140_000}1]",
    ],
)
def test_what_cannot_be_made_readable_is_left(text: str) -> None:
    assert format_json(text) is None


def test_colours_tell_keys_strings_and_values_apart() -> None:
    assert format_json('{"k":["s",1]}', COLOURS) == (
        '{\n  \x1b[34m"k"\x1b[0m: [\n    \x1b[32m"s"\x1b[0m,\n    \x1b[33m1\x1b[0m\n  ]\n}'
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40)
@given(values, st.booleans())
def test_any_json_stays_the_same_json(value: object, is_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii)
    shown = format_json(text)
    assert shown is not None
    assert repr(json.loads(shown)) == repr(json.loads(text))
