cimport cython

cimport greenws.native.threads as threads
cimport greenws.native.utf8 as utf8
from greenws.protocol.frame cimport append_frame
from greenws.sessions.reactor cimport Reactor, Session
from greenws.sessions.transport cimport Transport

cdef int _TEXT
cdef int _BINARY
cdef int _CLOSE


cdef class Sender(Session):
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
    cdef bint _is_buffering
    cdef bint _is_stalled
    cdef bint _refuses
    cdef int _burst
    cdef readonly object websocket

    @cython.locals(out=bytearray)
    cdef _queue(self, int opcode, payload, bint rsv1)
    cpdef send(self, int opcode, payload)
    cpdef send_compressed(self, int opcode, payload)
    cpdef send_text(self, text)
    cpdef send_binary(self, data)
    @cython.locals(transport=Transport, out=bytearray, is_left=bint)
    cpdef flush(self)
