"""Opening a connection: name, address, proxy, TLS; step by step, in the calling greenlet.

Whatever ends it early, an error, a kill or a ``gevent.Timeout`` of the caller's at any switch,
everything opened so far is closed. The deadline for all steps together is the caller's.
"""

from __future__ import annotations

import _socket
import os
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol, TypeVar

import gevent.ssl

from ..errors import ConnectFail, ProxyFail
from ..options import ConnectedSocket, TransportDefaults
from ..proxies.address import ProxyAddress
from .context import client_context
from .contract import Target
from .plain import SocketTransport
from .resolver import Address, resolve
from .sockets import connect_tcp, connect_unix, set_options
from .tls import TLSTransport, handshake
from .transport import Transport
from .tunnel import open_http_tunnel, open_socks_tunnel
from .wait import let_others_catch_up

_TransportT = TypeVar("_TransportT", bound=Transport)

# Both families, for a source address without a host.
_ANY_HOST = ((_socket.AF_INET, "0.0.0.0"), (_socket.AF_INET6, "::"))


class Trace(Protocol):
    """Takes a record of each step: its name, ``duration`` in seconds, and facts.

    ========== =============================================================================
    resolve    ``host``, ``addresses``
    connect    ``address``
    proxy      ``proxy``, its URL without credentials; ``status_code`` of an HTTP one
    tls        ``host``, ``version``, ``cipher``, ``resumed``
    ========== =============================================================================

    A step that failed has ``error``, the message, in place of its results. Through a proxy,
    ``resolve``, ``connect`` and, for ``https``, ``tls`` are the proxy's and come before
    ``proxy``.
    """

    def __call__(self, stage: str, /, **fields: object) -> object: ...


def ignore(stage: str, /, **fields: object) -> None:
    """Trace nothing."""


class Dial:
    """The opening of one connection.

    :param target: the server.
    :param options: how to connect. ``ssl_context`` is used as it is, for an https proxy too, and
        the other ``ssl_`` options are ignored then. ``socket`` is connected already, to the target
        or to something that leads there; its descriptor is detached from it and belongs to the
        connection, unless it was refused. A ``unix_path`` that begins with a NUL is an abstract
        one. ``socket_options`` are set before connecting, after TCP_NODELAY and SO_KEEPALIVE, which
        are on.
    :param proxy: the proxy in between; ignored where ``socket`` or ``unix_path`` is given.
    :param is_home: whether the target is the server that the user has named. The client's
        certificate, a credential as good as a password, and ``server_hostname`` are for that
        server alone. The certificate is not shown to a proxy either.
    :param trace: called after each step.
    :param is_traced: whether anybody looks at the trace. A trace that nobody looks at is spared the
        steps that went well; a step that failed is traced in any case.
    """

    __slots__ = (
        "_facts",
        "_is_home",
        "_is_stepping",
        "_is_traced",
        "_opened",
        "_options",
        "_proxy",
        "_stage",
        "_started",
        "_target",
        "_trace",
        "step",
    )

    def __init__(
        self,
        target: Target,
        options: TransportDefaults,
        proxy: ProxyAddress | None = None,
        *,
        is_home: bool = True,
        trace: Trace = ignore,
        is_traced: bool = True,
    ) -> None:
        self._target = target
        self._options = options
        self._proxy = proxy
        self._is_home = is_home
        self._trace = trace
        self._is_traced = is_traced
        self._is_stepping = False  # whether a step was begun that has not ended
        self._opened: _socket.socket | Transport | None = None  # the topmost, if it is stacked
        #: The step that the dial is at, for the error of a caller that cuts the dial short: for
        #: "timed out after 30 s while ...", say ``"connecting to example.org:443"``.
        self.step: str = "connecting"
        self._stage = "connect"
        self._facts: dict[str, object] = {}
        self._started = monotonic()

    def run(self) -> tuple[Transport, str | None]:
        """Open the connection.

        :returns: the transport, over which HTTP may be spoken at once, and the URL of the proxy,
            without credentials, or None.
        :raises ConnectFail: a step failed; the message names the step, and the cause.
        :raises ProxyFail: it was a step to or through the proxy.
        """
        target, options, proxy = self._target, self._options, self._proxy
        try:
            if options.socket is not None:
                proxy, transport = None, self._adopt(options.socket)
            elif options.unix_path is not None:
                proxy, transport = None, self._open_unix(os.fspath(options.unix_path))
            elif proxy is not None:
                transport = self._open_tunnel(proxy)
            else:
                sock = self._open_tcp(target.host, target.port)
                transport = self._wrap(sock)
            if target.is_secure:
                transport = self._secure_target(transport)
        except BaseException as error:
            if self._opened is not None:
                self._opened.close()
            if self._is_stepping and isinstance(error, ConnectFail):
                # A ProxyFail wraps the failure of the step: trace the inner one.
                cause = error.__cause__
                self.trace_failure(str(cause if isinstance(cause, ConnectFail) else error))
            raise
        return transport, None if proxy is None else proxy.redacted

    def _own(self, transport: _TransportT) -> _TransportT:
        self._opened = transport
        return transport

    def _wrap(self, sock: _socket.socket) -> Transport:
        """Take over a socket that this module has had made."""
        return self._own(SocketTransport(sock, may_linger=bool(self._options.socket_options)))

    def _adopt(self, theirs: ConnectedSocket) -> Transport:
        if isinstance(theirs, (ssl.SSLSocket, gevent.ssl.SSLSocket)):
            raise ConnectFail("the socket given speaks TLS already; give the plain one")
        if not isinstance(theirs, ConnectedSocket):
            raise ConnectFail(f"the socket given is no socket, but a {type(theirs).__name__}")
        started = monotonic()
        try:
            peer = theirs.getpeername()
        except OSError as error:
            cause = error.strerror or error
            raise ConnectFail(f"the socket given is not connected: {cause}") from error
        sock = _socket.socket(fileno=theirs.detach())
        transport = self._own(SocketTransport(sock))
        try:
            set_options(sock, self._options.socket_options)
        except OSError as error:
            raise ConnectFail(f"the socket given: {error.strerror or error}") from error
        self._trace("connect", address=_show_peer(peer), duration=monotonic() - started)
        return transport

    def _open_unix(self, path: str | bytes) -> Transport:
        self.begin("connect", f"connecting to {path!r}", {"address": _show_peer(path)})
        transport = self._wrap(connect_unix(path, self._options.socket_options))
        self._end()
        return transport

    def _open_tcp(self, host: str, port: int) -> _socket.socket:
        """Resolve and connect."""
        options = self._options
        self.begin("resolve", f"resolving {host!r}", {"host": host})
        addresses = resolve(host, port)
        source = () if options.source_address is None else _find_source(options.source_address)
        self._end(lambda: {"addresses": [str(found) for found in addresses]})
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.begin("connect", f"connecting to {target}", {})
        let_others_catch_up()  # a tenth off the CPU time of a connection, of ten at a time
        sock, address = connect_tcp(target, addresses, source, options.socket_options)
        self._opened = sock
        self._end(lambda: {"address": str(address)})
        return sock

    def _open_tunnel(self, proxy: ProxyAddress) -> Transport:
        target = self._target
        name = proxy.redacted
        try:
            sock = self._open_tcp(proxy.host, proxy.port)
        except ConnectFail as error:
            raise ProxyFail(f"proxy {name}: {error}") from error
        transport: Transport
        if not proxy.is_socks:
            transport = self._wrap(sock)
            if proxy.scheme == "https":
                transport = self._secure_proxy(transport, proxy)
        self.begin("proxy", f"waiting for the tunnel of proxy {name}", {"proxy": name})
        if proxy.is_socks:
            host = target.host
            if not proxy.resolves:
                host = _choose(resolve(host, target.port), proxy.scheme)
            transport = self._wrap(open_socks_tunnel(sock, proxy, host, target.port))
            self._end()
        else:
            status = open_http_tunnel(transport, proxy, target.host, target.port)
            self._end(lambda: {"status_code": status})
        return transport

    def _secure_target(self, transport: Transport) -> Transport:
        target, options, is_home = self._target, self._options, self._is_home
        context = options.ssl_context or client_context(
            verify=options.ssl_verify,
            cafile=options.ssl_cafile,
            certfile=options.ssl_certfile if is_home else None,
            keyfile=options.ssl_keyfile if is_home else None,
            password=options.ssl_password if is_home else None,
        )
        name = (options.server_hostname if is_home else None) or target.host
        return self._secure(transport, context, name, target.port, target.host)

    def _secure_proxy(self, transport: Transport, proxy: ProxyAddress) -> Transport:
        options = self._options
        context = options.ssl_context or client_context(
            verify=options.ssl_verify, cafile=options.ssl_cafile
        )
        label = f"proxy {proxy.redacted}"
        try:
            return self._secure(transport, context, proxy.host, proxy.port, label)
        except ConnectFail as error:
            raise ProxyFail(str(error)) from error

    def _secure(
        self, lower: Transport, context: ssl.SSLContext, name: str, port: int, label: str
    ) -> Transport:
        self.begin("tls", f"doing the TLS handshake with {label}", {"host": name})
        let_others_catch_up()  # an eighth off the CPU time of a TLS connection, of ten at a time
        try:
            transport = self._own(TLSTransport(lower, context, name, port))
            handshake(transport)
        except (OSError, ValueError) as error:
            cause = (isinstance(error, OSError) and error.strerror) or error
            raise ConnectFail(f"TLS handshake with {label} failed: {cause}") from error
        self._end(
            lambda: {
                "version": transport.version,
                "cipher": transport.cipher,
                "resumed": transport.is_resumed,
            }
        )
        return transport

    def begin(self, stage: str, step: str, facts: dict[str, object]) -> None:
        """Begin a step; a ConnectFail of :meth:`run` from here on is its failure, and traced as
        that.
        """
        self._is_stepping = True
        self.step = step
        self._stage = stage
        self._facts = facts
        self._started = monotonic()

    def _end(self, results: Callable[[], dict[str, object]] = dict) -> None:
        """End the step, and trace it.

        :param results: returns what the step has come to; called only if it is traced.
        """
        self._is_stepping = False
        if self._is_traced:
            duration = monotonic() - self._started
            self._trace(self._stage, **self._facts, **results(), duration=duration)

    def trace_failure(self, error: str) -> None:
        """Have the present step traced as one that failed, which a dial cut short does not."""
        duration = monotonic() - self._started
        self._trace(self._stage, **self._facts, duration=duration, error=error)


def _find_source(source_address: tuple[str, int]) -> list[Address]:
    host, port = source_address[:2]
    if host:
        return resolve(host, port)
    return [Address(family, (any_host, port)) for family, any_host in _ANY_HOST]


def _choose(addresses: list[Address], scheme: str) -> str:
    """Choose the address to give to a SOCKS proxy: the first that its protocol can express."""
    usable = [a for a in addresses if scheme != "socks4" or a.family == _socket.AF_INET]
    host: str = (usable or addresses)[0].sockaddr[0]
    return host


def _show_peer(peer: Any) -> str:
    if isinstance(peer, tuple) and len(peer) >= 2:
        return str(Address(0, peer))
    return peer.decode("utf-8", "replace") if isinstance(peer, bytes) else str(peer)
