cimport cython

cimport greenws.native.ticks as ticks
cimport greenws.sessions.threads as threads
from greenws.protocol.frame cimport append_frame
from greenws.protocol.traffic cimport Traffic
from greenws.sessions.clock cimport Clock
from greenws.sessions.lifecycle cimport Lifecycle
from greenws.sessions.reactor cimport Reactor
from greenws.sessions.transport cimport Transport
from greenws.sessions.turn cimport Flushable, Turn

cdef int READY
cdef Py_ssize_t _FLUSH_SIZE
cdef Py_ssize_t _BULK
cdef int _CLOSE


cdef class Outbox(Flushable):
    # What every message touches stands together.
    cdef Lifecycle _life
    cdef Reactor _reactor
    cdef readonly Transport transport
    cdef bytearray _queue
    cdef object _behind
    cdef Py_ssize_t _write_limit
    cdef object _watcher
    cdef object _waiters
    cdef unsigned long long _taken
    cdef Traffic _traffic
    cdef bint _is_buffering
    cdef bint _is_reserved
    cdef readonly bint is_stalled
    cdef public bint is_awaited

    cdef Py_ssize_t _passed
    cdef readonly double taken_at
    cdef readonly bint has_failed
    cdef object _last_words
    cdef object _streamer
    cdef object _passing
    cdef object _alarm
    cdef object _send_timeout

    cpdef open(self, Transport transport, Reactor reactor, alarm)
    cpdef close(self)
    cpdef clear(self)
    @cython.locals(life=Lifecycle, queue=bytearray, size=Py_ssize_t)
    cpdef put(self, int opcode, payload, bint rsv1)
    cpdef put_bytes(self, data)
    cdef _append_bulk(self, frame)
    @cython.locals(queue=bytearray)
    cdef _append(self, int opcode, payload, bint rsv1, bint fin=*)
    cdef _flush_later(self)
    cdef bytearray _find_end(self)
    cdef bytearray _take_behind(self)
    @cython.locals(transport=Transport, is_left=bint)
    cpdef flush(self)
    @cython.locals(queue=bytearray, is_left=bint)
    cdef bint _hand_over(self, Transport transport) except -1
    cdef _release_next(self)
    cdef _release_all(self)
    cdef _unwatch(self)
