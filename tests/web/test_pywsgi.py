"""gevent's pywsgi with the applications of examples/web."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.webs import FRAMEWORKS, live, run_together, serving

pytestmark = pytest.mark.skipif(
    not FRAMEWORKS, reason="neither Flask nor Django nor Pyramid is installed"
)


def pywsgi(application: str) -> Callable[[int], list[object]]:
    return lambda port: [sys.executable, "pywsgi_server.py", application, port]


def test_process_lives_and_ends_in_good_order(tmp_path: Path) -> None:
    run_together(
        {
            name: partial(live, pywsgi(f"{name}_app:app"), tmp_path, workers=1, can_reload=False)
            for name in FRAMEWORKS
        }
    )


def test_connection_of_a_browser_that_is_kept_alive_does_not_hold_up_the_end(
    tmp_path: Path,
) -> None:
    with serving(pywsgi(f"{FRAMEWORKS[0]}_app:app"), tmp_path) as (site, upstream):
        site.wait_healthy()
        with site.open("/health", version="1.1") as idle:
            idle.read_until("\r\n\r\n")
            site.send_signal(signal.SIGINT)
            site.wait_end()
        upstream.wait_end()
        upstream.check_codes([1001])
