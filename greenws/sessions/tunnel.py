"""Opens a tunnel through a proxy, on an open connection to the proxy."""

from __future__ import annotations

import _socket
import os

import gevent.socket

from ..errors import ProxyFail
from ..proxies import http, socks
from ..proxies.address import ProxyAddress
from .pysocks import load_pysocks
from .transport import Transport
from .wait import wait_read, wait_write

# Bytes of one read. A proxy's reply has a few hundred bytes.
_READ_SIZE = 4096


def open_http_tunnel(transport: Transport, proxy: ProxyAddress, host: str, port: int) -> int:
    """Open a tunnel with CONNECT.

    :param transport: the transport to the proxy, which the caller keeps.
    :returns: the status of the reply.
    :raises ProxyFail: the proxy refused, closed the connection, or did not speak HTTP.
    """
    name = proxy.redacted
    try:
        _send_all(transport, http.build_connect_request(host, port, proxy.credentials))
        reader = http.ReplyReader(name)
        buffer = bytearray(_READ_SIZE)
        while True:
            count = transport.recv_into(buffer, _READ_SIZE)
            if count is None:
                wait_read(transport.fileno())
            elif count == 0:
                raise ProxyFail(f"proxy {name} closed the connection without a reply{reader.aside}")
            else:
                response = reader.feed(buffer[:count])
                if response is not None:
                    break
    except OSError as error:
        raise ProxyFail(f"proxy {name}: {error.strerror or error}") from error
    status = http.check_reply(response, name)
    if reader.rest:
        transport.unread(reader.rest)
    return status


def open_socks_tunnel(
    sock: _socket.socket, proxy: ProxyAddress, host: str, port: int
) -> _socket.socket:
    """Open a tunnel with SOCKS, through PySocks.

    :param sock: the socket connected to the proxy; the caller must not use it again in any case.
    :returns: the socket of the tunnel.
    :raises ProxyFail: the proxy refused or closed the connection.
    """
    try:
        module = load_pysocks()
        family = sock.family
    except BaseException:
        sock.close()
        raise
    fileno = sock.detach()
    try:
        wrapped = module.WaitingSocket(family, _socket.SOCK_STREAM, 0, fileno=fileno)
    except BaseException:
        os.close(fileno)
        raise
    try:
        # A default timeout that the application has set must not apply: open_timeout is the
        # deadline.
        gevent.socket.socket.settimeout(wrapped, None)
        socks.negotiate(module, wrapped, proxy, host, port)
    except BaseException:
        # close() is not used, because gevent may close the descriptor in a later turn of the loop.
        os.close(wrapped.detach())
        raise
    tunnel = _socket.socket(fileno=wrapped.detach())
    tunnel.setblocking(False)
    return tunnel


def _send_all(transport: Transport, data: bytes) -> None:
    rest = memoryview(data)
    while rest or transport.wants_write:
        count = transport.send(rest)
        if count is not None:
            rest = rest[count:]
        if rest or transport.wants_write:
            wait_write(transport.fileno())
