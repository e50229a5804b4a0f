cimport cython

cimport greenws.native.ticks as ticks
cimport greenws.sessions.threads as threads
from greenws.sessions.clock cimport Alarm
from greenws.sessions.reactor cimport Reactor

cdef Py_ssize_t _LARGE


cdef class Ticket(Alarm):
    cdef readonly bint is_settled
    cdef readonly object value
    cdef object _error
    cdef object _greenlet
    cdef Reactor _reactor
    cdef bint _is_late

    cpdef take(self, value)
    cpdef settle(self, value)
    cpdef fail(self, error)
    cpdef wait(self, Reactor reactor, timeout=*)
    cpdef wake(self)
    cpdef reset(self)


cdef class Gate:
    cdef object _reactor
    cdef object _ticket


cdef class Mailbox:
    cdef readonly Reactor reactor
    cdef object _queue
    cdef object _line
    cdef unsigned long _thread
    cdef Py_ssize_t _max_messages
    cdef long long _max_bytes
    cdef Py_ssize_t _low
    cdef long long _large
    cdef long long _size
    cdef object _end
    cdef object _valve
    cdef object _owner
    cdef bint _is_open
    cdef bint _is_wanting
    cdef bint _has_requests
    cdef bint _is_called_by_hub
    cdef Ticket _first_called
    cdef public object piecemeal

    cpdef begin_calls(self)
    cpdef end_calls(self)
    cpdef bint is_alone(self) except -1
    cpdef accept(self, message)
    cpdef put(self, message, long long size)
    @cython.locals(ticket=Ticket)
    cdef _hand_over(self, message)
    @cython.locals(is_room=bint, size="long long")
    cpdef take(self, timeout)
    @cython.locals(reactor=Reactor, ticket=Ticket)
    cdef _wait(self, timeout)
    cpdef stand_in_line(self, Ticket ticket)
    cpdef wait(self, Ticket ticket, timeout)
    cpdef resume(self)


cpdef measure(message)
