cimport cython

from greenws.protocol.traffic cimport Traffic
from greenws.sessions.transport cimport Transport

cdef Py_ssize_t _NOTHING
cdef int _BURST


cdef class Inbox:
    # What every message touches stands together.
    cdef readonly Transport transport
    cdef readonly bint is_dry
    cdef bint _is_buffering
    cdef bint _is_flowing
    cdef bint _is_watching
    cdef int _burst
    cdef Traffic _traffic
    cdef Py_ssize_t _streak
    cdef object _watcher

    cpdef open(self, Transport transport, loop)
    cpdef close(self)
    cdef watch(self, callback, bint is_libuv)
    cpdef unwatch(self)
    cpdef bint has_bytes(self) except -1
    cdef bint take_flow(self) noexcept
    cdef note_handled(self, Py_ssize_t size, bint was_quick, Py_ssize_t limit)
    @cython.locals(transport=Transport)
    cdef Py_ssize_t read(self, view, Py_ssize_t size) except? -2
