"""The hooks of gunicorn: ``gunicorn flask_app:app`` in this folder."""

from __future__ import annotations

from typing import Any

import gevent

import greenws

bind = "127.0.0.1:8000"
worker_class = "gevent"
workers = 2
graceful_timeout = 30


def post_worker_init(worker: Any) -> None:
    """Begin, in the worker: its process is patched, and has loaded the application."""
    # Not at the top of this file: that is run in the master, before anything is patched.
    from feed import feed

    feed.start()
    gevent.spawn(wait_for_stop, worker, feed)


def wait_for_stop(worker: Any, feed: Any) -> None:
    """End the streams when the worker is to stop: for SIGTERM, SIGHUP and max_requests."""
    # gunicorn has no hook for this. Its own loop looks once a second, too.
    while worker.alive:
        gevent.sleep(0.5)
    feed.end_streams()


def worker_exit(server: Any, worker: Any) -> None:
    """Close the connection, when the requests under way have ended."""
    greenws.drain(timeout=5)
