"""Reports of load runs for tests: made of portions, without a run."""

from __future__ import annotations

from typing import Any

from greenws.cli.load.report import build_report
from greenws.cli.load.tally import Portion, Tally
from tests.cli.load.settings import make_options


def make_tally(seconds: int = 3, scale: float = 1.0, failures: int = 0) -> Tally:
    """Count a run of three connections.

    :param scale: the factor of latencies.
    """
    tally = Tally(3, None)
    for second in range(seconds):
        portion = Portion(second, sent=100, replies=100, bytes_sent=7000, bytes_received=6600)
        portion.latencies.add([0.001 * scale * number for number in range(1, 101)])
        portion.message_seconds = second + 1.0
        if not second:
            portion.started = portion.connected = 3
            portion.openings.add([0.002, 0.003, 0.004])
            portion.connect_seconds = 0.01
        if second < failures:
            portion.failures["<b>refused</b>\x1b[31m\n\u202e"] = second + 1
            portion.closed = 1
        tally.add(portion)
    tally.finish()
    tally.seconds = seconds - 0.25
    return tally


def make_report(where: str = "ws://127.0.0.1/", **given: Any) -> dict[str, Any]:
    """Make the report of such a run."""
    options = make_options(messages=None, duration=3.0)
    return build_report(make_tally(**given), options, where)
