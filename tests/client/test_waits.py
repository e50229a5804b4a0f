"""Waits of any length, also those without an end, on any loop."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

import greenws
from greenws.testing import EchoServer
from tests.support.waiting import PATIENCE, wait_until

ENDLESS = [float("inf"), 1e300, 1e18]


@pytest.mark.parametrize("seconds", ENDLESS)
def test_waits_of_any_length_can_be_given_to_any_loop(server: EchoServer, seconds: float) -> None:
    """libuv counts milliseconds, in 64 bits."""
    limits: Any = {"ping_rate": seconds, "ping_timeout": seconds, "close_timeout": seconds}
    with greenws.connect(server.url, **limits) as connection:
        connection.send("x")
        assert connection.receive(seconds) == "x"
        assert connection.ping(seconds) >= 0
        assert connection.request("y", match=lambda event: True, timeout=seconds).name == "text"
    client = greenws.Client(server.url, poll=seconds, **limits).start()
    assert client.wait_ready(seconds)
    client.close()
    client.join(seconds)
    assert not client.is_running
    with greenws.ClientGroup() as group:
        group.add(greenws.Client(server.url))
        assert group.wait_ready(seconds)
        assert group.drain(seconds) == 0
        group.join(seconds)
    late = greenws.Client(server.url).start()
    assert late.wait_ready(seconds)
    assert greenws.drain(seconds) == 0


@pytest.mark.parametrize("seconds", ENDLESS)
def test_back_off_of_any_length_waits(seconds: float) -> None:
    backing_off: list[float] = []

    class Patient(greenws.Client):
        reconnect = greenws.Backoff(min_wait=seconds, max_wait=seconds, jitter=0)

        def on_connect_fail(self, event: Any) -> None:
            """Not a word."""

        def on_back_off(self, event: Any) -> None:
            backing_off.append(event.delay)

    client = Patient("ws://127.0.0.1:1/", proxies={}).start()
    wait_until(lambda: backing_off)
    gevent.sleep(0.01)
    assert client.is_running
    client.close()
    client.join(PATIENCE)
    assert backing_off == [seconds]
    waits = greenws.persist(
        greenws.WebSocket("ws://127.0.0.1:1/", proxies={}), min_wait=seconds, max_wait=seconds
    )
    waiting = gevent.spawn(list, waits)
    gevent.sleep(0.01)
    assert not waiting.ready()
    waiting.kill()
