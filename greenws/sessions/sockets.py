"""Connects to the first address that answers (Happy Eyeballs, RFC 8305).

Attempts overlap: a new attempt starts 250 ms after the previous attempt, or as soon as an attempt
has failed. The first successful attempt wins, and the other attempts are closed. The calling
greenlet watches all attempts, so killing that greenlet ends all of them.
"""

from __future__ import annotations

import _socket
import errno
import os
import sys
from collections import deque
from collections.abc import Sequence
from time import monotonic

import gevent
from gevent import get_hub

from ..errors import ConnectFail
from ..options import SocketOption
from .clock import Watcher
from .resolver import Address
from .wait import WRITE, take_turn, wait_any, wait_write

#: Seconds until the next attempt starts beside the attempts under way (RFC 8305 section 8).
ATTEMPT_DELAY = 0.25

#: Seconds between two tries to connect to a unix socket whose queue is full: the first wait, and
#: the longest. The waits double. Linux has no event that tells when the queue has room.
UNIX_RETRY_DELAYS = (0.002, 0.05)

# Seconds of attempts that fail at once, in one turn of the loop. A name may have thousands of
# addresses, of which each takes some 15 us.
_TURN_TIME = 0.005

# Linux makes a socket and sets it non-blocking in one system call; other systems need a second
# call.
_NONBLOCK: int = getattr(_socket, "SOCK_NONBLOCK", 0)
_TCP_FAMILIES = frozenset({_socket.AF_INET, _socket.AF_INET6})
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EINTR})


class _Attempt:
    """An attempt to connect to one address."""

    __slots__ = ("address", "sock", "watcher")

    def __init__(self, address: Address, options: Sequence[SocketOption]) -> None:
        self.address = address
        self.watcher: Watcher = None
        self.sock = new_socket(address.family, options)

    def begin(self, source: Sequence[Address]) -> int:
        """Start connecting. Return 0 if connected, EINPROGRESS if under way, else the error."""
        for local in source:
            if local.family == self.address.family:
                self.sock.bind(local.sockaddr)
                break
        code = self.sock.connect_ex(self.address.sockaddr)
        if code in _UNDER_WAY:
            # On loopback the connection is open by now, but only a second call says so. A second
            # call is ten times cheaper than a turn through the hub.
            code = self.sock.connect_ex(self.address.sockaddr)
        return self._check(code)

    def finish(self) -> int:
        """Return the result once the descriptor is writable; EINPROGRESS: still under way."""
        code = self.sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        return self._check(code or self.sock.connect_ex(self.address.sockaddr))

    def watch(self) -> None:
        self.watcher = get_hub().loop.io(self.sock.fileno(), WRITE)

    def close(self) -> None:
        self.unwatch()
        self.sock.close()

    def unwatch(self) -> None:
        if self.watcher is not None:
            self.watcher.close()
            self.watcher = None

    def _check(self, code: int) -> int:
        if code in _UNDER_WAY:
            return errno.EINPROGRESS
        if code not in (0, errno.EISCONN):
            return code
        # The system may choose the port of the target as the local port. Without a listener, such a
        # socket is then connected to itself.
        if self.sock.getsockname()[:2] == self.address.sockaddr[:2]:
            return errno.ECONNREFUSED
        return 0


def new_socket(family: int, options: Sequence[SocketOption]) -> _socket.socket:
    """Make a non-blocking stream socket, and set its options.

    :raises OSError: the system cannot make a socket, or does not know an option.
    """
    sock = _socket.socket(family, _socket.SOCK_STREAM | _NONBLOCK, 0)
    try:
        if not _NONBLOCK:
            sock.setblocking(False)
        set_options(sock, options)
    except BaseException:
        sock.close()
        raise
    return sock


def set_options(sock: _socket.socket, options: Sequence[SocketOption]) -> None:
    """Set the options of greenws, then the user's, which take precedence.

    :raises OSError: the socket does not know an option of the user's; the message names the option.
    """
    if sock.family in _TCP_FAMILIES:
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
    for level, option, value in options:
        try:
            sock.setsockopt(level, option, value)
        except OSError as error:
            code = error.errno or errno.EINVAL
            name = f"socket option ({level}, {option}, {value!r})"
            raise OSError(code, f"{name}: {os.strerror(code)}") from error


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Alternate the families, beginning with that of the first address (RFC 8305 section 4)."""
    first = [address for address in addresses if address.family == addresses[0].family]
    others = [address for address in addresses if address.family != addresses[0].family]
    ordered = []
    for position, address in enumerate(first):
        ordered.append(address)
        ordered.extend(others[position : position + 1])
    return ordered + others[len(first) :]


def connect_tcp(
    target: str,
    addresses: Sequence[Address],
    source: Sequence[Address] = (),
    options: Sequence[SocketOption] = (),
) -> tuple[_socket.socket, Address]:
    """Connect to one of the addresses.

    :param target: the name of the target, for errors.
    :param addresses: the addresses of the target, at least one.
    :param source: local addresses, at most one of each family. Only addresses of these families are
        tried. Empty: the system chooses the local address.
    :param options: options of the socket.
    :returns: the socket, which the caller owns, and the address of the peer.
    :raises ConnectFail: no address answered; the message has the cause for each.
    """
    if len(addresses) == 1 and not source:
        return _connect_only(target, addresses[0], options), addresses[0]
    if source:
        families = {local.family for local in source}
        addresses = [address for address in addresses if address.family in families]
        if not addresses:
            raise ConnectFail(
                f"unable to connect to {target}: no address has the family of source_address"
            )
    race = _Race(source, options)
    try:
        winner = race.run(deque(interleave(addresses)))
    finally:
        race.close()
    if winner is None:
        raise ConnectFail(_list_causes(target, race.failures))
    return winner.sock, winner.address


def _connect_only(target: str, address: Address, options: Sequence[SocketOption]) -> _socket.socket:
    """Connect to a single address, without the cost of a race."""
    try:
        attempt = _Attempt(address, options)
        try:
            code = attempt.begin(())
            while code == errno.EINPROGRESS:
                wait_write(attempt.sock.fileno())
                code = attempt.finish()
            if code:
                raise OSError(code, os.strerror(code))
        except BaseException:
            attempt.close()
            raise
    except OSError as error:
        cause = error.strerror or str(error)
        raise ConnectFail(_list_causes(target, [(address, cause)])) from None
    return attempt.sock


class _Race:
    """The attempts under way, and the failures of the other attempts."""

    def __init__(self, source: Sequence[Address], options: Sequence[SocketOption]) -> None:
        self._source = source
        self._options = options
        self._attempts: list[_Attempt] = []
        self.failures: list[tuple[Address, str]] = []

    def run(self, addresses: deque[Address]) -> _Attempt | None:
        """Run until an attempt is connected, and return it; None: all attempts have failed."""
        began = monotonic()
        while addresses or self._attempts:
            if addresses:
                if monotonic() - began >= _TURN_TIME:
                    take_turn()
                    began = monotonic()
                under_way = len(self._attempts)
                attempt = self._start(addresses.popleft())
                if attempt is not None:
                    return attempt
                if len(self._attempts) == under_way:
                    continue  # the attempt failed at once, so the next one starts at once
            ready = self._wait(ATTEMPT_DELAY if addresses else None)
            if ready is not None and self._settle(ready, ready.finish()):
                return ready
        return None

    def close(self) -> None:
        """Close all attempts but the winner."""
        for attempt in self._attempts:
            attempt.close()
        self._attempts.clear()

    def _start(self, address: Address) -> _Attempt | None:
        """Start an attempt, and return it if it is connected at once."""
        try:
            attempt = _Attempt(address, self._options)
        except OSError as error:
            self.failures.append((address, error.strerror or str(error)))
            return None
        self._attempts.append(attempt)
        try:
            code = attempt.begin(self._source)
        except OSError as error:  # bind() raises the most likely errors
            code = error.errno or errno.EINVAL
        if self._settle(attempt, code):
            return attempt
        if attempt in self._attempts:
            attempt.watch()
        return None

    def _settle(self, attempt: _Attempt, code: int) -> bool:
        """Record the result of an attempt, and return whether the attempt is connected."""
        if code == errno.EINPROGRESS:
            return False
        self._attempts.remove(attempt)
        if code == 0:
            attempt.unwatch()
            return True
        attempt.close()
        self.failures.append((attempt.address, os.strerror(code)))
        return False

    def _wait(self, seconds: float | None) -> _Attempt | None:
        fired = wait_any([attempt.watcher for attempt in self._attempts], seconds)
        return next((a for a in self._attempts if a.watcher is fired), None)


def _list_causes(target: str, failures: Sequence[tuple[Address, str]]) -> str:
    """Compose the message with the cause of each failure."""
    if len(failures) == 1 and str(failures[0][0]) == target:
        causes = failures[0][1]
    else:
        causes = "; ".join(f"{address}: {cause}" for address, cause in failures)
    return f"unable to connect to {target}: {causes}"


def connect_unix(path: str | bytes, options: Sequence[SocketOption] = ()) -> _socket.socket:
    """Connect to a unix socket.

    :raises ConnectFail: the socket cannot be connected to; the message says why.
    """
    if sys.platform == "win32":
        raise ConnectFail(f"unable to connect to {path!r}: Python has no unix sockets on Windows")
    delay, longest = UNIX_RETRY_DELAYS
    try:
        sock = new_socket(_socket.AF_UNIX, options)
        try:
            # While the listener's queue is full, connect() fails with EAGAIN. No event announces
            # the end of that state, so the loop sleeps.
            while (code := sock.connect_ex(path)) == errno.EAGAIN:
                gevent.sleep(delay)
                delay = min(2 * delay, longest)
            if code:
                raise OSError(code, os.strerror(code))
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        cause = error.strerror or str(error)
        raise ConnectFail(f"unable to connect to {path!r}: {cause}") from error
    return sock
