"""Masking of what a client sends (RFC 6455 section 5.3).

The payload is XORed with a four-byte key, repeated. There are two ways to do it, and each is the
fast one in its build: a loop over the bytes, which a C compiler turns into vector instructions,
and one XOR of two very long integers, which is what the interpreter does in C.
"""

from __future__ import annotations

import os

from ..implementation import is_compiled
from ..native import buffers

# Random bytes taken from the operating system at a time: one system call for 1,024 keys.
_POOL_SIZE = 4096

_pool = b""
_used = 0


def new_key() -> bytes:
    """Return four unpredictable bytes (RFC 6455 section 10.3), never the same ones again."""
    global _pool, _used
    # Locals, as another thread may come in between: a key has four bytes even then.
    pool = _pool
    start = _used
    if start >= len(pool):
        _pool = pool = os.urandom(_POOL_SIZE)
        start = 0
    _used = start + 4
    data = pool  # a C pointer when compiled
    return data[start : start + 4]


def drop_pool() -> None:
    """Forget the random bytes at hand: a forked child must not use those of its parent."""
    global _pool
    _pool = b""


def mask(payload: bytes | bytearray | memoryview, key: bytes, offset: int = 0) -> bytes:
    """Return ``payload`` masked, or unmasked: it is the same operation.

    :param offset: how many bytes of the frame's payload came before this piece.
    :raises ValueError: the key has not four bytes.
    """
    phase = offset & 3
    if phase:
        key = key[phase:] + key[:phase]
    data = bytes(payload)
    out = bytearray(4 + len(data))
    write_masked(out, 0, data, key)
    return bytes(memoryview(out)[4:])


def write_masked(out: bytearray, start: int, payload: bytes, key: bytes) -> None:
    """Write ``key`` into ``out`` from ``start`` on, and then ``payload``, masked with it.

    :raises ValueError: there is no room for both, or the key has not four bytes.
    """
    if len(key) != 4:
        raise ValueError(f"a key has 4 bytes, not {len(key)}")
    if start < 0 or start > len(out) - 4 - len(payload):
        raise ValueError("no room for the key and the payload")
    if _IS_COMPILED:
        _write_bytes(out, start, payload, key)
    else:
        _write_integer(out, start, payload, key)


def append_masked(
    out: bytearray, payload: bytes, start: int, stop: int, key: bytes, offset: int
) -> None:
    """Append ``payload[start:stop]`` to ``out``, masked, without a copy in between.

    :param offset: how many bytes of the frame's payload came before.
    :raises ValueError: there are no such bytes, or the key has not four bytes.
    """
    if len(key) != 4:
        raise ValueError(f"a key has 4 bytes, not {len(key)}")
    if not 0 <= start <= stop <= len(payload):
        raise ValueError(f"no bytes {start} to {stop} in a payload of {len(payload)}")
    phase = offset & 3
    if phase:
        key = key[phase:] + key[:phase]
    place = buffers.extend(out, stop - start)
    if _IS_COMPILED:
        _xor_bytes(out, place, payload, start, stop - start, key)
    else:
        out[place:] = _xor_integer(payload[start:stop], key)


def _write_integer(out: bytearray, start: int, payload: bytes, key: bytes) -> None:
    out[start : start + 4 + len(payload)] = key + _xor_integer(payload, key)


def _xor_integer(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    pattern = (key * ((size + 3) >> 2))[:size]
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(pattern, "little")
    return masked.to_bytes(size, "little")


def _write_bytes(out: bytearray, start: int, payload: bytes, key: bytes) -> None:
    target = out  # C pointers when compiled
    source = key
    for i in range(4):
        target[start + i] = source[i]
    _xor_bytes(out, start + 4, payload, 0, len(payload), key)


def _xor_bytes(
    out: bytearray, start: int, payload: bytes, begin: int, size: int, key: bytes
) -> None:
    source = payload  # C pointers when compiled
    target = out
    key0 = key[0]
    key1 = key[1]
    key2 = key[2]
    key3 = key[3]
    whole = size & ~3
    # Four statements with four constants are a shape the vectoriser knows; an index modulo four
    # into the key is not.
    for i in range(0, whole, 4):
        target[start + i] = source[begin + i] ^ key0
        target[start + i + 1] = source[begin + i + 1] ^ key1
        target[start + i + 2] = source[begin + i + 2] ^ key2
        target[start + i + 3] = source[begin + i + 3] ^ key3
    for i in range(whole, size):
        target[start + i] = source[begin + i] ^ key[i - whole]


_IS_COMPILED = is_compiled(mask)

if hasattr(os, "register_at_fork"):  # not where there are no forks
    os.register_at_fork(after_in_child=drop_pool)
