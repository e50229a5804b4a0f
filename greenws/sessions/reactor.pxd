cimport cython


cdef class Reactor:
    cdef readonly object loop
    cdef readonly bytearray buffer
    cdef readonly object view
    cdef public object holder
    cdef readonly set sessions
    cdef list _queued
    cdef bint _is_armed
    cdef bint _is_flushing
    cdef object _prepare
    cdef object _nudge

    cpdef borrow(self, session)
    cpdef give_back(self, session)
    cpdef flush_later(self, session)
    @cython.locals(queued=list)
    cpdef _flush(self)
    cpdef stay_awake(self)
