"""Many clients as one: started, counted, waited for and drained together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from gevent import spawn

from .client import Client, find_members, start_member
from .drain import check_drain, drain_residents
from .herd import CONNECTING, ENDED, FAILED, MISSED, QUEUED, READY, WAITING, Herd, OnEnd
from .replies import check_timeout
from .sessions.roster import get_roster, is_in_hub
from .sessions.wait import in_turns
from .status import Status

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

ClientT = TypeVar("ClientT", bound=Client)

#: Seconds that a group gives its clients to close.
DRAIN_TIMEOUT = 10.0


# What stats() counts.
_COUNTS = (
    *("connecting", "ready", "waiting", "ended", "failed", "opened", "reconnects"),
    *("messages_sent", "messages_received", "bytes_sent", "bytes_received"),
)


class ClientGroup:
    """Thousands of clients: started in step, counted, waited for, and closed in good order.

    .. code-block:: python

        import greenws

        with greenws.ClientGroup(max_connecting=100, rate=500) as group:
            group.start(greenws.Client("wss://example.org/feed") for _ in range(50))
            group.wait_ready(timeout=60)
            print(group.stats())

    Leaving the block drains. The limits hold for reconnects as well: clients that have lost their
    server come back in step. An opening begins with the name lookup, and ends when its connection
    is ready, has failed or was refused.

    A group belongs to the hub on which its clients run. A client that has ended leaves nothing in
    the group but its counts. In a forked child the group is empty, and may be used anew.

    :param max_connecting: openings under way at any time; None: no limit.
    :param rate: openings a second, evenly spread; None: no limit.
    :param on_end: called with each client that has ended, as the last thing that its greenlet does.
        An exception out of it is one of a handler.
    :raises TypeError: an argument has a wrong type.
    :raises ValueError: a limit is not more than 0.
    """

    def __init__(
        self,
        *,
        max_connecting: int | None = None,
        rate: float | None = None,
        on_end: OnEnd | None = None,
    ) -> None:
        if max_connecting is not None:
            if not isinstance(max_connecting, int) or isinstance(max_connecting, bool):
                raise TypeError("max_connecting must be a number of openings, or None")
            if max_connecting < 1:
                raise ValueError("max_connecting must be 1 or more, or None")
        if rate is not None:
            if not isinstance(rate, (int, float)) or isinstance(rate, bool):
                raise TypeError("rate must be a number of openings a second, or None")
            if not 0 < rate < float("inf"):
                raise ValueError("rate must be more than 0, and finite; None is no limit")
        if on_end is not None and not callable(on_end):
            raise TypeError("on_end must be callable, or None")
        self._limits = (max_connecting, rate)
        self._on_end = on_end
        # The members; None: there was none yet.
        self._herd: Herd | None = None

    def __repr__(self) -> str:
        herd = self._current()
        count = 0 if herd is None else herd.present
        return f"<{type(self).__name__} of {count} clients>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_value is None or isinstance(exc_value, Exception):
            self.drain()
        else:
            # A kill, a gevent.Timeout, Ctrl-C: whoever has sent it does not want to wait.
            self._drain(DRAIN_TIMEOUT, Status.GOING_AWAY, "", is_awaited=False)

    # Running

    def start(self, clients: Iterable[Client]) -> Self:
        """Start clients, and return without waiting for their connections.

        The clients are taken from the iterable first: if it raises, or has something else than a
        client that does not run yet, none is started. The loop has its turns meanwhile.

        :returns: this group.
        :raises TypeError: something is no client.
        :raises RuntimeError: a client runs already, or is there twice; the group is being drained,
            or belongs to the hub of another thread.
        """
        if isinstance(clients, Client):
            raise TypeError("start() takes an iterable of clients; add() takes one client")
        if not isinstance(clients, Iterable):
            raise TypeError(f"start() takes an iterable of clients, not {type(clients).__name__}")
        herd = self._open()
        taken: list[Client] = []
        for client in in_turns(clients):
            _check_client(client)
            taken.append(client)
        if len(set(map(id, taken))) < len(taken):
            raise RuntimeError("a client is there twice")
        first: Exception | None = None
        for client in in_turns(taken):
            try:
                # The loop has had turns: somebody may have begun to drain the group, say.
                if herd.draining or herd.is_of_parent:
                    herd = self._open()
                start_member(client, herd)
            except Exception as error:
                first = first or error
        if first is not None:
            raise first
        return self

    def add(self, client: ClientT) -> ClientT:
        """Start one client; as :meth:`start`.

        :returns: the client.
        """
        _check_client(client)
        start_member(client, self._open())
        return client

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until every client is ready, or has ended.

        :returns: True if all are ready. False if ``timeout`` seconds have passed; or if one has
            ended without a connection: one of those that were added since the last answer.
        :raises RuntimeError: a handler of a client that is not ready calls it without a timeout, a
            callback of the hub calls it, or another thread.
        """
        check_timeout(timeout)
        herd = self._current()
        if herd is None:
            return True
        is_settled = not herd.unsettled
        if not is_settled and _may_wait(herd, timeout, lambda client: not client.is_ready):
            is_settled = herd.wait_settled(timeout)
        herd.is_judged = True
        return is_settled and not herd.missed

    def join(self, timeout: float | None = None) -> None:
        """Wait until all clients have ended, or for ``timeout`` seconds.

        :raises Exception: the first one that came out of a handler, when all have ended.
        :raises RuntimeError: a handler of one of the clients calls it without a timeout, a callback
            of the hub calls it, or another thread.
        """
        check_timeout(timeout)
        herd = self._current()
        if herd is None:
            return
        if herd.present and not (
            _may_wait(herd, timeout, lambda client: True) and herd.wait_over(timeout)
        ):
            return
        if herd.error is not None:
            herd.is_error_taken = True
            raise herd.error

    def stats(self) -> dict[str, int]:
        """Count the clients, and what they have done.

        ``connecting``, ``ready``, ``waiting`` (for their turn to connect, or in a back-off),
        ``ended`` and ``failed`` are all clients there were: each is in one of them. ``failed`` are
        those that have ended by an exception out of a handler, or as they could not connect.
        ``opened`` are the connections that became ready, ``reconnects`` those of them that were not
        the first of their client. ``messages_sent``, ``messages_received``, ``bytes_sent`` and
        ``bytes_received`` are those of all connections; bytes are counted before encryption, with
        openings and heads of frames, and only for sessions of greenws.
        """
        herd = self._current()
        if herd is None:
            return dict.fromkeys(_COUNTS, 0)
        counts, traffic = herd.counts, herd.traffic
        values = (
            counts[CONNECTING],
            counts[READY],
            counts[QUEUED] + counts[MISSED] + counts[WAITING],
            counts[ENDED],
            counts[FAILED],
            herd.opened,
            herd.reconnects,
            traffic.messages_sent,
            traffic.messages_received,
            traffic.bytes_sent,
            traffic.bytes_received,
        )
        return dict(zip(_COUNTS, values, strict=True))

    # Ending

    @property
    def is_draining(self) -> bool:
        """Whether the group is being drained, and takes no clients: for ``on_end``."""
        herd = self._current()
        return herd is not None and herd.draining > 0

    def drain(
        self, timeout: float = DRAIN_TIMEOUT, code: int = Status.GOING_AWAY, reason: str = ""
    ) -> int:
        """Close all clients, and wait for their ends; none reconnects.

        What was sent before goes first, ``on_close`` is called, and those that have not ended after
        ``timeout`` seconds are killed; so they are when an exception ends the wait. A handler may
        call this: its own client is closed, and not waited for. In the hub itself, which cannot
        wait, a greenlet of its own does the work, and the call returns 0 at once.

        Afterwards clients may be added again.

        :param timeout: seconds.
        :param code: the close code for the servers.
        :param reason: at most 123 bytes of UTF-8.
        :returns: the number of clients that were killed.
        :raises ValueError: if the code must not be sent, the reason is too long, or the timeout is
            negative.
        :raises RuntimeError: the group belongs to the hub of another thread.
        """
        return self._drain(timeout, code, reason, is_awaited=not is_in_hub())

    def _drain(self, timeout: float, code: int, reason: str, is_awaited: bool) -> int:
        check_timeout(timeout)
        check_drain(timeout, code, reason)
        herd = self._current()
        if herd is None or not herd.present:
            return 0
        _check_thread(herd)
        herd.draining += 1  # from now on, and not from when the greenlet runs
        if is_awaited:
            return _drain_herd(herd, timeout, code, reason)
        spawn(_drain_herd, herd, timeout, code, reason)
        return 0

    # How it works

    def _make_herd(self) -> Herd:
        return Herd(*self._limits, self._on_end, get_roster())

    def _current(self) -> Herd | None:
        """The herd of this process; None: there is none."""
        herd = self._herd
        if herd is not None and herd.is_of_parent:
            before = herd
            herd = self._herd = self._make_herd()
            # Those that ran were the parent's: here, none of them is ready.
            herd.missed = before.present
            herd.is_judged = True
        return herd

    def _open(self) -> Herd:
        """Return the herd to add a client to."""
        herd = self._current()
        if herd is not None and herd.present and herd.roster.is_elsewhere and herd.roster.is_alive:
            _check_thread(herd)
        if herd is not None and herd.roster is not get_roster():
            if herd.present:
                herd = None  # its hub was destroyed, and nothing will ever run there again
            else:
                herd.settle_down(get_roster())
        if herd is None:
            herd = self._herd = self._make_herd()
        if herd.draining:
            raise RuntimeError("the group is being drained; clients may be added afterwards")
        return herd


def _check_client(client: object) -> None:
    """Check what is to be added to a group.

    :raises TypeError: it is no client.
    :raises RuntimeError: it runs already.
    """
    if not isinstance(client, Client):
        raise TypeError(f"a group has clients, and {type(client).__name__} is none")
    if client.is_running:
        raise RuntimeError(f"{client!r} is running already")


def _check_thread(herd: Herd) -> None:
    if herd.roster.is_elsewhere:
        raise RuntimeError("the group belongs to the hub of another thread; call it there")


def _may_wait(herd: Herd, timeout: float | None, is_awaited: Callable[[Client], bool]) -> bool:
    """Tell whether the caller can wait for the clients of a herd; False: only look.

    :param is_awaited: tells whether the wait is for this client, too.
    :raises RuntimeError: it cannot, as :meth:`ClientGroup.join` says.
    """
    _check_thread(herd)
    if is_in_hub():
        if timeout is None or timeout > 0:
            raise RuntimeError("the hub cannot wait for a group; spawn a greenlet for that")
        return False
    if timeout is None:
        for client in find_members(herd):
            if client.is_caller and is_awaited(client):
                raise RuntimeError(f"{client!r} cannot wait for itself: spawn a greenlet for it")
    return True


def _drain_herd(herd: Herd, timeout: float, code: int, reason: str) -> int:
    try:
        killed = drain_residents(herd.roster, find_members(herd), timeout, code, reason)
        return 0 if herd.is_of_parent else killed
    finally:
        herd.draining -= 1
        herd.is_judged = True
