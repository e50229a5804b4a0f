"""Large payloads in slices, so that others may have their turn between two of them."""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Generator

#: A message of at most so many bytes, or characters, is deflated and encoded at once. Deflating
#: bytes that do not deflate takes 60 to 120 ms for a MiB.
LARGE = 128 * 1024

#: Bytes of a slice: 4 to 8 ms of deflating.
SIZE = 64 * 1024

# A payload that is made step by step.
Steps = Generator[bytes, None, None]


def cut(payload: bytes) -> Steps:
    """Iterate over the slices of ``payload``."""
    for start in range(0, len(payload), SIZE):
        yield payload[start : start + SIZE]


def encode(text: str) -> Steps:
    """Iterate over ``text`` in UTF-8.

    :raises UnicodeEncodeError: the text has lone surrogates; nothing may be sent of it then.
    """
    for start in range(0, len(text), SIZE):
        yield text[start : start + SIZE].encode("utf-8")


class Joined:
    """The beginning of a message, to be taken slice by slice; its memory is given back meanwhile.

    :param data: the bytes, which are taken over; of a text, whole characters in UTF-8.
    """

    __slots__ = ("_data", "_is_text")

    def __init__(self, data: bytearray, is_text: bool) -> None:
        self._data = data
        self._is_text = is_text

    def __len__(self) -> int:
        return len(self._data)

    def take(self) -> str | bytes:
        """Return the next slice; of a text, a str that ends with a whole character."""
        data = bytes(memoryview(self._data)[:SIZE])
        piece: str | bytes
        if self._is_text:
            piece, used = utf_8_decode(data, "strict", False)
        else:
            piece, used = data, len(data)
        del self._data[:used]
        return piece
