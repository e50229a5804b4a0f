cimport cython

from greenws.sessions.clock cimport Clock
from greenws.sessions.crowd cimport Crowd
from greenws.sessions.inbox cimport Inbox
from greenws.sessions.lifecycle cimport Lifecycle
from greenws.sessions.outbox cimport Outbox
from greenws.sessions.reactor cimport Deputy, HubSession, Reactor
from greenws.sessions.schedule cimport Schedule

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
    cdef Deputy _deputy

    cdef double _start_time
    cdef object _approach
    cdef object _given
    cdef object _reference
    cdef object _kept
    cdef object _failure

    @cython.locals(due=double)
    cdef _arm(self)
    cpdef _resume(self)
