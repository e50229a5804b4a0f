"""A transport that counts the bytes of a traced connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from greenws.sessions.metered import MeteredTransport
from greenws.sessions.plain import SocketTransport


@pytest.fixture
def pair() -> Iterator[Any]:
    ours, theirs = socket.socketpair()
    transport = MeteredTransport(SocketTransport(ours))
    yield transport, theirs
    transport.close()
    theirs.close()
    ours.detach()  # the transport has closed the descriptor


def test_lengths_are_summed_until_they_are_taken(pair: Any) -> None:
    transport, peer = pair
    buffer = bytearray(10)
    assert transport.recv_into(buffer, 10) is None
    assert transport.take() == []
    assert transport.send(b"hello") == 5
    assert transport.take() == [("socket_send", 5)]
    peer.sendall(b"abc")
    assert transport.recv_into(buffer, 10) == 3
    transport.unread(b"c")
    assert transport.has_buffered
    assert transport.recv_into(buffer, 10) == 1
    transport.shutdown_write()
    assert peer.recv(10) == b"hello"
    assert peer.recv(10) == b""
    assert transport.take() == [("socket_recv", 4)]
    assert transport.take() == []
    assert transport.totals == {"sent": 5, "received": 4}


def test_everything_else_is_passed_to_the_lower_transport(pair: Any) -> None:
    transport, peer = pair
    assert transport.fileno() >= 0
    assert transport.flush()
    assert not transport.wants_write
    assert not transport.wants_read
    assert not transport.is_buffering
    transport.close()
    transport.close()
    assert transport.fileno() == -1
