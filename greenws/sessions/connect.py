"""Connecting to the first address that answers (Happy Eyeballs, RFC 8305).

Attempts overlap: a new one starts 250 ms after the one before, or as soon as one has failed.
The first to succeed wins and the others are closed. All of them are watched from the calling
greenlet, so that killing it ends them all.
"""

from __future__ import annotations

import _socket
import errno
import os
from collections import deque
from collections.abc import Sequence

import gevent
from gevent import get_hub

from ..errors import ConnectFail
from ..options import SocketOption
from .clock import Watcher
from .resolver import Address
from .wait import WRITE, wait_any, wait_write

#: Seconds until the next address is tried as well (RFC 8305 section 8).
ATTEMPT_DELAY = 0.25

#: Seconds until a unix socket whose queue was full is tried again: at first, and at most.
UNIX_RETRY_DELAYS = (0.002, 0.05)

# Linux makes a socket non-blocking as it is made; elsewhere that is a call of its own.
_NONBLOCK: int = getattr(_socket, "SOCK_NONBLOCK", 0)
_TCP_FAMILIES = frozenset({_socket.AF_INET, _socket.AF_INET6})
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EINTR})


class _Attempt:
    """One address that is being connected to."""

    __slots__ = ("address", "sock", "watcher")

    def __init__(self, address: Address, options: Sequence[SocketOption]) -> None:
        self.address = address
        self.watcher: Watcher = None
        self.sock = new_socket(address.family, options)

    def begin(self, source: Sequence[Address]) -> int:
        """Start connecting; 0: connected, EINPROGRESS: under way, else the error."""
        for local in source:
            if local.family == self.address.family:
                self.sock.bind(local.sockaddr)
                break
        code = self.sock.connect_ex(self.address.sockaddr)
        if code in _UNDER_WAY:
            # On loopback it is done by now, but only a second call says so. That is ten times
            # cheaper than a turn through the hub.
            code = self.sock.connect_ex(self.address.sockaddr)
        return self._check(code)

    def finish(self) -> int:
        """Tell how it ended, now that the descriptor is writable; EINPROGRESS: not yet."""
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
        # Without a listener, a socket that was given the very port it connects to as its own
        # is connected to itself.
        if self.sock.getsockname()[:2] == self.address.sockaddr[:2]:
            return errno.ECONNREFUSED
        return 0


def new_socket(family: int, options: Sequence[SocketOption]) -> _socket.socket:
    """Make a non-blocking stream socket with its options set.

    :raises OSError: there is none to be had, or it does not know an option.
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
    """Set ours, then the user's, which so have the last word.

    :raises OSError: the socket does not know an option of the user's; the text names it.
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
    """Let the families take turns, the first one's first (RFC 8305 section 4)."""
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

    :param target: what they are the addresses of, for the error.
    :param addresses: at least one.
    :param source: addresses to connect from, of which that of the same family is taken; other
        families are not tried then. Empty: the system chooses.
    :param options: of the socket.
    :returns: the socket, which is the caller's, and its address.
    :raises ConnectFail: none of them answered; it says why for each.
    """
    if len(addresses) == 1 and not source:
        return _connect_only(target, addresses[0], options), addresses[0]
    if source:
        families = {local.family for local in source}
        addresses = [address for address in addresses if address.family in families]
        if not addresses:
            raise ConnectFail(
                f"unable to connect to {target}: it has no address of source_address's family"
            )
    race = _Race(source, options)
    try:
        winner = race.run(deque(interleave(addresses)))
    finally:
        race.close()
    if winner is None:
        raise ConnectFail(_describe(target, race.failures))
    return winner.sock, winner.address


def _connect_only(target: str, address: Address, options: Sequence[SocketOption]) -> _socket.socket:
    """Connect to the only address there is: without the outlay of a race."""
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
        raise ConnectFail(_describe(target, [(address, cause)])) from None
    return attempt.sock


class _Race:
    """The attempts under way, and how the others failed."""

    def __init__(self, source: Sequence[Address], options: Sequence[SocketOption]) -> None:
        self._source = source
        self._options = options
        self._attempts: list[_Attempt] = []
        self.failures: list[tuple[Address, str]] = []

    def run(self, addresses: deque[Address]) -> _Attempt | None:
        """Run until one is connected; None: all have failed."""
        while addresses or self._attempts:
            if addresses:
                under_way = len(self._attempts)
                attempt = self._start(addresses.popleft())
                if attempt is not None:
                    return attempt
                if len(self._attempts) == under_way:
                    continue  # it failed at once, so the next one is due at once
            ready = self._wait(ATTEMPT_DELAY if addresses else None)
            if ready is not None and self._settle(ready, ready.finish()):
                return ready
        return None

    def close(self) -> None:
        """Close the losers."""
        for attempt in self._attempts:
            attempt.close()
        self._attempts.clear()

    def _start(self, address: Address) -> _Attempt | None:
        """Start an attempt; return it if it was successful at once."""
        try:
            attempt = _Attempt(address, self._options)
        except OSError as error:
            self.failures.append((address, error.strerror or str(error)))
            return None
        self._attempts.append(attempt)
        try:
            code = attempt.begin(self._source)
        except OSError as error:  # from bind, mostly
            code = error.errno or errno.EINVAL
        if self._settle(attempt, code):
            return attempt
        if attempt in self._attempts:
            attempt.watch()
        return None

    def _settle(self, attempt: _Attempt, code: int) -> bool:
        """Take note of how an attempt stands; True: it is connected."""
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


def _describe(target: str, failures: Sequence[tuple[Address, str]]) -> str:
    """Say why each attempt failed."""
    if len(failures) == 1 and str(failures[0][0]) == target:
        causes = failures[0][1]
    else:
        causes = "; ".join(f"{address}: {cause}" for address, cause in failures)
    return f"unable to connect to {target}: {causes}"


def connect_unix(path: str | bytes, options: Sequence[SocketOption] = ()) -> _socket.socket:
    """Connect to a unix socket.

    :raises ConnectFail: nobody listens there; it says why.
    """
    delay, longest = UNIX_RETRY_DELAYS
    try:
        sock = new_socket(_socket.AF_UNIX, options)
        try:
            # While the listener's queue is full there is nothing to wait for: EAGAIN it says.
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
