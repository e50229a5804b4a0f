"""gunicorn's gevent worker with the applications of examples/web, and other ways to begin."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gevent
import pytest

from tests.support.waiting import wait_until
from tests.support.webs import FRAMEWORKS, LONG, Site, Upstream, live, needs, run_together, serving

pytestmark = [needs("gunicorn"), pytest.mark.timeout(180)]  # a dozen processes

# The application of a test: plain WSGI, with one page.
PAGE = """
import feed as _module
from feed import feed

def app(environ, start_response):
    view = feed.health if environ["PATH_INFO"] == "/health" else lambda: feed.quote("ABC")
    status, answer = view()
    start_response(f"{status} as it is", [("Content-Type", "application/json")])
    return [__import__("json").dumps(answer).encode()]
"""


def gunicorn(application: str, *options: object) -> Callable[[int], list[object]]:
    """Make the command; gunicorn.conf.py of the examples is its configuration by default."""
    return lambda port: [
        sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", *options, application
    ]  # fmt: skip


@pytest.mark.skipif(not FRAMEWORKS, reason="neither Flask nor Django nor Pyramid is installed")
@pytest.mark.skipif(
    "libev" not in type(gevent.get_hub().loop).__module__,
    reason="on libuv gunicorn resets what it accepts at the instant of its stop",
)
def test_workers_live_reload_and_end_in_good_order(tmp_path: Path) -> None:
    run_together(
        {
            name: partial(live, gunicorn(f"{name}_app:app"), tmp_path, workers=2, can_reload=True)
            for name in FRAMEWORKS
        }
    )


def run(
    folder: Path,
    name: str,
    *options: str,
    page: str = "",
    hooks: str | None = None,
    check: Callable[[Site, Upstream], object] | None = None,
    connections: int = 1,
    end: int = signal.SIGTERM,
) -> None:
    """Run one worker until a signal.

    :param page: what the module of the application has beyond PAGE.
    :param hooks: the configuration; None: that of the examples.
    :param check: called when the worker is ready.
    :param connections: how many there are in all.
    """
    (folder / f"{name}.py").write_text(PAGE + page)
    if hooks is not None:
        configuration = folder / f"{name}.conf.py"
        configuration.write_text('worker_class = "gevent"\n' + textwrap.dedent(hooks))
        options = ("-c", str(configuration), *options)
    with serving(gunicorn(f"{name}:app", "-w", 1, *options), folder) as (site, upstream):
        site.wait_healthy()
        assert site.quote() == 200
        if check is not None:
            check(site, upstream)
        site.send_signal(end)
        site.wait_end()
        upstream.wait_end()
        upstream.check_codes([1001] * connections)
        site.check_quiet()


BEGIN_IN_POST_FORK = """
    def post_fork(server, worker):
        from feed import feed
        feed.start()
"""


def use_up(site: Site, upstream: Upstream) -> None:
    """Make requests until the worker is replaced."""
    while upstream.count == 1:
        assert site.quote() == 200
    upstream.wait_open(1, 2)


def elect(folder: Path) -> None:
    """Have two workers share one connection, and end the one that has it."""
    page = "import os\nfeed.websocket.add_header(b'X-Pid', str(os.getpid()).encode())\n"
    page += "print('loaded', flush=True)\n"
    (folder / "elected.py").write_text(PAGE + page)
    command = gunicorn("elected:app", "-c", "elected.conf.py", "-e", f"FEED_LOCK={folder}/lock")
    with serving(command, folder) as (site, upstream):
        upstream.wait_open(1, 1)
        (pid,) = upstream.headers("x-pid")
        assert pid is not None
        os.kill(int(pid), signal.SIGTERM)
        upstream.wait_open(1, 2)
        # gunicorn forgets a signal for a worker that has just been forked.
        wait_until(lambda: site.log.count("loaded") == 3, LONG)
        site.send_signal(signal.SIGTERM)
        site.wait_end()
        upstream.wait_end()
        upstream.check_codes([1001] * 2)
        assert len(set(upstream.headers("x-pid"))) == 2


def test_each_way_to_begin_and_to_end_has_one_connection_a_worker(tmp_path: Path) -> None:
    begin = "\nfeed.start()\n"
    run_together(
        {
            # Without a hook, the exit of the interpreter closes the connection.
            "imported": partial(run, tmp_path, "imported", page=begin, hooks=""),
            "interrupted": partial(
                run, tmp_path, "interrupted", page=begin, hooks="", end=signal.SIGINT
            ),
            "post_fork": partial(run, tmp_path, "post_fork", hooks=BEGIN_IN_POST_FORK),
            "preloaded": partial(run, tmp_path, "preloaded", "--preload"),
            # What was begun in the master has ended in the worker, and the hook begins anew.
            "begun_in_master": partial(run, tmp_path, "begun_in_master", "--preload", page=begin),
            # The master has a connection of its own then.
            "ready_in_master": partial(
                run, tmp_path, "ready_in_master", "--preload",
                page=begin + "assert feed.wait_ready(10)\n", connections=2,
            ),
            "elected": partial(elect, tmp_path),
            "used_up": partial(
                run, tmp_path, "used_up", "--max-requests", "20", check=use_up, connections=2
            ),
        }
    )  # fmt: skip
