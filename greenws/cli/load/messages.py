"""The messages that a load run sends: one text again and again, or a template filled in."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Hashable, Iterable
from typing import Any

# What a template may have between braces. All other braces are text, so JSON needs no escapes.
_NAMES = ("n", "id", "connection")
_FIND_NAMES = re.compile(r"\{(" + "|".join(_NAMES) + r")\}")


class Messages:
    """Makes the messages of a run.

    :param template: a text with ``{n}``, ``{id}`` and ``{connection}``, or a text without.
    :param connections: the connections of the whole run, in all processes.
    :param is_binary: whether the messages are binary.
    """

    def __init__(self, template: str | bytes, connections: int, is_binary: bool) -> None:
        self._connections = connections
        # Bytes that are no UTF-8 are binary, and nothing is filled in.
        text = template if isinstance(template, str) else template.decode("latin-1")
        self._encoding = "utf-8" if isinstance(template, str) else "latin-1"
        self._is_binary = is_binary or isinstance(template, bytes)
        self._names: list[str] = []
        if isinstance(template, str):
            self._names = _FIND_NAMES.findall(text)
        self._format = _FIND_NAMES.sub("%d", text.replace("%", "%%")) if self._names else text
        #: The message, if all are the same; or None.
        self.fixed: str | bytes | None = None if self._names else self._encode(text)

    def build(self, connection: int, n: int) -> str | bytes:
        """Make a message.

        :param connection: the number of the connection, from 0.
        :param n: the number of the message on its connection, from 1.
        """
        if self.fixed is not None:
            return self.fixed
        values = {
            "n": n,
            "id": (n - 1) * self._connections + connection + 1,
            "connection": connection + 1,
        }
        return self._encode(self._format % tuple([values[name] for name in self._names]))

    def _encode(self, text: str) -> str | bytes:
        return text.encode(self._encoding) if self._is_binary else text


class Key:
    """Finds the value by which a reply belongs to a message.

    :param path: the names of fields of JSON objects, from the outermost, with dots between them.
    """

    def __init__(self, path: str) -> None:
        self._names = path.split(".")

    def find(self, message: str | bytes) -> Hashable | None:
        """Return the value in a message; None: the message has none."""
        try:
            return self.pick(json.loads(message))
        except (ValueError, RecursionError):  # it is not JSON, not UTF-8, or too deep
            return None

    def pick(self, value: Any) -> Hashable | None:
        """Return the value in a decoded message; None: it has none."""
        for name in self._names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return None if isinstance(value, (dict, list)) else value


def make_payload(size: int) -> str:
    """Make a text of random letters and digits, which no compressor makes vanish.

    The same size has the same text.
    """
    return "".join(random.Random(size).choices(string.ascii_letters + string.digits, k=size))


def find_size(messages: Iterable[str | bytes]) -> int:
    """Return the size of the largest message, in bytes."""
    return max(len(item.encode()) if isinstance(item, str) else len(item) for item in messages)
