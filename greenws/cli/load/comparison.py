"""Compares a load run with an earlier one, in words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..streams import escape_line

#: What a report says of itself, and the version of its form.
TOOL, FORMAT = "greenws load", 1

# Differences of figures below this fraction are called none: runs differ by as much anyway.
_NOISE = 0.03

# The longest duration of a report, in milliseconds: a year.
_MAX_TIME = 366 * 24 * 3600 * 1000

# What comes of a report that is none: anything may be anywhere in JSON.
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)

# The largest report that is read, in bytes. One of a day has some MiB.
_MAX_SIZE = 256 * 1024 * 1024


@dataclass(frozen=True)
class Difference:
    """One figure of two runs."""

    name: str
    before: float
    now: float
    #: The unit, as it follows the figure.
    unit: str
    #: Whether a larger figure is the better one.
    more_is_better: bool
    #: The words for more, for less, and behind a factor.
    words: tuple[str, str, str]

    @property
    def change(self) -> float:
        """The relative change: 0.5 is half as much again."""
        if self.before == self.now:
            return 0.0
        return self.now / self.before - 1 if self.before else math.inf

    @property
    def verdict(self) -> str:
        """The word "better" or "worse"; empty where there is no difference."""
        if abs(self.change) < _NOISE:
            return ""
        return "better" if (self.change > 0) == self.more_is_better else "worse"

    def describe(self) -> str:
        """Say what the difference is."""
        change = self.change
        if abs(change) < _NOISE:
            return "about the same" if change else "the same"
        more, less, factor = self.words
        if math.isinf(change):
            return f"{more} than none"
        if change >= 1:
            return f"{self.now / self.before:,.1f} times as {factor}"
        return f"{abs(change):.0%} {more if change > 0 else less}".replace("%", " %")

    def format(self, figure: float) -> str:
        """Return one of the two figures, with its unit."""
        digits = 0 if figure >= 100 or figure == int(figure) else 1 if figure >= 10 else 2
        return f"{figure:,.{digits}f}{self.unit}"


def read_earlier(path: str) -> dict[str, Any]:
    """Read the report of an earlier run.

    :raises ValueError: it cannot be read, or is none; the message is for the user.
    """
    try:
        file = Path(path)
        if file.stat().st_size > _MAX_SIZE:
            raise ValueError("it is too large")
        report = json.loads(file.read_text(encoding="utf-8"))
        _check(report)
    except OSError as error:
        raise ValueError(f"--compare: cannot read {path!r}: {error.strerror}") from error
    except _DAMAGE as error:
        raise ValueError(f"--compare: {path!r} is no report of load --json") from error
    checked: dict[str, Any] = report
    return checked


def _check(report: Any) -> None:
    """Raise one of many errors, unless everything is there that is compared or drawn."""
    if report["tool"] != TOOL or report["format"] != FORMAT:
        raise ValueError("another form")
    report["options"].items(), report["began"]
    for _difference in _iterate(report, report):
        pass
    ranges = [*report["latency_histogram_ms"], *report["opening_histogram_ms"]]
    for low, high, count in ranges:
        if not all(isinstance(number, (int, float)) for number in (low, high, count)):
            raise TypeError("no numbers")
        if not (0 <= low <= high <= _MAX_TIME and 0 <= count < math.inf):
            raise ValueError("no range")


def compare(earlier: dict[str, Any], report: dict[str, Any]) -> list[Difference]:
    """Compare two reports."""
    return list(_iterate(earlier, report))


def _iterate(earlier: dict[str, Any], report: dict[str, Any]) -> Iterator[Difference]:
    def read(section: str, name: str) -> tuple[float, float] | None:
        found = []
        for one in (earlier, report):
            values = one[section]
            if values is None:  # there was no message, for example
                return None
            value = float(values[name])
            if not 0 <= value < math.inf:
                raise ValueError("no figure")
            found.append(value)
        return found[0], found[1]

    wanted = [
        ("connected", "connections", "connected", "", True, ("more", "fewer", "many")),
        ("failed", "connections", "failed", "", False, ("more", "fewer", "many")),
        ("messages a second", "messages", "per_second", "/s", True, ("more", "fewer", "many")),
    ]
    for what, section in (("latency", "latency_ms"), ("opening", "opening_ms")):
        for name in ("p50", "p90", "p99", "p99.9", "max"):
            words = ("longer", "shorter", "long")
            wanted.append((f"{what} {name}", section, name, " ms", False, words))
    for name, section, key, unit, more_is_better, words in wanted:
        pair = read(section, key)
        if pair is not None:
            yield Difference(name, *pair, unit, more_is_better, words)


def find_other_options(
    earlier: dict[str, Any], report: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """Find the options in which two runs differ: their figures compare badly then.

    :returns: the name, the value before, and the value now.
    """
    before, now = earlier["options"], report["options"]
    return [
        (name.replace("_", "-"), _say(before.get(name)), _say(value))
        for name, value in now.items()
        if before.get(name) != value
    ]


def _say(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def format_began(report: dict[str, Any]) -> str:
    """Return when a run began."""
    return str(report["began"]).replace("T", " ").replace("+00:00", " UTC")


def format_comparison(earlier: dict[str, Any], report: dict[str, Any]) -> str:
    """Return the lines of a comparison."""
    lines = [f"compared with the run of {format_began(earlier)}:"]
    for difference in compare(earlier, report):
        before, now = (difference.format(value) for value in (difference.before, difference.now))
        lines.append(f"  {difference.name:<18}{before:>14} -> {now:<14}{difference.describe()}")
    for option, before, now in find_other_options(earlier, report):
        lines.append(f"  {option:<18}{before:>14} -> {now:<14}another option")
    return "\n".join(map(escape_line, lines))
