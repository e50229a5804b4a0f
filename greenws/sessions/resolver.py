"""Names to addresses, through gevent's resolver.

Nothing is remembered: a finished look-up is asked again next time. But look-ups that are in
flight are shared, so that a thousand clients starting at once cost one trip to the thread pool.
The look-up runs in a greenlet of its own: the greenlet that asked first may be killed, and the
others still get the answer. When nobody is left waiting it is killed too.
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

SockAddr = tuple[Any, ...]


class Address(NamedTuple):
    """Where to connect to: numeric, so that connecting never asks a resolver again."""

    family: int
    sockaddr: SockAddr

    def __str__(self) -> str:
        host, port = self.sockaddr[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Lookup:
    """One look-up in flight, and how many wait for it."""

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
            # A name may be listed twice in /etc/hosts.
            self.found = list(dict.fromkeys(a for a in found if a.family in _FAMILIES))
        except Exception as error:
            self.error = error.with_traceback(None)  # which refers to this object


_FAMILIES = (_socket.AF_INET, _socket.AF_INET6)

# By hub, as greenlets of different threads cannot wait for each other, and by process, as a
# forked child never gets the answer its parent asked for.
_Key = tuple[Any, int, str, int]
_in_flight: dict[_Key, _Lookup] = {}


def resolve(host: str, port: int) -> list[Address]:
    """Find the addresses of ``host``, in the resolver's order (RFC 6724); at least one.

    A numeric address is returned as it is, without asking anyone.

    :raises ConnectFail: there are none, or the resolver failed; it says why.
    """
    numeric = parse_numeric(host, port)
    if numeric is not None:
        return [numeric]
    key = (get_hub(), os.getpid(), host, port)
    lookup = _in_flight.get(key)
    if lookup is None:
        lookup = _in_flight[key] = _Lookup(host, port)
    lookup.waiting += 1
    try:
        lookup.greenlet.join()
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
        raise ConnectFail(f"unable to resolve {host!r}: it has no address")
    return list(lookup.found)


def parse_numeric(host: str, port: int) -> Address | None:
    """Take a numeric IPv4 or IPv6 address, the latter with a zone or without; None: a name."""
    if "%" not in host:
        return _parse_plain(host, port)
    try:
        # Only the system knows the number of a zone's interface; AI_NUMERICHOST never waits.
        found = _socket.getaddrinfo(
            host, port, _socket.AF_INET6, _socket.SOCK_STREAM, 0, _socket.AI_NUMERICHOST
        )
        return Address(_socket.AF_INET6, found[0][4])
    except (OSError, ValueError):  # ValueError: a NUL in it
        return None


# Not a memory of answers: of what is no question. Thousands of clients go to a few places.
@lru_cache(maxsize=256)
def _parse_plain(host: str, port: int) -> Address | None:
    try:
        if ":" not in host:
            _socket.inet_pton(_socket.AF_INET, host)
            return Address(_socket.AF_INET, (host, port))
        _socket.inet_pton(_socket.AF_INET6, host)
        return Address(_socket.AF_INET6, (host, port, 0, 0))
    except (OSError, ValueError):  # ValueError: a NUL in it
        return None


def _name_lookup_error(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeError):
        return f"it is no host name ({error})"
    return f"{type(error).__name__}: {error}"
