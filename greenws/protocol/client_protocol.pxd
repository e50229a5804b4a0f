cimport cython

from greenws.events cimport _CloseFrame
from greenws.protocol.frame cimport read_close_code
from greenws.protocol.stream cimport Stream


cdef class ClientProtocol:
    cdef readonly object phase
    cdef readonly Stream stream
    cdef readonly object compression
    cdef readonly object close_code
    cdef readonly object close_reason
    cdef readonly object sent_code
    cdef readonly Py_ssize_t hops
    cdef public object violation
    cdef object _opening
    cdef object _tracer

    cdef _step(self, phase)
    cdef _require_opening(self)
    cdef _set_compression(self, deflate)
    cpdef build_request(self)
    cpdef receive(self, data, double received_time=*)
    cpdef receive_eof(self)
    cpdef next_event(self)
    @cython.locals(closed=_CloseFrame)
    cpdef take_close(self, _CloseFrame event)
    cdef _next_of_opening(self, opening)
    cdef _upgrade(self, response, rest)
    cdef _reject(self, response, reason)
    cpdef check_open(self)
    cpdef begin_close(self, bytes payload)
    cpdef end(self)
