"""Frames as they are built, and the payload of close frames in both directions."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws.errors import CriticalProtocolError, FrameBuildError, ProtocolError
from greenws.protocol.frame import (
    append_frame,
    build_close_payload,
    build_frame,
    fit_close_reason,
    parse_close_payload,
)
from greenws.protocol.mask import mask
from greenws.status import Status

SENDABLE = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]
UNSENDABLE = [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535, 65536]


# The examples of RFC 6455 section 5.7, unmasked.
@pytest.mark.parametrize(
    ("arguments", "frame"),
    [
        ((1, b"Hello"), b"\x81\x05Hello"),
        ((1, b"Hel", False), b"\x01\x03Hel"),
        ((0, b"lo"), b"\x80\x02lo"),
        ((9, b"Hello"), b"\x89\x05Hello"),
        ((2, bytes(256)), b"\x82\x7e\x01\x00" + bytes(256)),
        ((2, bytes(65536)), b"\x82\x7f\0\0\0\0\0\1\0\0" + bytes(65536)),
        ((1, b"deflated", True, True), b"\xc1\x08deflated"),
    ],
)
def test_build_frame_gives_the_bytes_of_the_rfc(arguments: tuple[Any, ...], frame: bytes) -> None:
    assert build_frame(*arguments, masked=False) == frame


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\x80"),
        (125, b"\x82\xfd"),
        (126, b"\x82\xfe\x00\x7e"),
        (65535, b"\x82\xfe\xff\xff"),
        (65536, b"\x82\xff\0\0\0\0\0\1\0\0"),
    ],
)
def test_build_frame_uses_the_shortest_length(size: int, head: bytes) -> None:
    payload = bytes(index % 251 for index in range(size))
    frame = build_frame(2, payload)
    assert frame[: len(head)] == head
    key = frame[len(head) : len(head) + 4]
    assert mask(frame[len(head) + 4 :], key) == payload


def test_build_frame_masks_with_a_fresh_key() -> None:
    assert len({build_frame(1, b"Hello")[2:6] for _ in range(100)}) == 100


@pytest.mark.parametrize("opcode", [-1, 16, 255])
def test_build_frame_refuses_an_invalid_opcode(opcode: int) -> None:
    with pytest.raises(FrameBuildError, match="opcode"):
        build_frame(opcode)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("masked", [True, False])
def test_append_frame_takes_any_kind_of_bytes(kind: type, masked: bool) -> None:
    out = bytearray(b"before")
    append_frame(out, 2, kind(b"data"), False, masked)
    assert out.startswith(b"before\x82")
    assert len(out) == 6 + 2 + 4 * masked + 4
    if not masked:
        assert out.endswith(b"data")


def test_append_frame_appends_to_the_frames_before() -> None:
    out = bytearray()
    append_frame(out, 1, b"a", False, False)
    append_frame(out, 2, b"b", True, False)
    append_frame(out, 0, b"c", False, False, False)
    assert out == b"\x81\x01a\xc2\x01b\x00\x01c"


def test_append_frame_masks_unless_told_otherwise() -> None:
    parameters = inspect.signature(build_frame).parameters
    assert parameters["masked"].default is True
    out = bytearray()
    append_frame(out, 1, b"")
    assert out[1] == 0x80


# Close payloads


@pytest.mark.parametrize("code", SENDABLE)
def test_close_payload_has_code_and_reason(code: int) -> None:
    payload = build_close_payload(code, "bye ü")
    assert payload == code.to_bytes(2, "big") + "bye ü".encode()
    assert build_close_payload(code, "bye ü".encode()) == payload
    assert parse_close_payload(payload) == (code, "bye ü")


@pytest.mark.parametrize("code", UNSENDABLE)
def test_close_payload_refuses_a_code_that_must_not_be_sent(code: int) -> None:
    with pytest.raises(ValueError, match=f"{code}"):
        build_close_payload(code)


@pytest.mark.parametrize("code", [code for code in UNSENDABLE if 0 <= code <= 65535])
def test_received_close_payload_with_a_reserved_code_is_an_error(code: int) -> None:
    with pytest.raises(ProtocolError, match=f"reserved close code .{code}."):
        parse_close_payload(code.to_bytes(2, "big") + b"bye")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (b"", "in a close frame"),
        (b"Slow Consumer", "with the reason 'Slow Consumer'"),
        (b"a {0} \x1b[2J", "with the reason 'a {0} \\x1b[2J'"),
        (b"\xff", "with the reason '\ufffd'"),
    ],
)
def test_error_of_a_reserved_close_code_quotes_code_and_reason(
    code: int, reason: bytes, shown: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_close_payload(code.to_bytes(2, "big") + reason)
    assert caught.value.code == 1002
    assert str(caught.value).startswith(f"reserved close code ({code}) ")
    assert str(caught.value).endswith(shown)


@pytest.mark.parametrize("code", ["1000", 1000.0, True, b"\x03\xe8"])
def test_close_payload_refuses_a_code_of_another_type(code: Any) -> None:
    with pytest.raises(TypeError, match="code must be int"):
        build_close_payload(code)


def test_close_payload_takes_a_name_of_status() -> None:
    assert build_close_payload(Status.GOING_AWAY) == b"\x03\xe9"


def test_close_payload_without_a_code_is_empty() -> None:
    assert build_close_payload(None) == b""
    assert parse_close_payload(b"") == (None, "")
    with pytest.raises(ValueError, match="without a code"):
        build_close_payload(None, "bye")


@pytest.mark.parametrize("reason", ["x" * 123, b"x" * 123, "ü" * 61])
def test_close_payload_takes_the_longest_reason(reason: Any) -> None:
    assert len(build_close_payload(1000, reason)) <= 125


@pytest.mark.parametrize("reason", ["x" * 124, b"x" * 124, "ü" * 62])
def test_close_payload_refuses_a_reason_too_long(reason: Any) -> None:
    with pytest.raises(ValueError, match="123 bytes"):
        build_close_payload(1000, reason)


@pytest.mark.parametrize("reason", [None, 5, bytearray(b"bye"), ["bye"]])
def test_close_payload_refuses_a_reason_of_another_type(reason: Any) -> None:
    with pytest.raises(TypeError, match="reason must be str or bytes"):
        build_close_payload(1000, reason)


@pytest.mark.parametrize("reason", [b"\xff", "\ud800"])
def test_close_payload_refuses_a_reason_that_is_not_utf8(reason: Any) -> None:
    with pytest.raises(ValueError, match=r"utf-8|surrogates"):
        build_close_payload(1000, reason)


def test_received_close_payload_of_one_byte_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="invalid close frame payload"):
        parse_close_payload(b"\x03")


@pytest.mark.parametrize(
    "reason", [b"\xff", b"ok \xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80", b"\xc3"]
)
def test_received_close_payload_with_bad_utf8_is_an_error(reason: bytes) -> None:
    with pytest.raises(CriticalProtocolError, match="utf-8") as caught:
        parse_close_payload(b"\x03\xe8" + reason)
    assert caught.value.code == 1007


@given(st.binary(max_size=125))
def test_any_close_payload_gives_a_code_or_our_errors(payload: bytes) -> None:
    try:
        code, reason = parse_close_payload(payload)
    except (ProtocolError, CriticalProtocolError):
        return
    assert build_close_payload(code, reason) == payload


@given(st.text(max_size=200))
def test_fitted_reason_fits_and_is_a_beginning(reason: str) -> None:
    fitted = fit_close_reason(reason)
    assert reason.encode("utf-8", "replace").decode().startswith(fitted)
    build_close_payload(1002, fitted)


def test_fitted_reason_is_cut_between_characters() -> None:
    assert fit_close_reason("x" + "ü" * 100) == "x" + "ü" * 61
    assert fit_close_reason("short") == "short"
    assert fit_close_reason("\ud800") == "?"


def test_reason_with_surrogates_says_so() -> None:
    with pytest.raises(ValueError, match=r"^reason must be text"):
        build_close_payload(1000, "\udcff")


@pytest.mark.parametrize("size", [0, 5, 125, 126, 70_000])
def test_frame_takes_the_place_of_what_was_there(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    out = bytearray(b"x" * 1000)
    append_frame(out, 2, payload[:size], False, False, True, True)
    assert bytes(out) == build_frame(2, payload[:size], masked=False)
