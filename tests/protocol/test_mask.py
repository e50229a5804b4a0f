"""Masking: the key, the bytes, and keys that no two processes share."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.protocol.mask import append_masked, drop_pool, mask, new_key, write_masked
from tests.support.pure import load_pure

# The other way of masking.
twin: Any = load_pure("protocol.mask")

KEY = b"\x37\xfa\x21\x3d"  # of the example in RFC 6455 section 5.7
HELLO = b"\x7f\x9f\x4d\x51\x58"


def mask_plainly(payload: bytes, key: bytes, offset: int = 0) -> bytes:
    return bytes(byte ^ key[(index + offset) % 4] for index, byte in enumerate(payload))


def test_mask_gives_the_bytes_of_the_rfc() -> None:
    assert mask(b"Hello", KEY) == HELLO


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_mask_takes_any_kind_of_bytes_and_returns_bytes(kind: type) -> None:
    payload = kind(b"Hello")
    masked = mask(payload, KEY)
    assert type(masked) is bytes
    assert masked == HELLO
    assert payload == b"Hello"


@pytest.mark.parametrize("size", [*range(20), 31, 32, 33, 63, 64, 65, 125, 1000, 65537])
@pytest.mark.parametrize("offset", range(5))
def test_mask_is_right_for_each_size_and_offset(size: int, offset: int) -> None:
    payload = bytes(index * 7 % 256 for index in range(size))
    assert mask(payload, KEY, offset) == mask_plainly(payload, KEY, offset)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.integers(0, 1 << 40))
def test_mask_undoes_itself(payload: bytes, key: bytes, offset: int) -> None:
    masked = mask(payload, key, offset)
    assert masked == mask_plainly(payload, key, offset)
    assert mask(masked, key, offset) == payload


@given(st.binary(max_size=200), st.binary(min_size=4, max_size=4), st.integers(0, 200))
def test_mask_in_two_pieces_is_mask_of_the_whole(payload: bytes, key: bytes, cut: int) -> None:
    cut = min(cut, len(payload))
    assert mask(payload[:cut], key) + mask(payload[cut:], key, cut) == mask(payload, key)


def test_write_masked_writes_the_key_and_the_masked_bytes_only() -> None:
    out = bytearray(b"abc" + bytes(9) + b"def")
    write_masked(out, 3, b"Hello", KEY)
    assert out == b"abc" + KEY + HELLO + b"def"


@pytest.mark.parametrize("start", [-1, 1, 7, 10**12])
def test_write_masked_refuses_to_write_beyond_the_end(start: int) -> None:
    out = bytearray(12)
    with pytest.raises(ValueError, match="no room"):
        write_masked(out, start, b"payload.", KEY)
    assert out == bytes(12)


@given(
    st.binary(max_size=200),
    st.binary(min_size=4, max_size=4),
    st.integers(0, 200),
    st.integers(0, 200),
    st.integers(0, 1 << 40),
)
def test_append_masked_appends_a_part_of_the_payload(
    payload: bytes, key: bytes, start: int, stop: int, offset: int
) -> None:
    stop = min(stop, len(payload))
    start = min(start, stop)
    for append in (append_masked, twin.append_masked):
        out = bytearray(b"before")
        append(out, payload, start, stop, key, offset)
        assert out == b"before" + mask_plainly(payload[start:stop], key, offset)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 9), (9, 9), (0, 10**12)])
def test_append_masked_refuses_what_is_not_in_the_payload(start: int, stop: int) -> None:
    out = bytearray(b"before")
    with pytest.raises(ValueError, match="no bytes"):
        append_masked(out, b"payload.", start, stop, KEY, 0)
    assert out == b"before"


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde"])
def test_a_key_has_four_bytes(key: bytes) -> None:
    with pytest.raises(ValueError, match="4 bytes"):
        mask(b"payload", key, 1)
    with pytest.raises(ValueError, match="4 bytes"):
        append_masked(bytearray(), b"payload", 0, 7, key, 1)


@given(st.binary(max_size=100))
def test_both_ways_of_masking_agree(payload: bytes) -> None:
    # The function of the other build is in this one, too.
    out = bytearray(b"abc" + bytes(4 + len(payload)) + b"def")
    twin._write_bytes(out, 3, payload, KEY)
    assert out == b"abc" + KEY + mask_plainly(payload, KEY) + b"def"


def test_new_keys_are_four_bytes_and_differ() -> None:
    keys = [new_key() for _ in range(5000)]  # keys of more than one pool
    assert {len(key) for key in keys} == {4}
    assert len(set(keys)) > 4990  # a pair of equal keys may come by chance


def test_new_key_is_whole_beside_other_threads() -> None:
    def take() -> None:
        for _ in range(20_000):
            if len(new_key()) != 4:
                short.append(True)

    short: list[bool] = []
    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not short


def test_drop_pool_leaves_no_key_behind() -> None:
    new_key()
    drop_pool()
    assert len(new_key()) == 4


def test_forked_child_has_other_keys_than_its_parent() -> None:
    new_key()  # fills the pool before the fork
    readable, writable = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writable, b"".join(new_key() for _ in range(4)))
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writable)
    keys = os.read(readable, 16)
    os.close(readable)
    assert len(keys) == 16
    assert keys != b"".join(new_key() for _ in range(4))
