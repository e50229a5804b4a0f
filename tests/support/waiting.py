"""How long a test waits for anything, and a wait for a condition in place of a hopeful sleep."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import gevent

T = TypeVar("T")

#: Seconds within which anything has to happen on loopback. A test that waits this long has failed.
PATIENCE = 10.0


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Let the hub run until a condition holds.

    :param condition: called after every turn of a millisecond; it holds when its result is true.
    :returns: that result.
    :raises AssertionError: the condition does not hold after ``seconds``.
    """
    with gevent.Timeout(seconds, AssertionError(f"the condition does not hold after {seconds} s")):
        while not (result := condition()):
            gevent.sleep(0.001)
    return result
