"""Which process this is: what began before a fork does not go on in the child.

A forked child has all greenlets of its parent. Those of them that do something for the parent, wait
or connect, have to end. They compare :data:`generation` with what it was when they began.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from .. import errors
from .lifecycle import OF_THE_PARENT

#: Forks between the first process and this one. Read it by the name of this module.
generation: int = 0


class Settable(Protocol):
    """What :func:`set_in_child` sets: an event of gevent's, say."""

    def set(self) -> object:
        """Have all go on that wait."""


# The events to be set in a child. An event may be there more than once.
_waits: dict[object, Settable] = {}


@contextlib.contextmanager
def set_in_child(event: Settable) -> Iterator[None]:
    """Have ``event`` set in a child that is forked off during the block."""
    key = object()
    _waits[key] = event
    try:
        yield
    finally:
        _waits.pop(key, None)


def check(since: int) -> None:
    """Refuse to go on in a child.

    :param since: the :data:`generation` of the process in which the caller began.
    :raises WebSocketUnavailable: it was another process.
    """
    if since != generation:
        raise errors.WebSocketUnavailable("{}", OF_THE_PARENT)


def call_each(functions: Iterable[Callable[[], object]]) -> None:
    """Call each function; print the exception of one, and call the others all the same."""
    for function in functions:
        try:
            function()
        except Exception:
            sys.excepthook(*sys.exc_info())


def call_in_child(function: Callable[[], object]) -> None:
    """Have ``function`` called in every forked child, after those that were given before."""
    if hasattr(os, "register_at_fork"):  # not where there are no forks
        os.register_at_fork(after_in_child=function)


def _note_fork() -> None:
    global generation
    generation += 1
    events = list(_waits.values())
    _waits.clear()
    call_each([event.set for event in events])


call_in_child(_note_fork)
