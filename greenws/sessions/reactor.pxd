cimport cython

cimport greenws.native.buffers as buffers
from greenws.sessions.busypoll cimport BusyPoll
from greenws.sessions.clock cimport Clock
from greenws.sessions.crowd cimport Crowd, Member
from greenws.sessions.rota cimport Rota
from greenws.sessions.turn cimport BufferPool, Turn


cdef class HubSession(Member):
    # What every message touches stands together, as in Member.
    cdef Reactor _reactor

    cpdef _detach(self)
    cpdef _abandon(self)
    cpdef _expire(self)


cdef class Deputy:
    cpdef bint may_rest(self) except -1
    cpdef resume(self)
    cpdef Py_ssize_t take_found(self) except? -2
    cpdef bint halt(self) except -1
    cpdef bint read_on(self) except -1


cdef class Reactor:
    cdef readonly object loop
    cdef readonly object hub
    cdef object _process
    cdef readonly Clock clock
    cdef readonly Crowd crowd
    cdef readonly Turn turn
    cdef readonly Rota rota
    cdef readonly BufferPool pool
    cdef readonly BusyPoll busy_poll
    cdef readonly bytearray buffer
    cdef readonly object view
    cdef public Py_ssize_t read_size
    cdef public object holder
    cdef readonly bint is_libuv
    cdef readonly set sessions
    cdef public object spare_ticket

    @cython.locals(holder=HubSession)
    cpdef borrow(self, session)
    cpdef give_back(self, session)
    cpdef bint is_over(self) except -1
    cpdef add(self, session)
    cpdef remove(self, session)
    cpdef note_pause(self)
    cpdef bint note_read(self, Py_ssize_t size, double seconds) except *


cpdef get_reactor()
