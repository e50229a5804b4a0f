"""The waits between connections."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from random import random
from time import time
from typing import TYPE_CHECKING

from .errors import ProxyFail
from .events import ConnectFail, Disconnected, Rejected
from .options import check_number

if TYPE_CHECKING:
    from .events import AnyEvent
    from .protocol.response import Response

#: What a connection, or an opening, has come to.
Outcome = ConnectFail | Rejected | Disconnected

#: The longest ``Retry-After`` that a client respects, in seconds: a server must not be able to make
#: its clients wait for ever.
MAX_RETRY_AFTER = 3600.0

# The three forms of an HTTP date (RFC 9110 section 5.6.7); all of them are in UTC.
_CLOCK = r"(?P<clock>\d\d:\d\d:\d\d)"
_MONTH = r"(?P<month>[A-Z][a-z]{2})"
_DATES = (
    rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_CLOCK} GMT",
    rf"[A-Z][a-z]{{5,8}}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_CLOCK} GMT",
    rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",
)
_match_dates = tuple(re.compile(form, re.ASCII).fullmatch for form in _DATES)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# More digits than any number of seconds that matters. int() refuses thousands of digits.
_MOST_DIGITS = 9


@dataclass(frozen=True)
class Backoff:
    """The waits of a :class:`~greenws.Client` between connections.

    The n-th wait in a row is ``min_wait * factor ** (n - 1)`` seconds, at most ``max_wait``. A
    random part of the wait is taken off, so that ten thousand clients that lost their server at the
    same time come back at different times.

    The ``Retry-After`` of a rejection, or of a proxy's refusal, is a least wait, up to an hour: the
    longer of it and the wait above counts. A random part of the ``Retry-After`` is put on top of
    it, since ten thousand clients may have got the same one.

    :param min_wait: the first wait, in seconds.
    :param max_wait: the longest wait, in seconds.
    :param factor: the factor by which the waits grow, at least 1.
    :param jitter: the random part of a wait, 0 to 1.
    :param max_tries: the number of failures in a row after which the client gives up; None for no
        limit.
    :param reset_after: the seconds that a connection must last for its end to count as the first
        failure in a row.
    :param retry: asked before each wait, with the event that says why the connection has ended or
        was not opened: a :class:`~greenws.events.ConnectFail`, a
        :class:`~greenws.events.Rejected` or a :class:`~greenws.events.Disconnected`. A false
        answer ends the reconnecting. None: connect again in any case.
    :raises TypeError: an option has a wrong type.
    :raises ValueError: a number is out of its range.
    """

    min_wait: float = 1.0
    max_wait: float = 60.0
    factor: float = 2.0
    jitter: float = 0.5
    max_tries: int | None = None
    reset_after: float = 30.0
    retry: Callable[[Outcome], bool] | None = None

    def __post_init__(self) -> None:
        if self.retry is not None and not callable(self.retry):
            raise TypeError("retry must be callable, or None")
        for name in ("min_wait", "max_wait", "factor", "jitter", "reset_after"):
            check_number(name, getattr(self, name))
        if self.max_tries is not None:
            check_number("max_tries", self.max_tries, is_whole=True)
        if not 0 <= self.min_wait <= self.max_wait:
            raise ValueError("min_wait must be 0 or more, and at most max_wait")
        if not self.factor >= 1:
            raise ValueError("factor must be 1 or more")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must be between 0 and 1")
        if self.max_tries is not None and self.max_tries < 1:
            raise ValueError("max_tries must be 1 or more, or None")
        if not self.reset_after >= 0:
            raise ValueError("reset_after must be 0 or more")

    def delay(self, failures: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait after ``failures`` failures in a row, 1 or more.

        :param retry_after: the seconds of a ``Retry-After``, or None.
        """
        try:
            grown = self.min_wait * float(self.factor) ** (failures - 1)
        except OverflowError:
            grown = self.max_wait if self.min_wait else 0.0
        own = min(self.max_wait, grown) * (1.0 - self.jitter * random())
        if retry_after is None:
            return own
        return max(own, retry_after * (1.0 + self.jitter * random()))

    def is_exhausted(self, failures: int) -> bool:
        """Tell whether ``failures`` failures in a row are as many as ``max_tries`` allows."""
        return self.max_tries is not None and failures >= self.max_tries


def find_retry_after(event: AnyEvent) -> float | None:
    """Return the seconds that the server or the proxy asks the client to wait, or None.

    :param event: a :class:`~greenws.events.Rejected`, which has the response of the server, or a
        :class:`~greenws.events.ConnectFail`, whose error may have the response of a proxy.
    """
    response: Response | None = None
    if event.name == "rejected":  # also lomond's
        response = event.response
    elif isinstance(event, ConnectFail) and isinstance(event.error, ProxyFail):
        response = event.error.response
    return None if response is None else parse_retry_after(response.get("retry-after"))


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` (RFC 9110 section 10.2.3), 0 to an hour.

    :param value: the value of the header; None: the response has no such header.
    :returns: None if ``value`` is None, or is neither digits nor an HTTP date; 0 for a date that
        has gone by.
    """
    if value is None:
        return None
    value = value.strip(" \t")
    if value.isascii() and value.isdigit():
        digits = value.lstrip("0") or "0"
        return (
            min(float(digits), MAX_RETRY_AFTER) if len(digits) <= _MOST_DIGITS else MAX_RETRY_AFTER
        )
    date = _parse_date(value)
    return None if date is None else min(max(date - time(), 0.0), MAX_RETRY_AFTER)


def _parse_date(text: str) -> float | None:
    """Return the epoch seconds of an HTTP date, or None."""
    found = next(filter(None, (match(text) for match in _match_dates)), None)
    if found is None or found["month"] not in _MONTHS:
        return None
    hour, minute, second = map(int, found["clock"].split(":"))
    year, month = int(found["year"]), _MONTHS.index(found["month"]) + 1
    if len(found["year"]) == 2:
        # A year that seems more than 50 years ahead is in the past (RFC 9110 section 5.6.7).
        now = datetime.now(timezone.utc).year
        year += now - now % 100
        if year > now + 50:
            year -= 100
    try:
        # datetime knows no leap second.
        date = datetime(
            year, month, int(found["day"]), hour, minute, min(second, 59), tzinfo=timezone.utc
        )
    except ValueError:
        return None
    return date.timestamp() if second <= 60 else None


def read_reconnect(reconnect: bool | Backoff) -> Backoff | None:
    """Return the back-off that the option ``reconnect`` asks for, or None.

    :raises TypeError: it is neither False, True nor a Backoff.
    """
    if reconnect is True:
        return Backoff()
    if reconnect is False or reconnect is None:
        return None
    if not isinstance(reconnect, Backoff):
        raise TypeError("reconnect must be False, True or a Backoff")
    return reconnect
