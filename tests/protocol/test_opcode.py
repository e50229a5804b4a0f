"""Opcodes, as RFC 6455 section 5.2 has them."""

from __future__ import annotations

import pytest

from greenws.errors import ProtocolError
from greenws.protocol.opcode import Opcode
from greenws.protocol.stream import Stream
from tests.protocol.stream.checks import drain

NAMED = {value for name, value in vars(Opcode).items() if not name.startswith("_")}


def test_opcodes_are_those_of_the_rfc() -> None:
    assert (Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY) == (0, 1, 2)
    assert (Opcode.CLOSE, Opcode.PING, Opcode.PONG) == (8, 9, 10)


@pytest.mark.parametrize("opcode", sorted(set(range(16)) - NAMED))
def test_opcode_without_a_name_is_a_violation(opcode: int) -> None:
    with pytest.raises(ProtocolError, match="opcode is reserved"):
        drain(Stream(), bytes((0x80 | opcode, 0)))


def test_opcodes_of_control_frames_have_the_top_bit() -> None:
    control = {Opcode.CLOSE, Opcode.PING, Opcode.PONG}
    assert {opcode for opcode in NAMED if opcode & 8} == control
