cimport cython

from greenws.sessions.transport cimport Transport


cdef class TLSTransport(Transport):
    cdef readonly object _ssl
    cdef object _core
    cdef object _incoming
    cdef object _outgoing
    cdef Transport _lower
    cdef object _unread
    cdef readonly object _unsent
    cdef object _memory
    cdef object _error
    cdef bint _offered
    cdef bint _has_begun
    cdef bint _has_heard
    cdef bint _has_data
    cdef bint _is_ended
    cdef bint _is_over
    cdef bint _is_renegotiating
    cdef bint _is_shut
    cdef bint _is_paused
    cdef bint _is_full
    cdef Py_ssize_t _step

    cpdef bint advance_handshake(self) except -1
    @cython.locals(sent=Py_ssize_t, size=Py_ssize_t)
    cpdef send(self, data)
    cpdef recv_into(self, buffer, Py_ssize_t size)
    cpdef bint flush(self) except -1
    cpdef int fileno(self) except? -2
    cpdef shutdown_write(self)
    cpdef close(self)
    cdef _read(self, buffer, Py_ssize_t size)
    cdef _trim(self)
    cdef _end(self, error)
    cdef bint _fill(self) except -1
    cdef Py_ssize_t _write(self, piece) except -1
    cpdef forget_session(self)
    cdef _remember(self)
