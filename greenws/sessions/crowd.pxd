cimport cython

cimport greenws.native.ticks as ticks
from greenws.sessions.clock cimport Alarm
from greenws.sessions.rota cimport Rota

cdef int _MAX_CALM_TURNS
cdef Py_ssize_t _CHAIN
cdef Py_ssize_t _LOOK
cdef Py_ssize_t _BURST
cdef double _TURN_TIME
cdef double _EACH
cdef double _MAX_TURN_TIME
cdef double _PATIENCE


cdef class Member(Alarm):
    # What every message touches stands together: with thousands of connections, what is read from
    # memory is most of the cost.
    cdef object _greenlet
    cdef object _hub
    cdef Crowd _crowd
    cdef bint _is_parked
    cdef bint _is_resting
    cdef bint _is_listed

    cdef _park(self)
    @cython.locals(following=Member)
    cdef _park_again(self)
    cpdef _resume(self)


cdef class Crowd:
    cdef list _ready
    cdef Py_ssize_t _next
    cdef Py_ssize_t _wakes
    cdef int _size
    cdef int _calm_turns
    cdef double _began
    cdef double _began_work
    cdef double _turn_time
    cdef object _check
    cdef Rota _rota
    cdef object _loop
    cdef object _timer
    cdef bint _is_late
    cdef readonly bint is_crowded

    cdef bint wake(self, Member member) except -1
    @cython.locals(ready=list, member=Member)
    cdef Member pick(self)
    @cython.locals(wakes=Py_ssize_t)
    cpdef end_turn(self)
    cdef _gather(self)
    @cython.locals(spent=double)
    cdef bint _is_over(self) except -1
    cdef bint _may_put_off(self) except -1
    cdef _arm(self)
    cdef _disarm(self)
    cpdef _resume_late(self)
    cpdef disperse(self)
    @cython.locals(member=Member)
    cpdef clear(self)
    @cython.locals(ready=list, member=Member)
    cpdef _resume_ready(self)
