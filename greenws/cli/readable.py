"""JSON in a form for people: indented, and coloured on a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .streams import escape_json

# A longer text stays as it is: to take it apart would hold the loop for too long.
_MOST_CHARACTERS = 256 * 1024

# A text of more levels stays as it is: indentation would not make it readable.
_MOST_LEVELS = 50

_INDENT = "  "
_END = "\x1b[0m"
_find_tokens = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+').findall
_CLOSING = {"{": "}", "[": "]"}

#: The sequences that begin the colours of keys, strings and other values.
COLOURS = {"key": "\x1b[34m", "string": "\x1b[32m", "other": "\x1b[33m"}


def format_json(text: str, colours: Mapping[str, str] | None = None) -> str | None:
    """Indent a text that is JSON.

    Numbers and repeated keys stay as they are. The result is JSON again, and has no character that
    a terminal acts on.

    :param colours: as :data:`COLOURS`; None: no colours.
    :returns: None if the text is no JSON, or none that can be made readable.
    """
    if len(text) > _MOST_CHARACTERS:
        return None
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    tokens: list[str] = _find_tokens(text)
    lines: list[str] = []
    line = ""
    level = 0
    is_empty = False
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        if token in _CLOSING:
            line += token
            is_empty = following == _CLOSING[token]
            if not is_empty:
                level += 1
                if level > _MOST_LEVELS:
                    return None
                lines.append(line)
                line = _INDENT * level
        elif token in ("}", "]"):
            if not is_empty:
                level -= 1
                lines.append(line)
                line = _INDENT * level
            is_empty = False
            line += token
        elif token == ",":
            lines.append(line + token)
            line = _INDENT * level
        elif token == ":":
            line += ": "
        else:
            line += _format_value(token, following == ":", colours)
    lines.append(line)
    return "\n".join(lines)


def _format_value(token: str, is_key: bool, colours: Mapping[str, str] | None) -> str:
    is_string = token.startswith('"')
    if is_string:
        if "\\" in token:  # escapes that nobody needs to see
            token = json.dumps(json.loads(token), ensure_ascii=False)
        token = escape_json(token)
    if colours is None:
        return token
    kind = "key" if is_key else "string" if is_string else "other"
    return f"{colours[kind]}{token}{_END}"
