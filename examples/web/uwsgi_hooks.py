"""The hooks of uWSGI, which uwsgi.ini imports."""

from __future__ import annotations

import signal

import gevent
import uwsgi
from feed import feed
from uwsgidecorators import postfork

import greenws


def begin() -> None:
    """Begin, in the worker."""
    feed.start()
    gevent.spawn(wait_for_stop)


def wait_for_stop() -> None:
    """End the streams when the worker is to stop; uWSGI sends it SIGHUP."""
    # In a greenlet, which has its first turn when uWSGI has set its own handler: both are called.
    gevent.signal_handler(signal.SIGHUP, feed.end_streams)


# uWSGI calls this when the requests under way have ended, also with --gevent, where it runs none of
# Python's own atexit. It may call it twice.
uwsgi.atexit = greenws.drain

if "lazy-apps" in uwsgi.opt:
    begin()  # the fork has been
else:
    postfork(begin)
