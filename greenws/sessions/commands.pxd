cimport cython

cimport greenws.native.ticks as ticks
from greenws.sessions.clock cimport Clock
from greenws.sessions.crowd cimport Crowd
from greenws.sessions.inbox cimport Inbox
from greenws.sessions.lifecycle cimport Lifecycle
from greenws.sessions.outbox cimport Outbox
from greenws.sessions.reactor cimport Deputy, HubSession, Reactor
from greenws.sessions.schedule cimport Schedule
from greenws.sessions.transport cimport Transport

cdef double NEVER


cdef class CommandedSession(HubSession):
    # What every message touches stands together, as in Member.
    cdef Lifecycle _life
    cdef Inbox _inbox
    cdef Outbox _outbox
    cdef Schedule _schedule
    cdef bint _attention
    cdef bint _is_held
    cdef bint _is_left
    cdef bint _has_paused
    cdef Deputy _deputy

    cdef double _start_time
    cdef object _approach
    cdef object _given
    cdef object _reference
    cdef object _kept
    cdef object _failure

    cdef _get_websocket(self)
    cdef bint _has_websocket(self) except -1
    @cython.locals(due=double)
    cdef _arm(self)
    cdef _wake(self)
    cpdef _resume(self)
    cpdef close(self)
    cdef _fail(self, reason)
    cdef bint _is_over(self) except -1
    cdef _let_go(self)
    cdef _close_transport(self, Transport transport)
    cpdef _release(self)
    cdef bint _hand_over(self) except -1
    @cython.locals(reactor=Reactor)
    cdef _leave(self)
