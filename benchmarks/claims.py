"""The claims: sentences of the pages that tell figures, and the figures that were measured.

A claim is a sentence with a place for each figure. ``python -m benchmarks.publish`` writes the
figures into the pages, and a test compares the pages with the figures.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .machines import find_ratios, find_values, name_machines
from .report import Report

#: The text of a figure, from the results of all machines.
Figure = Callable[[Sequence[Report]], str]

_PLACE = "{}"

#: The width of the lines of a page.
WIDTH = 105


class Unclaimed(Exception):
    """A page does not have the sentence of a claim."""


@dataclass(frozen=True)
class Claim:
    """A sentence of a page.

    :param page: the path of the page in the checkout.
    :param sentence: the sentence, with ``{}`` for each figure. Spaces stand for any white space.
    :param figures: the figures, in the order of their places.
    """

    page: str
    sentence: str
    figures: tuple[Figure, ...]

    def find(self, text: str) -> re.Match[str]:
        """Find the sentence in the text of the page; the groups are the figures.

        :raises Unclaimed: the page has no such sentence, or several.
        """
        parts = [
            r"\s+".join(map(re.escape, part.split(" "))) for part in self.sentence.split(_PLACE)
        ]
        found = list(re.finditer("(.{1,200}?)".join(parts), text, re.DOTALL))
        if len(found) != 1:
            raise Unclaimed(f"{self.page} has {len(found)} times: {self.sentence}")
        return found[0]

    def told(self, text: str) -> list[str]:
        """Return the figures that a page tells."""
        return [" ".join(figure.split()) for figure in self.find(text).groups()]

    def measured(self, reports: Sequence[Report]) -> list[str]:
        """Return the figures that were measured.

        :raises NotMeasured: a figure was not.
        """
        return [figure(reports) for figure in self.figures]

    def write(self, text: str, reports: Sequence[Report]) -> str:
        """Return the text of the page with the figures that were measured."""
        measured = self.measured(reports)
        if self.told(text) == measured:
            return text
        match = self.find(text)
        for number, figure in reversed(list(enumerate(measured, 1))):
            text = text[: match.start(number)] + figure + text[match.end(number) :]
        return refill(text, match.start())


def refill(text: str, place: int) -> str:
    """Break the lines of the paragraph or list item anew that ``place`` is in."""
    breaks = [match.span() for match in re.finditer(r"\n\n+|\n(?=- )", text)]
    start = max((end for _, end in breaks if end <= place), default=0)
    stop = min((begin for begin, _ in breaks if begin > place), default=len(text))
    filled = textwrap.fill(
        " ".join(text[start:stop].split()),
        WIDTH,
        subsequent_indent="  " if text.startswith("- ", start) else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return text[:start] + filled + text[stop:]


def value(row: str, peer: str = "greenws", unit: float = 1.0) -> Figure:
    """The range of a value.

    :param unit: the size of the unit in the page, in units of the row.
    """
    return lambda reports: format_range(
        *(end / unit for end in find_values(reports, row, peer)), digits=2
    )


def ratio(row: str, family: str) -> Figure:
    """The range of the ratio to the best peer of a family."""
    return lambda reports: format_range(*find_ratios(reports, row, family), digits=2)


def format_range(low: float, high: float, digits: int) -> str:
    """Format a range with so many significant digits, as one number if its ends are alike."""
    ends = [format_number(end, digits) for end in (low, high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def format_number(number: float, digits: int) -> str:
    """Format a number with so many significant digits, and never with an exponent."""
    rounded = float(f"{number:.{digits - 1}e}")
    return f"{rounded:,.0f}" if rounded >= 10 ** (digits - 1) else f"{rounded:g}"


_FIGURES = "docs/benchmarks.rst"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "README.rst",
        "An echo on one of 2,000 connections takes {} us of CPU time in place of {}; an idle one "
        "takes {} KiB (on {}).",
        (
            value("echo-many"),
            value("echo-many", "websocket-client+gevent"),
            value("memory"),
            name_machines,
        ),
    ),
    Claim(_FIGURES, "These are the ranges over all rounds on {}.", (name_machines,)),
    Claim(
        _FIGURES,
        "Receiving text of 64 bytes: {} million messages a second, {} x picows. Messages of 16 "
        "KiB: {} thousand a second, {} x picows.",
        (
            value("receive-text", unit=1e6),
            ratio("receive-text", "picows"),
            value("receive-binary", unit=1e3),
            ratio("receive-binary", "picows"),
        ),
    ),
    Claim(
        _FIGURES,
        "Sending text of 64 bytes: {} million messages a second, {} x picows. Messages of 64 KiB: "
        "{} thousand a second, {} x picows.",
        (
            value("send-text", unit=1e6),
            ratio("send-text", "picows"),
            value("send-binary", unit=1e3),
            ratio("send-binary", "picows"),
        ),
    ),
    Claim(
        _FIGURES,
        "Ping-pong: {} thousand round trips a second, {} x picows; with a ``Connection``, {} "
        "thousand.",
        (
            value("ping-pong", unit=1e3),
            ratio("ping-pong", "picows"),
            value("connection-ping-pong", "greenws-connection", 1e3),
        ),
    ),
    Claim(
        _FIGURES,
        "2,000 connections echoing: {} us of CPU time a message, {} x picows.",
        (value("echo-many"), ratio("echo-many", "picows")),
    ),
    Claim(
        _FIGURES,
        "An idle client takes {} KiB, with its greenlet; a ``Connection``, which has none, takes "
        "{} KiB; a client on TLS takes {} KiB. After 100 echoes each, clients take {} times as "
        "much.",
        (
            value("memory"),
            value("connection-memory", "greenws-connection"),
            value("tls-memory"),
            lambda reports: format_range(
                *find_values(reports, "memory-at-work", "greenws"), digits=3
            ),
        ),
    ),
    Claim(
        _FIGURES,
        "Connecting and closing takes {} us of CPU time, {} x websockets; with TLS, {} us, {} x "
        "aiohttp.",
        (
            value("connect"),
            ratio("connect", "websockets"),
            value("tls-connect"),
            ratio("tls-connect", "aiohttp"),
        ),
    ),
)
