"""The connections that are ended: clients and bare iterations, which note what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import gevent

import greenws
from greenws import errors
from greenws.constants import SHORTEST_WAIT
from tests.chaos.plan import Plan
from tests.support.waiting import PATIENCE

# Short, so that what nobody ends from outside ends by itself.
RUN_OPTIONS: dict[str, Any] = {
    "ping_rate": 0.3,
    "ping_timeout": 0.6,
    "close_timeout": 0.2,
    "poll": 0.1,
}
_OPTIONS: dict[str, Any] = {"open_timeout": 1.0, "send_timeout": 0.5, "write_limit": 16_384}
# What comes between two connections of a client: nothing else may follow the end of one.
_BETWEEN = ("connecting", "back_off")


class Victim:
    """A connection that is about to end.

    :param plan: its ``url`` and ``options`` are set.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names: list[str] = []
        #: What came out of the greenlet.
        self.error: BaseException | None = None
        #: The greenlet that the connection runs in, once it runs.
        self.greenlet: Any = None
        # Called with the victim at the first moment that the plan has chosen, in its greenlet.
        self.inner: Callable[[Victim], object] | None = None
        self._echoes = 0

    def start(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def force_disconnect(self) -> None:
        self.websocket.force_disconnect()

    def kill(self) -> None:
        raise NotImplementedError

    @property
    def websocket(self) -> greenws.WebSocket:
        raise NotImplementedError

    @property
    def options(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "proxies": {},
            "compress": plan.is_compressed,
            "ssl_cafile": plan.tools.cafile,
            **_OPTIONS,
            **plan.options,
        }

    @property
    def has_ended(self) -> bool:
        return self.greenlet is not None and bool(self.greenlet.dead)

    def note(self, name: str) -> None:
        """Note an event, and do what the plan has for it."""
        self.names.append(name)
        plan = self.plan
        if name == "ready":
            self._act()
        elif name == "text" and plan.activity == "echo":
            self._echo()
        elif name == "back_off":
            plan.reached.set()
        if self.inner is not None and name in ("ready", "text", "back_off", "connected"):
            inner, self.inner = self.inner, None
            inner(self)

    def _act(self) -> None:
        plan = self.plan
        try:
            if plan.activity == "echo":
                self._echo()
            elif plan.activity == "send much":
                for size in (10, 5000, 100_000):
                    for _ in range(100):
                        self.websocket.send_binary(bytes(size))
            elif plan.activity == "wait":
                plan.reached.set()
                gevent.sleep(plan.rng.uniform(SHORTEST_WAIT, 0.5))
            elif plan.activity == "close":
                self.websocket.close()
        except errors.WebSocketError:
            pass  # the end has come before: what this is about

    def _echo(self) -> None:
        self._echoes += 1
        try:
            self.websocket.send_text(f"message {self._echoes}")
        except errors.WebSocketError:
            pass

    def check(self) -> list[str]:
        """Return what is wrong with how it has ended."""
        found = []
        names, expected = self.names, self.plan.deed
        if self.error is not None and not self._may_raise(self.error, expected):
            found.append(f"{self.error!r} came out")
        readies, closes = names.count("ready"), names.count("on_close")
        if self.counts_closes and readies != closes:
            found.append(f"ready {readies} times, on_close {closes} times")
        for before, after in pairwise(names):
            if before == "on_close" and after not in _BETWEEN:
                found.append(f"{after} after on_close")
            if before == "disconnected" and after not in (*_BETWEEN, "on_close"):
                found.append(f"{after} after disconnected")
        if self.websocket.is_ready:
            found.append("still ready")
        return [f"{self.plan}: {text}; {names[-12:]}" for text in found]

    #: Whether each ready has a closing bookend.
    counts_closes = False

    @staticmethod
    def _may_raise(error: BaseException, deed: str) -> bool:
        if isinstance(error, gevent.Timeout):
            return deed == "timeout"
        if isinstance(error, Thrown):
            return deed == "throw"
        return isinstance(error, gevent.GreenletExit)


class Thrown(Exception):
    """Thrown into a victim's greenlet."""


class _Client(greenws.Client):
    victim: Victim

    def on_connecting(self, event: Any) -> None:
        self.victim.greenlet = gevent.getcurrent()
        self.victim.note("connecting")

    def on_close(self, event: Any) -> None:
        self.victim.note("on_close")

    def _note(self, event: Any) -> None:
        self.victim.note(event.name)

    on_connect_fail = on_connected = on_rejected = on_ready = on_poll = _note
    on_text = on_binary = on_ping = on_pong = on_unresponsive = on_closing = on_closed = _note
    on_protocol_error = on_disconnected = on_back_off = _note


class ClientVictim(Victim):
    """A Client in the greenlet of its ``start()``."""

    counts_closes = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.client = _Client(plan.url, **RUN_OPTIONS, **self.options)
        self.client.victim = self

    def start(self) -> None:
        self.client.start()

    def close(self) -> None:
        self.client.close()

    def kill(self) -> None:
        self.client.kill()

    @property
    def websocket(self) -> greenws.WebSocket:
        return self.client.websocket

    @property
    def has_ended(self) -> bool:
        return not self.client.is_running

    def check(self) -> list[str]:
        try:
            self.client.join(PATIENCE)
        except BaseException as error:
            self.error = error
        return super().check()


class RunVictim(ClientVictim):
    """A Client in a greenlet of the user's, which calls ``run()``."""

    def start(self) -> None:
        self.greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        try:
            self.client.run()
        except BaseException as error:
            self.error = error

    @property
    def has_ended(self) -> bool:
        return bool(self.greenlet.dead)


class IterationVictim(Victim):
    """A WebSocket whose events a greenlet of the user's iterates over."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        options = self.options
        options.pop("reconnect", None)
        self._websocket = greenws.WebSocket(plan.url, **options)
        #: How many events until the iteration is left; None: to the end.
        self.patience: int | None = None

    @property
    def websocket(self) -> greenws.WebSocket:
        return self._websocket

    def start(self) -> None:
        self.greenlet = gevent.spawn(self._run)

    def close(self) -> None:
        self._websocket.close()

    def kill(self) -> None:
        self.greenlet.kill()

    def _run(self) -> None:
        try:
            events = self._websocket.connect(**RUN_OPTIONS)
            if self.plan.rng.random() < 0.5:
                try:
                    self._follow(events)
                finally:
                    events.close()
            else:
                self._follow(events)
                del events  # left to the collector
        except BaseException as error:
            # The traceback would keep an iteration alive that nobody has closed.
            self.error = error.with_traceback(None)

    def _follow(self, events: Any) -> None:
        for event in events:
            self.note(event.name)
            if self.patience is not None:
                self.patience -= 1
                if self.patience <= 0:
                    return


VICTIMS: dict[str, type[Victim]] = {
    "client": ClientVictim,
    "run": RunVictim,
    "iteration": IterationVictim,
}
