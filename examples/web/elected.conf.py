"""One connection for all workers of a host: ``gunicorn -c elected.conf.py flask_app:app``.

The worker that has the lock has the connection; when it ends, another worker takes over. This is
for what is to be done once, such as writing ticks into a database. The others have no ticks: where
all of them need some, have the connection in a process of its own.
"""

from __future__ import annotations

import fcntl
import os
from typing import Any

import gevent

worker_class = "gevent"
workers = 2


def post_worker_init(worker: Any) -> None:
    """Take part in the election."""
    gevent.spawn(begin_once, worker)


def begin_once(worker: Any) -> None:
    """Wait for the lock, which the system takes from a process that ends, and begin."""
    from feed import feed

    # The worker keeps the file open.
    lock = worker.feed_lock = open(os.environ.get("FEED_LOCK", "feed.lock"), "w")  # noqa: SIM115
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            gevent.sleep(1)
        if not worker.alive:
            return  # the other one stops, and so does this one
    feed.start()
    while worker.alive:
        gevent.sleep(0.5)
    feed.end_streams()
