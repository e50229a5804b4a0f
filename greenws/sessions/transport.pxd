cdef class Transport:
    cpdef int fileno(self) except? -2
    cpdef recv_into(self, buffer, Py_ssize_t size)
    cpdef send(self, data)
    cpdef bint flush(self) except -1
    cpdef shutdown_write(self)
    cpdef close(self)
