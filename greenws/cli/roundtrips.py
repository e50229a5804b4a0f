"""The round trips of pings."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from .units import format_duration


class RoundTrips:
    """Sends pings, and measures the time until their pongs.

    :param send: sends a ping with a payload.
    """

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send
        # When each ping was sent that has no pong yet, by its payload.
        self._sent: dict[bytes, float] = {}
        self._count = 0
        self._times: list[float] = []

    def ping(self) -> None:
        """Send a ping.

        :raises WebSocketError: it could not be sent.
        """
        payload = b"greenws %d" % (self._count + 1)
        began = perf_counter()
        self._send(payload)
        self._count += 1
        self._sent[payload] = began

    def take(self, payload: bytes) -> float | None:
        """Take a pong, and return the seconds since its ping; None: it answers none of these."""
        began = self._sent.get(payload)
        if began is None:
            return None
        # A server may answer the latest of several pings only (RFC 6455 section 5.5.3).
        for earlier in list(self._sent):
            del self._sent[earlier]
            if earlier == payload:
                break
        taken = perf_counter() - began
        self._times.append(taken)
        return taken

    def describe(self) -> str:
        """Return a summary; empty without a ping."""
        if not self._count:
            return ""
        text = f"{len(self._times)} of {self._count} pings were answered"
        if not self._times:
            return text
        mean = sum(self._times) / len(self._times)
        shown = [("min", min(self._times)), ("mean", mean), ("max", max(self._times))]
        return f"{text}: " + ", ".join(f"{name} {format_duration(time)}" for name, time in shown)
