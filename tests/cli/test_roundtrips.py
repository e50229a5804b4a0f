"""Pings, their pongs, and the time between."""

from __future__ import annotations

import pytest

from greenws.cli.roundtrips import RoundTrips
from greenws.errors import WebSocketUnavailable


def test_round_trip_is_measured_once() -> None:
    sent: list[bytes] = []
    trips = RoundTrips(sent.append)
    assert trips.describe() == ""
    trips.ping()
    assert trips.take(b"other") is None
    taken = trips.take(sent[0])
    assert taken is not None and taken >= 0
    assert trips.take(sent[0]) is None
    assert trips.describe().startswith("1 of 1 pings were answered: min ")


def test_pong_of_the_latest_ping_settles_those_before() -> None:
    sent: list[bytes] = []
    trips = RoundTrips(sent.append)
    for _ in range(4):
        trips.ping()
    assert trips.take(sent[2]) is not None
    assert trips.take(sent[0]) is None
    assert trips.take(sent[3]) is not None
    assert trips.describe().startswith("2 of 4 pings were answered: ")


def test_ping_that_could_not_be_sent_does_not_count() -> None:
    def refuse(payload: bytes) -> None:
        raise WebSocketUnavailable("not connected")

    trips = RoundTrips(refuse)
    with pytest.raises(WebSocketUnavailable):
        trips.ping()
    assert trips.describe() == ""
