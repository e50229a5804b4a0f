cimport cython

from greenws cimport native
from greenws.protocol.frame cimport append_frame
from greenws.protocol.stream cimport Stream
from greenws.sessions.reactor cimport Reactor
from greenws.sessions.transport cimport Transport


cdef class GeventSession:
    # What every message touches stands together: with thousands of connections, what is read from
    # memory is most of the cost.
    cdef object _greenlet
    cdef object _hub
    cdef Transport _transport
    cdef Reactor _reactor
    cdef bytearray _out
    cdef unsigned long long _thread
    cdef Py_ssize_t _write_limit
    cdef Py_ssize_t _flush_size
    cdef Py_ssize_t _passed
    cdef object _drained
    cdef object _writer
    cdef object _abort
    cdef object _ping_timeout
    cdef bint _is_parked
    cdef bint _is_reading
    cdef bint _is_dry
    cdef bint _is_buffering
    cdef bint _is_dirty
    cdef bint _is_ready
    cdef bint _attention
    cdef bint _refuses
    cdef int _burst

    cdef bint _is_dialing
    cdef bint _has_ended
    cdef bint _is_forked
    cdef bint _due
    cdef int _excused
    cdef readonly object websocket
    cdef object _reader
    cdef object _timer
    cdef double _timer_due
    cdef object _start_time
    cdef object _poll
    cdef double _ping_rate
    cdef object _close_timeout
    cdef object _next_poll
    cdef object _next_ping
    cdef object _close_due
    cdef double _heard
    cdef object _close_code
    cdef object _sent_code

    @cython.locals(reactor=Reactor, size=object)
    cdef _pump(self, Stream stream)
    @cython.locals(transport=Transport)
    cdef _receive(self)
    @cython.locals(transport=Transport)
    cdef _read(self)
    cdef _park(self)
    @cython.locals(out=bytearray)
    cdef _queue(self, int opcode, payload, bint rsv1)
    cpdef send(self, int opcode, payload)
    cpdef send_compressed(self, int opcode, payload)
    @cython.locals(transport=Transport, out=bytearray)
    cpdef flush(self)
