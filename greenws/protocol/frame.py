"""One frame: its head, its mask, and the payload of a close frame (RFC 6455 section 5)."""

from __future__ import annotations

from ..constants import MAX_CLOSE_REASON
from ..errors import CriticalProtocolError, FrameBuildError, ProtocolError
from ..native import buffers
from ..status import is_sendable
from .mask import new_key, write_masked

Payload = bytes | bytearray | memoryview


def append_frame(
    out: bytearray,
    opcode: int,
    payload: Payload,
    rsv1: bool = False,
    masked: bool = True,
    fin: bool = True,
    anew: bool = False,
) -> None:
    """Append a frame to ``out``.

    :param rsv1: the payload, or the message it begins, is deflated (RFC 7692 section 6).
    :param masked: as a client has to, with a fresh key; a server must not.
    :param anew: the frame takes the place of what is in ``out``.
    """
    if type(payload) is not bytes:
        # Another thread may resize a bytearray at any moment; and the length of a memoryview may
        # count items of more than a byte.
        payload = bytes(memoryview(payload))
    length = len(payload)
    # The shortest of the three encodings is the only legal one (RFC 6455 section 5.2).
    size = 2 if length < 126 else 4 if length < 0x10000 else 10
    mask_bit = 0x80 if masked else 0
    # First, as the system's random bytes may be waited for, and other threads run meanwhile.
    key = new_key() if masked else b""
    total = size + (4 if masked else 0) + length
    start = buffers.renew(out, total) if anew else buffers.extend(out, total)
    data = out  # a C pointer when compiled
    data[start] = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    if size == 2:
        data[start + 1] = mask_bit | length
    elif size == 4:
        data[start + 1] = mask_bit | 126
        data[start + 2] = length >> 8
        data[start + 3] = length & 0xFF
    else:
        data[start + 1] = mask_bit | 127
        out[start + 2 : start + 10] = length.to_bytes(8, "big")
    if masked:
        write_masked(out, start + size, payload, key)
    else:
        out[start + size :] = payload


def append_head(out: bytearray, opcode: int, length: int, rsv1: bool) -> None:
    """Append the head of a masked frame, up to its key, to ``out``.

    :param length: of the payload, in bytes.
    """
    out.append(0x80 | (0x40 if rsv1 else 0) | opcode)
    if length < 126:
        out.append(0x80 | length)
    elif length < 0x10000:
        out.append(0x80 | 126)
        out += length.to_bytes(2, "big")
    else:
        out.append(0x80 | 127)
        out += length.to_bytes(8, "big")


def build_frame(
    opcode: int,
    payload: Payload = b"",
    fin: bool = True,
    rsv1: bool = False,
    masked: bool = True,
) -> bytes:
    """Return one frame as bytes.

    :raises FrameBuildError: if there is no such opcode.
    """
    if not 0 <= opcode <= 15:
        raise FrameBuildError("opcode must be 0 to 15, not {}", opcode)
    out = bytearray()
    append_frame(out, opcode, payload, rsv1, masked, fin)
    return bytes(out)


def build_close_payload(code: int | None, reason: str | bytes = b"") -> bytes:
    """Return the payload of a close frame (RFC 6455 section 5.5.1).

    :param code: the close code, or None for an empty close frame.
    :param reason: at most 123 bytes of UTF-8.
    :raises TypeError: if an argument has another type.
    :raises ValueError: if a close frame may not carry the code, or the reason is too long, is not
        UTF-8, or stands without a code.
    """
    if isinstance(reason, str):
        try:
            reason = reason.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("reason must be text, without surrogates") from None
    elif isinstance(reason, bytes):
        reason.decode("utf-8")
    else:
        raise TypeError(f"reason must be str or bytes, not {type(reason).__name__}")
    if code is None:
        if reason:
            raise ValueError("a close frame without a code has no reason")
        return b""
    if not isinstance(code, int) or isinstance(code, bool):
        raise TypeError(f"code must be int or None, not {type(code).__name__}")
    if not is_sendable(code):
        raise ValueError(f"close code {code} must not be sent (RFC 6455 section 7.4)")
    if len(reason) > MAX_CLOSE_REASON:
        raise ValueError(f"close reason must be at most {MAX_CLOSE_REASON} bytes of UTF-8")
    return code.to_bytes(2, "big") + reason


def read_close_code(payload: bytes) -> int:
    """Return the code in the payload of a close frame; 1005 if it has none."""
    return payload[0] << 8 | payload[1] if len(payload) > 1 else 1005


def parse_close_payload(payload: bytes) -> tuple[int | None, str]:
    """Return code and reason of a received close frame; the code is None if it was empty.

    :raises ProtocolError: if the length or the code is illegal; the message quotes the frame.
    :raises CriticalProtocolError: if the reason is not UTF-8.
    """
    if not payload:
        return None, ""
    if len(payload) == 1:
        raise ProtocolError("invalid close frame payload")
    code = read_close_code(payload)
    if not is_sendable(code):
        # The code and the reason are the server's only word on why it closes: some servers send
        # 1006, a code that stands for the absence of a close frame.
        reason = payload[2:].decode("utf-8", "replace")
        said = f", with the reason {reason!r}" if reason else ""
        raise ProtocolError(f"reserved close code ({code}) in a close frame{said}")
    try:
        return code, payload[2:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise CriticalProtocolError("invalid utf-8 in close reason ({})", error.reason) from None


def fit_close_reason(reason: str) -> str:
    """Cut a reason to the 123 bytes a close frame has room for, between characters."""
    return reason.encode("utf-8", "replace")[:MAX_CLOSE_REASON].decode("utf-8", "ignore")
