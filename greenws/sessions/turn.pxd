cimport cython

from greenws.sessions.crowd cimport Crowd
from greenws.sessions.rota cimport Rota

cdef Py_ssize_t _MAX_POOLED


cdef class Flushable:
    cdef readonly bint is_dirty

    cpdef flush(self)


cdef class BufferPool:
    cdef list _buffers

    @cython.locals(buffers=list)
    cdef bytearray take(self)
    cdef put(self, bytearray buffer)


cdef class Turn:
    cdef Crowd _crowd
    cdef Rota _rota
    cdef list _queued
    cdef bint _is_armed
    cdef bint _is_flushing
    cdef object _loop
    cdef object _prepare
    cdef object _nudge

    cpdef flush_later(self, Flushable item)
    cpdef stay_awake(self)
    cpdef _end(self)
    @cython.locals(queued=list, item=Flushable)
    cpdef _flush_all(self)
