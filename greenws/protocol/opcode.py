"""Opcodes of frames (RFC 6455 section 5.2)."""

from __future__ import annotations

from typing import Final


class Opcode:
    """Names of the opcodes in use. 3-7 and 11-15 are reserved; on the wire they are an error."""

    CONTINUATION: Final = 0
    TEXT: Final = 1
    BINARY: Final = 2
    CLOSE: Final = 8
    PING: Final = 9
    PONG: Final = 10
