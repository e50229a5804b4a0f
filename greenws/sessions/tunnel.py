"""Asking a proxy for a tunnel, over a connection to it."""

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

# A proxy's reply is a few hundred bytes.
_READ_SIZE = 4096


def open_http_tunnel(transport: Transport, proxy: ProxyAddress, host: str, port: int) -> int:
    """Ask with CONNECT; the status of the reply. The transport stays the caller's.

    :raises ProxyFail: the proxy refused, broke off or sent something else.
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
                raise ProxyFail(f"proxy {name} closed the connection without a reply")
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
    """Negotiate through PySocks.

    :param sock: connected to the proxy; it is used up, whatever happens.
    :returns: the socket of the tunnel.
    :raises ProxyFail: the proxy refused or broke off.
    """
    try:
        module = load_pysocks()
        family = sock.family
    except BaseException:
        sock.close()
        raise
    fileno = sock.detach()
    try:
        wrapped = module.socksocket(family, _socket.SOCK_STREAM, 0, fileno=fileno)
    except BaseException:
        os.close(fileno)
        raise
    try:
        # A default timeout of the application's is none of ours: there is one deadline.
        gevent.socket.socket.settimeout(wrapped, None)
        socks.negotiate(module, wrapped, proxy, host, port)
    except BaseException:
        # Not close(), which may put off closing the descriptor to another turn of the loop.
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
