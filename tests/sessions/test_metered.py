from __future__ import annotations

import socket
from typing import Any

import pytest

from greenws.sessions.metered import MeteredTransport
from greenws.sessions.transport import Transport


@pytest.fixture
def records() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def pair(records: list[Any]) -> Any:
    ours, theirs = socket.socketpair()

    def trace(stage: str, /, **fields: Any) -> None:
        records.append((stage, fields))

    transport = MeteredTransport(Transport(ours), trace)
    yield transport, theirs
    transport.close()
    theirs.close()
    ours.detach()  # closed with the transport


def test_lengths_are_told_and_summed(pair: Any, records: list[Any]) -> None:
    transport, peer = pair
    buffer = bytearray(10)
    assert transport.recv_into(buffer, 10) is None
    assert transport.send(b"hello") == 5
    peer.sendall(b"abc")
    assert transport.recv_into(buffer, 10) == 3
    transport.unread(b"c")
    assert transport.has_buffered
    assert transport.recv_into(buffer, 10) == 1
    transport.shutdown_write()
    assert peer.recv(10) == b"hello"
    assert peer.recv(10) == b""
    assert records == [
        ("socket_send", {"length": 5}),
        ("socket_recv", {"length": 3}),
        ("socket_recv", {"length": 1}),
    ]
    assert transport.totals == {"sent": 5, "received": 4}


def test_the_rest_is_the_lower_ones(pair: Any) -> None:
    transport, peer = pair
    assert transport.fileno() >= 0
    assert transport.flush()
    assert not transport.wants_write
    transport.close()
    transport.close()
    assert transport.fileno() == -1
