"""Behaviours: what a server does with a connection.

A behaviour is a callable that gets a :class:`~greenws.testing.ServerConnection`. When the behaviour
returns, the server closes the connection, with 1000 if the behaviour has not closed it. The
server's ``handler`` is a behaviour that runs after the upgrade; its ``opening`` is a behaviour that
runs as soon as TCP (and TLS) is open, in place of the upgrade. Each behaviour of this module serves
as both, unless its description limits it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import gevent

from ..status import Status
from .journal import Message
from .server_connection import HeaderPairs, ServerConnection

Behaviour = Callable[[ServerConnection], object]


def echo(connection: ServerConnection) -> None:
    """Echo each message. Usable as a handler only."""
    for message in connection:
        connection.send(message)


def accept(connection: ServerConnection) -> None:
    """Accept the upgrade. Usable as an opening only, and the default opening."""
    connection.accept()


def silent(connection: ServerConnection) -> None:
    """Read everything and answer nothing: no ping, no close frame, no upgrade."""
    while connection.receive_raw():
        pass


def stop_reading(connection: ServerConnection) -> None:
    """Neither read nor write until the server stops, so that the client's window fills up."""
    connection.wait_ended(None)


def respond(
    function: Callable[[Message], Message | Iterable[Message] | None], delay: float = 0.0
) -> Behaviour:
    """Answer each message with the result of ``function``. Usable as a handler only.

    :param function: a function that gets str or bytes, and returns a reply, a list of replies, or
        None for no reply.
    :param delay: the seconds to wait before each reply.
    """

    def run(connection: ServerConnection) -> None:
        for message in connection:
            replies = function(message)
            if replies is None:
                continue
            if isinstance(replies, (str, bytes)):
                replies = (replies,)
            for reply in replies:
                if delay:
                    gevent.sleep(delay)
                connection.send(reply)

    return run


def replies(*script: Message | Iterable[Message] | None, delay: float = 0.0) -> Behaviour:
    """Answer the n-th message with the n-th item of ``script``. Usable as a handler only.

    Messages beyond the end of ``script`` are read, but not answered.

    :param script: for each message a reply, a list of replies, or None for no reply.
    :param delay: the seconds to wait before each reply.
    """

    def run(connection: ServerConnection) -> None:
        rest = iter(script)
        respond(lambda message: next(rest, None), delay)(connection)

    return run


def drop(after: int = 0, reset: bool = True) -> Behaviour:
    """Close the TCP connection without a close frame.

    :param after: the number of messages to echo before; 0 in an opening.
    :param reset: True: close with RST; False: close with FIN.
    """

    def run(connection: ServerConnection) -> None:
        _echo_some(connection, after)
        connection.drop(reset)

    return run


def close_with(code: int | None = Status.NORMAL, reason: str = "", after: int = 0) -> Behaviour:
    """Begin the closing handshake. Usable as a handler only.

    :param code: the close code; None for an empty close frame.
    :param after: the number of messages to echo before.
    """

    def run(connection: ServerConnection) -> None:
        _echo_some(connection, after)
        connection.close(code, reason)

    return run


def reject(
    status: int = 403,
    reason: str = "Forbidden",
    *,
    headers: HeaderPairs = (),
    body: bytes = b"",
) -> Behaviour:
    """Answer the upgrade with a status other than 101. Usable as an opening only."""
    headers = list(headers)

    def run(connection: ServerConnection) -> None:
        connection.reject(status, reason, headers=headers, body=body)

    return run


def send_raw(data: bytes, then: Behaviour = silent) -> Behaviour:
    """Send bytes unchanged, for example illegal frames or bytes that are not HTTP.

    :param then: the next behaviour; by default the connection stays open until the client leaves.
    """

    def run(connection: ServerConnection) -> None:
        connection.send_raw(data)
        then(connection)

    return run


def delay(seconds: float, then: Behaviour = echo) -> Behaviour:
    """Wait, and read nothing meanwhile; then run another behaviour.

    :param seconds: the seconds to wait.
    :param then: the next behaviour. The default works only in a handler.
    """

    def run(connection: ServerConnection) -> None:
        gevent.sleep(seconds)
        then(connection)

    return run


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Give the n-th connection the n-th behaviour.

    :param behaviours: the behaviours, at least one; all later connections get the last one.
    """
    if not behaviours:
        raise ValueError("in_turn() needs at least one behaviour")

    def run(connection: ServerConnection) -> None:
        behaviours[min(connection.number, len(behaviours)) - 1](connection)

    return run


def _echo_some(connection: ServerConnection, count: int) -> None:
    if count:
        for message in islice(connection, count):
            connection.send(message)
