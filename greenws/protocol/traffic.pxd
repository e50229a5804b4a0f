cimport cython

from greenws.protocol.stream cimport Stream


# Its counts refer to nothing that could refer back.
@cython.no_gc
cdef class Traffic:
    cdef public long long messages_sent
    cdef public long long messages_received
    cdef public long long bytes_sent
    cdef public long long bytes_received


cdef class CountedStream(Stream):
    cdef Traffic _traffic

    cdef _emit_text(self, text, Py_ssize_t length)
    cdef _emit_binary(self, payload)
