"""Records of TLS without data: a read is bounded, and so are the answers that they demand."""

from __future__ import annotations

import ctypes
import ssl
from typing import Any

import gevent
import pytest

import greenws
from greenws.sessions.metered import MeteredTransport
from greenws.sessions.tls import TLSTransport
from greenws.sessions.transport import Transport
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer, build_text
from tests.support.stopwatch import own_time
from tests.support.ticker import Ticker

#: Reads of the lower transport in one read of TLS, and bytes of answers that are kept.
MAX_READS = 5
MAX_UNSENT = 64 * 1024

#: Seconds of the thread's own time that one read may take.
LARGEST_STEP = 0.05


class Memory(Transport):
    """A transport out of which comes what the test puts in."""

    def __init__(self) -> None:
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.takes = True
        self.reads = 0

    def recv_into(self, buffer: Any, size: int) -> int | None:
        self.reads += 1
        piece = self.incoming[:size]
        del self.incoming[: len(piece)]
        memoryview(buffer)[: len(piece)] = piece
        return len(piece) or None

    def send(self, data: Any) -> int | None:
        if not self.takes:
            return None
        self.outgoing += data
        return len(data)

    def flush(self) -> bool:
        return True

    def fileno(self) -> int:
        return -1

    def close(self) -> None: ...

    def shutdown_write(self) -> None: ...

    def unread(self, data: bytes) -> None:
        raise NotImplementedError

    is_buffering = wants_write = wants_read = has_buffered = False


class Server:
    """The server's end of a TLS connection over memory, whose handshake is done."""

    def __init__(
        self,
        authority: Authority,
        tickets: int = 2,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        lower: Transport | None = None,
        refuses: bool = True,
    ) -> None:
        context = authority.server_context()
        context.num_tickets = tickets
        context.maximum_version = version
        self.memory = Memory()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=True)
        trust = ssl.create_default_context(cafile=authority.cafile)
        if refuses:  # as the contexts of greenws do, and those of users need not
            trust.options |= ssl.OP_NO_RENEGOTIATION
        self.client = TLSTransport(lower or self.memory, trust, "localhost")
        memory, is_done = self.memory, False
        while not self.client.advance_handshake() or not is_done:
            self._in.write(bytes(memory.outgoing))
            memory.outgoing.clear()
            try:
                self.tls.do_handshake()
                is_done = True
            except ssl.SSLWantReadError:
                pass
            if is_done:
                break
            memory.incoming += self._out.read()
        if memory.outgoing:
            self._in.write(bytes(memory.outgoing))
        self.client.flush()
        self._in.write(bytes(memory.outgoing))
        memory.outgoing.clear()

    def take(self) -> bytes:
        """What the server has to send."""
        return self._out.read()

    def update_keys(self, count: int) -> bytes:
        """Build so many KeyUpdates, each of which demands another one.

        The ssl module has no call for it.
        """
        library, pointer = self._reach_openssl(0x304)
        for _ in range(count):
            assert library.SSL_key_update(pointer, 1) == 1
            assert library.SSL_do_handshake(pointer) == 1
        return self.take()

    def ask_renegotiation(self, count: int) -> bytes:
        """Build so many HelloRequests of TLS 1.2, each of which asks for another handshake."""
        library, pointer = self._reach_openssl(0x303)
        for _ in range(count):
            assert library.SSL_renegotiate(pointer) == 1
            assert library.SSL_do_handshake(pointer) == 1
        return self.take()

    def _reach_openssl(self, version: int) -> tuple[Any, int | None]:
        """Return OpenSSL's library, and the object of this connection in it."""
        library = ctypes.CDLL(ssl._ssl.__file__)  # type: ignore[attr-defined]
        library.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
        for name in ("SSL_do_handshake", "SSL_renegotiate", "SSL_version"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        # The object of the ssl module: its head, the socket, and then OpenSSL's own object.
        pointer = ctypes.c_void_p.from_address(id(self.tls._sslobj) + object.__basicsize__ + 8)
        if library.SSL_version(pointer.value) != version:
            pytest.skip("the ssl module of this interpreter has another layout")
        return library, pointer.value

    def receive(self) -> bytes:
        """Take what the client has sent, and answer the handshake in it.

        :returns: the data.
        """
        self._in.write(bytes(self.memory.outgoing))
        self.memory.outgoing.clear()
        data = b""
        try:
            while True:
                data += self.tls.read(65536)
        except ssl.SSLWantReadError:
            self.memory.incoming += self.take()
            return data


def read_all(client: Transport, memory: Memory) -> tuple[bytes, int]:
    """Read until there is nothing more, and check each read.

    :returns: the data, and the number of pauses.
    """
    buffer = bytearray(100_000)
    data = bytearray()
    pauses = 0
    while True:
        memory.reads = 0
        began = own_time()
        count = client.recv_into(buffer, len(buffer))
        assert own_time() - began < LARGEST_STEP
        assert memory.reads <= MAX_READS
        if count is not None:
            data += buffer[:count]
        elif client.is_paused:
            assert client.has_buffered
            pauses += 1
        else:
            return bytes(data), pauses


def test_tickets_without_end_are_read_in_turns(authority: Authority) -> None:
    server = Server(authority, tickets=3000)
    server.tls.write(b"data")
    tickets = server.take()
    assert len(tickets) > 500_000
    server.memory.incoming += tickets
    data, pauses = read_all(server.client, server.memory)
    assert data == b"data"
    assert pauses > 20


def test_key_updates_without_end_are_read_in_turns(authority: Authority) -> None:
    server = Server(authority)
    server.memory.incoming += server.take() + server.update_keys(10_000)
    server.tls.write(b"data")
    server.memory.incoming += server.take()
    data, pauses = read_all(server.client, server.memory)
    assert data == b"data"
    assert pauses > 10
    assert server.memory.outgoing  # the answers


def test_peer_that_takes_no_answers_fails(authority: Authority) -> None:
    server = Server(authority)
    memory = server.memory
    memory.incoming += server.take() + server.update_keys(20_000)
    memory.takes = False
    with pytest.raises(OSError, match="demands answers of TLS without end, and takes none"):
        read_all(server.client, memory)
    left = 20_000 * 27 - len(memory.incoming)
    assert left < 2 * MAX_UNSENT + 64 * 1024


@pytest.mark.parametrize("refuses", [False, True])
def test_requests_of_renegotiation_without_end_are_read_in_turns(
    refuses: bool, authority: Authority
) -> None:
    server = Server(authority, version=ssl.TLSVersion.TLSv1_2, refuses=refuses)
    memory = server.memory
    memory.incoming += server.take() + server.ask_renegotiation(20_000)
    server.tls.write(b"data")
    memory.incoming += server.take()
    data, pauses = read_all(server.client, memory)
    assert data == b"data"
    assert pauses > 10
    if refuses:  # an alert for each
        assert len(memory.outgoing) > 20_000 * 20
    else:  # one handshake is begun, and the further requests are in vain
        assert 0 < len(memory.outgoing) < 2000


def test_peer_that_takes_no_refusals_of_renegotiation_fails(authority: Authority) -> None:
    server = Server(authority, version=ssl.TLSVersion.TLSv1_2)
    memory = server.memory
    memory.incoming += server.take() + server.ask_renegotiation(20_000)
    memory.takes = False
    with pytest.raises(OSError, match="demands answers of TLS without end, and takes none"):
        read_all(server.client, memory)
    assert len(memory.incoming) > 20_000 * 33 // 2


def test_renegotiations_without_end_are_done_one_by_one(authority: Authority) -> None:
    # Each one needs the answer of the peer, so no read does more than a part of one.
    server = Server(authority, version=ssl.TLSVersion.TLSv1_2, refuses=False)
    memory, client = server.memory, server.client
    memory.incoming += server.take()
    said = b""
    for number in range(50):
        memory.incoming += server.ask_renegotiation(1)
        for _ in range(4):
            assert read_all(client, memory)[0] == b""
            said += server.receive()
        message = b"message %d" % number
        assert client.send(message) == len(message)
        client.flush()
        said += server.receive()
        server.tls.write(message)
        memory.incoming += server.take()
        assert read_all(client, memory)[0] == message
    assert said == b"".join(b"message %d" % number for number in range(50))
    assert not client.wants_write


def test_data_waits_while_a_renegotiation_does_not_go_on(authority: Authority) -> None:
    server = Server(authority, version=ssl.TLSVersion.TLSv1_2, refuses=False)
    memory, client = server.memory, server.client
    memory.incoming += server.take() + server.ask_renegotiation(1)
    assert read_all(client, memory)[0] == b""
    assert not client.send(b"late")
    assert client.wants_read and not client.wants_write
    said = b""
    for _ in range(4):
        said += server.receive()
        assert read_all(client, memory)[0] == b""
    assert said == b""
    assert client.send(b"late") == 4
    client.flush()
    assert server.receive() == b"late"


def test_peer_that_takes_answers_late_is_served(authority: Authority) -> None:
    server = Server(authority)
    memory = server.memory
    memory.takes = False
    memory.incoming += server.take() + server.update_keys(500)
    server.tls.write(b"data")
    memory.incoming += server.take()
    data, _ = read_all(server.client, memory)
    assert data == b"data"
    assert server.client.wants_write
    memory.takes = True
    assert server.client.flush()
    assert memory.outgoing


def test_records_of_one_byte_are_data(authority: Authority) -> None:
    server = Server(authority)
    for _ in range(5000):
        server.tls.write(b"x")
    server.memory.incoming += server.take()
    data, pauses = read_all(server.client, server.memory)
    assert (data, pauses) == (b"x" * 5000, 0)


def test_record_in_many_pieces_is_no_flood(authority: Authority) -> None:
    server = Server(authority)
    server.memory.incoming += server.take()
    read_all(server.client, server.memory)
    server.tls.write(b"x" * 16_000)
    record = server.take()
    for start in range(0, len(record), 1000):
        server.memory.incoming += record[start : start + 1000]
        data, pauses = read_all(server.client, server.memory)
        assert pauses == 0
    assert data == b"x" * 16_000


def test_pause_is_told_through_all_layers(authority: Authority) -> None:
    server = Server(authority, tickets=2000)
    server.memory.incoming += server.take()
    metered = MeteredTransport(server.client)
    assert metered.recv_into(bytearray(100), 100) is None
    assert metered.is_paused


def flood(peer: RawServerPeer) -> None:
    peer.read_head()
    peer.send(peer.answer())
    gevent.sleep(0.05)
    peer.send(build_text("after the tickets"))
    peer.read_until_end()


@pytest.mark.parametrize("trace", [None, lambda record: None], ids=["plain", "traced"])
def test_session_goes_on_after_many_tickets(
    trace: Any, authority: Authority, ticking: Ticker
) -> None:
    context = authority.server_context()
    context.num_tickets = 1000
    with LoopbackServer(flood, context) as server:
        websocket = greenws.WebSocket(
            server.url, proxies={}, ssl_cafile=authority.cafile, trace=trace
        )
        for event in websocket.connect(ping_rate=0):
            if event.name == "text":
                assert event.text == "after the tickets"
                break
        else:
            raise AssertionError("no text")
