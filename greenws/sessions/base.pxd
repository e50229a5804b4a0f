cimport cython

cimport greenws.native.threads as threads
from greenws.protocol.stream cimport Stream
from greenws.sessions.clock cimport Clock
from greenws.sessions.reactor cimport Reactor
from greenws.sessions.sending cimport Sender
from greenws.sessions.transport cimport Transport

cdef double NEVER
cdef Py_ssize_t HEADROOM
cdef Py_ssize_t _OPENING_READ_SIZE
cdef Py_ssize_t _NOTHING
cdef Py_ssize_t _MUCH


cdef class GeventSession(Sender):
    # What every message touches stands together, as in Session.
    cdef double _ping_timeout
    cdef bint _is_reading
    cdef bint _is_dry
    cdef bint _is_ready
    cdef bint _attention
    cdef bint _is_flowing
    cdef Py_ssize_t _streak

    cdef bint _is_dialing
    cdef bint _has_ended
    cdef bint _is_forked
    cdef bint _due
    cdef int _excused
    cdef object _reader
    cdef object _start_time
    cdef double _poll
    cdef double _ping_rate
    cdef double _close_timeout
    cdef double _open_due
    cdef double _next_poll
    cdef double _next_ping
    cdef double _close_due
    cdef double _linger_due
    cdef double _heard
    cdef object _close_code
    cdef object _sent_code

    @cython.locals(reactor=Reactor, size=Py_ssize_t, now=double)
    cdef Py_ssize_t _pump(self, Stream stream) except? -2
    @cython.locals(reactor=Reactor)
    cdef _note_read(self, Py_ssize_t size, double since)
    @cython.locals(transport=Transport, size=Py_ssize_t)
    cdef Py_ssize_t _receive(self) except? -2
    @cython.locals(transport=Transport)
    cdef Py_ssize_t _read(self) except? -2
    @cython.locals(due=double)
    cdef _arm(self)
    cpdef ring(self, double due, double now)
