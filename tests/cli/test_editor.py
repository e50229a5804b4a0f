"""The line that is being edited: keys in, a line, a cursor, and the row that shows them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.cli.editor import Editor, Effect, count_columns, paint
from greenws.cli.keys import Key


def press(editor: Editor, *keys: str) -> Effect:
    """Press keys: names in angle brackets, and characters."""
    effect = Effect.SHOW
    for key in keys:
        named = re.fullmatch("<(.+)>", key)
        effect = editor.press(Key(named[1]) if named else Key("text", key))
    return effect


def enter(editor: Editor, *lines: str) -> None:
    for line in lines:
        assert press(editor, line, "<enter>") is Effect.ENTER
        assert editor.take() == line


@pytest.mark.parametrize(
    ("keys", "line", "cursor"),
    [
        (["abc", "<left>", "<left>", "X"], "aXbc", 2),
        (["abc", "<home>", "X", "<end>", "Y"], "XabcY", 5),
        (["abc", "<home>", "<left>", "<right>", "<backspace>"], "bc", 0),
        (["abc", "<right>", "<backspace>", "<backspace>"], "a", 1),
        (["<backspace>", "<delete>", "<left>"], "", 0),
        (["abc", "<home>", "<delete>", "<delete_or_end>"], "c", 0),
        (["abc", "<delete>", "<delete_or_end>"], "abc", 3),
        (["one two-three", "<word_left>", "<word_left>", "X"], "one Xtwo-three", 5),
        (["one two", "<home>", "<word_right>", "X", "<word_right>", "Y"], "oneX twoY", 9),
        (["one two-three", "<kill_word_left>"], "one two-", 8),
        (["one two-three ", "<kill_blank_word>"], "one ", 4),
        (["one two", "<home>", "<kill_word_right>", "<end>", "<yank>"], " twoone", 7),
        (["one two", "<word_left>", "<kill_to_end>", "<home>", "<yank>"], "twoone ", 3),
        (["one two", "<word_left>", "<kill_to_start>", "<end>", "<yank>"], "twoone ", 7),
        (["a", "<kill_to_end>", "<kill_word_right>", "<yank>"], "a", 1),
        (["a", "<newline>", "b"], "a\nb", 3),
        (["ae\u0301", "<left>", "X"], "aXe\u0301", 2),
        (["ae\u0301", "<backspace>"], "a", 1),
        (["e\u0301b", "<home>", "<right>", "X"], "e\u0301Xb", 3),
        (["a👩\u200d🚀", "<left>", "X", "<right>", "Y"], "aX👩\u200d🚀Y", 6),
        (["a👩\u200d🚀", "<backspace>"], "a", 1),
        (["a", "<unknown>", "<cancel>"], "a", 1),
        (["/clo", "<complete>", "x"], "/close x", 8),
        (["/c", "<complete>"], "/c", 2),
        (["<complete>"], "", 0),
        (["/cl rest", "<complete>"], "/cl rest", 8),
    ],
)
def test_keys_edit_the_line(keys: list[str], line: str, cursor: int) -> None:
    editor = Editor(["/close", "/clean"])
    assert press(editor, *keys) is Effect.SHOW
    assert (editor.line, editor.cursor) == (line, cursor)


def test_paste_is_put_in_as_it_is() -> None:
    editor = Editor()
    press(editor, "ab", "<left>")
    editor.press(Key("paste", "1\n2"))
    assert (editor.line, editor.cursor) == ("a1\n2b", 4)


def test_end_is_a_key_of_the_empty_line() -> None:
    editor = Editor()
    assert press(editor, "<delete_or_end>") is Effect.END
    assert press(editor, "a", "<delete_or_end>") is Effect.SHOW
    assert press(editor, "<clear>") is Effect.CLEAR


def test_lines_before_are_recalled_and_the_new_one_is_kept() -> None:
    editor = Editor()
    enter(editor, "one", "two", "two", "  ", "three")
    press(editor, "new", "<up>")
    assert (editor.line, editor.cursor) == ("three", 5)
    press(editor, "<up>", "<up>")
    assert editor.line == "one"
    press(editor, "<up>")
    assert editor.line == "one"
    press(editor, "X", "<down>")
    assert editor.line == "two"
    press(editor, "<down>", "<down>")
    assert editor.line == "new"
    press(editor, "<down>")
    assert editor.line == "new"


def test_history_has_a_limit() -> None:
    editor = Editor()
    enter(editor, *map(str, range(1001)))
    press(editor, *["<up>"] * 2000)
    assert editor.line == "1"


def test_search_finds_earlier_and_still_earlier_lines() -> None:
    editor = Editor()
    enter(editor, "subscribe a", "ping", "subscribe b", "other")
    press(editor, "new", "<search>")
    assert editor.label == "search:  > "
    press(editor, "sub")
    assert (editor.line, editor.label) == ("subscribe b", "search: sub > ")
    press(editor, "<search>")
    assert editor.line == "subscribe a"
    press(editor, "<search>")  # there is none before
    assert editor.line == "subscribe a"
    press(editor, "s", "<backspace>", "<backspace>", "<backspace>", "<backspace>", "pi")
    assert editor.line == "ping"
    assert press(editor, "<enter>") is Effect.ENTER
    assert editor.take() == "ping"
    assert editor.label == "> "


def test_search_is_left_by_other_keys_and_given_up() -> None:
    editor = Editor()
    enter(editor, "subscribe a")
    press(editor, "new", "<search>", "sub", "<end>", "X")
    assert editor.line == "subscribe aX"
    press(editor, "<down>")
    assert editor.line == "new"
    press(editor, "<search>", "sub", "<cancel>")
    assert (editor.line, editor.label) == ("new", "> ")
    press(editor, "<search>", "<search>", "<cancel>")
    assert editor.line == "new"


# The row


def shown(painted: str) -> tuple[str, int]:
    """What a row shows, and the column of the cursor."""
    found = re.fullmatch("\r(.*)\x1b\\[K\r\x1b\\[([0-9]+)C", painted)
    assert found is not None, painted
    return found[1], int(found[2])


@pytest.mark.parametrize(
    ("line", "cursor", "columns", "text", "column"),
    [
        ("", 0, 80, "> ", 2),
        ("abc", 1, 80, "> abc", 3),
        ("a\x1b\nb", 3, 80, "> a\\x1b\\nb", 9),
        ("日本", 2, 80, "> 日本", 6),
        ("0123456789", 10, 10, "> 3456789", 9),
        ("0123456789", 0, 10, "> 0123456", 2),
        ("0123456789", 5, 10, "> 0123456", 7),
        ("日本日本", 4, 8, "> 日本", 6),
        ("x" * 100, 100, 0, "> " + "x" * 77, 79),
        ("x", 1, 1, "> x", 3),
    ],
)
def test_row_shows_the_line_around_the_cursor(
    line: str, cursor: int, columns: int, text: str, column: int
) -> None:
    assert shown(paint("> ", line, cursor, columns)) == (text, column)


def test_label_may_be_coloured_and_is_cut() -> None:
    assert "\x1b[1m> \x1b[0mabc" in paint("> ", "abc", 3, 80, "\x1b[1m")
    assert shown(paint("search: something > ", "abc", 3, 20))[0] == "mething > abc"


@given(st.text(max_size=60), st.integers(0, 60), st.integers(0, 30))
def test_row_never_reaches_the_last_column(line: str, cursor: int, columns: int) -> None:
    cursor = min(cursor, len(line))
    text, column = shown(paint("> ", line, cursor, columns))
    width = max(columns or 80, 4)
    assert count_columns(text) < width
    assert column < width
    assert not re.search("[\x00-\x1f\x7f-\x9f]", text)


def test_long_line_costs_no_more_than_its_row() -> None:
    line = "x" * 10_000_000
    assert len(paint("> ", line, 5_000_000, 80)) < 200
