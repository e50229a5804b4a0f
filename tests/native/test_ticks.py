"""The clocks that are cheap to look at."""

from __future__ import annotations

from time import monotonic, time
from typing import Any

import greenws
from tests.support.loopback import LoopbackServer
from tests.support.peer import accept_and_echo
from tests.support.pure import load_pure

twin: Any = load_pure("native.ticks")


def test_clocks_of_the_pure_build_are_those_of_python() -> None:
    before, now, after = monotonic(), twin.now(), monotonic()
    assert before <= now <= after
    before, now, after = monotonic(), twin.precise(), monotonic()
    assert before <= now <= after
    before, now, after = time(), twin.epoch(), time()
    assert before <= now <= after


def test_events_have_the_time_of_python() -> None:
    """In the compiled build, a clock of C."""
    with LoopbackServer(accept_and_echo) as server:
        websocket = greenws.WebSocket(server.url)
        for event in websocket:
            if event.name == "ready":
                before = time()
                websocket.send_text("now")
            elif event.name == "text":
                # Both clocks are the system's; Python's may have been rounded.
                assert before - 0.001 <= event.received_time <= time() + 0.001
                websocket.close()
