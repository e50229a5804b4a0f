"""When to connect again."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from random import random
from time import time

#: Seconds a ``Retry-After`` is followed at most: a server must not park its clients for ever.
MAX_RETRY_AFTER = 3600.0


@dataclass(frozen=True)
class Backoff:
    """How a :class:`~greenws.Client` waits between connections.

    The n-th wait in a row is ``min_wait * factor ** (n - 1)`` seconds, at most ``max_wait``, less
    a random part of it: of ten thousand clients that lost their server at once, each comes back
    at a time of its own. A ``Retry-After`` of a rejection takes its place (at most an hour).

    :param min_wait: seconds of the first wait.
    :param max_wait: seconds of the longest.
    :param factor: how the waits grow, at least 1.
    :param jitter: the part of a wait that is random, 0 to 1.
    :param max_tries: connections that may fail in a row before giving up; None for no limit.
    :param reset_after: seconds a connection has to last for its failure to count as the first.
    :raises ValueError: for a number out of its range.
    """

    min_wait: float = 1.0
    max_wait: float = 60.0
    factor: float = 2.0
    jitter: float = 0.5
    max_tries: int | None = None
    reset_after: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_wait <= self.max_wait:
            raise ValueError("min_wait must be 0 or more, and not above max_wait")
        if not self.factor >= 1:
            raise ValueError("factor must be 1 or more")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must be between 0 and 1")
        if self.max_tries is not None and self.max_tries < 1:
            raise ValueError("max_tries must be 1 or more, or None")
        if not self.reset_after >= 0:
            raise ValueError("reset_after must be 0 or more")

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after ``failures`` connections (1 or more) in a row."""
        try:
            grown = self.min_wait * float(self.factor) ** (failures - 1)
        except OverflowError:
            grown = self.max_wait if self.min_wait else 0.0
        return min(self.max_wait, grown) * (1.0 - self.jitter * random())

    def is_exhausted(self, failures: int) -> bool:
        """Tell whether ``failures`` connections in a row were all there may be."""
        return self.max_tries is not None and failures >= self.max_tries


def find_retry_after(event: object) -> float | None:
    """Return the seconds after which an opening that failed may be tried again, or None.

    :param event: a rejection by the server, or a failure to connect, which may be a proxy's.
    """
    response = getattr(event, "response", None)
    if response is None:
        response = getattr(getattr(event, "error", None), "response", None)
    return None if response is None else parse_retry_after(response.get("retry-after"))


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds a ``Retry-After`` asks for (RFC 7231 section 7.1.3), 0 to an hour.

    None if there is none, or it is neither seconds nor a date.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        date = parsedate_tz(value)
        if date is None:
            return None
        try:
            seconds = mktime_tz(date) - time()
        except (OverflowError, ValueError):  # a date, but not one of this world
            return None
    if seconds != seconds:  # "nan" is a float to Python
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
