"""The end of a turn of the loop: what was queued during the turn leaves when it ends.

On libev a prepare watcher flushes. gevent's own prepare watcher runs the callbacks and greenlets of
the turn; ours has a lower priority, and so comes after that, right before the loop waits. libuv has
no priorities, so the turn schedules a callback there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from gevent import get_hub

from ..native import ticks
from .clock import Loop, Watcher, close_watcher
from .crowd import Crowd
from .rota import Rota

# Buffers that a pool keeps. Sessions take turns with a few of them: a session hands its
# buffer back as soon as the frames have left, when it parks or with its batch.
_MAX_POOLED = 16

# Bytes of a payload, and of a buffer, from which on a pool keeps one buffer only; and bytes of the
# largest such buffer. Larger frames are sent slice by slice.
_LARGE = 16 * 1024
_LARGEST = 512 * 1024

# Sessions of a crowd whose frames leave together. To send after each read takes the kernel and the
# server more: with 2,000 connections an echo costs 10 % more CPU time, with 500 some 4 %.
_BATCH = 16

# Seconds of flushing in one turn, and items between two looks at the clock: an item is a system
# call of some 10 us. When 9,000 connections are closed at once, that is a tenth of a second.
_FLUSH_TIME = 0.008
_LOOK = 32


class Flushable:
    """Something that has bytes to hand over. To be subclassed."""

    __slots__ = ("is_dirty",)

    def __init__(self) -> None:
        #: Whether the item is queued to be flushed at the end of the turn.
        self.is_dirty: bool = False

    def flush(self) -> None:
        """Hand over what is queued, as far as it is taken."""
        raise NotImplementedError


class BufferPool:
    """Buffers for frames, lent to the sessions of one hub. The buffer that came back last is still
    in the cache, and an idle connection has no buffer.

    A buffer keeps its bytes, which mean nothing: to empty it would have its memory given back, and
    asked for again by the next frame.
    """

    __slots__ = ("_buffers", "_large")

    def __init__(self) -> None:
        self._buffers: list[bytearray] = []
        # One for the next large frame; or None.
        self._large: bytearray | None = None

    def take(self, size: int) -> bytearray:
        """Return a buffer for a frame, which has to take the place of the bytes that are in it.

        :param size: of the payload.
        """
        if size >= _LARGE:
            buffer, self._large = self._large, None
            return bytearray() if buffer is None else buffer
        buffers = self._buffers
        return buffers.pop() if buffers else bytearray()

    def clear(self) -> None:
        """Keep no buffer."""
        self._buffers.clear()
        self._large = None

    def put(self, buffer: bytearray) -> None:
        """Take a buffer back whose bytes have left."""
        size = len(buffer)
        if size < _LARGE:
            if len(self._buffers) < _MAX_POOLED:
                self._buffers.append(buffer)
        elif size <= _LARGEST:
            self._large = buffer


class Turn:
    """The turns of one loop.

    :param loop: gevent's loop.
    :param prepare: a watcher of the loop that is called when a turn ends; None: there is none.
    :param crowd: told of the end of each turn; likewise ``rota``.
    """

    __slots__ = (
        "_crowd",
        "_is_armed",
        "_is_flushing",
        "_loop",
        "_nudge",
        "_prepare",
        "_queued",
        "_rota",
    )

    def __init__(self, loop: Loop, prepare: Watcher, crowd: Crowd, rota: Rota) -> None:
        self._loop = loop
        self._prepare = prepare
        self._crowd = crowd
        self._rota = rota
        self._nudge = loop.timer(0)
        self._queued: list[Flushable] = []
        # Whether the end of this turn will be seen: _end or _flush_once is going to be called.
        self._is_armed = False
        self._is_flushing = False

    def start(self) -> None:
        """See the end of every turn from now on.

        Called before there is a frame: a watcher that is started by a callback misses the end of
        that turn, and the loop would sleep with the frame unsent.
        """
        if self._prepare is not None and not self._is_armed:
            self._is_armed = True
            self._prepare.start(self._end)

    def stop(self) -> None:
        """Watch for no more ends of turns: no session is left that could send."""
        if self._prepare is not None and self._is_armed:
            self._prepare.stop()
            self._is_armed = False
            self._queued.clear()
            self._crowd.disperse()

    def clear(self) -> None:
        """Forget what is queued: this process is a forked child, and the queues its parent's."""
        self._queued.clear()
        self._crowd.clear()

    def close(self) -> None:
        """Forget what is queued, for good: the loop is over."""
        self._queued.clear()
        self._crowd.close()
        close_watcher(self._nudge)
        if self._prepare is not None:
            close_watcher(self._prepare)

    def flush_later(self, item: Flushable) -> None:
        """Have ``item`` flushed before this turn of the loop is over."""
        self._queued.append(item)
        if not self._is_armed:
            self._is_armed = True
            self._loop.run_callback(self._flush_once)

    def unqueue(self, item: Flushable) -> None:
        """Forget ``item``, which is flushed now, if it was queued last. Among thousands, a second
        look at it would find it in no cache.
        """
        queued = self._queued
        if queued and queued[len(queued) - 1] is item:
            queued.pop()

    def flush_batch(self) -> None:
        """Flush if a batch of items is queued. The rest leaves at the end of the turn."""
        if len(self._queued) >= _BATCH:
            self._flush_all()

    def run_callback(self, function: Callable[[], object]) -> None:
        """Have the hub call ``function`` soon, also after this turn has run its callbacks."""
        self._loop.run_callback(function)
        self.stay_awake()

    def stay_awake(self) -> None:
        """Do not let the loop sleep on a callback that was scheduled while flushing.

        The callbacks of this turn have run by then, and libev would look at the new one only
        when something else happens.
        """
        if self._is_flushing:
            self._nudge.start(_do_nothing)

    def _flush_once(self) -> None:
        self._is_armed = False
        self._flush_all()

    def _end(self) -> None:
        self._crowd.end_turn()
        self._rota.begin_turn()
        if self._queued:
            self._flush_all()

    def _flush_all(self) -> None:
        queued, self._queued = self._queued, []
        self._is_flushing = True
        began = ticks.precise() if len(queued) > _LOOK else 0.0
        done = 0
        for item in queued:
            if began and done and not done % _LOOK and ticks.precise() - began >= _FLUSH_TIME:
                self._postpone(queued[done:])
                break
            done += 1
            if not item.is_dirty:  # it was flushed when its session parked
                continue
            try:
                item.flush()
            except BaseException:
                # The failure is that item's, or a signal handler's. The hub reports it, to the main
                # greenlet if it is meant to end the process; the others go on.
                get_hub().handle_error(item, *sys.exc_info())
        self._is_flushing = False
        if self._queued and self._prepare is not None:
            # Some are left for the next turn, or a signal handler has queued more meanwhile.
            self._nudge.start(_do_nothing)

    def _postpone(self, items: list[Flushable]) -> None:
        """Have the items flushed in the next turn, first of all."""
        self._queued[:0] = items
        if not self._is_armed:
            self._is_armed = True
            self._loop.run_callback(self._flush_once)


def _do_nothing() -> None:
    """Be the callback of a timer that only has to fire."""
