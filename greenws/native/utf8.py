"""Text from UTF-8 and back; in the compiled build, ``utf8.pxd`` replaces this."""

from __future__ import annotations


def decode(data: bytes | bytearray, start: int, stop: int) -> str | None:
    """Return ``data[start:stop]`` as text, or None if it is not UTF-8."""
    try:
        return data[start:stop].decode("utf-8")
    except UnicodeDecodeError:
        return None


def is_ascii(data: bytes | bytearray, start: int, count: int) -> bool:
    """Tell whether ``data[start : start + count]`` is ASCII."""
    return data[start : start + count].isascii()


def encode(text: str) -> bytes:
    """Return ``text`` in UTF-8.

    :raises UnicodeEncodeError: it has lone surrogates.
    """
    return text.encode("utf-8")
