cimport cython

cimport greenws.sessions.threads as threads

cdef int _READY
cdef int _FAILED
cdef int _ENDED
cdef int _FORKED


# It refers to nothing that could refer back.
@cython.no_gc
cdef class Lifecycle:
    cdef readonly int state
    cdef readonly bint is_upgraded
    cdef public unsigned long long thread
    cdef readonly object errors
    cdef readonly object reason
    cdef public object close_code
    cdef public object close_reason
    cdef public object sent_code
    cdef public bytes sent_reason

    @cython.locals(mask=cython.int)
    cpdef step(self, int state)
    cpdef bint has_ended(self) noexcept
    cpdef bint is_forked(self) noexcept
    cpdef reason_of_peer(self)
    cpdef bint is_shaken(self) noexcept
    cpdef bint is_elsewhere(self) noexcept
