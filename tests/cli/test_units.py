"""Durations and sizes as people read them."""

from __future__ import annotations

import pytest

from greenws.cli.units import format_duration, format_size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00123, "1.23 ms"),
        (0.0123, "12.3 ms"),
        (0.123, "123 ms"),
        (1.23, "1,230 ms"),
        (12, "12.0 s"),
    ],
)
def test_duration_has_three_digits_or_so(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(999, "999 B"), (2048, "2.0 KiB"), (300 * 1024**2, "300 MiB"), (5 * 1024**5, "5,120.0 TiB")],
)
def test_size_has_three_digits_or_so(size: float, text: str) -> None:
    assert format_size(size) == text
