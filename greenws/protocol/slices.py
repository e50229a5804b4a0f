"""Large payloads in slices, so that others may have their turn between two of them."""

from __future__ import annotations

from collections.abc import Generator

#: A message of at most so many bytes, or characters, is deflated and encoded at once. Deflating
#: bytes that do not deflate takes 60 to 120 ms for a MiB.
LARGE = 128 * 1024

# Bytes of a slice: 4 to 8 ms of deflating.
_SIZE = 64 * 1024

# A payload that is made step by step.
Steps = Generator[bytes, None, None]


def cut(payload: bytes) -> Steps:
    """Iterate over the slices of ``payload``."""
    for start in range(0, len(payload), _SIZE):
        yield payload[start : start + _SIZE]


def encode(text: str) -> Steps:
    """Iterate over ``text`` in UTF-8.

    :raises UnicodeEncodeError: the text has lone surrogates; nothing may be sent of it then.
    """
    for start in range(0, len(text), _SIZE):
        yield text[start : start + _SIZE].encode("utf-8")
