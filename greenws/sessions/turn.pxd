cimport cython

cimport greenws.native.ticks as ticks
from greenws.sessions.crowd cimport Crowd
from greenws.sessions.rota cimport Rota

cdef Py_ssize_t _MAX_POOLED
cdef Py_ssize_t _LARGE
cdef Py_ssize_t _LARGEST
cdef Py_ssize_t _LOOK
cdef Py_ssize_t _BATCH
cdef double _FLUSH_TIME


cdef class Flushable:
    cdef readonly bint is_dirty

    cpdef flush(self)


cdef class BufferPool:
    cdef list _buffers
    cdef bytearray _large

    @cython.locals(buffers=list, buffer=bytearray)
    cdef bytearray take(self, Py_ssize_t size)
    cdef clear(self)
    @cython.locals(size=Py_ssize_t)
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

    cpdef start(self)
    cpdef stop(self)
    cpdef flush_later(self, Flushable item)
    @cython.locals(queued=list)
    cdef unqueue(self, Flushable item)
    cdef flush_batch(self)
    cpdef run_callback(self, function)
    cpdef stay_awake(self)
    cpdef _end(self)
    @cython.locals(queued=list, item=Flushable, began=double, done=Py_ssize_t)
    cpdef _flush_all(self)
