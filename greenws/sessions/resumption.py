"""TLS sessions to resume, so that a reconnect skips the certificates and most of the crypto.

A session refers to its context, so a table of ours that held sessions would keep the contexts
of users alive, weak keys or not. The sessions are therefore held by the context itself, in an
attribute, and go when it goes.

Reading a session copies it, which costs as much as half a resumed handshake. So one that was
resumed is kept, and used again, until half its lifetime is over. Only where a server refuses
one, which it may take but once, every connection leaves a fresh one for a while (RFC 8446
section 2.2 allows both).
"""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict

#: Sessions one context keeps; the one not used for longest goes first.
MAX_SESSIONS = 256

_ATTRIBUTE = "_greenws_sessions"


#: Seconds for which every connection leaves a fresh session after one was refused.
RENEWAL_PERIOD = 600.0


class Memory:
    """What is remembered about one server."""

    __slots__ = ("_renew_at", "_renew_until", "session")

    def __init__(self) -> None:
        #: The session to resume, or None.
        self.session: ssl.SSLSession | None = None
        # Epoch seconds, as sessions have them.
        self._renew_at = 0.0
        self._renew_until = 0.0

    @property
    def wants_renewal(self) -> bool:
        """Whether a fresh session should take the place of the one there is."""
        now = time.time()
        return self.session is None or now >= self._renew_at or now < self._renew_until

    def note_refusal(self) -> None:
        """Take note that the server refused to resume the session."""
        self._renew_until = time.time() + RENEWAL_PERIOD

    def keep(self, session: ssl.SSLSession) -> None:
        """Take a session to resume from now on."""
        self.session = session
        self._renew_at = session.time + session.timeout / 2


def recall(context: ssl.SSLContext, server: tuple[object, ...]) -> Memory | None:
    """Get the memory of a server, a new one at first; None: the context cannot hold any.

    :param server: what has to be equal for a session to be resumed.
    """
    # What was agreed without checking the certificate must not pass for checked later on.
    key = (context.verify_mode, context.check_hostname, *server)
    memories: OrderedDict[tuple[object, ...], Memory] | None
    memories = getattr(context, _ATTRIBUTE, None)
    if memories is None:
        memories = OrderedDict()
        try:
            setattr(context, _ATTRIBUTE, memories)
        except AttributeError:
            return None  # a subclass with slots: every handshake is a full one
    # Each step is atomic by itself: a context may be shared by threads with a hub each.
    memory = memories.get(key)
    if memory is None:
        memory = memories.setdefault(key, Memory())
    try:
        memories.move_to_end(key)
        while len(memories) > MAX_SESSIONS:
            memories.popitem(last=False)
    except KeyError:
        pass  # another thread has just dropped it: the memory serves this connection alone
    return memory
