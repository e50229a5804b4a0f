"""The errors of a user's calls, in a form that Locust takes quietly.

A failure is a row already when its error is raised. So that Locust tells it neither twice nor with
a traceback, the error is one of Locust's own exceptions, too: a task that lets it out just ends,
and the user goes on with the next task. ``except greenws.errors.ConnectFail`` works as ever.
"""

from __future__ import annotations

from .. import errors
from .base import RescheduleTask, StopUser


class ConnectFail(errors.ConnectFail, RescheduleTask):
    """The connection could not be opened."""


class ProxyFail(errors.ProxyFail, RescheduleTask):
    """The proxy could not be reached, refused, or sent an invalid reply."""


class Rejected(errors.Rejected, RescheduleTask):
    """The server answered, but not with a valid upgrade."""


class WebSocketClosed(errors.WebSocketClosed, RescheduleTask):
    """The connection has ended."""


class WebSocketClosing(errors.WebSocketClosing, RescheduleTask):
    """The user has begun to close the connection."""


class TransportFail(errors.TransportFail, RescheduleTask):
    """The server took nothing for ``send_timeout`` seconds, and the connection has ended."""


class NoReply(TimeoutError, RescheduleTask):
    """There was no message in time. The connection goes on."""


class Abandoned(errors.WebSocketClosed, StopUser):
    """The user has come back to a connection that has ended. It is stopped: it would only spin."""


_KINDS: dict[type[Exception], type[Exception]] = {
    errors.ConnectFail: ConnectFail,
    errors.ProxyFail: ProxyFail,
    errors.Rejected: Rejected,
    errors.WebSocketClosed: WebSocketClosed,
    errors.WebSocketClosing: WebSocketClosing,
    errors.TransportFail: TransportFail,
    TimeoutError: NoReply,
}

#: The errors whose failure is told in a row, or was no failure.
QUIET: tuple[type[Exception], ...] = (*_KINDS.values(), Abandoned)

#: The errors of a call on a connection that ends or has ended: the row of the end tells them.
ENDINGS: tuple[type[errors.WebSocketError], ...] = (
    errors.WebSocketClosed,
    errors.WebSocketClosing,
    errors.TransportFail,
)


def quieten(error: Exception) -> Exception:
    """Return an error as one that Locust takes quietly; another one as it is."""
    kind = _KINDS.get(type(error))
    return error if kind is None else _copy(error, kind)


def abandon(error: errors.WebSocketClosed) -> Exception:
    """Return the error that stops a user."""
    return _copy(error, Abandoned)


def _copy(error: Exception, kind: type[Exception]) -> Exception:
    copy = kind.__new__(kind, *error.args)
    copy.__dict__.update(vars(error))
    copy.__cause__ = error.__cause__
    return copy
