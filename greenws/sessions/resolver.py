"""Resolves names to addresses, through gevent's resolver.

No answer is cached: each connection asks the resolver again. But look-ups in flight are shared, so
a thousand clients that start at the same time cost one trip to the thread pool. A look-up runs in a
greenlet of its own. If the greenlet that asked first is killed, the others still get the answer. If
no greenlet waits for a look-up any more, the look-up is killed too.
"""

from __future__ import annotations

import _socket
import os
from functools import lru_cache
from typing import Any, NamedTuple

import gevent
import gevent.socket
from gevent import get_hub

from ..errors import ConnectFail
from ..url import encode_host
from .wait import wait_end

SockAddr = tuple[Any, ...]


class Address(NamedTuple):
    """A numeric address; connecting to it needs no resolver."""

    family: int
    sockaddr: SockAddr

    def __str__(self) -> str:
        host, port = self.sockaddr[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Lookup:
    """A look-up in flight, and the number of greenlets that wait for it."""

    __slots__ = ("_host", "_port", "error", "found", "greenlet", "waiting")

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self.found: list[Address] = []
        self.error: Exception | None = None
        self.waiting = 0
        self.greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        try:
            answer = gevent.socket.getaddrinfo(
                self._host, self._port, 0, _socket.SOCK_STREAM, _socket.IPPROTO_TCP, 0
            )
            found = [Address(int(entry[0]), entry[4]) for entry in answer]
            # /etc/hosts may list an address twice.
            self.found = list(dict.fromkeys(a for a in found if a.family in _FAMILIES))
        except Exception as error:
            # The traceback refers to this object, which would then refer to itself.
            self.error = error.with_traceback(None)


_FAMILIES = (_socket.AF_INET, _socket.AF_INET6)

# The key has the hub, because greenlets of different threads cannot wait for each other, and the
# process, because a forked child never gets the answer to a look-up of its parent.
_Key = tuple[Any, int, str, int]
_in_flight: dict[_Key, _Lookup] = {}


def resolve(host: str, port: int) -> list[Address]:
    """Find the addresses of ``host``, at least one, in the resolver's order (RFC 6724).

    A numeric address is returned as it is, without a look-up.

    :raises ConnectFail: ``host`` has no address, or the resolver failed; the message says why.
    """
    numeric = parse_numeric(host, port)
    if numeric is not None:
        return [numeric]
    if not host.isascii():
        # gevent would encode the name by IDNA 2003, which makes another host of some names.
        try:
            host = encode_host(host, "it")
        except ValueError as error:
            raise ConnectFail(f"unable to resolve {host!r}: {error}") from None
    key = (get_hub(), os.getpid(), host, port)
    lookup = _in_flight.get(key)
    if lookup is None:
        lookup = _in_flight[key] = _Lookup(host, port)
    lookup.waiting += 1
    try:
        wait_end(lookup.greenlet)
    finally:
        lookup.waiting -= 1
        if lookup.greenlet.dead or not lookup.waiting:
            if _in_flight.get(key) is lookup:
                del _in_flight[key]
            if not lookup.greenlet.dead:
                lookup.greenlet.kill(block=False)
    if lookup.error is not None:
        cause = _name_lookup_error(lookup.error)
        raise ConnectFail(f"unable to resolve {host!r}: {cause}") from lookup.error
    if not lookup.found:
        raise ConnectFail(f"unable to resolve {host!r}: the name has no address")
    return list(lookup.found)


def parse_numeric(host: str, port: int) -> Address | None:
    """Parse a numeric IPv4 address, or an IPv6 address with or without a zone; None: a name."""
    if "%" not in host:
        return _parse_plain(host, port)
    try:
        # Only the system knows the number of a zone's interface; AI_NUMERICHOST never waits.
        found = _socket.getaddrinfo(
            host, port, _socket.AF_INET6, _socket.SOCK_STREAM, 0, _socket.AI_NUMERICHOST
        )
        return Address(_socket.AF_INET6, found[0][4])
    except (OSError, ValueError):  # ValueError: the host contains a NUL
        return None


# This cache holds only literal IP addresses, never answers of DNS: a literal address never changes.
# Thousands of clients connect to few hosts.
@lru_cache(maxsize=256)
def _parse_plain(host: str, port: int) -> Address | None:
    try:
        if ":" not in host:
            _socket.inet_pton(_socket.AF_INET, host)
            return Address(_socket.AF_INET, (host, port))
        _socket.inet_pton(_socket.AF_INET6, host)
        return Address(_socket.AF_INET6, (host, port, 0, 0))
    except (OSError, ValueError):  # ValueError: the host contains a NUL
        return None


def _name_lookup_error(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeError):
        return f"not a host name ({error})"
    return f"{type(error).__name__}: {error}"
