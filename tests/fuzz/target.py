"""What a target of the fuzz is: it makes inputs up, and feeds them to a build."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.builds import Build

#: What an input has come to; equal for equal behaviour.
Outcome = list[Any]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Violated(AssertionError):
    """greenws has broken a promise.

    :param promise: what should hold; the same text for every input that breaks it.
    :param details: what was seen in its place.
    """

    def __init__(self, promise: str, details: object = "") -> None:
        super().__init__(f"not so: {promise}" + (f"; {details!r:.300}" if details != "" else ""))
        self.promise = promise


def require(holds: object, promise: str, details: object = "") -> None:
    """Raise :class:`Violated` unless a promise holds."""
    if not holds:
        raise Violated(promise, details)


def require_visible(text: str, promise: str) -> None:
    """Require that a text for eyes has no control characters."""
    if _CONTROL.search(text):
        raise Violated(promise, text)


@dataclass
class Case:
    """One input.

    :param streams: what the peer sends, on one connection after the other.
    :param settings: all else that decides about the outcome.
    """

    streams: list[bytes]
    settings: dict[str, Any] = field(default_factory=dict)


class Target:
    """A part of greenws that is fed with what a peer might send."""

    #: Names the target on the command line.
    name = ""
    #: The share of the inputs that this target gets.
    weight = 1
    #: Whether a module that the target reaches is compiled, so that the builds are compared.
    is_compared = True
    #: Seconds of CPU time that one input may take in one way of feeding. Usual are 0.1 ms; a large
    #: input byte by byte takes 0.2 s.
    slow = 1.0

    def make(self, rng: random.Random) -> Case:
        """Make up an input."""
        raise NotImplementedError

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        """Feed an input to a build.

        :param cuts: where to cut each stream.
        :returns: what has come of it.
        :raises Violated: a promise does not hold.
        :raises Exception: anything that greenws must not raise.
        """
        raise NotImplementedError

    def essence(self, outcome: Outcome) -> Any:
        """Return the part of an outcome that no cut may change."""
        return outcome
