"""Sending and receiving through a transport, in the greenlet of the test."""

from __future__ import annotations

from typing import Any

from greenws.sessions.transport import Transport
from greenws.sessions.wait import READ, WRITE, wait
from tests.support.dialing import DialOptions, dial


def exchange(transport: Transport, data: bytes) -> bytes:
    """Send bytes to an echo server while receiving as many; both directions are open at once."""
    buffer = bytearray(65536)
    received = bytearray()
    rest = memoryview(data)
    while len(received) < len(data):
        count = transport.send(rest)
        rest = rest[count or 0 :]
        got = transport.recv_into(buffer, len(buffer))
        if got == 0:
            break
        if got is not None:
            received += buffer[:got]
        else:
            events = READ | WRITE if rest or transport.wants_write else READ
            wait(transport.fileno(), events)
    return bytes(received)


def receive(transport: Transport, size: int) -> bytes:
    """Receive exactly ``size`` bytes, or those there are until the end."""
    buffer = bytearray(65536)
    received = b""
    while len(received) < size:
        got = transport.recv_into(buffer, size - len(received))
        if got == 0:
            break
        if got is None:
            wait(transport.fileno(), READ)
        else:
            received += buffer[:got]
    return received


def echo_through(options: DialOptions, data: bytes = b"hello", **kwargs: Any) -> str | None:
    """Dial an echo server, check that bytes come back, close.

    :returns: the URL of the proxy, as ``dial`` has it.
    """
    transport, proxy = dial(options, **kwargs)
    try:
        assert exchange(transport, data) == data
    finally:
        transport.close()
    return proxy
