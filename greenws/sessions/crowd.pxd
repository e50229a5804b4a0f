cimport cython

from greenws.sessions.clock cimport Alarm

cdef int _MAX_CALM_TURNS
cdef Py_ssize_t _CHAIN


cdef class Member(Alarm):
    # What every message touches stands together: with thousands of connections, what is read from
    # memory is most of the cost.
    cdef object _greenlet
    cdef object _hub
    cdef Crowd _crowd
    cdef bint _is_parked

    @cython.locals(following=Member)
    cdef _park(self)
    cpdef _resume(self)


cdef class Crowd:
    cdef list _ready
    cdef Py_ssize_t _next
    cdef Py_ssize_t _wakes
    cdef int _size
    cdef int _calm_turns
    cdef object _check
    cdef readonly bint is_crowded

    cdef bint wake(self, Member member) except -1
    @cython.locals(ready=list, member=Member)
    cdef Member pick(self)
    @cython.locals(wakes=Py_ssize_t)
    cpdef end_turn(self)
    cpdef disperse(self)
    cpdef clear(self)
    @cython.locals(ready=list, member=Member)
    cpdef _resume_ready(self)
