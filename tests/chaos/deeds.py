"""The ways in which a connection ends: by the user, by its greenlet, by the server, or left alone.

Each is a function of the victim, called from another greenlet or, if its name begins with
``inner_``, from the victim's own. It returns at once.
"""

from __future__ import annotations

import _socket
import contextlib
from collections.abc import Callable
from typing import Any

import gevent
import gevent.socket
from gevent.exceptions import ConcurrentObjectUseError

from greenws import errors
from tests.chaos.victims import ClientVictim, IterationVictim, Thrown, Victim
from tests.support.peer import build_close


def kill(victim: Victim) -> None:
    """kill()"""
    victim.kill()


def kill_twice(victim: Victim) -> None:
    """kill() by two greenlets at once."""
    other = gevent.spawn(victim.kill)
    victim.kill()
    other.join()


def kill_and_start(victim: Victim) -> None:
    """kill(), and at once the next start() of the same client, which is killed, too."""
    victim.kill()
    if isinstance(victim, ClientVictim) and victim.has_ended:
        victim.start()
        victim.plan.pause()
        victim.kill()


def close(victim: Victim) -> None:
    """close()"""
    victim.close()


def close_and_kill(victim: Victim) -> None:
    """close(), and kill() before that has come to an end."""
    victim.close()
    victim.plan.pause()
    victim.kill()


def force_disconnect(victim: Victim) -> None:
    """force_disconnect(), of a client without end to its reconnecting."""
    if isinstance(victim, ClientVictim):
        victim.close()
    victim.force_disconnect()


def exit(victim: Victim) -> None:
    """GreenletExit into the greenlet."""
    _throw(victim, gevent.GreenletExit())


def timeout(victim: Victim) -> None:
    """gevent.Timeout into the greenlet."""
    _throw(victim, gevent.Timeout())


def throw(victim: Victim) -> None:
    """Any exception into the greenlet."""
    _throw(victim, Thrown())


def abandon(victim: Victim) -> None:
    """The iteration is left at its next event."""
    if isinstance(victim, IterationVictim):
        victim.patience = 1
    else:
        victim.kill()


def inner_kill(victim: Victim) -> None:
    """kill() by a handler."""
    if isinstance(victim, IterationVictim):
        raise gevent.GreenletExit
    victim.kill()


def inner_close(victim: Victim) -> None:
    """close() by a handler."""
    victim.close()


def inner_exit(victim: Victim) -> None:
    """GreenletExit out of a handler."""
    raise gevent.GreenletExit


def inner_force(victim: Victim) -> None:
    """force_disconnect() by a handler, which then goes on to send."""
    force_disconnect(victim)
    with contextlib.suppress(errors.WebSocketError):
        victim.websocket.send_text("after the end")


def server_reset(victim: Victim) -> None:
    """The server resets the connection."""
    _with_server(victim, lambda peer: peer.reset())


def server_close(victim: Victim) -> None:
    """The server closes the connection."""
    _with_server(victim, lambda peer: peer.sock.close())


def server_half_close(victim: Victim) -> None:
    """The server ends its half of the stream."""
    # The shutdown() of a TLS socket would also make it unusable for reading.
    _with_server(victim, lambda peer: gevent.socket.socket.shutdown(peer.sock, _socket.SHUT_WR))


def server_goodbye(victim: Victim) -> None:
    """The server sends a close frame."""
    _with_server(victim, lambda peer: peer.send(build_close(1012, "restart")))


def server_garbage(victim: Victim) -> None:
    """The server sends what is no frame."""
    _with_server(victim, lambda peer: peer.send(victim.plan.rng.randbytes(50)))


def server_silence(victim: Victim) -> None:
    """The server neither reads nor writes any more; the client has to notice."""
    peer = victim.plan.peer
    if peer is not None:
        peer.sock = _Silent(peer.sock)


class _Silent:
    """A socket from which nothing comes, and which takes everything."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def recv(self, size: int) -> bytes:
        while True:
            gevent.sleep(1)

    def sendall(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        self._sock.close()


def _throw(victim: Victim, error: BaseException) -> None:
    if victim.greenlet is None or victim.greenlet.dead:
        victim.kill()
    else:
        victim.greenlet.kill(error, block=False)


def _with_server(victim: Victim, act: Callable[[Any], object]) -> None:
    peer = victim.plan.peer
    if peer is not None:
        # The client may have gone; the server may be within its TLS handshake, or wait for room.
        with contextlib.suppress(OSError, ConcurrentObjectUseError), gevent.Timeout(0.1, False):
            act(peer)


DEEDS: dict[str, Callable[[Victim], None]] = {
    deed.__name__: deed
    for deed in (
        kill,
        kill_twice,
        kill_and_start,
        close,
        close_and_kill,
        force_disconnect,
        exit,
        timeout,
        throw,
        abandon,
        inner_kill,
        inner_close,
        inner_exit,
        inner_force,
        server_reset,
        server_close,
        server_half_close,
        server_goodbye,
        server_garbage,
        server_silence,
    )
}
