"""TLS over any transport: bytes, the end, the handshake, resumption, memory."""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import gc
import ssl
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import gevent.socket
import gevent.ssl
import pytest

from greenws.sessions.plain import SocketTransport
from greenws.sessions.resumption import allow_resumption
from greenws.sessions.tls import STEP, TLSTransport, handshake
from greenws.sessions.wait import WRITE, wait, wait_read
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer, echo_bytes
from tests.support.peer import RawServerPeer
from tests.support.proxies import relay
from tests.support.ticker import Ticker
from tests.support.transports import exchange, receive
from tests.support.waiting import PATIENCE, wait_until

# A record with the head of application data, which cannot be decrypted.
BAD_RECORD = b"\x17\x03\x03\x00\x20" + b"?" * 32


@pytest.fixture(params=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    return ssl.TLSVersion.TLSv1_2 if request.param == "1.2" else ssl.TLSVersion.TLSv1_3


@pytest.fixture
def server_context(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = authority.server_context()
    context.maximum_version = version
    return context


@pytest.fixture
def context(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.cafile)
    allow_resumption(context)  # as those that greenws makes do
    return context


@pytest.fixture
def server(server_context: ssl.SSLContext) -> Iterator[LoopbackServer]:
    with LoopbackServer(echo_bytes, server_context) as server:
        yield server


def connect(port: int) -> SocketTransport:
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    sock.connect(("127.0.0.1", port))
    return SocketTransport(sock)


def open_tls(
    port: int, context: ssl.SSLContext, name: str | None = "localhost", key: int = 1
) -> TLSTransport:
    transport = TLSTransport(connect(port), context, name, key)
    try:
        handshake(transport)
        transport.flush()  # sends the rest of the handshake, which waits for data to go with it
    except BaseException:
        transport.close()
        raise
    return transport


class Allocated(ctypes.Structure):
    """What mallinfo2() returns. The eighth number is the total of what is in use."""

    _fields_ = (("numbers", ctypes.c_size_t * 10),)


def find_allocated() -> int:
    """Return the bytes that C's malloc() has handed out, as glibc tells."""
    try:
        mallinfo: Any = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        pytest.skip("this C library does not tell what is allocated")
    mallinfo.restype = Allocated
    gc.collect()
    return int(mallinfo().numbers[7])


def test_bytes_go_both_ways(server: LoopbackServer, context: ssl.SSLContext) -> None:
    transport = open_tls(server.port, context)
    assert exchange(transport, b"hello") == b"hello"
    big = bytes(range(256)) * 4096
    assert exchange(transport, big) == big
    transport.close()
    assert transport.fileno() == -1


def test_version_cipher_and_resumption_are_told(
    server: LoopbackServer, context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    transport = TLSTransport(connect(server.port), context, "localhost")
    assert (transport.version, transport.cipher) == (None, None)
    assert transport.is_buffering
    handshake(transport)
    assert transport.version == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    assert transport.cipher is not None
    assert transport.is_resumed is False
    transport.close()


def test_openssl_keeps_no_buffer_for_a_ticket_that_was_read(
    server: LoopbackServer, authority: Authority
) -> None:
    context = ssl.create_default_context(cafile=authority.cafile)
    transports = [open_tls(server.port, context) for _ in range(20)]
    for transport in transports:
        assert exchange(transport, b"hello") == b"hello"  # the tickets come before it
    before = find_allocated()
    for transport in transports:
        assert exchange(transport, b"hello") == b"hello"
    # Writing would have given the buffers back, of 16 KiB each.
    assert abs(before - find_allocated()) < 20 * 4096
    for transport in transports:
        transport.close()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_are_sent(server: LoopbackServer, context: ssl.SSLContext, kind: type) -> None:
    transport = open_tls(server.port, context)
    assert transport.send(kind(b"abc")) == 3
    assert receive(transport, 3) == b"abc"
    assert transport.send(b"") == 0
    transport.close()


def test_bytearray_may_be_resized_after_sending(
    server: LoopbackServer, context: ssl.SSLContext
) -> None:
    transport = open_tls(server.port, context)
    data = bytearray(b"x" * 50000)
    count = transport.send(data)
    del data[:count]  # fails while a view is open
    buffer = bytearray(100)
    wait_read(transport.fileno())
    transport.recv_into(buffer, 100)
    del buffer[:]
    transport.close()


def test_user_made_gevent_context_works(server: LoopbackServer, authority: Authority) -> None:
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.cafile)
    transport = open_tls(server.port, context)
    assert exchange(transport, b"x") == b"x"
    transport.close()


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "::1"])
def test_name_is_found_in_the_certificate(
    server: LoopbackServer, context: ssl.SSLContext, name: str
) -> None:
    open_tls(server.port, context, name).close()
    sent = name.lower().rstrip(".")
    assert server.server_names == [sent if sent == "localhost" else None]


def test_international_name_is_encoded(authority: Authority, context: ssl.SSLContext) -> None:
    with LoopbackServer(echo_bytes, authority.server_context("xn--bcher-kva.example")) as server:
        open_tls(server.port, context, "bücher.example").close()
        assert server.server_names == ["xn--bcher-kva.example"]


def test_sharp_s_is_not_two_letters(authority: Authority, context: ssl.SSLContext) -> None:
    with LoopbackServer(echo_bytes, authority.server_context("xn--fa-hia.example")) as server:
        open_tls(server.port, context, "fa\u00df.example").close()
        assert server.server_names == ["xn--fa-hia.example"]


@pytest.mark.parametrize("name", ["", ".", ".example.org", "a b", "a\0b", "x" * 300])
def test_invalid_name_is_a_value_error(context: ssl.SSLContext, name: str) -> None:
    ours, theirs = _socket.socketpair()
    with pytest.raises(ValueError):
        TLSTransport(SocketTransport(ours), context, name)
    ours.close()
    theirs.close()


def test_name_may_be_missing_for_a_context_that_does_not_check(server: LoopbackServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    open_tls(server.port, context, None).close()
    assert server.server_names == [None]


def test_tls_object_of_a_users_class_is_used_for_everything(
    server: LoopbackServer, context: ssl.SSLContext
) -> None:
    asked: list[str] = []

    class Object(ssl.SSLObject):
        def do_handshake(self) -> None:
            asked.append("do_handshake")
            super().do_handshake()

        def read(self, *args: Any) -> Any:
            asked.append("read")
            return super().read(*args)

        def write(self, data: Any) -> int:
            asked.append("write")
            return super().write(data)

    context.sslobject_class = Object
    transport = open_tls(server.port, context)
    assert exchange(transport, b"x") == b"x"
    assert set(asked) == {"do_handshake", "read", "write"}
    transport.close()


def test_context_of_a_users_class_gets_the_name_as_str(
    server: LoopbackServer, authority: Authority
) -> None:
    names: list[Any] = []

    class Context(ssl.SSLContext):
        def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
            names.append(kwargs["server_hostname"])
            return super().wrap_bio(*args, **kwargs)

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.cafile)
    open_tls(server.port, context).close()
    assert names == ["localhost"]


# What is buffered


def test_all_records_that_arrived_are_drained(
    server_context: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    sent = gevent.event.Event()

    def script(peer: RawServerPeer) -> None:
        for index in range(200):
            peer.sock.sendall(b"%03d" % index)
        sent.set()
        peer.sock.recv(1)

    with LoopbackServer(script, server_context) as server:
        transport = open_tls(server.port, context)
        assert sent.wait(PATIENCE)
        buffer = bytearray(65536)
        # Loopback has brought everything to this side, so that reading needs no wait.
        received = b""
        while (count := transport.recv_into(buffer, len(buffer))) is not None:
            received += buffer[:count]
        assert received == b"".join(b"%03d" % index for index in range(200))
        assert not transport.has_buffered
        transport.close()


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_small_buffer_gets_everything(
    server: LoopbackServer, context: ssl.SSLContext, size: int
) -> None:
    transport = open_tls(server.port, context)
    data = bytes(range(256)) * 20
    assert transport.send(data) == len(data)
    buffer = bytearray(8000)
    while (count := transport.recv_into(buffer, 1)) is None:
        wait_read(transport.fileno())
    assert count == 1
    received = bytes(buffer[:1])
    while transport.has_buffered:
        count = transport.recv_into(buffer, size)
        received += buffer[: count or 0]
    assert received == data
    transport.close()


def test_unread_comes_first(server: LoopbackServer, context: ssl.SSLContext) -> None:
    transport = open_tls(server.port, context)
    transport.send(b"later")
    transport.unread(b"first")
    assert transport.has_buffered
    assert receive(transport, 10) == b"firstlater"
    transport.close()


def test_sender_is_held_back_and_everything_arrives(
    server_context: ssl.SSLContext, context: ssl.SSLContext, ticking: Ticker
) -> None:
    go = gevent.event.Event()
    received = bytearray()

    def script(peer: RawServerPeer) -> None:
        go.wait()
        while data := peer.sock.recv(65536):
            received.extend(data)

    with LoopbackServer(script, server_context) as server:
        transport = open_tls(server.port, context)
        data = b"0123456789abcdef" * 65536
        sent = 0
        while sent < 32 * 1024 * 1024:
            count = transport.send(data)
            if count is None:
                break
            sent += count
        assert transport.wants_write
        assert transport.flush() is False
        # At most one record waits in memory, however much was offered.
        assert sys.getsizeof(transport._unsent) < 2 * STEP
        transport.shutdown_write()
        go.set()
        while transport.wants_write:
            wait(transport.fileno(), WRITE)
            transport.flush()
        assert receive(transport, 1) == b""
        transport.close()
    assert len(received) == sent
    assert bytes(received[: len(data)]) == data


# The end


def test_close_notify_is_the_end(server_context: ssl.SSLContext, context: ssl.SSLContext) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.sendall(b"bye")
        peer.sock.unwrap()

    with LoopbackServer(script, server_context) as server:
        transport = open_tls(server.port, context)
        assert receive(transport, 99) == b"bye"
        assert transport.recv_into(bytearray(1), 1) == 0
        transport.close()


def test_end_without_close_notify_is_the_end(
    server_context: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    with LoopbackServer(lambda peer: peer.sock.sendall(b"bye"), server_context) as server:
        transport = open_tls(server.port, context)
        assert receive(transport, 99) == b"bye"
        assert transport.recv_into(bytearray(1), 1) == 0
        assert transport.recv_into(bytearray(1), 1) == 0
        transport.close()


def test_half_close_says_close_notify_and_goes_on_reading(
    server_context: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    seen: list[bytes] = []

    def script(peer: RawServerPeer) -> None:
        while data := peer.sock.recv(100):
            seen.append(data)
        seen.append(b"")

    with LoopbackServer(script, server_context) as server:
        transport = open_tls(server.port, context)
        transport.send(b"last")
        transport.shutdown_write()
        transport.shutdown_write()
        assert receive(transport, 10) == b""
        assert seen == [b"last", b""]
        assert server.failures == []
        transport.close()
        transport.shutdown_write()


def test_half_close_before_the_handshake_never_raises(context: ssl.SSLContext) -> None:
    ours, theirs = _socket.socketpair()
    transport = TLSTransport(SocketTransport(ours), context, "localhost")
    transport.shutdown_write()
    assert theirs.recv(1) == b""
    transport.close()
    transport.shutdown_write()
    theirs.close()


def test_broken_records_are_an_error_in_words(
    server_context: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    sent = gevent.event.Event()

    def script(peer: RawServerPeer) -> None:
        peer.sock.sendall(b"fine")
        _socket.socket.send(peer.sock._sock, BAD_RECORD)
        sent.set()
        peer.sock.recv(1)

    with LoopbackServer(script, server_context) as server:
        transport = open_tls(server.port, context)
        assert sent.wait(PATIENCE)
        buffer = bytearray(100)
        assert receive(transport, 4) == b"fine"
        with pytest.raises(ssl.SSLError, match="bad record mac"):
            while transport.recv_into(buffer, 100) is None:
                wait_read(transport.fileno())
        transport.close()


def test_reset_is_an_os_error(server_context: ssl.SSLContext, context: ssl.SSLContext) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with LoopbackServer(script, server_context) as server:
        transport = open_tls(server.port, context)
        with pytest.raises(ConnectionResetError):
            receive(transport, 1)
        transport.close()


def test_stream_has_ended_after_an_error(
    server_context: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    def script(peer: RawServerPeer) -> None:
        _socket.socket.send(peer.sock._sock, BAD_RECORD)
        peer.sock.recv(1)

    with LoopbackServer(script, server_context) as server:
        transport = open_tls(server.port, context)
        with pytest.raises(ssl.SSLError, match="bad record mac"):
            receive(transport, 1)
        for _ in range(2):
            assert transport.recv_into(bytearray(1), 1) == 0
        transport.close()


def test_end_stays_the_end_while_the_peer_keeps_the_connection(
    server_context: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.sendall(b"bye")
        with contextlib.suppress(OSError):
            peer.sock.unwrap()  # sends close_notify and waits for ours

    with LoopbackServer(script, server_context) as server:
        transport = open_tls(server.port, context)
        assert receive(transport, 99) == b"bye"
        for _ in range(3):
            assert transport.recv_into(bytearray(1), 1) == 0
        transport.shutdown_write()
        assert transport.recv_into(bytearray(1), 1) == 0
        transport.close()


# The handshake


class CountingTransport(SocketTransport):
    """Counts the system calls."""

    def __init__(self, port: int) -> None:
        sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        sock.connect(("127.0.0.1", port))
        super().__init__(sock)
        self.sends = 0
        self.receptions: list[int | None] = []

    def recv_into(self, buffer: Any, size: int) -> int | None:
        self.receptions.append(super().recv_into(buffer, size))
        return self.receptions[-1]

    def send(self, data: Any) -> int | None:
        self.sends += 1
        return super().send(data)


def test_last_words_of_the_handshake_leave_with_the_first_data(
    server: LoopbackServer, context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    for is_resumed in (False, True):
        lower = CountingTransport(server.port)
        transport = TLSTransport(lower, context, "localhost")
        handshake(transport)
        assert transport.is_resumed is is_resumed
        # Only a full handshake of TLS 1.2 ends with a message of the server.
        has_last_word = is_resumed or version == ssl.TLSVersion.TLSv1_3
        assert transport.wants_write is has_last_word
        assert exchange(transport, b"x") == b"x"
        assert lower.sends == (2 if has_last_word else 3)
        transport.close()


def test_last_words_of_the_handshake_leave_before_a_read(
    server_context: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    with LoopbackServer(lambda peer: peer.sock.sendall(b"hello"), server_context) as server:
        transport = TLSTransport(connect(server.port), context, "localhost")
        handshake(transport)
        assert receive(transport, 5) == b"hello"
        transport.close()


def test_handshake_reads_nothing_in_vain(server: LoopbackServer, context: ssl.SSLContext) -> None:
    lower = CountingTransport(server.port)
    transport = TLSTransport(lower, context, "localhost")
    handshake(transport)
    assert None not in lower.receptions
    transport.close()


def test_hub_goes_on_while_the_peer_is_silent(context: ssl.SSLContext, ticking: Ticker) -> None:
    ours, theirs = _socket.socketpair()
    transport = TLSTransport(SocketTransport(ours), context, "localhost")
    ticking.reset()
    with gevent.Timeout(0.1) as timeout, pytest.raises(gevent.Timeout) as caught:
        handshake(transport)
    assert caught.value is timeout
    assert ticking.largest_gap < 0.05
    transport.close()
    theirs.close()


def test_handshake_arrives_byte_by_byte(
    server_context: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = server_context.wrap_bio(incoming, outgoing, server_side=True)
    ours, theirs = _socket.socketpair()
    theirs.setblocking(False)
    transport = TLSTransport(SocketTransport(ours), context, "localhost")
    try:
        is_done = transport.advance_handshake()
        while not is_done:
            incoming.write(theirs.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.do_handshake()
            for byte in outgoing.read():
                theirs.send(bytes((byte,)))
                is_done = transport.advance_handshake()
        assert transport.version
    finally:
        transport.close()
        theirs.close()


#: What is said of a port that does not speak TLS.
NO_TLS = "the peer does not speak TLS: its URL begins with ws://, or http:// for a proxy"


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", NO_TLS),
        (b"SSH-2.0-OpenSSH_9.0\r\n", NO_TLS),
        (b"+OK", NO_TLS),
        (b"\x05\xff", NO_TLS),
        (b"", "the peer closed the connection"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "the peer sent the alert 'handshake failure'"),
        (b"\x15\x03\x03\x00\x02\x02\x70", "the peer sent the alert 'unrecognized name'"),
    ],
)
def test_peer_that_is_no_tls_server_is_named(
    context: ssl.SSLContext, reply: bytes, cause: str
) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.recv(4096)
        peer.sock.sendall(reply)

    with LoopbackServer(script) as server, pytest.raises(ssl.SSLError) as caught:
        open_tls(server.port, context)
    assert str(caught.value) == cause


def test_first_byte_that_is_no_tls_is_told_at_once(context: ssl.SSLContext) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.sock.recv(4096)
        peer.sock.sendall(b"+")
        peer.read_until_end()  # it waits for us, and would do so for ever

    with LoopbackServer(script) as server, pytest.raises(ssl.SSLError, match="not speak TLS"):
        open_tls(server.port, context)


def test_failed_verification_is_told_to_the_server(server: LoopbackServer) -> None:
    with pytest.raises(ssl.SSLError, match="unknown issuer"):
        open_tls(server.port, ssl.create_default_context())
    (failure,) = wait_until(lambda: server.failures)
    assert "alert unknown ca" in str(failure)


# Resumption


def test_session_is_resumed(server: LoopbackServer, context: ssl.SSLContext) -> None:
    for _ in range(4):
        transport = open_tls(server.port, context)
        exchange(transport, b"x")
        transport.close()
    wait_until(lambda: len(server.resumed) == 4)
    assert server.resumed == [False, True, True, True]


def test_tls_1_2_is_resumed_without_any_data(authority: Authority, context: ssl.SSLContext) -> None:
    server_context = authority.server_context()
    server_context.maximum_version = ssl.TLSVersion.TLSv1_2
    with LoopbackServer(echo_bytes, server_context) as server:
        for _ in range(2):
            open_tls(server.port, context).close()
        wait_until(lambda: len(server.resumed) == 2)
        assert server.resumed == [False, True]


@pytest.mark.parametrize(
    ("name", "key"), [("127.0.0.1", 1), ("localhost", 2)], ids=["other name", "other port"]
)
def test_session_is_not_resumed_elsewhere(
    server: LoopbackServer, context: ssl.SSLContext, name: str, key: int
) -> None:
    for args in (("localhost", 1), (name, key)):
        transport = open_tls(server.port, context, *args)
        exchange(transport, b"x")
        transport.close()
    assert server.resumed == [False, False]


def test_session_is_not_resumed_in_another_context(
    server: LoopbackServer, authority: Authority
) -> None:
    for _ in range(2):
        context = ssl.create_default_context(cafile=authority.cafile)
        allow_resumption(context)
        transport = open_tls(server.port, context)
        exchange(transport, b"x")
        transport.close()
    assert server.resumed == [False, False]


def test_context_of_the_users_shows_each_certificate_that_it_loads(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    seen: list[Any] = []

    def script(peer: RawServerPeer) -> None:
        seen.append(dict(part[0] for part in peer.sock.getpeercert()["subject"])["commonName"])
        echo_bytes(peer)

    server_context = authority.server_context()
    server_context.maximum_version = version
    server_context.load_verify_locations(authority.cafile)
    server_context.verify_mode = ssl.CERT_REQUIRED
    context = ssl.create_default_context(cafile=authority.cafile)
    with LoopbackServer(script, server_context) as server:
        for name in ("alice", "alice", "bob"):
            context.load_cert_chain(*authority.issue_pair(name, f"{name}@h", common_name=name))
            transport = open_tls(server.port, context)
            exchange(transport, b"x")
            transport.close()
    assert seen == ["alice", "alice", "bob"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("other.example", lambda context: setattr(context, "check_hostname", True)),
        ("localhost", lambda context: setattr(context, "verify_flags", ssl.VERIFY_CRL_CHECK_LEAF)),
        ("localhost", lambda context: context.set_alpn_protocols(["http/1.1", "other"])),
    ],
    ids=["names", "flags", "protocols"],
)
def test_context_of_the_users_resumes_nothing_that_a_change_would_refuse(
    authority: Authority, version: ssl.TLSVersion, name: str, change: Any
) -> None:
    server_context = authority.server_context(name)
    server_context.maximum_version = version
    context = ssl.create_default_context(cafile=authority.cafile)
    context.check_hostname = False
    with LoopbackServer(echo_bytes, server_context) as server:
        for is_changed in (False, False, True):
            if is_changed:
                change(context)
            try:
                transport = open_tls(server.port, context)
            except ssl.SSLError:
                assert is_changed
            else:
                exchange(transport, b"x")
                transport.close()
    assert True not in server.resumed


def test_unverified_session_does_not_pass_for_verified(server: LoopbackServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    transport = open_tls(server.port, context)
    exchange(transport, b"x")
    transport.close()
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(ssl.SSLError, match="unknown issuer"):
        open_tls(server.port, context)


def test_session_of_a_restarted_server_is_replaced(
    server: LoopbackServer, authority: Authority, context: ssl.SSLContext
) -> None:
    for is_restarted in (False, False, True, False, False):
        if is_restarted:
            server.context = authority.server_context()  # has other keys for its tickets
        transport = open_tls(server.port, context)
        exchange(transport, b"x")
        transport.close()
    assert server.resumed == [False, True, False, True, True]


def test_session_is_forgotten_when_a_handshake_fails(
    server: LoopbackServer, context: ssl.SSLContext
) -> None:
    transport = open_tls(server.port, context)
    exchange(transport, b"x")
    transport.close()

    def script(peer: RawServerPeer) -> None:
        peer.sock.recv(4096)

    with LoopbackServer(script) as other, pytest.raises(ssl.SSLError):
        open_tls(other.port, context)
    open_tls(server.port, context).close()
    wait_until(lambda: len(server.resumed) == 2)
    assert server.resumed == [False, False]


def test_context_dies_with_its_sessions(server: LoopbackServer, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.cafile)
    transport = open_tls(server.port, context)
    exchange(transport, b"x")
    transport.close()
    reference = weakref.ref(context)
    del context, transport
    gc.collect()
    assert reference() is None


# Memory


def test_nothing_holds_the_tls_object_in_a_cycle(
    server: LoopbackServer, context: ssl.SSLContext
) -> None:
    gc.collect()
    gc.disable()
    try:
        transport = open_tls(server.port, context)
        exchange(transport, b"x")
        reference = weakref.ref(transport._ssl)
        transport.close()
        del transport
        assert reference() is None
    finally:
        gc.enable()


def test_failed_handshake_leaves_no_cycle(server: LoopbackServer) -> None:
    context = ssl.create_default_context()
    gc.collect()
    gc.disable()
    try:
        transport = TLSTransport(connect(server.port), context, "localhost")
        reference = weakref.ref(transport._ssl)
        try:
            handshake(transport)
        except ssl.SSLError:
            pass
        transport.close()
        del transport
        assert reference() is None
    finally:
        gc.enable()


# TLS in TLS


def test_tls_runs_over_tls(authority: Authority, context: ssl.SSLContext) -> None:
    outer_context = authority.server_context("outer.example")
    with LoopbackServer(echo_bytes, authority.server_context()) as inner:

        def pass_on(peer: RawServerPeer) -> None:
            address = ("127.0.0.1", inner.port)
            with contextlib.closing(gevent.socket.create_connection(address)) as upstream:
                relay(peer.sock, upstream)

        with LoopbackServer(pass_on, outer_context) as outer:
            lower = open_tls(outer.port, context, "outer.example")
            transport = TLSTransport(lower, context, "localhost")
            handshake(transport)
            data = bytes(range(256)) * 2000
            assert exchange(transport, data) == data
            transport.shutdown_write()
            while transport.wants_write:
                wait(transport.fileno(), WRITE)
                transport.flush()
            assert receive(transport, 1) == b""
            transport.close()
            assert lower.fileno() == -1
