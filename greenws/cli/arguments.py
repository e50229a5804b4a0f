"""Types of the arguments that are numbers: each turns a text into its value; and the error for
arguments that do not fit together.

argparse shows the message of an ArgumentTypeError, but not the message of any other error.
"""

from __future__ import annotations

import argparse
from typing import TypeVar

# The largest size of a message of "load", in bytes: every connection has one under way.
_MAX_SIZE = 1024 * 1024 * 1024

# Numbers of a command line are smaller: timers and counters do not take more.
_MAX_NUMBER = 2**62

_UNITS = {"s": 1, "m": 60, "h": 3600}

NumberT = TypeVar("NumberT", int, float)


class WrongOption(Exception):
    """Options do not fit together, or cannot be used; the message is for the user."""


def parse_natural(text: str) -> int:
    return _number(text, int, 0, "a whole number, 0 or more")


def parse_positive(text: str) -> int:
    return _number(text, int, 1, "a whole number, 1 or more")


def parse_size(text: str) -> int:
    size = parse_natural(text)
    if size > _MAX_SIZE:
        raise argparse.ArgumentTypeError(f"must be {_MAX_SIZE:,} or less: {text!r}")
    return size


def parse_port(text: str) -> int:
    port = _number(text, int, 0, "a port")
    if port > 65535:
        raise argparse.ArgumentTypeError(f"must be a port: {text!r}")
    return port


def parse_not_negative(text: str) -> float:
    return _number(text, float, 0.0, "a number, 0 or more")


def parse_seconds(text: str) -> float:
    return _number(text, float, 0.001, "seconds, more than 0")


def parse_rate(text: str) -> float:
    return _number(text, float, 0.001, "a number, 0.001 or more")


def parse_duration(text: str) -> float:
    """Parse a time with or without a unit: ``90``, ``90s``, ``1.5m``, ``2h``."""
    factor = _UNITS.get(text[-1:], 1)
    amount = text[:-1] if text[-1:] in _UNITS else text
    try:
        return parse_seconds(amount) * factor
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"must be seconds, or a time such as 90s, 5m or 2h: {text!r}"
        ) from None


def parse_pause(text: str) -> tuple[float, float]:
    """Parse a time in seconds, or the two limits of one: ``0.5``, ``0.2-1``."""
    least, dash, most = text.partition("-")
    pause = (parse_not_negative(least), parse_not_negative(most if dash else least))
    if pause[0] > pause[1] or not pause[1]:
        raise argparse.ArgumentTypeError(f"must be seconds, or from and to: 0.5 or 0.2-1: {text!r}")
    return pause


def _number(text: str, kind: type[NumberT], least: NumberT, wanted: str) -> NumberT:
    try:
        number = kind(text)
    except ValueError:
        pass  # reported below
    else:
        # "not number < least" would accept NaN, which is neither less nor more than a number.
        if least <= number < _MAX_NUMBER:
            return number
        if _MAX_NUMBER <= number < float("inf"):
            wanted += ", and less than 2 ** 62"
    raise argparse.ArgumentTypeError(f"must be {wanted}: {text!r}")
