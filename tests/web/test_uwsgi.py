"""uWSGI with --gevent, and the applications of examples/web."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.webs import EXAMPLES, FRAMEWORKS, is_installed, live, run_together

# One that was built for another Python cannot import what is installed for this one.
PROGRAM = Path(sys.executable).with_name("uwsgi")

pytestmark = [
    pytest.mark.timeout(180),  # a dozen processes
    pytest.mark.skipif(not PROGRAM.exists(), reason="uWSGI is not installed"),
    pytest.mark.skipif(not FRAMEWORKS, reason="neither Flask nor Django nor Pyramid is installed"),
]


def uwsgi(folder: Path, application: str, *options: str) -> Callable[[int], list[object]]:
    """Make the command, with the configuration of the examples but for the address."""

    def build(port: int) -> list[object]:
        text = (EXAMPLES / "uwsgi.ini").read_text()
        assert "127.0.0.1:8000" in text
        configuration = folder / f"{port}.ini"
        configuration.write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
        command = [PROGRAM, "--ini", configuration, "--virtualenv", sys.prefix]
        if is_installed("pyuwsgi"):  # uWSGI as a module: a reload has to know by which Python
            command += ["--binary-path", sys.executable]
        return [*command, "--module", application, *options]

    return build


def test_workers_live_reload_and_end_in_good_order(tmp_path: Path) -> None:
    commands = {name: uwsgi(tmp_path, f"{name}_app:app") for name in FRAMEWORKS}
    # Each worker imports the application itself.
    commands["lazy"] = uwsgi(tmp_path, f"{FRAMEWORKS[0]}_app:app", "--lazy-apps")
    run_together(
        {
            name: partial(live, command, tmp_path, workers=2, can_reload=True)
            for name, command in commands.items()
        }
    )
