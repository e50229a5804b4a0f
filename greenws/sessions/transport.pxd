from greenws.sessions cimport native


cdef class Transport:
    cdef int _fileno
    cdef public object _sock
    cdef public object _unread

    cpdef recv_into(self, buffer, Py_ssize_t size)
    cpdef send(self, data)
    cpdef bint flush(self) except -1
