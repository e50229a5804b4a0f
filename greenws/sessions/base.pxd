cimport cython

from greenws cimport native
from greenws.protocol.frame cimport append_frame
from greenws.protocol.stream cimport Stream
from greenws.sessions.clock cimport Clock
from greenws.sessions.reactor cimport Reactor, Session
from greenws.sessions.transport cimport Transport

cdef double NEVER
cdef Py_ssize_t HEADROOM
cdef Py_ssize_t _OPENING_READ_SIZE
cdef Py_ssize_t _NOTHING
cdef int _TEXT
cdef int _BINARY
cdef int _CLOSE


cdef class GeventSession(Session):
    # What every message touches stands together, as in Session.
    cdef Transport _transport
    cdef bytearray _out
    cdef unsigned long long _thread
    cdef Py_ssize_t _write_limit
    cdef Py_ssize_t _flush_size
    cdef Py_ssize_t _passed
    cdef object _drained
    cdef object _writer
    cdef object _abort
    cdef double _ping_timeout
    cdef bint _is_reading
    cdef bint _is_dry
    cdef bint _is_buffering
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
    @cython.locals(transport=Transport)
    cdef Py_ssize_t _receive(self) except? -2
    @cython.locals(transport=Transport)
    cdef Py_ssize_t _read(self) except? -2
    @cython.locals(due=double)
    cdef _arm(self)
    cpdef ring(self, double due, double now)
    @cython.locals(out=bytearray)
    cdef _queue(self, int opcode, payload, bint rsv1)
    cpdef send(self, int opcode, payload)
    cpdef send_compressed(self, int opcode, payload)
    cpdef send_text(self, text)
    cpdef send_binary(self, data)
    @cython.locals(transport=Transport, out=bytearray)
    cpdef flush(self)
