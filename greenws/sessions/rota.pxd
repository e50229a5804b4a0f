cimport cython

cimport greenws.native.ticks as ticks
from greenws.protocol.allowance cimport Allowance

cdef double _TURN
cdef double _LONGEST_TURN
cdef int _MAX_GRANT
cdef double _MOVE


cdef class Rota(Allowance):
    cdef object _loop
    cdef object _timer
    cdef object _waiting
    cdef double _began
    cdef double _looked
    cdef double _began_work
    cdef int _grant
    cdef bint _is_told

    cpdef begin_turn(self)
    @cython.locals(now=double)
    cpdef bint is_over(self) except -1
    @cython.locals(now=double)
    cpdef int grant(self) except -1
    cdef bint _has_worked(self, double now) except -1
    cdef _begin(self, double now)
    cdef _arm(self)
    cdef _disarm(self)
