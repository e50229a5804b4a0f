from __future__ import annotations

import _socket
from collections.abc import Iterator

import pytest

from greenws.sessions import syscalls

Ends = tuple[_socket.socket, _socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = _socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_bytes_go_there_and_back(ends: Ends) -> None:
    ours, theirs = ends
    assert syscalls.send(ours, ours.fileno(), b"abc") == 3
    assert theirs.recv(10) == b"abc"
    theirs.send(b"defgh")
    buffer = bytearray(10)
    assert syscalls.receive(ours, ours.fileno(), buffer, 3) == 3
    assert buffer[:3] == b"def"


def test_what_would_block_is_none(ends: Ends) -> None:
    ours, _ = ends
    assert syscalls.receive(ours, ours.fileno(), bytearray(1), 1) is None
    while syscalls.send(ours, ours.fileno(), bytes(65536)) is not None:
        pass


def test_end_is_zero(ends: Ends) -> None:
    ours, theirs = ends
    theirs.close()
    assert syscalls.receive(ours, ours.fileno(), bytearray(1), 1) == 0
