"""Keeps TLS sessions, so that a reconnect skips the certificates and most of the cryptography.

A session refers to its context. A table of sessions in this module would therefore keep the users'
contexts alive, even a table with weak keys. So the context itself holds its sessions, in an
attribute, and the sessions die with the context.

Sessions are kept for contexts that greenws has made, which nobody changes. A user may change a
context of theirs between two connections: other authorities, flags, another certificate of the
client. A resumed handshake would not show the change, neither to us nor to the server, as it has no
certificates at all. And Python cannot tell which certificate a context has. So with a context of a
user's, each handshake is a full one.

Reading a session copies the session, which costs as much as half a resumed handshake. So a resumed
session is kept and used again until half of its lifetime is over. But a server may accept a session
only once. After a server has refused a session, every connection reads a fresh session for a while.
RFC 8446 section 2.2 allows both. A server that goes on refusing is left alone for a while: some do
not resume at all, and Python leaks 7 KB with each reading (CPython issue 116810).
"""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict

#: The largest number of sessions of one context; the session not used for longest is dropped first.
MAX_SESSIONS = 256

_ATTRIBUTE = "_greenws_sessions"


#: Seconds after a refusal in which every connection reads a fresh session. The period ends, because
#: the refusal may have been an exception, by a server that has changed its keys for example.
RENEWAL_PERIOD = 600.0

#: After this many readings in a row that were of no use, no session is read for REST seconds. A
#: server behind a balancer of eight, each with keys of its own, still resumes now and then.
MAX_VAIN = 8
REST = 600.0


class SessionKeeper:
    """Keeps the TLS session of one server, and knows when a fresh one is wanted."""

    __slots__ = ("_renew_at", "_renew_until", "_rest_until", "_vain", "session")

    def __init__(self) -> None:
        #: The session to resume, or None.
        self.session: ssl.SSLSession | None = None
        # Epoch seconds, like the times of a session.
        self._renew_at = 0.0
        self._renew_until = 0.0
        self._rest_until = 0.0
        # Sessions in a row that were of no use.
        self._vain = 0

    @property
    def wants_renewal(self) -> bool:
        """Whether a fresh session should replace the kept one."""
        now = time.time()
        if now < self._rest_until:
            return False
        return self.session is None or now >= self._renew_at or now < self._renew_until

    def record_refusal(self) -> None:
        """Record that the server refused to resume the session."""
        self._renew_until = time.time() + RENEWAL_PERIOD
        self.record_vain()

    def record_resumption(self) -> None:
        """Record that the server resumed the session."""
        self._vain = 0

    def record_vain(self) -> None:
        """Record that a session was of no use: the server refused it, or it cannot be resumed."""
        self._vain += 1
        if self._vain >= MAX_VAIN:
            self._vain = 0
            self._rest_until = time.time() + REST
            self.session = None

    def keep(self, session: ssl.SSLSession) -> None:
        """Keep a session, to resume from now on."""
        self.session = session
        self._renew_at = session.time + session.timeout / 2


def allow_resumption(context: ssl.SSLContext) -> None:
    """Have the sessions of ``context`` kept: it is as it will always be."""
    setattr(context, _ATTRIBUTE, OrderedDict())


def keeper_for(context: ssl.SSLContext, server: tuple[object, ...]) -> SessionKeeper | None:
    """Get the keeper of a server, a new one at first; None: the context does not allow it.

    :param server: the facts that must be equal for a session to be resumed.
    """
    keepers: OrderedDict[tuple[object, ...], SessionKeeper] | None
    keepers = getattr(context, _ATTRIBUTE, None)
    if keepers is None:
        return None
    # Each step is atomic: threads, each with its own hub, may share a context.
    keeper: SessionKeeper | None = keepers.get(server)
    if keeper is None:
        keeper = keepers.setdefault(server, SessionKeeper())
    try:
        keepers.move_to_end(server)
        while len(keepers) > MAX_SESSIONS:
            keepers.popitem(last=False)
    except KeyError:
        pass  # another thread has just dropped the keeper, which serves this connection alone
    return keeper
