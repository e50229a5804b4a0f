"""Which thread runs; in the compiled build, ``threads.pxd`` replaces this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.monkey import get_original

# In a patched process, _thread.get_ident() numbers greenlets: each has a number of its own. To ask
# for the original patches nothing.
get_ident: Callable[[], int] = get_original("_thread", "get_ident")

#: Makes a lock that blocks the thread, and not only a greenlet.
make_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")

#: Has the thread sleep, and not only a greenlet.
sleep: Callable[[float], None] = get_original("time", "sleep")

#: Starts a thread of the system, and not a greenlet; returns its number.
start: Callable[..., int] = get_original("_thread", "start_new_thread")
